//! A subchannel: what functions it carries out, and how its status reads (PoP, chapters 14 to 16).

use std::sync::Arc;

use super::blocks::{
    IRB_SIZE, ORB_SIZE, Operand, Orb, Pmcw, SCHIB_SIZE, Scsw, decode_schib, encode_schib, pmcw, scsw,
};
use super::floating::Attention;
use super::program::{Device, Program};
use super::unit::{ControlUnit, SENSE_SIZE};
use crate::GuestRam;
use crate::saved::{self, Save, Saved, state};

/// Condition codes of functions: initiated; a status is pending; busy or not applicable; not operational.
pub const STARTED: u8 = 0;
pub const PENDING: u8 = 1;
pub const BUSY: u8 = 2;
pub const NOT_OPERATIONAL: u8 = 3;

/// A subchannel with its device.
///
/// Functions are carried out at once, on the vCPU that starts them. So a subchannel that is active is a suspended one, and all
/// others are idle or have a status pending.
pub struct Subchannel {
    pmcw: Pmcw,
    scsw: Scsw,
    measurement_block: u64,
    /// The program that is suspended.
    suspended: Option<Program>,
    sense: [u8; SENSE_SIZE],
    attention: Arc<Attention>,
    unit: Box<dyn ControlUnit>,
}

impl Subchannel {
    /// As a reset leaves it.
    pub fn new(device: u16, unit: Box<dyn ControlUnit>, attention: Arc<Attention>) -> Self {
        let mut subchannel = Subchannel {
            pmcw: Pmcw { device, ..Pmcw::default() },
            scsw: Scsw::default(),
            measurement_block: 0,
            suspended: None,
            sense: [0; SENSE_SIZE],
            attention,
            unit,
        };
        subchannel.initialize();
        subchannel
    }

    fn initialize(&mut self) {
        self.pmcw = Pmcw::initial(self.pmcw.device);
        self.scsw = Scsw::default();
        self.measurement_block = 0;
        self.suspended = None;
        self.sense = [0; SENSE_SIZE];
    }

    /// Resets it and its device.
    pub fn reset(&mut self) {
        self.initialize();
        self.unit.reset();
        self.attention.reset();
    }

    /// The device number.
    pub const fn device(&self) -> u16 {
        self.pmcw.device
    }

    pub fn unit(&mut self) -> &mut dyn ControlUnit {
        &mut *self.unit
    }

    pub fn into_unit(self) -> Box<dyn ControlUnit> {
        self.attention.reset();
        self.unit
    }

    /// The status word as the program sees it.
    fn status(&self) -> Scsw {
        let mut status = self.scsw;
        if !status.is_pending() && self.attention.is_alert() {
            status.control |= scsw::ALERT | scsw::PENDING;
        }
        status
    }

    /// STORE SUBCHANNEL.
    pub fn schib(&self) -> [u8; SCHIB_SIZE] {
        encode_schib(&self.pmcw, &self.status(), self.measurement_block)
    }

    /// MODIFY SUBCHANNEL.
    pub fn modify(&mut self, schib: &[u8; SCHIB_SIZE]) -> Result<u8, Operand> {
        let mut pmcw = self.pmcw;
        let block = pmcw.modify(schib)?;
        if self.status().is_pending() {
            return Ok(PENDING);
        }
        if self.scsw.control & scsw::FUNCTIONS != 0 {
            return Ok(BUSY);
        }
        let was_enabled = self.pmcw.is_operational();
        self.pmcw = pmcw;
        self.measurement_block = block;
        let enabled = pmcw.is_operational();
        self.attention.configure(enabled, pmcw.isc(), pmcw.parameter);
        if enabled != was_enabled {
            self.unit.set_enabled(enabled);
        }
        Ok(STARTED)
    }

    /// START SUBCHANNEL.
    pub fn start(&mut self, orb: Orb, ram: &GuestRam) -> u8 {
        if !self.pmcw.is_operational() {
            return NOT_OPERATIONAL;
        }
        if self.scsw.is_pending() {
            return PENDING;
        }
        if self.scsw.control & scsw::FUNCTIONS != 0 {
            return BUSY;
        }
        if !self.attention.begin(orb.parameter) {
            return PENDING;
        }
        self.pmcw.parameter = orb.parameter;
        self.scsw = Scsw { flags: orb.status_flags(), control: scsw::START, ..Scsw::default() };
        if orb.paths & self.pmcw.logical_paths & Pmcw::PATH == 0 {
            self.scsw.flags |= scsw::CC_3;
            self.become_pending(scsw::ALERT);
            return STARTED;
        }
        self.pmcw.last_path = Pmcw::PATH;
        self.run(Program::new(orb), ram);
        STARTED
    }

    /// RESUME SUBCHANNEL.
    pub fn resume(&mut self, ram: &GuestRam) -> u8 {
        if !self.pmcw.is_operational() {
            return NOT_OPERATIONAL;
        }
        if self.status().is_pending() {
            return PENDING;
        }
        match self.suspended.take() {
            Some(program) => {
                self.run(program, ram);
                STARTED
            }
            None => BUSY,
        }
    }

    /// CLEAR SUBCHANNEL.
    pub fn clear(&mut self) -> u8 {
        if !self.pmcw.is_operational() {
            return NOT_OPERATIONAL;
        }
        if self.status().is_pending() {
            self.attention.withdraw();
        }
        self.attention.force();
        self.suspended = None;
        self.sense = [0; SENSE_SIZE];
        self.pmcw.operational = 0xff;
        self.pmcw.not_operational = 0;
        self.pmcw.last_path = Pmcw::PATH;
        self.scsw = Scsw { control: scsw::CLEAR, ..Scsw::default() };
        self.become_pending(0);
        STARTED
    }

    /// HALT SUBCHANNEL.
    pub fn halt(&mut self) -> u8 {
        /// A status that the program has to see first.
        const FINAL: u16 = scsw::ALERT | scsw::PRIMARY | scsw::SECONDARY;
        if !self.pmcw.is_operational() {
            return NOT_OPERATIONAL;
        }
        let status = self.status();
        if status.is_pending() {
            if status.control & FINAL != 0 || status.control & scsw::INTERMEDIATE == 0 {
                return PENDING;
            }
            // That of a suspension goes under in that of the halt.
            self.attention.withdraw();
        }
        self.attention.force();
        self.suspended = None;
        self.pmcw.last_path = Pmcw::PATH;
        self.scsw.control = self.scsw.control & scsw::FUNCTIONS | scsw::HALT;
        self.become_pending(0);
        STARTED
    }

    /// CANCEL SUBCHANNEL.
    pub fn cancel(&mut self) -> u8 {
        if !self.pmcw.is_operational() {
            return NOT_OPERATIONAL;
        }
        if self.status().is_pending() {
            return PENDING;
        }
        if self.suspended.take().is_none() {
            return BUSY;
        }
        self.scsw = Scsw::default();
        self.attention.end();
        STARTED
    }

    /// TEST SUBCHANNEL: the response block, and the condition code. What was pending is no more.
    pub fn test(&mut self) -> (u8, [u8; IRB_SIZE]) {
        if !self.pmcw.is_operational() {
            return (NOT_OPERATIONAL, [0; IRB_SIZE]);
        }
        if self.scsw.is_pending() {
            let irb = self.response(self.scsw);
            self.forget();
            return (STARTED, irb);
        }
        let mut status = self.scsw;
        if self.attention.take_alert() {
            status.control |= scsw::ALERT | scsw::PENDING;
            return (STARTED, self.response(status));
        }
        (PENDING, self.response(status))
    }

    /// The response block for a status.
    fn response(&self, mut status: Scsw) -> [u8; IRB_SIZE] {
        /// First word of the extended status: the path in use.
        const LAST_PATH: u32 = 0x0080_0000;
        /// Second word: the control word has sense data, and so many bytes of them.
        const SENSE: u32 = 0x0100_0000 | 32 << 16;
        let mut irb = [0; IRB_SIZE];
        let has_sense =
            status.device & scsw::UNIT_CHECK != 0 && self.pmcw.word6 & pmcw::CONCURRENT_SENSE != 0;
        if status.is_pending() {
            irb[12..16].copy_from_slice(&LAST_PATH.to_be_bytes());
            if has_sense {
                status.flags |= scsw::LOGOUT | scsw::EXTENDED_CONTROL;
                irb[16..20].copy_from_slice(&SENSE.to_be_bytes());
                irb[32..].copy_from_slice(&self.sense);
            }
        }
        irb[..12].copy_from_slice(&status.encode());
        irb
    }

    /// The program has seen the status. The suspended function goes on if that is all that it was about.
    fn forget(&mut self) {
        let told_sense =
            self.scsw.device & scsw::UNIT_CHECK != 0 && self.pmcw.word6 & pmcw::CONCURRENT_SENSE != 0;
        if told_sense {
            self.sense = [0; SENSE_SIZE];
        }
        self.scsw.control &= !scsw::STATUS;
        if self.suspended.is_none() {
            self.scsw = Scsw::default();
            self.attention.end();
        }
    }

    /// Runs a channel program, and makes of it a status.
    fn run(&mut self, mut program: Program, ram: &GuestRam) {
        let mut device = Device { ram, unit: &mut *self.unit, sense: &mut self.sense };
        let outcome = program.run(&mut device);
        let orb = *program.orb();
        self.scsw.control = scsw::START;
        self.scsw.ccw = outcome.ccw;
        self.scsw.count = outcome.count;
        self.scsw.device = outcome.device;
        self.scsw.subchannel = outcome.subchannel;
        let told = outcome.subchannel & scsw::PCI != 0;
        if outcome.suspended {
            self.suspended = Some(program);
            self.scsw.control |= scsw::SUSPENDED;
            if told || !orb.is_suspension_quiet() {
                self.become_pending(scsw::INTERMEDIATE);
            }
            return;
        }
        let mut status = scsw::PRIMARY | scsw::SECONDARY;
        if outcome.subchannel & scsw::PROGRAM_CHECK != 0 || outcome.device & scsw::UNIT_CHECK != 0 {
            status |= scsw::ALERT;
        }
        if told {
            status |= scsw::INTERMEDIATE;
        }
        if outcome.accepted && orb.wants_initial_status() {
            self.scsw.flags |= scsw::ZERO_CC;
            status |= scsw::INTERMEDIATE;
        }
        self.become_pending(status);
    }

    /// Makes a status pending, and interrupts.
    fn become_pending(&mut self, status: u16) {
        self.scsw.control |= status | scsw::PENDING;
        self.attention.interrupt();
    }
}

state! {
    /// Control blocks as programs have them, big-endian.
    struct SubchannelState: "subchan", 1 {
        /// A subchannel-information block. Its status does not tell of what the device wants of its own accord.
        schib: [u8; SCHIB_SIZE],
        /// Of the program that is suspended, its operation-request block and the address of its next CCW.
        suspended: Option<([u8; ORB_SIZE], u32)>,
        sense: [u8; SENSE_SIZE],
        /// The device wants its driver's attention.
        alert: bool,
        unit: Saved,
    }
}

impl Save for Subchannel {
    fn save(&mut self) -> saved::Result<Saved> {
        // First, as what its device does last may be to want attention.
        let unit = self.unit.save()?;
        let suspended = self.suspended.as_ref().map(|program| (program.orb().encode(), program.next()));
        Ok(Saved::of(&SubchannelState {
            schib: encode_schib(&self.pmcw, &self.scsw, self.measurement_block),
            suspended,
            sense: self.sense,
            alert: self.attention.has_alert(),
            unit,
        }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let SubchannelState { schib, suspended, sense, alert, unit } = saved.get()?;
        let (pmcw, scsw, measurement_block) = decode_schib(&schib);
        saved.check(encode_schib(&pmcw, &scsw, measurement_block) == schib, "a block with reserved bits")?;
        saved.check(pmcw.device == self.pmcw.device, "another device")?;
        saved.check(Self::can_be(&pmcw, &schib), "a path-management-control word")?;
        let suspended = match suspended {
            Some((orb, next)) => {
                let decoded = Orb::decode(&orb).ok().filter(|decoded| decoded.encode() == orb);
                saved.check(decoded.is_some_and(|orb| orb.may_suspend()), "an operation-request block")?;
                decoded.map(|orb| Program::suspended(orb, next))
            }
            None => None,
        };
        let is_active = scsw.control & scsw::SUSPENDED != 0;
        saved.check(is_active == suspended.is_some(), "a suspension")?;
        let is_idle = !is_active && !scsw.is_pending();
        saved.check(!is_idle || scsw == Scsw::default(), "a status of what is idle")?;
        let enabled = pmcw.is_operational();
        saved.check(enabled || is_idle && !alert, "a status of what is disabled")?;
        self.unit.restore(&unit)?;
        self.attention.restore((enabled, pmcw.isc(), pmcw.parameter), !is_idle, alert);
        (self.pmcw, self.scsw, self.measurement_block) = (pmcw, scsw, measurement_block);
        (self.suspended, self.sense) = (suspended, sense);
        Ok(())
    }
}

impl Subchannel {
    /// Whether programs can bring a path-management-control word about, by modifications and functions.
    fn can_be(found: &Pmcw, schib: &[u8; SCHIB_SIZE]) -> bool {
        let mut reached = Pmcw::initial(found.device);
        reached.last_path = found.last_path;
        let is_path = [0, Pmcw::PATH].contains(&found.last_path);
        is_path && reached.modify(schib).is_ok() && reached == *found
    }
}

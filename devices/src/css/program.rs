//! Channel programs, and how they come out (PoP, chapter 15).

use super::blocks::{Orb, scsw};
use super::ccw::{Ccw, Fetcher, ProgramCheck, flag};
use super::data::{Cut, Data};
use super::unit::{COMMAND_REJECT, ControlUnit, SENSE_SIZE};
use crate::GuestRam;

/// Commands that the channel subsystem carries out for every device (SA22-7204, "Common I/O-Device Commands").
mod command {
    pub(super) const NO_OPERATION: u8 = 0x03;
    pub(super) const SENSE: u8 = 0x04;
    pub(super) const SENSE_ID: u8 = 0xe4;
}

/// What a channel program works with.
pub struct Device<'a> {
    pub ram: &'a GuestRam,
    pub unit: &'a mut dyn ControlUnit,
    /// What the device tells of its last unit check.
    pub sense: &'a mut [u8; SENSE_SIZE],
}

/// How far a channel program has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    pub suspended: bool,
    /// Device status.
    pub device: u8,
    /// Subchannel status.
    pub subchannel: u8,
    /// Address of the last CCW, and 8.
    pub ccw: u32,
    /// What is left of the last CCW's count.
    pub count: u16,
    /// The device has accepted the first command.
    pub accepted: bool,
}

/// A channel program that has been started.
#[derive(Debug, Clone)]
pub struct Program {
    orb: Orb,
    fetcher: Fetcher,
}

impl Program {
    pub const fn new(orb: Orb) -> Self {
        Program { orb, fetcher: Fetcher::new(orb.is_format_1(), orb.program) }
    }

    /// One that is suspended at this CCW.
    pub const fn suspended(orb: Orb, next: u32) -> Self {
        Program { orb, fetcher: Fetcher::resumed(orb.is_format_1(), next) }
    }

    /// Where the next CCW is.
    pub const fn next(&self) -> u32 {
        self.fetcher.next()
    }

    pub const fn orb(&self) -> &Orb {
        &self.orb
    }

    /// Runs until the program ends or is suspended. A suspended one goes on with the CCW that it was suspended at, read again.
    pub fn run(&mut self, device: &mut Device<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        while self.step(device, &mut outcome) {}
        outcome
    }

    /// Carries out a command. Whether another one is chained to it.
    fn step(&mut self, device: &mut Device<'_>, outcome: &mut Outcome) -> bool {
        let ccw = match self.fetcher.fetch(device.ram, false) {
            Ok(ccw) => ccw,
            Err(check) => {
                outcome.fail(check);
                return false;
            }
        };
        outcome.ccw = ccw.at.wrapping_add(8);
        outcome.count = ccw.count;
        if ccw.has(flag::SUSPEND) {
            if !self.orb.may_suspend() {
                outcome.fail(ProgramCheck { at: ccw.at });
                return false;
            }
            outcome.suspended = true;
            outcome.device = 0;
            self.fetcher.back_to(&ccw);
            return false;
        }
        let mut data = Data::collect(device.ram, &self.orb, &mut self.fetcher, ccw);
        let ended = execute(device.unit, device.sense, ccw.command, &mut data);
        self.conclude(device, &ccw, (&data, ended), outcome)
    }

    /// Notes how a command ended. Whether another one is chained to it.
    fn conclude(
        &self,
        device: &mut Device<'_>,
        command: &Ccw,
        (data, ended): (&Data<'_>, Result<(), Refusal>),
        outcome: &mut Outcome,
    ) -> bool {
        let rest = data.rest(*command);
        outcome.ccw = rest.ccw.at.wrapping_add(8);
        outcome.count = rest.count;
        if rest.pci {
            outcome.subchannel |= scsw::PCI;
        }
        if let Some(check) = data.failed() {
            outcome.fail(check);
            outcome.device = scsw::CHANNEL_END | scsw::DEVICE_END;
            return false;
        }
        let is_wrong = rest.count > 0 || rest.exhausted;
        let ignored =
            rest.ccw.is_length_suppressed() || rest.immediate && self.orb.ignores_immediate_length();
        match ended {
            Ok(()) => {
                outcome.accepted = true;
                outcome.device = scsw::CHANNEL_END | scsw::DEVICE_END;
                if is_wrong && !ignored {
                    outcome.subchannel |= scsw::INCORRECT_LENGTH;
                    return false;
                }
                rest.ccw.has(flag::CHAIN_COMMAND)
            }
            Err(refusal) => {
                *device.sense = [0; SENSE_SIZE];
                device.sense[0] = refusal.sense;
                outcome.device = scsw::UNIT_CHECK;
                if rest.exhausted && !ignored {
                    outcome.subchannel |= scsw::INCORRECT_LENGTH;
                }
                false
            }
        }
    }
}

impl Outcome {
    const fn fail(&mut self, check: ProgramCheck) {
        self.subchannel |= scsw::PROGRAM_CHECK;
        self.device = 0;
        self.ccw = check.at.wrapping_add(8);
    }
}

/// A device does not carry a command out: a unit check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The first byte of the sense data, which says why.
    pub sense: u8,
}

impl Refusal {
    /// The command, or what it came with, is nothing that the device can do.
    pub const COMMAND_REJECT: Refusal = Refusal { sense: COMMAND_REJECT };
}

impl From<Cut> for Refusal {
    /// What is due if the data were too few. After an error of the program, no one looks at it.
    fn from(_: Cut) -> Self {
        Refusal::COMMAND_REJECT
    }
}

fn execute(
    unit: &mut dyn ControlUnit,
    sense: &mut [u8; SENSE_SIZE],
    command: u8,
    data: &mut Data<'_>,
) -> Result<(), Refusal> {
    match command {
        command::NO_OPERATION => Ok(()),
        command::SENSE => {
            let told = std::mem::replace(sense, [0; SENSE_SIZE]);
            fit(data.put(&told))
        }
        command::SENSE_ID => fit(data.put(&unit.identity().sense_id())),
        _ => unit.execute(command, data),
    }
}

/// What a device answers may be cut short: that is a matter of the length, not of the command.
const fn fit(put: Result<(), Cut>) -> Result<(), Refusal> {
    match put {
        // An error of the program is noted with the data.
        Ok(()) | Err(Cut::Short | Cut::Program) => Ok(()),
    }
}

//! The channel subsystem of s390x: subchannels, channel programs, and what I/O instructions do to them.
//!
//! It knows nothing of the devices that its subchannels lead to ([`ControlUnit`]), nor of how interruptions reach the guest
//! ([`Floating`]). "PoP" is IBM's z/Architecture Principles of Operation, SA22-7832, chapters 13 to 17.
//!
//! There is one channel-subsystem image with one subchannel set, and one channel path, which leads to all devices. Channel
//! programs are carried out while START SUBCHANNEL waits; to the guest they have ended when it looks. Storage keys, address
//! limits and measurements are not heeded, as with other hypervisors. TEST PENDING INTERRUPTION is not here: the floating interrupt
//! controller has the interruptions, so it carries that out.

mod blocks;
mod ccw;
mod chsc;
mod data;
mod floating;
mod program;
mod report;
mod subchannel;
#[cfg(any(test, fuzzing))]
pub mod testing;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use blocks::{IRB_SIZE, ORB_SIZE, Operand, SCHIB_SIZE};
pub use chsc::REQUEST_SIZE as CHSC_REQUEST_SIZE;
pub use data::{Cut, Data};
pub use floating::{Attention, Floating, Interruption};
pub use program::Refusal;
pub use unit::{ControlUnit, Identity};

use crate::saved::{self, Error, Save, Saved, state};
use crate::{GuestRam, Reset};
use blocks::Orb;
use report::{Reports, ReportsState};
use subchannel::{NOT_OPERATIONAL, STARTED, Subchannel};

/// A subchannel's number in a subsystem-identification word, behind a one. There are no other subchannel sets and images, whose
/// numbers would stand before it.
const fn id_of(number: u16) -> u32 {
    0x0001_0000 | number as u32
}

/// A number or device number that is taken already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("subchannel {number:#06x} or device {device:#06x} exists already")]
pub struct Taken {
    /// The subchannel's number.
    pub number: u16,
    /// The device number.
    pub device: u16,
}

/// The channel subsystem.
///
/// Instructions take general register 1 as `id`, of which the right half counts, and give a condition code. An [`Operand`]
/// exception is due where they say so; specification and access exceptions are recognized before.
pub struct Css {
    ram: GuestRam,
    floating: Arc<dyn Floating>,
    subchannels: BTreeMap<u16, Subchannel>,
    reports: Reports,
}

impl Reset for Css {
    /// Resets all subchannels and all devices (PoP, "I/O-System Reset").
    fn reset(&mut self) {
        self.subchannels.values_mut().for_each(Subchannel::reset);
        self.reports = Reports::new();
    }
}

state! {
    /// What facilities are enabled, and what is measured, is not here: there are none.
    struct CssState: "css", 1 {
        reports: ReportsState,
        /// By their numbers, in order.
        subchannels: Vec<(u16, Saved)>,
    }
}

/// With all subchannels and their devices. The same ones have to be there when it is restored.
impl Save for Css {
    fn save(&mut self) -> saved::Result<Saved> {
        let subchannels = self.subchannels.iter_mut().map(|(number, it)| Ok((*number, it.save()?)));
        let subchannels = subchannels.collect::<saved::Result<_>>()?;
        Ok(Saved::of(&CssState { reports: self.reports.state(), subchannels }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let CssState { reports, subchannels } = saved.get()?;
        let has_all = subchannels.iter().map(|(number, _)| number).eq(self.subchannels.keys());
        saved.check(has_all, "other subchannels than there are")?;
        let too_many = Error::Invalid { kind: saved.kind, what: "a number of reports" };
        self.reports = Reports::restored(reports).ok_or(too_many)?;
        for (subchannel, (_, saved)) in self.subchannels.values_mut().zip(&subchannels) {
            subchannel.restore(saved)?;
        }
        Ok(())
    }
}

impl Css {
    /// Without subchannels. Channel programs and their data are in `ram`.
    pub fn new(ram: GuestRam, floating: Arc<dyn Floating>) -> Self {
        Css { ram, floating, subchannels: BTreeMap::new(), reports: Reports::new() }
    }

    /// Adds a device with its subchannel, whose number is that of `attention`. It is there from the beginning.
    ///
    /// # Errors
    /// There is one already.
    pub fn add(
        &mut self,
        device: u16,
        unit: Box<dyn ControlUnit>,
        attention: Arc<Attention>,
    ) -> Result<(), Taken> {
        let number = attention.number();
        let exists = self.subchannels.contains_key(&number);
        if exists || self.subchannels.values().any(|other| other.device() == device) {
            return Err(Taken { number, device });
        }
        self.subchannels.insert(number, Subchannel::new(device, unit, attention));
        Ok(())
    }

    /// The same while the guest runs: it is told.
    ///
    /// # Errors
    /// As of [`Css::add`].
    pub fn plug(
        &mut self,
        device: u16,
        unit: Box<dyn ControlUnit>,
        attention: Arc<Attention>,
    ) -> Result<(), Taken> {
        let number = attention.number();
        self.add(device, unit, attention)?;
        let told = self.reports.add_subchannel(number);
        self.tell(told);
        Ok(())
    }

    /// Removes a subchannel while the guest runs, and tells it. Gives back the device, if there was one.
    pub fn unplug(&mut self, number: u16) -> Option<Box<dyn ControlUnit>> {
        let subchannel = self.subchannels.remove(&number)?;
        let told = self.reports.add_subchannel(number);
        self.tell(told);
        Some(subchannel.into_unit())
    }

    fn tell(&self, told: bool) {
        if told {
            self.floating.report();
        }
    }

    /// The device at a subchannel.
    pub fn unit(&mut self, number: u16) -> Option<&mut dyn ControlUnit> {
        self.subchannels.get_mut(&number).map(Subchannel::unit)
    }

    /// The subchannel's number.
    fn number(id: u64) -> Result<u16, Operand> {
        let [_, _, _, _, zero, one, high, low] = id.to_be_bytes();
        if (zero, one) == (0, 1) { Ok(u16::from_be_bytes([high, low])) } else { Err(Operand) }
    }

    /// Has a subchannel do something that gives a condition code.
    fn on(
        &mut self,
        id: u64,
        function: impl FnOnce(&mut Subchannel, &GuestRam) -> u8,
    ) -> Result<u8, Operand> {
        let number = Self::number(id)?;
        let Some(subchannel) = self.subchannels.get_mut(&number) else { return Ok(NOT_OPERATIONAL) };
        Ok(function(subchannel, &self.ram))
    }

    /// STORE SUBCHANNEL: what is stored, or nothing and condition code 3.
    ///
    /// # Errors
    /// `id` is no subchannel's.
    pub fn stsch(&self, id: u64) -> Result<(u8, Option<[u8; SCHIB_SIZE]>), Operand> {
        let number = Self::number(id)?;
        Ok(match self.subchannels.get(&number) {
            Some(subchannel) => (STARTED, Some(subchannel.schib())),
            // A gap has a block without a valid device number. Behind the last one there is nothing.
            None if self.subchannels.keys().next_back().is_some_and(|last| *last > number) => {
                (STARTED, Some([0; SCHIB_SIZE]))
            }
            None => (NOT_OPERATIONAL, None),
        })
    }

    /// MODIFY SUBCHANNEL.
    ///
    /// # Errors
    /// `id` is no subchannel's, or the block can't be.
    pub fn msch(&mut self, id: u64, schib: &[u8; SCHIB_SIZE]) -> Result<u8, Operand> {
        let number = Self::number(id)?;
        match self.subchannels.get_mut(&number) {
            Some(subchannel) => subchannel.modify(schib),
            None => Ok(NOT_OPERATIONAL),
        }
    }

    /// START SUBCHANNEL.
    ///
    /// # Errors
    /// `id` is no subchannel's, or the block can't be.
    pub fn ssch(&mut self, id: u64, orb: &[u8; ORB_SIZE]) -> Result<u8, Operand> {
        let orb = Orb::decode(orb)?;
        self.on(id, |subchannel, ram| subchannel.start(orb, ram))
    }

    /// TEST SUBCHANNEL: what is stored, unless the condition code is 3. Who carries it out has taken back the subchannel's
    /// interruption, if it was still pending.
    ///
    /// # Errors
    /// `id` is no subchannel's.
    pub fn tsch(&mut self, id: u64) -> Result<(u8, Option<[u8; IRB_SIZE]>), Operand> {
        let mut irb = None;
        let cc = self.on(id, |subchannel, _| {
            let (cc, block) = subchannel.test();
            irb = (cc != NOT_OPERATIONAL).then_some(block);
            cc
        })?;
        Ok((cc, irb))
    }

    /// CLEAR SUBCHANNEL.
    ///
    /// # Errors
    /// `id` is no subchannel's.
    pub fn csch(&mut self, id: u64) -> Result<u8, Operand> {
        self.on(id, |subchannel, _| subchannel.clear())
    }

    /// HALT SUBCHANNEL.
    ///
    /// # Errors
    /// `id` is no subchannel's.
    pub fn hsch(&mut self, id: u64) -> Result<u8, Operand> {
        self.on(id, |subchannel, _| subchannel.halt())
    }

    /// CANCEL SUBCHANNEL.
    ///
    /// # Errors
    /// `id` is no subchannel's.
    pub fn xsch(&mut self, id: u64) -> Result<u8, Operand> {
        self.on(id, |subchannel, _| subchannel.cancel())
    }

    /// RESUME SUBCHANNEL.
    ///
    /// # Errors
    /// `id` is no subchannel's.
    pub fn rsch(&mut self, id: u64) -> Result<u8, Operand> {
        self.on(id, Subchannel::resume)
    }

    /// STORE CHANNEL REPORT WORD: the next report and condition code 0, or zeros and 1.
    pub fn stcrw(&mut self) -> (u8, [u8; 4]) {
        match self.reports.take() {
            Some(word) => (0, word.to_be_bytes()),
            None => (1, [0; 4]),
        }
    }

    /// RESET CHANNEL PATH. Nothing is under way on the path; the program is told of the reset's end.
    ///
    /// # Errors
    /// `register1` has bits that name no path.
    pub fn rchp(&mut self, register1: u64) -> Result<u8, Operand> {
        let [_, _, _, _, zero1, image, zero2, path] = register1.to_be_bytes();
        if (zero1, image, zero2) != (0, 0, 0) {
            return Err(Operand);
        }
        if path != chsc::PATH {
            return Ok(NOT_OPERATIONAL);
        }
        let told = self.reports.add_path(path);
        self.tell(told);
        Ok(STARTED)
    }

    /// SET ADDRESS LIMIT. The limit is not heeded.
    ///
    /// # Errors
    /// `register1` is no limit.
    pub const fn sal(&self, register1: u64) -> Result<(), Operand> {
        if register1 & 0x8000_ffff == 0 { Ok(()) } else { Err(Operand) }
    }

    /// SET CHANNEL MONITOR. Nothing is measured.
    ///
    /// # Errors
    /// The registers don't say what to measure, or where.
    pub const fn schm(&self, register1: u64, register2: u64) -> Result<(), Operand> {
        const RESERVED: u64 = 0x0fff_fffc;
        const MEASURE: u64 = 2;
        let is_unaligned = register1 & MEASURE != 0 && register2 & 0x1f != 0;
        if register1 & RESERVED != 0 || is_unaligned { Err(Operand) } else { Ok(()) }
    }

    /// STORE CHANNEL PATH STATUS: no path is active when a program looks.
    pub const fn stcps(&self) -> [u8; 32] {
        [0; 32]
    }

    /// CHANNEL SUBSYSTEM CALL: where in the request's page the response goes, and the response.
    ///
    /// # Errors
    /// The request's length is not one that a request can have.
    pub fn chsc(&self, request: &[u8; CHSC_REQUEST_SIZE]) -> Result<(usize, Vec<u8>), Operand> {
        chsc::call(request)
    }
}

//! The data of a command: one area, or several that are chained, each in one piece or by a list of indirect addresses.

use vm_memory::{Bytes, GuestAddress};

use super::blocks::Orb;
use super::ccw::{Ccw, Fetcher, ProgramCheck, flag};
use crate::GuestRam;

/// A piece of storage.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Where it is; `None` is a hole, where bytes vanish and zeros come from.
    address: Option<u64>,
    len: usize,
}

/// Where an area of a chain ends, in bytes from the beginning of the data.
#[derive(Debug, Clone, Copy)]
struct Area {
    ccw: Ccw,
    end: usize,
}

/// How a transfer of data ended before it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The channel has found an error in the channel program. The device has to end the command.
    #[error("the channel program is in error")]
    Program,
    /// There are no more data.
    #[error("there are too few data")]
    Short,
}

/// The data of a command as its device sees them: bytes that it takes or puts, one after the other.
#[derive(Debug)]
pub struct Data<'a> {
    ram: &'a GuestRam,
    pieces: Vec<Piece>,
    areas: Vec<Area>,
    /// Behind the pieces there is an error, found at this CCW.
    flaw: Option<ProgramCheck>,
    position: usize,
    /// The furthest that the device has come.
    reached: usize,
    /// The device has asked for data.
    touched: bool,
    /// The device wanted more data than there are.
    exhausted: bool,
    /// The device ran into an error at this CCW.
    failed: Option<ProgramCheck>,
}

/// What is left of a command's data when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// The CCW that the transfer has come to.
    pub ccw: Ccw,
    /// What is left of its count.
    pub count: u16,
    /// The device did not look at its data at all.
    pub immediate: bool,
    /// The device wanted more data.
    pub exhausted: bool,
    /// One of the CCWs up to this one asks for an interruption.
    pub pci: bool,
}

impl<'a> Data<'a> {
    /// Collects the data of a command, from its CCW on.
    pub fn collect(ram: &'a GuestRam, orb: &Orb, fetcher: &mut Fetcher, command: Ccw) -> Self {
        let mut data = Data {
            ram,
            pieces: Vec::new(),
            areas: Vec::new(),
            flaw: None,
            position: 0,
            reached: 0,
            touched: false,
            exhausted: false,
            failed: None,
        };
        let mut ccw = command;
        loop {
            let start = data.len();
            let complete = data.add(orb, &ccw, fetcher.address_limit());
            data.areas.push(Area { ccw, end: start + usize::from(ccw.count) });
            if !complete {
                data.flaw = Some(ProgramCheck { at: ccw.at });
                return data;
            }
            if !ccw.has(flag::CHAIN_DATA) {
                return data;
            }
            match fetcher.fetch(ram, true) {
                // The command of the first goes for all.
                Ok(next) => ccw = Ccw { command: command.command, ..next },
                Err(check) => {
                    data.flaw = Some(check);
                    return data;
                }
            }
        }
    }

    fn len(&self) -> usize {
        self.areas.last().map_or(0, |area| area.end)
    }

    /// Adds the pieces of an area. Whether all of them could be found.
    fn add(&mut self, orb: &Orb, ccw: &Ccw, limit: u32) -> bool {
        let len = usize::from(ccw.count);
        if len == 0 {
            return true;
        }
        if ccw.skips() {
            self.pieces.push(Piece { address: None, len });
            return true;
        }
        if ccw.data > limit {
            return false;
        }
        if ccw.has(flag::INDIRECT) {
            return self.add_indirect(orb, ccw, limit);
        }
        let room = usize::try_from(limit - ccw.data).map_or(usize::MAX, |last| last + 1);
        self.pieces.push(Piece { address: Some(ccw.data.into()), len: len.min(room) });
        len <= room
    }

    /// The same by indirect-data-address words: each leads to a block or, the first, into one.
    fn add_indirect(&mut self, orb: &Orb, ccw: &Ccw, limit: u32) -> bool {
        let (width, block) = (if orb.has_wide_idaws() { 8 } else { 4 }, orb.idaw_block());
        if !ccw.data.is_multiple_of(width) {
            return false;
        }
        let mut left = u64::from(ccw.count);
        let mut word = ccw.data;
        let mut is_first = true;
        while left > 0 {
            let Some(address) = self.indirect_address(word, width).filter(|_| word <= limit) else {
                return false;
            };
            if !is_first && !address.is_multiple_of(block) {
                return false;
            }
            let len = left.min(block - address % block);
            let Ok(bytes) = usize::try_from(len) else { return false };
            self.pieces.push(Piece { address: Some(address), len: bytes });
            left -= len;
            word = word.wrapping_add(width);
            is_first = false;
        }
        true
    }

    /// The address in an indirect-data-address word.
    fn indirect_address(&self, word: u32, width: u32) -> Option<u64> {
        let at = GuestAddress(word.into());
        if width == 8 {
            let mut bytes = [0; 8];
            self.ram.read_slice(&mut bytes, at).ok()?;
            return Some(u64::from_be_bytes(bytes));
        }
        let mut bytes = [0; 4];
        self.ram.read_slice(&mut bytes, at).ok()?;
        Some(u32::from_be_bytes(bytes).into()).filter(|address| *address <= 0x7fff_ffff)
    }

    /// Bytes that are left. A hostile program can chain hundreds of MiB, so a device bounds what it keeps of them.
    pub fn remaining(&self) -> usize {
        self.len().saturating_sub(self.position)
    }

    /// Takes the next bytes, all of `bytes`.
    ///
    /// # Errors
    /// There are fewer, or they can't be had. The device has to end the command then.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<(), Cut> {
        self.transfer(bytes.len(), |ram, at, range| match at {
            Some(at) => ram.read_slice(&mut bytes[range], at).is_ok(),
            None => {
                bytes[range].fill(0);
                true
            }
        })
    }

    /// Puts bytes at the next place.
    ///
    /// # Errors
    /// There is room for fewer, or they can't be put there. What there was room for has been put. The device has to end the command.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        self.transfer(bytes.len(), |ram, at, range| {
            at.is_none_or(|at| ram.write_slice(&bytes[range], at).is_ok())
        })
    }

    /// Back to the beginning, for devices that ask and answer in the same place.
    pub const fn rewind(&mut self) {
        self.position = 0;
    }

    /// Has `step` transfer the next `len` bytes, piece by piece: where in RAM, and which of the bytes.
    fn transfer(
        &mut self,
        len: usize,
        mut step: impl FnMut(&GuestRam, Option<GuestAddress>, std::ops::Range<usize>) -> bool,
    ) -> Result<(), Cut> {
        self.touched = true;
        let (from, mut start, mut done) = (self.position, 0, 0);
        for piece in &self.pieces {
            let end = start + piece.len;
            let at = from + done;
            if at < end && done < len {
                let some = (end - at).min(len - done);
                let offset = u64::try_from(at - start).map_err(|_| Cut::Program)?;
                let address = match piece.address {
                    None => None,
                    Some(base) => {
                        let address = base.checked_add(offset);
                        Some(GuestAddress(address.unwrap_or(u64::MAX)))
                    }
                };
                if !step(self.ram, address, done..done + some) {
                    self.advance(done);
                    self.failed = self.current().map(|area| ProgramCheck { at: area.ccw.at });
                    return Err(Cut::Program);
                }
                done += some;
            }
            start = end;
        }
        self.advance(done);
        if done == len {
            return Ok(());
        }
        match self.flaw {
            Some(check) => {
                self.failed = Some(check);
                Err(Cut::Program)
            }
            None => {
                self.exhausted = true;
                Err(Cut::Short)
            }
        }
    }

    fn advance(&mut self, by: usize) {
        self.position += by;
        self.reached = self.reached.max(self.position);
    }

    /// The area that the transfer has come to. At the end of one, the channel has gone on to the next.
    fn current(&self) -> Option<&Area> {
        self.areas.iter().find(|area| self.reached < area.end).or(self.areas.last())
    }

    /// The error that the transfer has run into. At the end of an area, the channel looks for the next at once.
    pub fn failed(&self) -> Option<ProgramCheck> {
        let found = self.flaw.filter(|_| self.reached == self.len());
        self.failed.or(found)
    }

    /// What is left, of a command with this CCW.
    pub fn rest(&self, command: Ccw) -> Rest {
        let (ccw, end) = self.current().map_or((command, 0), |area| (area.ccw, area.end));
        let reached = self.areas.iter().take_while(|area| area.end <= end);
        Rest {
            ccw,
            count: u16::try_from(end.saturating_sub(self.reached)).unwrap_or(u16::MAX),
            immediate: !self.touched,
            exhausted: self.exhausted,
            pci: reached.clone().any(|area| area.ccw.has(flag::PCI)),
        }
    }
}

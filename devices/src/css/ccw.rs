//! Channel-command words, and how they are fetched (PoP, "Channel-Command Word").

use vm_memory::{Bytes, GuestAddress};

use super::blocks::{half_at, word_at};
use crate::GuestRam;

/// The most CCWs that a channel program may have, those of loops included. Programs of devices like ours have a few; real ones,
/// with a whole track in one program, some hundreds. A program runs while its vCPU waits, so it must end.
const MAX_CCWS: u32 = 4096;

/// TRANSFER IN CHANNEL.
const TRANSFER: u8 = 0x08;

/// Bits of a CCW's flags.
pub mod flag {
    pub const CHAIN_DATA: u8 = 0x80;
    pub const CHAIN_COMMAND: u8 = 0x40;
    pub const SUPPRESS_LENGTH: u8 = 0x20;
    pub const SKIP: u8 = 0x10;
    pub const PCI: u8 = 0x08;
    pub const INDIRECT: u8 = 0x04;
    pub const SUSPEND: u8 = 0x02;
    /// Modified indirect addressing, which there is not.
    pub const MODIFIED: u8 = 0x01;
}

/// A channel-command word, of either format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ccw {
    /// Where it was fetched.
    pub at: u32,
    pub command: u8,
    pub flags: u8,
    pub count: u16,
    /// Absolute address of the data, or of a list of addresses.
    pub data: u32,
}

impl Ccw {
    fn decode(format_1: bool, at: u32, bytes: &[u8; 8]) -> Self {
        if format_1 {
            let [command, flags, ..] = *bytes;
            Ccw { at, command, flags, count: half_at(bytes, 2), data: word_at(bytes, 4) }
        } else {
            let [command, _, _, _, flags, ..] = *bytes;
            Ccw { at, command, flags, count: half_at(bytes, 6), data: word_at(bytes, 0) & 0x00ff_ffff }
        }
    }

    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// A transfer in channel is known by half its command; with format 1, all the rest must be zero.
    const fn is_transfer(&self) -> bool {
        self.command & 0xf == TRANSFER
    }

    /// Commands that bring data into storage: read, read backward, sense.
    const fn is_input(&self) -> bool {
        self.command & 3 == 2 || self.command & 0xf == 4 || self.command & 0xf == 0xc
    }

    /// Whether the data is not stored. It is what flag skip means to input.
    pub const fn skips(&self) -> bool {
        self.has(flag::SKIP) && self.is_input()
    }

    /// What is said after it: an incorrect length is no error.
    pub const fn is_length_suppressed(&self) -> bool {
        self.has(flag::SUPPRESS_LENGTH) && !self.has(flag::CHAIN_DATA)
    }
}

/// A CCW can't be fetched, or can't be: a program check at this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgramCheck {
    pub at: u32,
}

/// Goes from CCW to CCW.
#[derive(Debug, Clone)]
pub struct Fetcher {
    format_1: bool,
    /// Where the next CCW is.
    next: u32,
    /// CCWs that may still be fetched.
    budget: u32,
    /// A transfer in channel may come next.
    may_transfer: bool,
}

impl Fetcher {
    pub const fn new(format_1: bool, program: u32) -> Self {
        Fetcher { format_1, next: program, budget: MAX_CCWS, may_transfer: false }
    }

    /// Goes on where a suspended program is: [`Fetcher::back_to`] led there.
    pub const fn resumed(format_1: bool, next: u32) -> Self {
        Fetcher { format_1, next, budget: MAX_CCWS, may_transfer: true }
    }

    /// Where the next CCW is.
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// The highest address that a CCW can lead to.
    pub const fn address_limit(&self) -> u32 {
        if self.format_1 { 0x7fff_ffff } else { 0x00ff_ffff }
    }

    /// The next CCW that is no transfer in channel. If it `chains_data`, its command does not matter.
    ///
    /// # Errors
    /// It is unaligned, outside of RAM, or nothing that may stand there; or the program has no end.
    pub fn fetch(&mut self, ram: &GuestRam, chains_data: bool) -> Result<Ccw, ProgramCheck> {
        loop {
            let at = self.next;
            let check = ProgramCheck { at };
            self.budget = self.budget.checked_sub(1).ok_or(check)?;
            let mut bytes = [0; 8];
            if !at.is_multiple_of(8)
                || at > self.address_limit()
                || ram.read_slice(&mut bytes, GuestAddress(at.into())).is_err()
            {
                return Err(check);
            }
            let ccw = Ccw::decode(self.format_1, at, &bytes);
            if !ccw.is_transfer() {
                self.next = at + 8;
                self.may_transfer = true;
                return if self.may_stand(&ccw, chains_data) { Ok(ccw) } else { Err(check) };
            }
            let plain = !self.format_1 || (ccw.command, ccw.flags, ccw.count) == (TRANSFER, 0, 0);
            if !std::mem::take(&mut self.may_transfer) || !plain {
                return Err(check);
            }
            self.next = ccw.data;
        }
    }

    /// Goes back to a CCW that was fetched last, to fetch it again.
    pub const fn back_to(&mut self, ccw: &Ccw) {
        self.next = ccw.at;
        self.budget = MAX_CCWS;
    }

    /// Whether flags, count and command are such as may be.
    const fn may_stand(&self, ccw: &Ccw, chains_data: bool) -> bool {
        let needs_count = !self.format_1 || chains_data || ccw.has(flag::CHAIN_DATA);
        !ccw.has(flag::MODIFIED)
            && (ccw.count > 0 || !needs_count)
            && (chains_data || ccw.command & 0xf != 0)
            && !(chains_data && ccw.has(flag::SUSPEND))
    }
}

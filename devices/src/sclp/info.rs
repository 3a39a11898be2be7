//! READ SCP INFO and READ CPU INFO: what the machine has.

use super::SclpConfig;
use super::sccb::{HEADER, Response, Sccb};

/// The most CPUs: as many as one page holds behind READ SCP INFO's fixed part.
pub(super) const MAX_CPUS: u32 = 248;

/// Where READ SCP INFO has its CPU entries. Fields that newer guests look for at 134 and above exist only when the
/// entries begin behind them.
const SCP_ENTRIES: usize = 128;
/// Where READ CPU INFO has them.
const CPU_ENTRIES: usize = 24;
/// Bytes of an entry: address, features (none), type 0, a general-purpose CPU.
const ENTRY: usize = 16;

/// Offsets in READ SCP INFO's answer.
mod scp {
    pub const INCREMENTS: usize = 8;
    pub const INCREMENT_SIZE: usize = 10;
    pub const CPU_COUNT: usize = 16;
    pub const CPU_OFFSET: usize = 18;
    pub const LOADPARM: usize = 24;
    pub const FACILITIES: usize = 48;
    pub const INCREMENT_SIZE_2: usize = 100;
    pub const INCREMENTS_2: usize = 104;
    pub const HIGHEST_CPU: usize = 120;
}

/// Eight EBCDIC blanks: no parameter for the program that is loaded.
const LOADPARM: [u8; 8] = [0x40; 8];
/// Facilities: READ CPU INFO is there; no hot-plug of CPUs, storage, channel paths or PCI.
const FACILITIES: u64 = 0x0800_0000_0000_0000;

/// Answers READ SCP INFO.
pub(super) fn read_scp_info(config: &SclpConfig, sccb: &mut Sccb<'_>) -> Response {
    if !clear(sccb, SCP_ENTRIES, config.cpus) {
        return Response::InsufficientLength;
    }
    // RAM in increments of 1 MiB. A count beyond 16 bits goes into the wider fields, and the narrow ones are zero.
    let increments = config.memory >> 20;
    match u16::try_from(increments) {
        Ok(increments) => {
            sccb.put(scp::INCREMENTS, &increments.to_be_bytes());
            sccb.put(scp::INCREMENT_SIZE, &[1]);
        }
        Err(_) => {
            sccb.put(scp::INCREMENT_SIZE_2, &1_u32.to_be_bytes());
            sccb.put(scp::INCREMENTS_2, &increments.to_be_bytes());
        }
    }
    sccb.put(scp::CPU_COUNT, &halfword(config.cpus));
    sccb.put(scp::CPU_OFFSET, &offset(SCP_ENTRIES));
    sccb.put(scp::LOADPARM, &LOADPARM);
    sccb.put(scp::FACILITIES, &FACILITIES.to_be_bytes());
    sccb.put(scp::HIGHEST_CPU, &halfword(config.cpus.saturating_sub(1)));
    put_entries(sccb, SCP_ENTRIES, config.cpus);
    Response::ReadComplete
}

/// Answers READ CPU INFO.
pub(super) fn read_cpu_info(config: &SclpConfig, sccb: &mut Sccb<'_>) -> Response {
    if !clear(sccb, CPU_ENTRIES, config.cpus) {
        return Response::InsufficientLength;
    }
    sccb.put(HEADER, &halfword(config.cpus));
    sccb.put(HEADER + 2, &offset(CPU_ENTRIES));
    // No CPUs on standby; their list begins where the first one ends.
    sccb.put(HEADER + 6, &offset(end(CPU_ENTRIES, config.cpus)));
    put_entries(sccb, CPU_ENTRIES, config.cpus);
    Response::ReadComplete
}

/// Where entries end that begin at `start`.
fn end(start: usize, cpus: u32) -> usize {
    (0..cpus).fold(start, |end, _| end + ENTRY)
}

/// Clears the part of the block that the answer takes. If the block is too short, tells the length that would do, and
/// returns `false`.
fn clear(sccb: &mut Sccb<'_>, entries: usize, cpus: u32) -> bool {
    let needed = end(entries, cpus);
    match sccb.body().get_mut(..needed - HEADER) {
        Some(body) => {
            body.fill(0);
            true
        }
        None => {
            sccb.set_length(needed);
            false
        }
    }
}

fn put_entries(sccb: &mut Sccb<'_>, start: usize, cpus: u32) {
    for (at, cpu) in (start..).step_by(ENTRY).zip(0..cpus) {
        sccb.put(at, &[u8::try_from(cpu).unwrap_or(u8::MAX)]);
    }
}

/// A count of CPUs; there are at most [`MAX_CPUS`].
fn halfword(value: u32) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes()
}

/// An offset in a block, whose length has 16 bits.
fn offset(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_be_bytes()
}

//! What a chain of buffers asks of a disk (VIRTIO 1.2, 5.2.6).

use virtio_bindings::virtio_blk as abi;
use vm_memory::{Bytes, GuestAddress};

use super::disk::{DiskInfo, Operation, SECTOR};
use crate::GuestRam;
use crate::virtio::{Buffer, Chain};

/// Size of a request's header: type, priority, sector.
const HEADER: u32 = 16;
/// Size of a segment of a discard or write of zeros: sector, number of sectors, flags.
const SEGMENT: u32 = 16;
/// Size of what a disk is identified by.
pub const ID: u32 = 20;
/// The most sectors of a discard or write of zeros: 1 GiB, so that none keeps the host too long.
pub const MAX_RANGE: u32 = 1 << 21;

/// The status of a request that is done.
pub const OK: u8 = 0;
/// The status of a request that failed, or can't be.
pub const IOERR: u8 = 1;
/// The status of a request that the device does not know.
pub const UNSUPP: u8 = 2;

/// A request, with the places for its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Where the status goes.
    pub status: GuestAddress,
    /// What to do, or the status of what can't be done.
    pub command: Result<Command, u8>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Something on the disk.
    Disk {
        /// Where, in bytes.
        offset: u64,
        /// How many bytes it is about.
        len: u64,
        /// What.
        operation: Operation,
    },
    /// Tell what the disk is identified by.
    Identify(Vec<Buffer>),
}

/// Splits buffers behind the first `at` bytes; `None` if there are less. No part is empty.
fn split(buffers: &[Buffer], mut at: u64) -> Option<(Vec<Buffer>, Vec<Buffer>)> {
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for &buffer in buffers {
        let head = u32::try_from(at).unwrap_or(u32::MAX).min(buffer.len);
        at -= u64::from(head);
        if head > 0 {
            front.push(Buffer { len: head, ..buffer });
        }
        if head < buffer.len {
            // Within RAM, as the whole buffer is.
            let address = GuestAddress(buffer.address.0 + u64::from(head));
            back.push(Buffer { address, len: buffer.len - head });
        }
    }
    (at == 0).then_some((front, back))
}

fn total(buffers: &[Buffer]) -> u64 {
    buffers.iter().map(|buffer| u64::from(buffer.len)).sum()
}

/// Bytes of the buffers, which have so many.
fn read<const N: usize>(ram: &GuestRam, buffers: &[Buffer]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut rest = &mut bytes[..];
    for buffer in buffers {
        let (part, behind) = rest.split_at_mut_checked(usize::try_from(buffer.len).ok()?)?;
        ram.read_slice(part, buffer.address).ok()?;
        rest = behind;
    }
    rest.is_empty().then_some(bytes)
}

/// Takes the first bytes, of 4 or 8, off little-endian ones.
fn le32(bytes: &[u8; 16], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn le64(bytes: &[u8; 16], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

/// Reads a request. `None` if the chain has no room for a header and a status, so that nothing can be answered.
pub fn parse(ram: &GuestRam, info: &DiskInfo, chain: &Chain) -> Option<Parsed> {
    let (header, readable) = split(chain.readable(), HEADER.into())?;
    let (writable, status) = split(chain.writable(), total(chain.writable()).checked_sub(1)?)?;
    let header: [u8; 16] = read(ram, &header)?;
    let (kind, sector) = (le32(&header, 0), le64(&header, 8));
    let command = match kind {
        abi::VIRTIO_BLK_T_IN => transfer(info, sector, &writable).map(|(offset, len)| Command::Disk {
            offset,
            len,
            operation: Operation::Read(writable),
        }),
        abi::VIRTIO_BLK_T_OUT if info.read_only => Err(IOERR),
        abi::VIRTIO_BLK_T_OUT => transfer(info, sector, &readable).map(|(offset, len)| Command::Disk {
            offset,
            len,
            operation: Operation::Write(readable),
        }),
        abi::VIRTIO_BLK_T_FLUSH => Ok(Command::Disk { offset: 0, len: 0, operation: Operation::Flush }),
        abi::VIRTIO_BLK_T_GET_ID => match total(&writable) {
            0 => Err(IOERR),
            len => split(&writable, len.min(ID.into())).map(|(id, _)| Command::Identify(id)).ok_or(IOERR),
        },
        abi::VIRTIO_BLK_T_DISCARD if info.discard => range(ram, info, &readable, false),
        abi::VIRTIO_BLK_T_WRITE_ZEROES if !info.read_only => range(ram, info, &readable, true),
        _ => Err(UNSUPP),
    };
    Some(Parsed { status: status.first()?.address, command })
}

/// Where a transfer is, and how long, in bytes; it lies within the disk.
fn transfer(info: &DiskInfo, sector: u64, data: &[Buffer]) -> Result<(u64, u64), u8> {
    let len = total(data);
    let is_whole = len.is_multiple_of(SECTOR);
    if is_whole && within(info, sector, len / SECTOR) { Ok((sector * SECTOR, len)) } else { Err(IOERR) }
}

fn within(info: &DiskInfo, sector: u64, sectors: u64) -> bool {
    sector.checked_add(sectors).is_some_and(|end| end <= info.sectors)
}

/// A discard, or a write of zeros, of one segment (5.2.6.2).
fn range(ram: &GuestRam, info: &DiskInfo, data: &[Buffer], zeroes: bool) -> Result<Command, u8> {
    // The driver was told that there is one segment at most.
    if total(data) != u64::from(SEGMENT) {
        return Err(IOERR);
    }
    let segment: [u8; 16] = read(ram, data).ok_or(IOERR)?;
    let (sector, sectors, flags) = (le64(&segment, 0), le32(&segment, 8), le32(&segment, 12));
    let unmap = flags & abi::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0;
    if flags & !abi::VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP != 0 || !zeroes && unmap {
        return Err(UNSUPP);
    }
    if sectors > MAX_RANGE || !within(info, sector, sectors.into()) {
        return Err(IOERR);
    }
    let len = u64::from(sectors) * SECTOR;
    let operation = if zeroes {
        Operation::WriteZeroes { len, unmap: unmap && info.discard }
    } else {
        Operation::Discard(len)
    };
    Ok(Command::Disk { offset: sector * SECTOR, len, operation })
}

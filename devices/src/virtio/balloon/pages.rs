//! Runs of guest memory, given back to the host.

use std::fs::File;
use std::io;

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

use super::PAGE_SIZE;
use crate::GuestRam;
use crate::log::Seldom;
use crate::virtio::{Buffer, Chain};

/// Frees a range of a file, which reads as zero from then on: file, offset and length in bytes.
pub type Release = Box<dyn FnMut(&File, u64, u64) -> io::Result<()> + Send>;

/// The most page numbers of a request that are obeyed: 64 MiB. Drivers send less (Linux: 256 at a time); more would only keep the
/// worker.
const MAX_NUMBERS: usize = 16 << 10;

/// Gives memory back to the host, and tells of what can't be.
pub struct Giver {
    release: Release,
    log: Seldom,
}

impl Giver {
    pub fn new(release: Release) -> Self {
        Giver { release, log: Seldom::default() }
    }

    /// Gives back the pages whose numbers a chain lists.
    pub fn give_listed(&mut self, ram: &GuestRam, chain: &Chain) {
        let mut numbers = page_numbers(ram, chain);
        numbers.sort_unstable();
        numbers.dedup();
        for run in numbers.chunk_by(|page, next| page + 1 == *next) {
            let (Some(first), Ok(count)) = (run.first(), u64::try_from(run.len())) else { continue };
            self.give(ram, first * PAGE_SIZE, count * PAGE_SIZE);
        }
    }

    /// Gives back what a chain's buffers are, as far as these are whole pages.
    pub fn give_reported(&mut self, ram: &GuestRam, chain: &Chain) {
        for Buffer { address, len } in chain.writable() {
            let start = address.0.next_multiple_of(PAGE_SIZE);
            let end = address.0.saturating_add((*len).into()) & !(PAGE_SIZE - 1);
            if start < end {
                self.give(ram, start, end - start);
            }
        }
    }

    /// Gives back a range, as far as it is RAM.
    fn give(&mut self, ram: &GuestRam, address: u64, len: u64) {
        let end = address.saturating_add(len);
        let mut found = 0;
        for region in ram.iter() {
            let base = region.start_addr().0;
            let (start, end) = (address.max(base), end.min(base.saturating_add(region.len())));
            if start >= end {
                continue;
            }
            found += end - start;
            let Some(file) = region.file_offset() else { continue };
            let offset = file.start() + (start - base);
            if let Err(error) = (self.release)(file.file(), offset, end - start) {
                self.log.log(|more| tracing::warn!("the host does not take back memory: {error}{more}"));
            }
        }
        if found < len {
            self.log.log(|more| {
                tracing::warn!(
                    "the guest's balloon driver gives back pages at {address:#x} that are no RAM{more}"
                );
            });
        }
    }
}

/// The page numbers that a chain lists, little-endian; not all of too many.
fn page_numbers(ram: &GuestRam, chain: &Chain) -> Vec<u64> {
    let mut bytes = Vec::new();
    for buffer in chain.readable() {
        let room = 4 * MAX_NUMBERS - bytes.len();
        let len = usize::try_from(buffer.len).unwrap_or(usize::MAX).min(room);
        let at = bytes.len();
        bytes.resize(at + len, 0);
        let (_, tail) = bytes.split_at_mut(at);
        // The chain was checked when it was popped.
        if ram.read_slice(tail, GuestAddress(buffer.address.0)).is_err() {
            break;
        }
    }
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|number| u32::from_le_bytes(*number).into()).collect()
}

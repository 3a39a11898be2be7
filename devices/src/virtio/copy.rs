//! Small requests and responses, which may lie in any number of buffers.

use vm_memory::{Bytes, GuestAddress};

use super::Buffer;
use crate::GuestRam;

/// The first bytes of buffers that were checked when their chain was popped. `None` if they have less.
pub fn gather<const N: usize>(ram: &GuestRam, buffers: &[Buffer]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let mut rest = &mut bytes[..];
    for buffer in buffers {
        let len = rest.len().min(usize::try_from(buffer.len).ok()?);
        let (now, later) = rest.split_at_mut(len);
        ram.read_slice(now, GuestAddress(buffer.address.0)).ok()?;
        rest = later;
    }
    rest.is_empty().then_some(bytes)
}

/// Puts bytes into such buffers. Returns how many there was room for.
pub fn scatter(ram: &GuestRam, buffers: &[Buffer], bytes: &[u8]) -> u32 {
    let mut rest = bytes;
    for buffer in buffers {
        let len = rest.len().min(usize::try_from(buffer.len).unwrap_or(usize::MAX));
        let (now, later) = rest.split_at(len);
        if ram.write_slice(now, GuestAddress(buffer.address.0)).is_err() {
            break;
        }
        rest = later;
    }
    u32::try_from(bytes.len() - rest.len()).unwrap_or(u32::MAX)
}

/// Bytes that buffers have room for.
pub fn room(buffers: &[Buffer]) -> u64 {
    buffers.iter().map(|buffer| u64::from(buffer.len)).sum()
}

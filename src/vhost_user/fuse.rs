//! The little of FUSE (Linux: `include/uapi/linux/fuse.h`) that a file system needs whose server is gone.

use triarch_devices::GuestRam;
use triarch_devices::virtio::{Chain, slices};

/// Size of a request's header: length (4), operation (4), number (8), ...
const IN_HEADER: usize = 40;

/// Size of an answer's header: length (4), negated error (4), the request's number (8).
const OUT_HEADER: usize = 16;
/// The same, as its first field.
const OUT_LEN: u32 = 16;

/// What FUSE's own connections answer when their server is gone.
const ENOTCONN: i32 = 107;

/// Answers a request with an error; one that wants no answer gets none. Returns the bytes written. Numbers are in the guest's byte
/// order (VIRTIO 1.2, 5.11.6.1).
pub fn refuse(ram: &GuestRam, chain: &Chain, is_big_endian: bool) -> u32 {
    let mut header = [0; IN_HEADER];
    let room: u64 = chain.writable().iter().map(|buffer| u64::from(buffer.len)).sum();
    if gather(ram, chain, &mut header) < IN_HEADER || room < u64::from(OUT_LEN) {
        return 0;
    }
    let word = |value: u32| if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
    let mut answer = [0; OUT_HEADER];
    answer[..4].copy_from_slice(&word(OUT_LEN));
    answer[4..8].copy_from_slice(&word((-ENOTCONN).cast_unsigned()));
    answer[8..].copy_from_slice(&header[8..16]);
    let mut at = 0;
    for slice in slices(ram, chain.writable()).map_while(Result::ok) {
        let part = &answer[at..(at + slice.len()).min(OUT_HEADER)];
        slice.copy_from(part);
        at += part.len();
    }
    if at == OUT_HEADER { OUT_LEN } else { 0 }
}

/// Reads the first bytes of what the driver says; returns how many there are.
fn gather(ram: &GuestRam, chain: &Chain, to: &mut [u8]) -> usize {
    let mut at = 0;
    for slice in slices(ram, chain.readable()).map_while(Result::ok) {
        at += slice.copy_to(&mut to[at..]);
    }
    at
}

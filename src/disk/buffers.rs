//! Parts of a guest's buffers.

use triarch_devices::virtio::Buffer;
use vm_memory::GuestAddress;

/// The most buffers of one call of the host's kernel (IOV_MAX).
const MAX_BUFFERS: usize = 1024;

/// What follows the first `skip` bytes of the buffers: at most `max` bytes, in at most as many buffers as the kernel takes.
pub fn part(buffers: &[Buffer], mut skip: u64, mut max: u64) -> Vec<Buffer> {
    let mut part = Vec::new();
    for buffer in buffers {
        let len = u64::from(buffer.len);
        if skip >= len {
            skip -= len;
            continue;
        }
        let take = (len - skip).min(max);
        if take == 0 || part.len() == MAX_BUFFERS {
            break;
        }
        // Within RAM, as the whole buffer is; and no longer than it.
        let address = GuestAddress(buffer.address.0 + skip);
        part.push(Buffer { address, len: u32::try_from(take).unwrap_or(buffer.len) });
        (skip, max) = (0, max - take);
    }
    part
}

/// Bytes of all buffers.
pub fn total(buffers: &[Buffer]) -> u64 {
    buffers.iter().map(|buffer| u64::from(buffer.len)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers(list: &[(u64, u32)]) -> Vec<Buffer> {
        list.iter().map(|&(address, len)| Buffer { address: GuestAddress(address), len }).collect()
    }

    #[test]
    fn parts_are_cut_out() {
        let all = buffers(&[(0x1000, 0x200), (0x9000, 0), (0x5000, 0x400), (0x3000, 0x200)]);
        assert_eq!(total(&all), 0x800);
        for (skip, max, expected) in [
            (0, u64::MAX, &[(0x1000, 0x200), (0x5000, 0x400), (0x3000, 0x200)][..]),
            (0, 0x200, &[(0x1000, 0x200)]),
            (0x100, 0x200, &[(0x1100, 0x100), (0x5000, 0x100)]),
            (0x200, 0x500, &[(0x5000, 0x400), (0x3000, 0x100)]),
            (0x7ff, 9, &[(0x31ff, 1)]),
            (0x800, 9, &[]),
            (0, 0, &[]),
        ] {
            assert_eq!(part(&all, skip, max), buffers(expected), "{skip:#x} {max:#x}");
        }
        let many = buffers(&[(0x1000, 1); 1500]);
        assert_eq!((part(&many, 0, 2000).len(), part(&many, 1024, 2000).len()), (1024, 476));
    }
}

//! The block device (VIRTIO 1.2, 5.2).

mod backend;
mod disk;
mod request;
#[cfg(any(test, fuzzing))]
pub mod tests;

pub use backend::BlkBackend;
pub use disk::{Completion, Disk, DiskInfo, MAX_IN_FLIGHT, Operation, Request, SECTOR};

use virtio_bindings::virtio_blk as abi;

use super::{DeviceType, VirtioDevice, read_bytes};
use crate::nothing_to_save;

/// Entries of each queue.
const QUEUE_SIZE: u16 = 256;

/// The most buffers of data in a request: header and status have the rest of a queue.
const MAX_SEGMENTS: u32 = 254;

/// Size of the configuration space in bytes, up to what discard and write zeroes have.
const CONFIG_SIZE: usize = 60;

const fn bit(feature: u32) -> u64 {
    1 << feature
}

/// What the driver sees of a disk.
pub struct Blk {
    features: u64,
    queue_sizes: Vec<u16>,
    config: [u8; CONFIG_SIZE],
}

impl Blk {
    /// As the disk is.
    pub fn new(info: &DiskInfo) -> Self {
        Blk {
            features: features(info),
            queue_sizes: vec![QUEUE_SIZE; info.queues.into()],
            config: config(info),
        }
    }
}

// The registers show what the host has.
nothing_to_save!(Blk, "blk");

fn features(info: &DiskInfo) -> u64 {
    let writable = [
        (info.write_back, abi::VIRTIO_BLK_F_FLUSH),
        (info.discard, abi::VIRTIO_BLK_F_DISCARD),
        (true, abi::VIRTIO_BLK_F_WRITE_ZEROES),
    ];
    let any = [
        (true, abi::VIRTIO_BLK_F_SEG_MAX),
        (true, abi::VIRTIO_BLK_F_BLK_SIZE),
        (true, abi::VIRTIO_BLK_F_TOPOLOGY),
        (info.read_only, abi::VIRTIO_BLK_F_RO),
        (info.queues > 1, abi::VIRTIO_BLK_F_MQ),
    ];
    let writable = writable.into_iter().filter(|_| !info.read_only);
    any.into_iter().chain(writable).filter(|(has, _)| *has).map(|(_, feature)| bit(feature)).sum()
}

/// The configuration space (5.2.4).
fn config(info: &DiskInfo) -> [u8; CONFIG_SIZE] {
    let ratio = (info.physical_block_size / info.block_size).max(1);
    // The logarithm of a 32-bit number.
    let exponent = u8::try_from(ratio.ilog2()).unwrap_or_default();
    let discard = if info.discard { (request::MAX_RANGE, 1) } else { (0, 0) };
    let zeroes = if info.read_only { (0, 0) } else { (request::MAX_RANGE, 1) };
    let mut config = [0; CONFIG_SIZE];
    let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &info.sectors.to_le_bytes());
    put(12, &MAX_SEGMENTS.to_le_bytes());
    put(20, &info.block_size.to_le_bytes());
    put(24, &[exponent, 0]);
    put(26, &u16::try_from(ratio).unwrap_or(u16::MAX).to_le_bytes());
    put(32, &[info.write_back.into()]);
    put(34, &info.queues.to_le_bytes());
    for (at, number) in [
        (36, discard.0),
        (40, discard.1),
        // Alignment of discards, in sectors: what is not whole blocks of the host's would be kept.
        (44, info.physical_block_size / 512),
        (48, zeroes.0),
        (52, zeroes.1),
    ] {
        put(at, &u32::to_le_bytes(number));
    }
    put(56, &[info.discard.into()]);
    config
}

impl VirtioDevice for Blk {
    fn device_type(&self) -> DeviceType {
        DeviceType::Block
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&self.config, offset, data);
    }

    fn write_config(&mut self, _: u64, _: &[u8]) {}
}

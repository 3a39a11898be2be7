//! The memory device (VIRTIO 1.3, 5.15): memory that is plugged and unplugged in blocks while the guest runs.

mod backend;
mod blocks;

pub use backend::MemBackend;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DeviceType, VirtioDevice, read_bytes};
use crate::saved::{self, Save, Saved, state};
use blocks::Blocks;

/// The driver does not touch memory that is unplugged (5.15.3).
const UNPLUGGED_INACCESSIBLE: u64 = 1 << 1;

/// Entries of the one queue, that of requests. Drivers have one request at a time.
const QUEUE_SIZE: u16 = 16;

/// How much more than what is requested can be plugged, so that the driver has a choice: two of the largest blocks that Linux takes
/// memory in on aarch64 (512 MiB), eight on x86_64.
const CHOICE: u64 = 1 << 30;

/// Where a device's memory lies, and its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemRegion {
    /// Guest-physical address.
    pub address: u64,
    /// The most bytes that can be plugged.
    pub size: u64,
    /// Bytes of a block: a power of 2 of which the others are multiples.
    pub block: u64,
}

/// A size that a memory device can't have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// A region can't be cut into blocks.
    #[error("a region of {} bytes at {:#x} can't have blocks of {} bytes", .0.size, .0.address, .0.block)]
    Region(
        /// The region.
        MemRegion,
    ),
    /// It is no whole number of blocks.
    #[error("{0} bytes are no multiple of a block of {1} bytes")]
    Uneven(
        /// The size in bytes.
        u64,
        /// Bytes of a block.
        u64,
    ),
    /// There can't be as much.
    #[error("{0} bytes are more than the {1} bytes that there can be")]
    TooLarge(
        /// The size in bytes.
        u64,
        /// The most, in bytes.
        u64,
    ),
}

/// How much memory a device is to have, and has. Who changes that has [`super::Core::config_changed`] tell the driver.
#[derive(Debug, Clone)]
pub struct MemSize(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    region: MemRegion,
    sizes: Mutex<Sizes>,
}

#[derive(Debug)]
struct Sizes {
    requested: u64,
    /// From the region's start on, what can be plugged, in bytes.
    usable: u64,
    blocks: Blocks,
}

/// How far from a region's start on blocks can be plugged when this is requested.
fn usable(region: &MemRegion, requested: u64) -> u64 {
    requested.saturating_add(CHOICE.next_multiple_of(region.block)).min(region.size)
}

impl MemSize {
    /// Of a region in which nothing is plugged yet, and this many bytes are to be.
    ///
    /// # Errors
    /// There can't be as many, or no such region.
    pub fn new(region: MemRegion, requested: u64) -> Result<Self, SizeError> {
        let MemRegion { address, size, block } = region;
        if !block.is_power_of_two() || !size.is_multiple_of(block) || !address.is_multiple_of(block) {
            return Err(SizeError::Region(region));
        }
        check(&region, requested)?;
        let blocks = Blocks::new(region.size / region.block);
        let sizes = Sizes { requested, usable: usable(&region, requested), blocks };
        Ok(MemSize(Arc::new(Shared { region, sizes: Mutex::new(sizes) })))
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.0.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that are to be plugged.
    pub fn requested(&self) -> u64 {
        self.sizes().requested
    }

    /// Sets how many these are.
    ///
    /// # Errors
    /// There can't be as many. They stay as they are.
    pub fn set_requested(&self, bytes: u64) -> Result<(), SizeError> {
        let region = &self.0.region;
        check(region, bytes)?;
        let mut sizes = self.sizes();
        sizes.requested = bytes;
        // It shrinks only when the driver has unplugged all (5.15.4).
        sizes.usable = sizes.usable.max(usable(region, bytes));
        Ok(())
    }

    /// Bytes that are plugged.
    pub fn plugged(&self) -> u64 {
        self.sizes().blocks.plugged() * self.0.region.block
    }

    /// The blocks of a request, if they are some that can be plugged (5.15.6).
    fn blocks(&self, address: u64, count: u16) -> Option<Range<u64>> {
        let region = &self.0.region;
        let offset = address.checked_sub(region.address)?;
        let end = offset.checked_add(u64::from(count) * region.block)?;
        let is_some = count > 0 && offset.is_multiple_of(region.block) && end <= self.sizes().usable;
        is_some.then_some(offset / region.block..end / region.block)
    }
}

/// Refuses what a region can't have.
const fn check(region: &MemRegion, bytes: u64) -> Result<(), SizeError> {
    if !bytes.is_multiple_of(region.block) {
        return Err(SizeError::Uneven(bytes, region.block));
    }
    if bytes > region.size {
        return Err(SizeError::TooLarge(bytes, region.size));
    }
    Ok(())
}

/// What the driver sees of a memory device.
#[derive(Debug)]
pub struct Mem {
    size: MemSize,
}

impl Mem {
    /// Of this size.
    pub const fn new(size: MemSize) -> Self {
        Mem { size }
    }
}

impl VirtioDevice for Mem {
    fn device_type(&self) -> DeviceType {
        DeviceType::Memory
    }

    fn features(&self) -> u64 {
        UNPLUGGED_INACCESSIBLE
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let region = &self.size.0.region;
        let sizes = self.size.sizes();
        // The second one is for a node that there is not.
        let fields = [
            region.block,
            0,
            region.address,
            region.size,
            sizes.usable,
            sizes.blocks.plugged() * region.block,
            sizes.requested,
        ];
        let config = fields.map(u64::to_le_bytes);
        read_bytes(config.as_flattened(), offset, data);
    }

    fn write_config(&mut self, _: u64, _: &[u8]) {}
}

state! {
    /// The sizes, and a bit for each block: 1 if it is plugged. The memory itself is saved with RAM.
    struct MemState: "mem", 1 {
        requested: u64,
        usable: u64,
        blocks: Vec<u8>,
    }
}

impl Save for Mem {
    fn save(&mut self) -> saved::Result<Saved> {
        let sizes = self.size.sizes();
        let blocks = sizes.blocks.bits().to_vec();
        Ok(Saved::of(&MemState { requested: sizes.requested, usable: sizes.usable, blocks }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let MemState { requested, usable: can, blocks } = saved.get()?;
        let region = &self.size.0.region;
        saved.check(check(region, requested).is_ok(), "a size that is requested")?;
        let is_usable = check(region, can).is_ok() && can >= usable(region, requested);
        saved.check(is_usable, "a size that is usable")?;
        let mut sizes = self.size.sizes();
        let restored = sizes.blocks.restored(blocks);
        let Some(blocks) = restored.filter(|blocks| blocks.end() * region.block <= can) else {
            return saved.check(false, "blocks that are plugged");
        };
        *sizes = Sizes { requested, usable: can, blocks };
        Ok(())
    }
}

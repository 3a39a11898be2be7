//! The memory balloon (VIRTIO 1.2, 5.5): pages that the guest does without go back to the host.

mod backend;
mod pages;

pub use backend::BalloonBackend;
pub use pages::Release;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{DeviceType, VirtioDevice, read_bytes};
use crate::saved::{self, Save, Saved, state};

/// The size of a page of the balloon's in bytes, on any host (5.5.6).
pub const PAGE_SIZE: u64 = 4096;

/// Feature bits (5.5.3).
mod feature {
    /// The driver tells statistics.
    pub const STATS: u64 = 1 << 1;
    /// The driver may take pages out of the balloon of its own accord when it has no others.
    pub const DEFLATE_ON_OOM: u64 = 1 << 2;
    /// The driver reports free pages.
    pub const REPORTING: u64 = 1 << 5;
}

/// Entries of each queue.
const QUEUE_SIZE: u16 = 128;

/// What a balloon does beside growing and shrinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BalloonFeatures {
    /// Whether the driver may take pages out of its own accord when it has no others.
    pub deflate_on_oom: bool,
    /// Whether the driver reports pages that are free, without their going into the balloon.
    pub reporting: bool,
    /// Whether the driver tells statistics.
    pub stats: bool,
}

impl BalloonFeatures {
    fn bits(self) -> u64 {
        let of = |is_on, bit| if is_on { bit } else { 0 };
        of(self.deflate_on_oom, feature::DEFLATE_ON_OOM)
            | of(self.reporting, feature::REPORTING)
            | of(self.stats, feature::STATS)
    }
}

/// How large a balloon is to be, and is, in pages. Who changes the target has [`super::Core::config_changed`] tell the driver.
#[derive(Debug, Clone, Default)]
pub struct BalloonSize(Arc<Sizes>);

#[derive(Debug, Default)]
struct Sizes {
    target: AtomicU32,
    actual: AtomicU32,
}

impl BalloonSize {
    /// To be as large as that.
    pub fn new(target: u32) -> Self {
        let size = Self::default();
        size.set_target(target);
        size
    }

    /// Pages that are to be in the balloon.
    pub fn target(&self) -> u32 {
        self.0.target.load(Ordering::Relaxed)
    }

    /// Sets how many these are.
    pub fn set_target(&self, pages: u32) {
        self.0.target.store(pages, Ordering::Relaxed);
    }

    /// Pages that are in the balloon, as the driver says.
    pub fn actual(&self) -> u32 {
        self.0.actual.load(Ordering::Relaxed)
    }
}

/// What the driver sees of a balloon.
#[derive(Debug)]
pub struct Balloon {
    size: BalloonSize,
    features: u64,
    queues: Vec<u16>,
}

impl Balloon {
    /// Of this size.
    pub fn new(size: BalloonSize, features: BalloonFeatures) -> Self {
        // To grow, to shrink; and those of features, without gaps.
        let count = 2 + usize::from(features.stats) + usize::from(features.reporting);
        Balloon { size, features: features.bits(), queues: vec![QUEUE_SIZE; count] }
    }
}

impl VirtioDevice for Balloon {
    fn device_type(&self) -> DeviceType {
        DeviceType::Balloon
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queues
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let config = u64::from(self.size.target()) | u64::from(self.size.actual()) << 32;
        let config = config.to_le_bytes();
        read_bytes(&config, offset, data);
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        let mut actual = self.size.actual().to_le_bytes();
        for (at, value) in crate::byte_offsets(offset).zip(data) {
            let at = at.checked_sub(4).and_then(|at| usize::try_from(at).ok());
            if let Some(byte) = at.and_then(|at| actual.get_mut(at)) {
                *byte = *value;
            }
        }
        self.size.0.actual.store(u32::from_le_bytes(actual), Ordering::Relaxed);
    }
}

state! {
    /// The sizes: the driver does not tell again what it has told.
    struct BalloonState: "balloon", 1 {
        target: u32,
        actual: u32,
    }
}

impl Save for Balloon {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::of(&BalloonState { target: self.size.target(), actual: self.size.actual() }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let state: BalloonState = saved.get()?;
        self.size.set_target(state.target);
        self.size.0.actual.store(state.actual, Ordering::Relaxed);
        Ok(())
    }
}

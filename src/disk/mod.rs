//! The host's end of disks: images as files or block devices, and how requests get to them.

mod buffers;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod image;
mod lock;
mod mapped;
mod open;
mod pool;
#[cfg(test)]
mod tests;
mod uring;

use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use triarch_devices::virtio::{Disk, DiskInfo};

pub use mapped::Mapped;
pub use open::open;

/// What is in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The disk's bytes.
    Raw,
    /// QEMU's format of images that grow.
    Qcow2,
}

/// When what a guest wrote is on the host's disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// When the guest flushes; until then in the host's page cache.
    #[default]
    Writeback,
    /// When the guest flushes; without the host's page cache.
    Direct,
    /// When the write is complete.
    Writethrough,
}

/// How requests get to the host's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Io {
    /// By io_uring.
    Uring,
    /// By threads that wait.
    Threads,
}

/// A disk as a user asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The image: a file or a block device.
    pub path: PathBuf,
    /// `None` goes by the name.
    pub format: Option<Format>,
    /// Whether the guest can't write.
    pub read_only: bool,
    /// When writes are on the disk.
    pub sync: Sync,
    /// What the guest can identify it by: at most 20 characters of ASCII.
    pub serial: String,
    /// Whether the guest can give back what it does not need.
    pub discard: bool,
    /// Queues.
    pub queues: u16,
    /// `None` takes the best that the host has.
    pub io: Option<Io>,
}

/// An image that is open and locked, for as long as this lives.
pub struct Image {
    info: DiskInfo,
    engine: Engine,
}

enum Engine {
    Uring(uring::Target),
    Threads(std::sync::Arc<dyn pool::Blocking>),
}

impl Image {
    /// What it is to a guest.
    pub const fn info(&self) -> &DiskInfo {
        &self.info
    }

    /// A disk over it. One is used at a time.
    ///
    /// # Errors
    /// The host has no ring or descriptor left.
    pub fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(match &self.engine {
            Engine::Uring(target) => Box::new(uring::Uring::new(target.clone())?),
            Engine::Threads(image) => Box::new(pool::Pool::new(image.clone())?),
        })
    }
}

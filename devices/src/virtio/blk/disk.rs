//! The host's end of a disk, as the device reaches it.

use std::io;
use std::os::fd::RawFd;

use crate::GuestRam;
use crate::virtio::Buffer;

/// Size in bytes of the unit that sectors are counted in, whatever the size of a disk's blocks (VIRTIO 1.2, 5.2.4).
pub const SECTOR: u64 = 512;

/// What a disk is, to its guest and to its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskInfo {
    /// Its name in messages.
    pub name: String,
    /// What the guest can identify it by; what is not used is zero.
    pub serial: [u8; 20],
    /// Size in sectors.
    pub sectors: u64,
    /// Whether the guest can't write.
    pub read_only: bool,
    /// The smallest unit of a transfer, in bytes: a power of 2.
    pub block_size: u32,
    /// The smallest unit that is written without being read before, in bytes: a power of 2, and no less than `block_size`.
    pub physical_block_size: u32,
    /// Whether what the guest does not need can be given back to the host.
    pub discard: bool,
    /// Whether writes may be lost until they are flushed. Else each is flushed before it is complete.
    pub write_back: bool,
    /// Queues, from 1 on.
    pub queues: u16,
}

/// What is done at once on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Fill buffers.
    Read(Vec<Buffer>),
    /// Write what is in buffers.
    Write(Vec<Buffer>),
    /// Let nothing be lost of what was complete before.
    Flush,
    /// So many bytes are not needed; what they read as is not said.
    Discard(u64),
    /// So many bytes read as zeros.
    WriteZeroes {
        /// How many.
        len: u64,
        /// Whether they may be given back to the host.
        unmap: bool,
    },
}

/// An operation at a place of a disk: within it, and of whole sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Comes back with the completion. No two requests in flight have the same; less than [`MAX_IN_FLIGHT`].
    pub tag: usize,
    /// Where, in bytes.
    pub offset: u64,
    /// What.
    pub operation: Operation,
}

/// A request's end.
#[derive(Debug)]
pub struct Completion {
    /// The request's.
    pub tag: usize,
    /// Whether all of it was done.
    pub result: io::Result<()>,
}

/// The most requests in flight at once: what is behind them in the queue waits there.
pub const MAX_IN_FLIGHT: usize = 128;

/// The host's end of a disk. Requests complete in any order.
pub trait Disk: Send {
    /// Guest memory for the requests to come. Nothing is in flight.
    ///
    /// # Errors
    /// The host lacks what it takes.
    fn start(&mut self, ram: &GuestRam) -> io::Result<()>;

    /// Takes a request; it may wait for [`Disk::kick`].
    fn submit(&mut self, request: Request);

    /// Lets all requests that were taken be on their way. Never waits for one.
    fn kick(&mut self);

    /// Adds what is complete to `done`. Never waits.
    fn complete(&mut self, done: &mut Vec<Completion>);

    /// Waits until there is something complete. Something is in flight.
    fn wait(&mut self);

    /// The driver is not ready any more, or the machine pauses; nothing is in flight. What others may see of the disk's image is
    /// to be as the guest sees it, though it need not be safe.
    fn rest(&mut self);

    /// A descriptor that is ready to read when something is complete.
    fn descriptor(&self) -> RawFd;
}

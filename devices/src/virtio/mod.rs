//! Virtio, in three layers (VIRTIO 1.2):
//!
//! - a device: its configuration space ([`VirtioDevice`]) and, on a thread of its own, what works on its queues ([`Backend`]);
//! - one state machine for all of them ([`Core`]): status, features, queues;
//! - thin transports ([`VirtioMmio`], [`VirtioPci`], [`VirtioCcw`]) that make registers or commands of it and lend it a [`Notifier`].
//!
//! A device never knows which transport it is on, and a transport never knows what a device does.

mod balloon;
mod blk;
mod ccw;
mod console;
mod copy;
mod core;
mod fault;
mod limit;
mod mem;
mod mmio;
mod net;
mod pci;
mod pmem;
mod queue;
mod rng;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
#[cfg(any(test, fuzzing))]
pub(crate) mod tests;
mod vsock;
mod worker;

pub use balloon::{Balloon, BalloonBackend, BalloonFeatures, BalloonSize, PAGE_SIZE, Release};
pub use blk::{Blk, BlkBackend, Completion, Disk, DiskInfo, MAX_IN_FLIGHT, Operation, Request, SECTOR};
pub use ccw::{AdapterRoute, AdapterRoutes, CcwWiring, VirtioCcw};
pub use console::{Console, ConsoleBackend, MAX_PORTS, PortConfig, PortEnd, PortKind, SharedEnd, WindowSize};
pub use core::{Core, QueueSetup, status};
pub use limit::Limits;
pub use mem::{Mem, MemBackend, MemRegion, MemSize, SizeError};
pub use mmio::{MmioNotifier, VirtioMmio};
pub use net::{
    DEFAULT_MTU, HEADER, Link, MAX_FRAME, MAX_PAIRS, MIN_MTU, Net, NetBackend, NetConfig, Offloads,
};
pub use pci::{Doorbells, MakeDoorbells, PciWiring, VirtioPci};
pub use pmem::{Pmem, PmemBackend};
pub use queue::{Buffer, Chain, Malformed, Queue, Ring, slices};
pub use rng::{Rng, RngBackend};
pub use vsock::{Connector, Vsock, VsockBackend};
pub use worker::{Backend, OWN_EVENTS, Station, Worker};

use virtio_bindings::virtio_ids;

use crate::Save;

/// What a device is (VIRTIO 1.2, 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum DeviceType {
    /// Network (5.1).
    Network = virtio_ids::VIRTIO_ID_NET,
    /// A disk (5.2).
    Block = virtio_ids::VIRTIO_ID_BLOCK,
    /// Consoles and other ports (5.3).
    Console = virtio_ids::VIRTIO_ID_CONSOLE,
    /// Entropy (5.4).
    Entropy = virtio_ids::VIRTIO_ID_RNG,
    /// A memory balloon (5.5).
    Balloon = virtio_ids::VIRTIO_ID_BALLOON,
    /// Sockets (5.10).
    Socket = virtio_ids::VIRTIO_ID_VSOCK,
    /// Memory that is plugged and unplugged (5.15).
    Memory = virtio_ids::VIRTIO_ID_MEM,
    /// Persistent memory (5.19).
    Pmem = virtio_ids::VIRTIO_ID_PMEM,
    /// File system (5.11).
    FileSystem = virtio_ids::VIRTIO_ID_FS,
}

/// The part of a device that answers the driver's register accesses: what it is, and its configuration space.
///
/// It is called under the lock of its transport, by vCPU threads. What is saved of it is what registers show or have changed; most
/// devices have nothing to save.
pub trait VirtioDevice: Save + Send {
    /// What it is.
    fn device_type(&self) -> DeviceType;

    /// Feature bits 0 to 23 and from 50 on, those of its device type. The others are the state machine's.
    fn features(&self) -> u64;

    /// The most entries that each of its queues can have: powers of 2.
    fn queue_sizes(&self) -> &[u16];

    /// Reads from configuration space; what lies behind its end reads as zero.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// Writes to configuration space; what can't be written stays as it is.
    fn write_config(&mut self, offset: u64, data: &[u8]);
}

/// Reads from a configuration space of these bytes, as [`VirtioDevice::read_config`] does.
pub fn read_bytes(config: &[u8], offset: u64, data: &mut [u8]) {
    let there = usize::try_from(offset).ok().and_then(|at| config.get(at..)).unwrap_or_default();
    data.fill(0);
    data.iter_mut().zip(there).for_each(|(byte, there)| *byte = *there);
}

/// What a transport lends a device to tell its driver. Called from any thread, even under the transport's lock.
pub trait Notifier: Send + Sync {
    /// Buffers of this queue have been used.
    fn queue(&self, index: u16);

    /// The configuration space, or the device's need of a reset, has changed.
    fn config(&self);
}

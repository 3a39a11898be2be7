//! A virtqueue as the device's worker has it: chains of buffers come out, and go back used (VIRTIO 1.2, 2.7).
//!
//! The ring itself is virtio-queue's. What is added here is what a hostile driver makes necessary: a chain is read once, checked
//! whole before a device sees it, and a queue that breaks the rules gives no more chains until the device is reset.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use virtio_bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{DescriptorChain, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, VolatileSlice};
use vmm_sys_util::eventfd::EventFd;

use super::Notifier;
use super::fault::Fault;
use crate::GuestRam;

/// The most buffers that a chain may have. Indirect tables can name 65535 of them; no driver comes near (Linux: 1024 and less),
/// and what is in flight is kept in memory.
const MAX_BUFFERS: usize = 1024;

/// A buffer of a chain: guest-physical, and within RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Guest-physical address.
    pub address: GuestAddress,
    /// Size in bytes.
    pub len: u32,
}

/// A chain of buffers that the driver has made available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    head: u16,
    readable: Vec<Buffer>,
    writable: Vec<Buffer>,
}

/// How a chain breaks the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The available index is further ahead than the queue is long, or the ring can't be read.
    #[error("its available ring makes no sense")]
    Ring,
    /// A chain ends early: a loop, an index out of range, a bad indirect table, more than 4 GiB.
    #[error("a chain of descriptors does not end as it should")]
    Unfinished,
    /// A chain is longer than any driver needs.
    #[error("a chain has more than {MAX_BUFFERS} buffers")]
    TooLong,
    /// A buffer for the driver's data comes after one for the device's.
    #[error("a readable buffer follows a writable one")]
    Order,
    /// A buffer lies outside of RAM.
    #[error("a buffer lies outside of RAM")]
    Outside,
    /// The used ring can't be written.
    #[error("its used ring can't be written")]
    Used,
}

impl Chain {
    /// Reads a chain, and checks all of it.
    fn read(ram: &GuestRam, descriptors: DescriptorChain<&GuestRam>) -> Result<Self, Malformed> {
        let mut chain = Chain { head: descriptors.head_index(), readable: Vec::new(), writable: Vec::new() };
        let mut finished = false;
        for descriptor in descriptors {
            finished = !descriptor.has_next();
            let buffer = Buffer { address: descriptor.addr(), len: descriptor.len() };
            let size = usize::try_from(buffer.len).map_err(|_| Malformed::Outside)?;
            if !GuestMemoryBackend::check_range(ram, buffer.address, size) {
                return Err(Malformed::Outside);
            }
            if chain.readable.len() + chain.writable.len() == MAX_BUFFERS {
                return Err(Malformed::TooLong);
            }
            match (descriptor.is_write_only(), chain.writable.is_empty()) {
                (true, _) => chain.writable.push(buffer),
                (false, true) => chain.readable.push(buffer),
                (false, false) => return Err(Malformed::Order),
            }
        }
        // virtio-queue ends a chain that makes no sense where the sense ends.
        if finished { Ok(chain) } else { Err(Malformed::Unfinished) }
    }

    /// What goes back to the driver by [`Queue::push`].
    pub const fn head(&self) -> u16 {
        self.head
    }

    /// Buffers with the driver's data.
    pub fn readable(&self) -> &[Buffer] {
        &self.readable
    }

    /// Buffers for the device's data.
    pub fn writable(&self) -> &[Buffer] {
        &self.writable
    }
}

/// What a queue needs besides its ring.
pub(super) struct Wiring {
    /// Its number.
    pub index: u16,
    /// Where its buffers lie.
    pub ram: GuestRam,
    /// Written by the driver, through KVM or the transport.
    pub doorbell: Arc<EventFd>,
    /// Tells the driver.
    pub notifier: Arc<dyn Notifier>,
    /// Set when the driver has broken the rules.
    pub fault: Arc<Fault>,
}

/// A virtqueue in the hands of its worker.
pub struct Queue {
    ring: virtio_queue::Queue,
    wiring: Wiring,
    /// Whether something was given back since the driver was last told.
    untold: bool,
}

impl Queue {
    pub(super) const fn new(ring: virtio_queue::Queue, wiring: Wiring) -> Self {
        Queue { ring, wiring, untold: false }
    }

    /// Its number.
    pub const fn index(&self) -> u16 {
        self.wiring.index
    }

    /// The RAM that its buffers lie in.
    pub const fn ram(&self) -> &GuestRam {
        &self.wiring.ram
    }

    /// Readable when the driver has made buffers available.
    pub(super) fn doorbell(&self) -> Arc<EventFd> {
        self.wiring.doorbell.clone()
    }

    /// Positions in the rings: the next available one, the next used one.
    pub(super) fn progress(&self) -> (u16, u16) {
        (self.ring.next_avail(), self.ring.next_used())
    }

    /// Takes the next chain. `None` when there is none, or when the driver has broken the rules: then the device asks it for a
    /// reset.
    pub fn pop(&mut self) -> Option<Chain> {
        if self.wiring.fault.is_set() {
            return None;
        }
        let ram = &self.wiring.ram;
        let next = match self.ring.iter(ram) {
            Ok(mut chains) => chains.next().map(|descriptors| Chain::read(ram, descriptors)),
            Err(_) => Some(Err(Malformed::Ring)),
        };
        match next? {
            Ok(chain) => Some(chain),
            Err(malformed) => {
                self.break_down(malformed);
                None
            }
        }
    }

    /// Gives a chain back, `written` bytes of its writable buffers filled.
    pub fn push(&mut self, head: u16, written: u32) {
        if self.ring.add_used(&self.wiring.ram, head, written).is_err() {
            self.break_down(Malformed::Used);
        }
        self.untold = true;
    }

    /// Tells the driver of what was given back, if it wants to know.
    pub fn notify(&mut self) {
        if !std::mem::take(&mut self.untold) {
            return;
        }
        match self.wants_notification() {
            Ok(true) => self.wiring.notifier.queue(self.wiring.index),
            Ok(false) => {}
            Err(malformed) => self.break_down(malformed),
        }
    }

    fn wants_notification(&mut self) -> Result<bool, Malformed> {
        let ram = &self.wiring.ram;
        // Fences what was given back against what is read now.
        let wanted = self.ring.needs_notification(ram).map_err(|_| Malformed::Ring)?;
        if !wanted || self.ring.event_idx_enabled() {
            return Ok(wanted);
        }
        let flags: u16 =
            ram.load(GuestAddress(self.ring.avail_ring()), Ordering::Relaxed).map_err(|_| Malformed::Ring)?;
        Ok(u32::from(u16::from_le(flags)) & VRING_AVAIL_F_NO_INTERRUPT == 0)
    }

    /// Tells the driver that the doorbell need not be rung for a while.
    pub fn mute(&mut self) {
        if self.ring.disable_notification(&self.wiring.ram).is_err() {
            self.break_down(Malformed::Used);
        }
    }

    /// Takes [`Queue::mute`] back. Whether there is more to pop, which the driver did not ring for.
    pub fn unmute(&mut self) -> bool {
        if self.wiring.fault.is_set() {
            return false;
        }
        self.ring.enable_notification(&self.wiring.ram).unwrap_or_else(|_| {
            self.break_down(Malformed::Used);
            false
        })
    }

    /// Answers the doorbell: `serve` each chain that is there, at once, and tell the driver. `serve` returns the bytes written.
    ///
    /// No more chains than the queue is long are served in one go: if there are more then, the doorbell rings again, so that
    /// a driver that never ends can't keep a worker from its other duties.
    pub fn serve(&mut self, mut serve: impl FnMut(&GuestRam, &Chain) -> u32) {
        let mut rest = self.ring.size();
        self.mute();
        while rest > 0 {
            let Some(chain) = self.pop() else {
                if self.unmute() {
                    self.mute();
                    continue;
                }
                break;
            };
            rest -= 1;
            let written = serve(&self.wiring.ram, &chain);
            self.push(chain.head, written);
        }
        if rest == 0 && self.unmute() {
            self.ring_again();
        }
        self.notify();
    }

    /// Rings the queue's doorbell, for work that was left.
    pub fn ring_again(&self) {
        if let Err(error) = self.wiring.doorbell.write(1) {
            tracing::error!("the doorbell of virtqueue {} can't be rung: {error}", self.wiring.index);
        }
    }

    /// The driver has broken the rules.
    fn break_down(&self, malformed: Malformed) {
        let Wiring { index, fault, notifier, .. } = &self.wiring;
        fault.set(&**notifier, || tracing::warn!("the driver broke virtqueue {index}: {malformed}"));
    }
}

/// Host memory behind buffers, in order. They were checked when the chain was popped, and RAM does not shrink while a worker has
/// queues.
pub fn slices<'a>(
    ram: &'a GuestRam,
    buffers: &'a [Buffer],
) -> impl Iterator<Item = vm_memory::guest_memory::Result<VolatileSlice<'a>>> {
    buffers.iter().flat_map(move |buffer| {
        // A size that a chain was checked with fits.
        let size = usize::try_from(buffer.len).unwrap_or(usize::MAX);
        GuestMemoryBackend::get_slices(ram, buffer.address, size)
    })
}

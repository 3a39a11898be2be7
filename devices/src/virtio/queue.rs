//! A virtqueue as the device's worker has it: chains of buffers come out, and go back used (VIRTIO 1.2, 2.7).
//!
//! The ring itself is virtio-queue's. What is added here is what a hostile driver makes necessary: a chain is read once, checked
//! whole before a device sees it, and a queue that breaks the rules gives no more chains until the device is reset.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

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
    /// A chain is no request of its device.
    #[error("a chain lacks the buffers of a request")]
    Request,
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

/// A queue as one that serves it elsewhere (another process, the kernel) has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// Entries.
    pub size: u16,
    /// The most entries that it can have.
    pub max_size: u16,
    /// Guest-physical address of the descriptor table.
    pub descriptors: u64,
    /// Guest-physical address of the available ring.
    pub available: u64,
    /// Guest-physical address of the used ring.
    pub used: u64,
    /// The position in the available ring to go on from.
    pub next_available: u16,
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
    /// The position in the used ring up to which the driver has been told, or did not want to be.
    told: u16,
}

impl Queue {
    pub(super) fn new(ring: virtio_queue::Queue, wiring: Wiring) -> Self {
        let told = ring.next_used();
        Queue { ring, wiring, told }
    }

    /// Its number.
    pub const fn index(&self) -> u16 {
        self.wiring.index
    }

    /// Its number of entries, the most chains that can be with the device.
    pub fn size(&self) -> u16 {
        self.ring.size()
    }

    /// The RAM that its buffers lie in.
    pub const fn ram(&self) -> &GuestRam {
        &self.wiring.ram
    }

    /// Readable when the driver has made buffers available.
    pub fn doorbell(&self) -> Arc<EventFd> {
        self.wiring.doorbell.clone()
    }

    /// What one needs to serve it elsewhere.
    pub fn ring(&self) -> Ring {
        Ring {
            size: self.ring.size(),
            max_size: self.ring.max_size(),
            descriptors: self.ring.desc_table(),
            available: self.ring.avail_ring(),
            used: self.ring.used_ring(),
            next_available: self.ring.next_avail(),
        }
    }

    /// Takes the queue back from one that served it elsewhere, and would have taken the chain at position `next` now. With
    /// `None`, which is of one that is gone, as many of the last chains as have not been given back are available again: those that
    /// it had, if it gave them back in order.
    ///
    /// Returns false, and goes on from where it was, if that can't be.
    #[must_use]
    pub fn take_back(&mut self, next: Option<u16>) -> bool {
        let ram = &self.wiring.ram;
        let indices = self
            .ring
            .avail_idx(ram, Ordering::Acquire)
            .and_then(|available| Ok((available.0, self.ring.used_idx(ram, Ordering::Acquire)?.0)));
        let Ok((available, used)) = indices else { return false };
        let next = next.unwrap_or(used);
        if available.wrapping_sub(next) > self.ring.size() {
            return false;
        }
        self.ring.set_next_avail(next);
        self.ring.set_next_used(used);
        true
    }

    /// Tells the driver that buffers have been used by one that serves the queue elsewhere.
    pub fn tell(&self) {
        self.wiring.notifier.queue(self.wiring.index);
    }

    /// The host can't serve the queue any more, for a reason that has been logged: the device asks its driver for a reset.
    pub fn give_up(&self) {
        self.wiring.fault.set(&*self.wiring.notifier, || {});
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

    /// Takes back the last `count` times of [`Queue::pop`]: those chains are available again. None of them may have been pushed.
    pub fn unpop(&mut self, count: u16) {
        self.ring.set_next_avail(self.ring.next_avail().wrapping_sub(count));
    }

    /// Gives a chain back, `written` bytes of its writable buffers filled.
    pub fn push(&mut self, head: u16, written: u32) {
        self.push_all(&[(head, written)]);
    }

    /// Gives chains back, as [`Queue::push`] does, that the driver must find together.
    pub fn push_all(&mut self, chains: &[(u16, u32)]) {
        let Some(((head, written), others)) = chains.split_last() else { return };
        let ram = &self.wiring.ram;
        let pushed = others.iter().try_for_each(|(head, written)| {
            let at = self.ring.next_used();
            let element = 4 + 8 * u64::from(at % self.ring.size());
            let bytes = (u64::from(*head) | u64::from(*written) << 32).to_le_bytes();
            self.ring.set_next_used(at.wrapping_add(1));
            ram.write_slice(&bytes, GuestAddress(self.ring.used_ring().wrapping_add(element)))
        });
        // The last one makes the index known.
        if pushed.is_err() || self.ring.add_used(ram, *head, *written).is_err() {
            self.break_down(Malformed::Used);
        }
    }

    /// Tells the driver of what was given back, if it wants to know.
    pub fn notify(&mut self) {
        let (old, new) = (self.told, self.ring.next_used());
        if old == new {
            return;
        }
        self.told = new;
        match self.wants_notification(old, new) {
            Ok(true) => self.wiring.notifier.queue(self.wiring.index),
            Ok(false) => {}
            Err(_) => self.break_down(Malformed::Ring),
        }
    }

    /// Whether the driver wants to know that the used ring has got from position `old` to `new` (VIRTIO 1.2, 2.7.7 and 2.7.10).
    fn wants_notification(&self, old: u16, new: u16) -> vm_memory::guest_memory::Result<bool> {
        // What was given back is there before it is read what the driver wants.
        fence(Ordering::SeqCst);
        let word = |offset| {
            let address = GuestAddress(self.ring.avail_ring().wrapping_add(offset));
            self.wiring.ram.load(address, Ordering::Relaxed).map(u16::from_le)
        };
        if self.ring.event_idx_enabled() {
            let event = word(4 + 2 * u64::from(self.ring.size()))?;
            return Ok(new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old));
        }
        Ok(u32::from(word(0)?) & VRING_AVAIL_F_NO_INTERRUPT == 0)
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
        self.serve_while(|ram, chain| Some(serve(ram, chain)));
    }

    /// As [`Queue::serve`], until `serve` says `None` of a chain, which stays available then: the doorbell may stay silent until it
    /// is called again. Returns whether that was so.
    pub fn serve_while(&mut self, mut serve: impl FnMut(&GuestRam, &Chain) -> Option<u32>) -> bool {
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
            let Some(written) = serve(&self.wiring.ram, &chain) else {
                self.unpop(1);
                self.notify();
                return true;
            };
            self.push(chain.head, written);
        }
        if rest == 0 && self.unmute() {
            self.ring_again();
        }
        self.notify();
        false
    }

    /// Rings the queue's doorbell, for work that was left.
    pub fn ring_again(&self) {
        if let Err(error) = self.wiring.doorbell.write(1) {
            tracing::error!("the doorbell of virtqueue {} can't be rung: {error}", self.wiring.index);
        }
    }

    /// A chain that was popped makes no request: the driver has broken the rules of its device.
    pub fn refuse(&self) {
        self.break_down(Malformed::Request);
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

//! The persistent memory device (VIRTIO 1.3, 5.19): a file that the guest has as memory, and flushes.

use std::io;

use event_manager::{EventOps, EventSet, Events};

use super::copy::{gather, room, scatter};
use super::{
    Backend, Chain, Completion, DeviceType, Disk, OWN_EVENTS, Operation, Queue, Request, VirtioDevice,
    read_bytes,
};
use crate::log::Seldom;
use crate::nothing_to_save;

/// Entries of the one queue, that of requests.
const QUEUE_SIZE: u16 = 64;

/// The most flushes in flight. One flush is as good as many, so more would only keep the host busy.
const MAX_FLUSHES: usize = 16;

/// The only request that there is (5.19.6).
const FLUSH: u32 = 0;
/// Bytes of a response.
const RESPONSE: u64 = 4;
/// The response that it is done.
const DONE: u32 = 0;
/// The response that it failed: -1.
const FAILED: u32 = u32::MAX;

/// What the driver sees of persistent memory: where it lies.
#[derive(Debug)]
pub struct Pmem {
    address: u64,
    size: u64,
}

impl Pmem {
    /// Of `size` bytes at a guest-physical address.
    pub const fn new(address: u64, size: u64) -> Self {
        Pmem { address, size }
    }
}

impl VirtioDevice for Pmem {
    fn device_type(&self) -> DeviceType {
        DeviceType::Pmem
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let config = [self.address, self.size].map(u64::to_le_bytes);
        read_bytes(config.as_flattened(), offset, data);
    }

    fn write_config(&mut self, _: u64, _: &[u8]) {}
}

// Where it lies is of the machine's plan, and what is in it, of the file.
nothing_to_save!(Pmem, "pmem");

/// Has the driver's flushes done.
pub struct PmemBackend {
    disk: Box<dyn Disk>,
    queue: Option<Queue>,
    /// By tag.
    pending: Vec<Option<Chain>>,
    /// Tags of no request.
    free: Vec<usize>,
    /// Kept for its room.
    done: Vec<Completion>,
    failures: Seldom,
}

impl PmemBackend {
    /// With the disk of the same file: it gets no requests but flushes.
    pub fn new(disk: Box<dyn Disk>) -> Self {
        let (pending, free) = (Vec::new(), Vec::new());
        PmemBackend { disk, queue: None, pending, free, done: Vec::new(), failures: Seldom::default() }
    }

    /// Starts the flushes that there are, as far as it may.
    fn take(&mut self) {
        let Some(queue) = &mut self.queue else { return };
        let mut rest = queue.size();
        queue.mute();
        // Without a tag, it stays muted: the next one that is done has it looked at again.
        while let Some(&tag) = self.free.last() {
            if rest == 0 {
                queue.ring_again();
                break;
            }
            let Some(chain) = queue.pop() else {
                if queue.unmute() {
                    queue.mute();
                    continue;
                }
                break;
            };
            rest -= 1;
            let request = gather(queue.ram(), chain.readable()).map(u32::from_le_bytes);
            let Some(request) = request.filter(|_| room(chain.writable()) >= RESPONSE) else {
                queue.refuse();
                break;
            };
            if request != FLUSH {
                answer(queue, &chain, FAILED);
                continue;
            }
            self.free.pop();
            self.pending[tag] = Some(chain);
            self.disk.submit(Request { tag, offset: 0, operation: Operation::Flush });
        }
        self.disk.kick();
    }

    /// Answers what is done, and tells the driver.
    fn complete(&mut self) {
        let Some(queue) = &mut self.queue else { return };
        let is_starved = self.free.is_empty();
        self.disk.complete(&mut self.done);
        for Completion { tag, result } in self.done.drain(..) {
            let Some(chain) = self.pending.get_mut(tag).and_then(Option::take) else { continue };
            self.free.push(tag);
            if let Err(error) = &result {
                self.failures
                    .log(|more| tracing::error!("persistent memory can't be flushed: {error}{more}"));
            }
            answer(queue, &chain, if result.is_ok() { DONE } else { FAILED });
        }
        queue.notify();
        if is_starved && !self.free.is_empty() {
            queue.ring_again();
        }
    }
}

/// Gives a chain back with a response.
fn answer(queue: &mut Queue, chain: &Chain, response: u32) {
    let written = scatter(queue.ram(), chain.writable(), &response.to_le_bytes());
    queue.push(chain.head(), written);
}

impl Backend for PmemBackend {
    fn start(&mut self, _: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        self.queue = queues.into_iter().flatten().next();
        if let Some(queue) = &self.queue
            && let Err(error) = self.disk.start(queue.ram())
        {
            self.queue = None;
            return Err(error);
        }
        self.pending = std::iter::repeat_with(|| None).take(MAX_FLUSHES).collect();
        self.free = (0..MAX_FLUSHES).rev().collect();
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        while self.free.len() < self.pending.len() {
            self.disk.wait();
            self.complete();
        }
        self.disk.rest();
        (self.pending, self.free) = (Vec::new(), Vec::new());
        self.queue.take().into_iter().collect()
    }

    fn doorbell(&mut self, _: u16) {
        self.take();
        // What the host has at hand is done by now.
        self.complete();
    }

    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
        ops.add(Events::with_data_raw(self.disk.descriptor(), OWN_EVENTS, EventSet::IN))
    }

    fn event(&mut self, _: Events, _: &mut EventOps<'_>) {
        self.complete();
    }
}

// What was in flight has been done.
nothing_to_save!(PmemBackend, "pmem-bk");

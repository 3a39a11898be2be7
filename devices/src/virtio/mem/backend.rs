//! Requests of a memory device's driver (VIRTIO 1.3, 5.15.6).

use std::io;
use std::ops::Range;

use event_manager::{EventOps, Events};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

use super::{MemSize, usable};
use crate::log::Seldom;
use crate::virtio::copy::{gather, room, scatter};
use crate::virtio::{Backend, Chain, Queue, Release};
use crate::{GuestRam, nothing_to_save};

/// Bytes of a request: what, and for most, the first block's address and the number of blocks.
const REQUEST: usize = 24;
/// Bytes of a response: how it went, and the state.
const RESPONSE: u64 = 10;

/// What is requested.
mod request {
    pub const PLUG: u16 = 0;
    pub const UNPLUG: u16 = 1;
    pub const UNPLUG_ALL: u16 = 2;
    pub const STATE: u16 = 3;
}

/// How a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum Answer {
    Ack = 0,
    Nack = 1,
    Busy = 2,
    Error = 3,
}

/// The state of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum State {
    Plugged = 0,
    Unplugged = 1,
    Mixed = 2,
}

/// What carries out a memory device's requests.
pub struct MemBackend {
    size: MemSize,
    release: Release,
    queue: Option<Queue>,
    log: Seldom,
}

impl MemBackend {
    /// Of this size. What is unplugged is freed by `release`.
    pub fn new(size: MemSize, release: Release) -> Self {
        MemBackend { size, release, queue: None, log: Seldom::default() }
    }

    /// Carries out a request: how it went, and for one that asks for it, the state of the blocks. `None` if it is no request.
    fn carry_out(&mut self, ram: &GuestRam, bytes: &[u8; REQUEST]) -> Option<(Answer, Option<State>)> {
        let [t0, t1, _, _, _, _, _, _, address @ .., c0, c1, _, _, _, _, _, _] = *bytes;
        let address = u64::from_le_bytes(address);
        let blocks = self.size.blocks(address, u16::from_le_bytes([c0, c1]));
        Some(match (u16::from_le_bytes([t0, t1]), blocks) {
            (request::UNPLUG_ALL, _) => (self.unplug_all(ram), None),
            (request::PLUG, Some(blocks)) => (self.plug(blocks), None),
            (request::UNPLUG, Some(blocks)) => (self.unplug(ram, blocks), None),
            (request::STATE, Some(blocks)) => (Answer::Ack, Some(self.state(blocks))),
            (request::PLUG | request::UNPLUG | request::STATE, None) => (Answer::Error, None),
            _ => return None,
        })
    }

    fn plug(&self, blocks: Range<u64>) -> Answer {
        let mut sizes = self.size.sizes();
        let all = (sizes.blocks.plugged() + (blocks.end - blocks.start)) * self.size.0.region.block;
        if sizes.blocks.plugged_of(blocks.clone()) > 0 {
            Answer::Error
        } else if all > sizes.requested {
            Answer::Nack
        } else {
            sizes.blocks.set(blocks, true);
            Answer::Ack
        }
    }

    fn unplug(&mut self, ram: &GuestRam, blocks: Range<u64>) -> Answer {
        if self.size.sizes().blocks.plugged_of(blocks.clone()) < blocks.end - blocks.start {
            return Answer::Error;
        }
        // That takes its time, and vCPUs may want to know the sizes meanwhile. Only this thread plugs and unplugs.
        if !self.free(ram, blocks.clone()) {
            return Answer::Busy;
        }
        self.size.sizes().blocks.set(blocks, false);
        Answer::Ack
    }

    fn unplug_all(&mut self, ram: &GuestRam) -> Answer {
        let region = self.size.0.region;
        // All of it: a driver that wrote to memory that was not plugged took memory of the host's, too.
        if !self.free(ram, 0..region.size / region.block) {
            return Answer::Busy;
        }
        let mut sizes = self.size.sizes();
        sizes.blocks.clear();
        sizes.usable = usable(&region, sizes.requested);
        Answer::Ack
    }

    fn state(&self, blocks: Range<u64>) -> State {
        match self.size.sizes().blocks.plugged_of(blocks.clone()) {
            0 => State::Unplugged,
            count if count == blocks.end - blocks.start => State::Plugged,
            _ => State::Mixed,
        }
    }

    /// Gives the memory of blocks back to the host; they read as zeros from then on. Returns whether that could be done.
    fn free(&mut self, ram: &GuestRam, blocks: Range<u64>) -> bool {
        let region = &self.size.0.region;
        let found = ram.find_region(GuestAddress(region.address));
        let Some(file) = found.and_then(|found| found.file_offset()) else {
            self.log
                .log(|more| tracing::error!("a memory device has no memory at {:#x}{more}", region.address));
            return false;
        };
        let (start, len) = (blocks.start * region.block, (blocks.end - blocks.start) * region.block);
        match (self.release)(file.file(), file.start() + start, len) {
            Ok(()) => true,
            Err(error) => {
                self.log.log(|more| tracing::warn!("the host does not take back memory: {error}{more}"));
                false
            }
        }
    }

    /// Answers a chain; bytes written. `None` if it is no request.
    fn serve(&mut self, ram: &GuestRam, chain: &Chain) -> Option<u32> {
        let bytes = gather(ram, chain.readable())?;
        if room(chain.writable()) < RESPONSE {
            return None;
        }
        let (answer, state) = self.carry_out(ram, &bytes)?;
        if answer != Answer::Ack {
            tracing::debug!("a request for memory was answered by {answer:?}: {bytes:x?}");
        }
        let [a0, a1] = (answer as u16).to_le_bytes();
        let [s0, s1] = state.map_or(0, |state| state as u16).to_le_bytes();
        Some(scatter(ram, chain.writable(), &[a0, a1, 0, 0, 0, 0, 0, 0, s0, s1]))
    }
}

impl Backend for MemBackend {
    fn start(&mut self, _: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        self.queue = queues.into_iter().flatten().next();
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        self.queue.take().into_iter().collect()
    }

    fn doorbell(&mut self, _: u16) {
        let Some(mut queue) = self.queue.take() else { return };
        if queue.serve_while(|ram, chain| self.serve(ram, chain)) {
            queue.refuse();
        }
        self.queue = Some(queue);
    }

    fn watch(&mut self, _: &mut EventOps<'_>) -> event_manager::Result<()> {
        Ok(())
    }

    fn event(&mut self, _: Events, _: &mut EventOps<'_>) {}
}

// What is plugged is saved with the device's other part.
nothing_to_save!(MemBackend, "mem-back");

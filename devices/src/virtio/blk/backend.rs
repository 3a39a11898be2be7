//! What works on a disk's queues.

use std::io;

use event_manager::{EventOps, EventSet, Events};
use virtio_bindings::virtio_blk::VIRTIO_BLK_F_FLUSH;
use vm_memory::{Bytes, GuestAddress};

use super::disk::{Completion, Disk, DiskInfo, MAX_IN_FLIGHT, Operation, Request};
use super::request::{self, Command, IOERR, OK};
use crate::log::Seldom;
use crate::virtio::limit::{Brake, Limits};
use crate::virtio::{Backend, Buffer, Chain, OWN_EVENTS, Queue};
use crate::{GuestRam, nothing_to_save};

/// Data of the event that requests are complete.
const COMPLETE: u32 = OWN_EVENTS;
/// Data of the event that a limit lets more through.
const TIMER: u32 = OWN_EVENTS + 1;

/// A request in flight.
struct Pending {
    /// Index of its queue.
    queue: usize,
    /// Its chain.
    head: u16,
    status: GuestAddress,
    /// Bytes that the device has written when it is done, with the status.
    written: u32,
    /// Whether a flush has to follow before it is complete.
    then_flush: bool,
    /// What it is, for the log.
    what: &'static str,
    offset: u64,
}

/// Has requests done by a [`Disk`].
pub struct BlkBackend {
    disk: Box<dyn Disk>,
    info: DiskInfo,
    brake: Option<Brake>,
    /// By index; those that the driver enabled.
    queues: Vec<Option<Queue>>,
    /// By tag.
    pending: Vec<Option<Pending>>,
    /// Tags of no request.
    free: Vec<usize>,
    /// A queue has more than could be in flight.
    is_starved: bool,
    /// Kept for its room.
    done: Vec<Completion>,
    /// Each write is flushed before it is complete.
    is_durable: bool,
    failures: Seldom,
}

impl BlkBackend {
    /// With a disk that is like `info`.
    ///
    /// # Errors
    /// There is no timer left for limits.
    pub fn new(disk: Box<dyn Disk>, info: DiskInfo, limits: Limits) -> io::Result<Self> {
        Ok(BlkBackend {
            disk,
            info,
            brake: Brake::new(limits)?,
            queues: Vec::new(),
            pending: Vec::new(),
            free: Vec::new(),
            is_starved: false,
            done: Vec::new(),
            is_durable: false,
            failures: Seldom::default(),
        })
    }

    const fn in_flight(&self) -> usize {
        self.pending.len() - self.free.len()
    }

    /// Starts what a queue has, as far as it may; at most as much as the queue is long, so that no driver can keep the thread.
    ///
    /// Where it may not, the queue stays muted: [`BlkBackend::go_on`] has it looked at again.
    fn take(&mut self, index: usize) {
        let Some(Some(queue)) = self.queues.get_mut(index) else { return };
        let mut rest = queue.size();
        queue.mute();
        while let Some(Some(queue)) = self.queues.get_mut(index) {
            if self.free.is_empty() {
                self.is_starved = true;
                break;
            }
            if self.brake.as_mut().is_some_and(Brake::holds) {
                break;
            }
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
            self.begin(index, &chain);
        }
        self.disk.kick();
    }

    /// Has all queues looked at again, when it is their turn.
    fn go_on(&self) {
        self.queues.iter().flatten().for_each(Queue::ring_again);
    }

    /// Starts a request, or answers it at once.
    fn begin(&mut self, index: usize, chain: &Chain) {
        let Some(Some(queue)) = self.queues.get_mut(index) else { return };
        let Some(parsed) = request::parse(queue.ram(), &self.info, chain) else {
            return queue.refuse();
        };
        let (head, status) = (chain.head(), parsed.status);
        match parsed.command {
            Err(code) => answer(queue, head, (status, code), 1),
            Ok(Command::Identify(buffers)) => {
                let written = identify(queue.ram(), &self.info.serial, &buffers);
                answer(queue, head, (status, OK), written + 1);
            }
            Ok(Command::Disk { len: 0, operation, .. }) if operation != Operation::Flush => {
                answer(queue, head, (status, OK), 1);
            }
            Ok(Command::Disk { offset, len, operation }) => {
                if let Some(brake) = &mut self.brake {
                    brake.take(len);
                }
                let Some(tag) = self.free.pop() else { return };
                let (what, written) = match operation {
                    Operation::Read(_) => ("read", u32::try_from(len).unwrap_or(u32::MAX).saturating_add(1)),
                    Operation::Write(_) => ("write", 1),
                    Operation::Flush => ("flush", 1),
                    Operation::Discard(_) => ("discard", 1),
                    Operation::WriteZeroes { .. } => ("write zeros", 1),
                };
                let changes = matches!(operation, Operation::Write(_) | Operation::WriteZeroes { .. });
                let then_flush = self.is_durable && changes;
                let pending = Pending { queue: index, head, status, written, then_flush, what, offset };
                self.pending[tag] = Some(pending);
                self.disk.submit(Request { tag, offset, operation });
            }
        }
    }

    /// Answers what is complete, and tells the driver.
    fn complete(&mut self) {
        self.disk.complete(&mut self.done);
        let mut done = std::mem::take(&mut self.done);
        for Completion { tag, result } in done.drain(..) {
            self.end(tag, result);
        }
        self.done = done;
        self.disk.kick();
        self.notify();
        if !self.free.is_empty() && std::mem::take(&mut self.is_starved) {
            self.go_on();
        }
    }

    fn notify(&mut self) {
        self.queues.iter_mut().flatten().for_each(Queue::notify);
    }

    fn end(&mut self, tag: usize, result: io::Result<()>) {
        let Some(pending) = self.pending.get_mut(tag) else { return };
        if let Some(Pending { then_flush: then_flush @ true, .. }) = pending
            && result.is_ok()
        {
            *then_flush = false;
            return self.disk.submit(Request { tag, offset: 0, operation: Operation::Flush });
        }
        let Some(Pending { queue, head, status, written, what, offset, .. }) = pending.take() else { return };
        self.free.push(tag);
        let Some(Some(queue)) = self.queues.get_mut(queue) else { return };
        match result {
            Ok(()) => answer(queue, head, (status, OK), written),
            Err(error) => {
                let name = &self.info.name;
                self.failures.log(|more| {
                    tracing::error!("{name}: a {what} at byte {offset} failed: {error}{more}");
                });
                answer(queue, head, (status, IOERR), 1);
            }
        }
    }
}

// What was in flight has been done, and what was saved up of a limit is not worth it.
nothing_to_save!(BlkBackend, "blk-back");

/// Gives a chain back with a status; `written` bytes, the status' among them, have been written.
fn answer(queue: &mut Queue, head: u16, (status, code): (GuestAddress, u8), written: u32) {
    // The chain was checked to lie within RAM.
    if let Err(error) = queue.ram().write_slice(&[code], status) {
        tracing::error!("the status of a request can't be written: {error}");
    }
    queue.push(head, written);
}

/// Writes what a disk is identified by, as far as there is room. Returns how much that was.
fn identify(ram: &GuestRam, serial: &[u8], buffers: &[Buffer]) -> u32 {
    let mut written = 0;
    let mut rest = serial;
    for buffer in buffers {
        let len = usize::try_from(buffer.len).unwrap_or(usize::MAX).min(rest.len());
        let (part, behind) = rest.split_at(len);
        if ram.write_slice(part, buffer.address).is_err() {
            break;
        }
        rest = behind;
        // A part of 20 bytes.
        written += u32::try_from(len).unwrap_or_default();
    }
    written
}

impl Backend for BlkBackend {
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        // A driver that does not flush counts on what is complete (5.2.6.2).
        self.is_durable = features & (1 << VIRTIO_BLK_F_FLUSH) == 0;
        if let Some(queue) = queues.iter().flatten().next() {
            self.disk.start(queue.ram())?;
        }
        self.pending = std::iter::repeat_with(|| None).take(MAX_IN_FLIGHT).collect();
        self.free = (0..MAX_IN_FLIGHT).rev().collect();
        self.queues = queues;
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        while self.in_flight() > 0 {
            self.disk.wait();
            self.complete();
        }
        self.disk.rest();
        (self.pending, self.free) = (Vec::new(), Vec::new());
        std::mem::take(&mut self.queues).into_iter().flatten().collect()
    }

    fn doorbell(&mut self, queue: u16) {
        self.take(queue.into());
        // What the host has at hand is complete by now.
        self.complete();
    }

    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
        ops.add(Events::with_data_raw(self.disk.descriptor(), COMPLETE, EventSet::IN))?;
        match &self.brake {
            Some(brake) => ops.add(Events::with_data(brake.timer(), TIMER, EventSet::IN)),
            None => Ok(()),
        }
    }

    fn event(&mut self, event: Events, _: &mut EventOps<'_>) {
        if event.data() == TIMER
            && let Some(brake) = &mut self.brake
        {
            brake.let_go();
            return self.go_on();
        }
        self.complete();
    }
}

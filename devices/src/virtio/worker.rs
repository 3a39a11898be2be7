//! Where a device's queues are worked on while its driver is ready.

use std::io;
use std::sync::Arc;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use vmm_sys_util::eventfd::EventFd;

use super::Queue;
use crate::saved::{self, Save, Saved};

/// The part of a device that owns its queues while the driver is ready: then it lives on a reactor's thread.
///
/// It is saved and restored while it is not started. As nothing is in flight then, most have nothing to save. What it was at
/// in its last start (queues, features) is not its to save: it is started with them again.
pub trait Backend: Save + Send {
    /// The driver is ready and has agreed to `features`; queues that it did not enable are absent. Called before the backend goes
    /// to its thread. Every doorbell rings once then, as buffers may be there already.
    ///
    /// # Errors
    /// The host lacks what the device needs; the driver is asked for a reset. No queue is kept.
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()>;

    /// Gives the queues back. Called when the backend has left its thread. When it returns, nothing is in flight: what was popped
    /// has been pushed, and no buffer is touched any more. The driver is told of what it was not told yet.
    fn stop(&mut self) -> Vec<Queue>;

    /// The driver has reset the device: what it began is over. Called while the backend is not started.
    fn reset(&mut self) {}

    /// The driver has made buffers of this queue available.
    fn doorbell(&mut self, queue: u16);

    /// Whether doorbells are heard by another process or the kernel while it is started, and so not by its thread.
    fn is_rung_elsewhere(&self) -> bool {
        false
    }

    /// Registers the backend's own descriptors, when it comes to its thread; each with data of at least [`OWN_EVENTS`].
    ///
    /// # Errors
    /// There is no watching them.
    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()>;

    /// A descriptor of its own is ready.
    fn event(&mut self, event: Events, ops: &mut EventOps<'_>);
}

/// Data of events from here on is a backend's own; below are its queues' doorbells.
pub const OWN_EVENTS: u32 = 0x1_0000;

/// A [`Backend`] as the state machine reaches it. Saved and restored is the backend; while it is started, or lost, that is an
/// error of the host.
pub trait Worker: Save + Send {
    /// Starts the backend and sends it to its thread.
    ///
    /// # Errors
    /// As of [`Backend::start`], or there is no such thread.
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()>;

    /// Fetches the backend from its thread and stops it. Returns the queues, in any order; none, if it was not started.
    fn stop(&mut self) -> Vec<Queue>;

    /// As [`Backend::reset`]; not called while the backend is started.
    fn reset(&mut self);
}

/// A backend with the doorbells of its queues, as an event manager has it while it runs.
pub struct Station {
    backend: Box<dyn Backend>,
    doorbells: Vec<(u16, Arc<EventFd>)>,
}

impl Station {
    /// Of a backend that is not started.
    pub const fn new(backend: Box<dyn Backend>) -> Self {
        Station { backend, doorbells: Vec::new() }
    }

    /// As [`Backend::start`]; then it goes to an event manager.
    ///
    /// # Errors
    /// As of [`Backend::start`].
    pub fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        self.doorbells = queues.iter().flatten().map(|queue| (queue.index(), queue.doorbell())).collect();
        self.backend.start(features, queues)
    }

    /// As [`Backend::stop`]; it is with no event manager any more.
    pub fn stop(&mut self) -> Vec<Queue> {
        self.doorbells.clear();
        self.backend.stop()
    }

    /// As [`Backend::reset`].
    pub fn reset(&mut self) {
        self.backend.reset();
    }

    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
        for (queue, doorbell) in self.doorbells.iter().filter(|_| !self.backend.is_rung_elsewhere()) {
            ops.add(Events::with_data(&**doorbell, u32::from(*queue), EventSet::IN))?;
        }
        self.backend.watch(ops)
    }
}

/// The backend's state: the doorbells are of a start.
impl Save for Station {
    fn save(&mut self) -> saved::Result<Saved> {
        self.backend.save()
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        self.backend.restore(saved)
    }
}

impl MutEventSubscriber for Station {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        if let Err(error) = self.watch(ops) {
            tracing::error!("a device is deaf, as its events can't be watched: {error}");
        }
    }

    fn process(&mut self, event: Events, ops: &mut EventOps<'_>) {
        let Ok(queue) = u16::try_from(event.data()) else { return self.backend.event(event, ops) };
        let Some((_, doorbell)) = self.doorbells.iter().find(|(index, _)| *index == queue) else { return };
        match doorbell.read() {
            Ok(_) => self.backend.doorbell(queue),
            // Another thread has taken it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => tracing::error!("the doorbell of virtqueue {queue} can't be read: {error}"),
        }
    }
}

//! The part of a device that has its queues while the driver is ready, and lends them to its peer.

use std::io;

use event_manager::{EventOps, EventSet, Events};
use triarch_devices::GuestRam;
use triarch_devices::saved::{self, Kind, Save, Saved};
use triarch_devices::virtio::{Backend, Chain, OWN_EVENTS, Queue};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::peer::Vring;
use super::{Home, Peer};

/// What a request is answered with when nobody serves it any more. Returns the bytes written.
pub type Refuse = Box<dyn FnMut(&GuestRam, &Chain) -> u32 + Send>;

/// Data of the events of the connection; behind it those of calls, one a queue, and of doorbells, one a queue.
const CONNECTION: u32 = OWN_EVENTS;
const CALLS: u32 = OWN_EVENTS + 1;
const DOORBELLS: u32 = OWN_EVENTS + 0x1_0000 + 1;

const KIND: Kind = Kind::new("vhostbk");

/// The backend of any device that a peer serves.
pub struct PeerBackend {
    /// For the log.
    name: String,
    /// `None` once it is gone.
    peer: Option<Peer>,
    /// Where the peer goes when this ends.
    home: Option<Home>,
    refuse: Option<Refuse>,
    /// Whether the peer knows things about the driver that nobody else does.
    is_stateful: bool,
    was_started: bool,
    queues: Vec<Queue>,
    /// In the order of `queues`.
    vrings: Vec<Vring>,
}

impl PeerBackend {
    /// With the queues served by `peer`; `name` is for messages.
    pub fn new(name: &str, peer: Peer) -> Self {
        PeerBackend {
            name: name.to_owned(),
            peer: Some(peer),
            home: None,
            refuse: None,
            is_stateful: false,
            was_started: false,
            queues: Vec::new(),
            vrings: Vec::new(),
        }
    }

    /// The peer goes `home` when the device ends, if it is still there.
    #[must_use]
    pub fn with_home(mut self, home: Home) -> Self {
        self.home = Some(home);
        self
    }

    /// When the peer dies, requests are refused that way. Without it, the driver is asked for a reset, which few drivers know.
    #[must_use]
    pub fn with_refusals(mut self, refuse: Refuse) -> Self {
        self.refuse = Some(refuse);
        self
    }

    /// The peer has a state that is lost when the device is saved, and so it can't be once it was in use.
    #[must_use]
    pub const fn with_state(mut self) -> Self {
        self.is_stateful = true;
        self
    }

    /// Calls that came since the last ones.
    fn call(&mut self, at: usize) {
        let (Some(vring), Some(queue)) = (self.vrings.get(at), self.queues.get(at)) else { return };
        match vring.call.read() {
            Ok(_) => queue.tell(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => tracing::error!("{}: calls of queue {at} can't be heard: {error}", self.name),
        }
    }

    /// The connection has ended, or there is something to read that was not asked for.
    fn lose(&mut self, ops: &mut EventOps<'_>) {
        let Some(peer) = self.peer.take() else { return };
        if let Err(error) = ops.remove(Events::with_data(&peer, CONNECTION, EventSet::IN)) {
            tracing::error!("{}: {error}", self.name);
        }
        let has_hung_up = peer.has_hung_up();
        // If it is a process of ours, it ends here at the latest.
        drop(peer);
        let Some(_) = self.refuse.as_ref().filter(|_| has_hung_up) else {
            tracing::error!(
                "{}: the process behind it {}; the device needs a reset",
                self.name,
                match has_hung_up {
                    true => "has ended",
                    false => "talks nonsense",
                }
            );
            return self.queues.iter().for_each(Queue::give_up);
        };
        tracing::error!("{}: the process behind it has ended; what the guest asks for is refused", self.name);
        for at in 0..self.queues.len() {
            self.call(at);
            if let Err(error) = self.take_over(at, ops) {
                tracing::error!("{}: queue {at} can't be taken over: {error}", self.name);
                self.queues.iter().for_each(Queue::give_up);
            }
        }
    }

    /// Serves a queue that the peer has left.
    fn take_over(&mut self, at: usize, ops: &mut EventOps<'_>) -> io::Result<()> {
        let Some(queue) = self.queues.get_mut(at) else { return Ok(()) };
        if !queue.take_back(None) {
            return Err(io::Error::other("its rings make no sense"));
        }
        let data = DOORBELLS + u32::from(queue.index());
        ops.add(Events::with_data(&*queue.doorbell(), data, EventSet::IN)).map_err(io::Error::other)?;
        queue.ring_again();
        Ok(())
    }

    /// The driver has rung for a queue that the peer has left.
    fn refuse_all(&mut self, index: u32) {
        let queue = self.queues.iter_mut().find(|queue| u32::from(queue.index()) == index);
        let (Some(queue), Some(refuse)) = (queue, &mut self.refuse) else { return };
        match queue.doorbell().read() {
            Ok(_) => queue.serve(refuse),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => tracing::error!("{}: doorbell {index} can't be heard: {error}", self.name),
        }
    }
}

impl Backend for PeerBackend {
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        let peer = self.peer.as_mut().ok_or_else(|| io::Error::other("the process behind it is gone"))?;
        let queues: Vec<_> = queues.into_iter().flatten().collect();
        let vring = |queue: &Queue| {
            let call = EventFd::new(EFD_NONBLOCK)?;
            Ok(Vring { index: queue.index(), ring: queue.ring(), kick: queue.doorbell(), call })
        };
        let vrings = queues.iter().map(vring).collect::<io::Result<Vec<_>>>()?;
        if let Some(queue) = queues.first()
            && let Err(error) = peer.start(features, queue.ram(), &vrings)
        {
            self.peer = None;
            return Err(error);
        }
        self.was_started = true;
        (self.queues, self.vrings) = (queues, vrings);
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        if let Some(peer) = &mut self.peer {
            let stopped = peer.stop(&self.vrings).and_then(|positions| {
                let mut taken = self.queues.iter_mut().zip(positions);
                if taken.all(|(queue, position)| queue.take_back(Some(position))) {
                    Ok(())
                } else {
                    Err(io::Error::other("it has stopped where no buffers can be"))
                }
            });
            if let Err(error) = stopped {
                tracing::error!("{}: the process behind it does not stop as it should: {error}", self.name);
                self.peer = None;
                // A reset by the driver makes up for it.
                self.queues.iter().for_each(Queue::give_up);
            }
        }
        (0..self.queues.len()).for_each(|at| self.call(at));
        self.vrings.clear();
        std::mem::take(&mut self.queues)
    }

    fn doorbell(&mut self, _: u16) {}

    fn is_rung_elsewhere(&self) -> bool {
        true
    }

    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
        for (data, vring) in (CALLS..).zip(&self.vrings) {
            ops.add(Events::with_data(&vring.call, data, EventSet::IN))?;
        }
        let Some(peer) = &self.peer else { return Ok(()) };
        ops.add(Events::with_data(peer, CONNECTION, EventSet::IN | EventSet::READ_HANG_UP))
    }

    fn event(&mut self, event: Events, ops: &mut EventOps<'_>) {
        match event.data() {
            CONNECTION => self.lose(ops),
            call @ CALLS..DOORBELLS => self.call(usize::try_from(call - CALLS).unwrap_or(usize::MAX)),
            doorbell => self.refuse_all(doorbell - DOORBELLS),
        }
    }
}

impl Drop for PeerBackend {
    fn drop(&mut self) {
        let (Some(home), Some(mut peer)) = (&self.home, self.peer.take()) else { return };
        let forgotten = if self.was_started { peer.forget_ram() } else { Ok(()) };
        match forgotten {
            Ok(()) => home.put(peer),
            Err(error) => tracing::warn!("{}: the process behind it is left: {error}", self.name),
        }
    }
}

impl Save for PeerBackend {
    fn save(&mut self) -> saved::Result<Saved> {
        if self.is_stateful && self.was_started {
            let error =
                format!("{} can't be saved while it is in use: the process behind it knows more", self.name);
            return Err(io::Error::other(error).into());
        }
        Ok(Saved::nothing(KIND))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        saved.expect_nothing(KIND)
    }
}

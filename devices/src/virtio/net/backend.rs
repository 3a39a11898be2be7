//! What works on a network device's queues.

use std::io;

use event_manager::{EventOps, EventSet, Events};
use virtio_bindings::virtio_net as net;

use super::receive::Receiver;
use super::transmit::Transmitter;
use super::{DEFAULT_MTU, ETHERNET, HEADER, Link, MAX_FRAME, NetConfig, Offloads, bit, control};
use crate::saved::{self, Save, Saved, state};
use crate::virtio::limit::Brake;
use crate::virtio::{Backend, OWN_EVENTS, Queue};

/// Data of the events that limits let more through.
const TIMERS: u32 = OWN_EVENTS + 0x1_0000;

/// What goes between the queues of a network device and its links, of which it has one for each pair of queues.
pub struct NetBackend<L> {
    links: Vec<L>,
    /// The MTU that the driver is told.
    mtu: u16,
    /// How many links frames come to.
    active: u16,
    receivers: Vec<Option<Receiver>>,
    transmitters: Vec<Option<Transmitter>>,
    /// Of all receivers, and of all transmitters.
    brakes: [Option<Brake>; 2],
    control: Option<Queue>,
    /// Queues that mean nothing without the features that the driver did not agree to.
    spare: Vec<Queue>,
}

impl<L: Link> NetBackend<L> {
    /// Over as many links as the device has pairs of queues.
    ///
    /// # Errors
    /// There is no timer left for limits.
    pub fn new(links: Vec<L>, config: &NetConfig) -> io::Result<Self> {
        Ok(NetBackend {
            links,
            mtu: config.mtu,
            active: 1,
            receivers: Vec::new(),
            transmitters: Vec::new(),
            brakes: [Brake::new(config.limits)?, Brake::new(config.limits)?],
            control: None,
            spare: Vec::new(),
        })
    }

    /// The most bytes of a frame that a driver of these features is prepared for, with the header.
    fn longest(&self, features: u64) -> usize {
        let frame = if Offloads::taken(features).cuts() {
            MAX_FRAME
        } else if features & bit(net::VIRTIO_NET_F_MTU) != 0 {
            ETHERNET + usize::from(self.mtu)
        } else {
            ETHERNET + usize::from(self.mtu.max(DEFAULT_MTU))
        };
        HEADER + frame
    }

    /// Has frames come to this many links.
    fn activate(&mut self, pairs: u16) -> io::Result<()> {
        for (index, link) in (0..).zip(&mut self.links).skip(1) {
            link.set_active(index < pairs)?;
        }
        self.active = pairs;
        Ok(())
    }

    /// Whether the driver uses this pair.
    fn is_active(&self, pair: usize) -> bool {
        pair < usize::from(self.active)
    }

    fn receive(&mut self, pair: usize) {
        if self.is_active(pair)
            && let (Some(link), Some(Some(receiver))) =
                (self.links.get_mut(pair), self.receivers.get_mut(pair))
        {
            receiver.run(link, self.brakes[0].as_mut());
        }
    }

    fn transmit(&mut self, pair: usize) {
        if self.is_active(pair)
            && let (Some(link), Some(Some(transmitter))) =
                (self.links.get_mut(pair), self.transmitters.get_mut(pair))
        {
            transmitter.run(link, self.brakes[1].as_mut());
        }
    }

    fn obey(&mut self) {
        let Some(mut queue) = self.control.take() else { return };
        queue.serve(|ram, chain| {
            control::serve(ram, chain, |pairs| {
                let is_possible = pairs > 0 && usize::from(pairs) <= self.receivers.len();
                is_possible && self.activate(pairs).inspect_err(refused).is_ok()
            })
        });
        self.control = Some(queue);
        // What came for those that are active now.
        for pair in 0..self.links.len() {
            self.receive(pair);
            self.transmit(pair);
        }
    }
}

fn refused(error: &io::Error) {
    tracing::error!("the host does not switch a network interface's queue: {error}");
}

impl<L: Link> Backend for NetBackend<L> {
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        let has = |feature| features & bit(feature) != 0;
        let pairs = if has(net::VIRTIO_NET_F_MQ) { self.links.len() } else { 1 };
        let has_control = has(net::VIRTIO_NET_F_CTRL_VQ);
        if let Some(link) = self.links.first_mut() {
            link.set_offloads(Offloads::taken(features))?;
        }
        // A driver that has given no command yet has one pair of queues (VIRTIO 1.2, 5.1.6.5.5).
        let control = queues.get(2 * pairs).and_then(Option::as_ref);
        let is_fresh = !has_control || control.is_none_or(|queue| queue.progress().0 == 0);
        if is_fresh {
            self.active = 1;
        }
        // Until they are watched: a tap interface's queue can't be while it is detached, and goes on being watched when it is then.
        self.links.iter_mut().skip(1).try_for_each(|link| link.set_active(true))?;

        let (longest, mergeable) = (self.longest(features), has(net::VIRTIO_NET_F_MRG_RXBUF));
        for (index, queue) in queues.into_iter().enumerate() {
            match (index / 2 < pairs, index % 2) {
                (true, 0) => self.receivers.push(queue.map(|queue| Receiver::new(queue, longest, mergeable))),
                (true, _) => self.transmitters.push(queue.map(Transmitter::new)),
                (false, _) if index == 2 * pairs && has_control => self.control = queue,
                (false, _) => self.spare.extend(queue),
            }
        }
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        let mut queues: Vec<_> = self.receivers.drain(..).flatten().map(Receiver::stop).collect();
        queues.extend(self.transmitters.drain(..).flatten().map(Transmitter::stop));
        queues.extend(self.control.take());
        queues.append(&mut self.spare);
        queues
    }

    fn doorbell(&mut self, queue: u16) {
        if self.control.as_ref().is_some_and(|control| control.index() == queue) {
            return self.obey();
        }
        let pair = usize::from(queue / 2);
        if queue.is_multiple_of(2) { self.receive(pair) } else { self.transmit(pair) }
    }

    /// Edges only: whatever stops a queue, its doorbell or an edge lets it go on.
    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
        let events = EventSet::IN | EventSet::OUT | EventSet::EDGE_TRIGGERED;
        for (data, link) in (OWN_EVENTS..).zip(&self.links) {
            ops.add(Events::with_data(&link.descriptor(), data, events))?;
        }
        for (data, brake) in (TIMERS..).zip(&self.brakes) {
            if let Some(brake) = brake {
                ops.add(Events::with_data(brake.timer(), data, EventSet::IN))?;
            }
        }
        if let Err(error) = self.activate(self.active) {
            refused(&error);
        }
        Ok(())
    }

    fn event(&mut self, event: Events, _: &mut EventOps<'_>) {
        if let Ok(way) = usize::try_from(event.data().wrapping_sub(TIMERS))
            && let Some(Some(brake)) = self.brakes.get_mut(way)
        {
            brake.let_go();
            let go_on = if way == 0 { Self::receive } else { Self::transmit };
            return (0..self.links.len()).for_each(|pair| go_on(self, pair));
        }
        let Ok(pair) = usize::try_from(event.data() - OWN_EVENTS) else { return };
        let Some(link) = self.links.get_mut(pair) else { return };
        if event.event_set().contains(EventSet::OUT) {
            if let Err(error) = link.flush() {
                tracing::error!("a frame of the guest's is lost: {error}");
            }
            self.transmit(pair);
        }
        self.receive(pair);
    }
}

state! {
    struct NetBackendState: "net-back", 1 {
        active: u16,
    }
}

/// What the control queue was told. Frames on their way are lost, as on any cable.
impl<L: Link> Save for NetBackend<L> {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::of(&NetBackendState { active: self.active }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let NetBackendState { active } = saved.get()?;
        let is_possible = active > 0 && usize::from(active) <= self.links.len();
        saved.check(is_possible, "a number of pairs of virtqueues")?;
        self.active = active;
        Ok(())
    }
}

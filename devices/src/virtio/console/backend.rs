//! The queues of a console device, and the hosts' ends of its ports.

use std::io;

use event_manager::{EventOps, Events};
use vmm_sys_util::epoll::EventSet;

use super::control::{self, Said};
use super::feature;
use super::port::{self, Port, PortState};
use super::{PortConfig, lock};
use crate::log::Seldom;
use crate::saved::{self, Save, Saved, state};
use crate::virtio::{Backend, OWN_EVENTS, Queue};

/// The queues of messages about ports: to the driver, and from it (VIRTIO 1.2, 5.3.2).
const CONTROL: [u16; 2] = [2, 3];

/// What moves bytes between the driver's queues and the ports' ends.
pub struct ConsoleBackend {
    ports: Vec<Port>,
    to_driver: Option<Queue>,
    from_driver: Option<Queue>,
    is_multiport: bool,
    /// The driver handles ports.
    is_ready: bool,
    oddities: Seldom,
}

/// A port's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToGuest,
    FromGuest,
}

/// Whose a queue is: those of port 0 come first, then the two of messages, then those of the other ports.
fn place(queue: u16) -> Option<(usize, Way)> {
    let port = match queue {
        0 | 1 => 0,
        2 | 3 => return None,
        _ => usize::from(queue / 2) - 1,
    };
    Some((port, if queue.is_multiple_of(2) { Way::ToGuest } else { Way::FromGuest }))
}

impl ConsoleBackend {
    /// With the ports of the other part.
    pub fn new(ports: Vec<PortConfig>) -> Self {
        ConsoleBackend {
            ports: ports.into_iter().map(Port::new).collect(),
            to_driver: None,
            from_driver: None,
            is_multiport: false,
            is_ready: false,
            oddities: Seldom::default(),
        }
    }

    /// Hears what the driver says about ports.
    fn hear(&mut self) {
        let ConsoleBackend { from_driver: Some(queue), ports, is_ready, oddities, .. } = self else { return };
        queue.serve(|ram, chain| {
            let mut message = [0; control::SIZE];
            let is_whole = port::read_at(ram, chain.readable(), 0, &mut message) == message.len();
            let said = Said::parse(&message).filter(|_| is_whole);
            let done = match said {
                Some(Said::DeviceReady(ready)) => {
                    *is_ready = ready;
                    // A driver that begins anew knows of no port.
                    ports.iter_mut().for_each(Port::forget);
                    Some(())
                }
                Some(Said::PortReady(id, ready)) => of(ports, id).and_then(|port| port.set_ready(ready)),
                Some(Said::PortOpen(id, is_open)) => of(ports, id).and_then(|port| port.set_open(is_open)),
                None => None,
            };
            if done.is_none() {
                oddities.log(|more| {
                    tracing::warn!("the guest's console driver says what makes no sense: {message:x?}{more}");
                });
            }
            0
        });
    }

    /// Tells the driver what it does not know of ports, as long as it has buffers for that.
    fn tell(&mut self) {
        let ConsoleBackend { to_driver: Some(queue), ports, is_ready: true, oddities, .. } = self else {
            return;
        };
        'ports: for (id, port) in (0..).zip(ports) {
            while let Some(message) = port.next_message() {
                let chain = loop {
                    match queue.pop() {
                        Some(chain) => break chain,
                        None if queue.unmute() => {}
                        None => break 'ports,
                    }
                };
                let bytes = message.bytes(id);
                if port::room(chain.writable()) < bytes.len() {
                    oddities.log(|more| {
                        tracing::warn!("the guest's console driver has no room for a message{more}");
                    });
                }
                let written = port::write(queue.ram(), chain.writable(), &bytes);
                queue.push(chain.head(), written);
                port.told(&message);
            }
        }
        queue.notify();
    }

    fn receive(&mut self, port: usize) {
        let is_multiport = self.is_multiport;
        if let Some(port) = self.ports.get_mut(port) {
            port.receive(is_multiport);
        }
    }
}

fn of(ports: &mut [Port], id: u32) -> Option<&mut Port> {
    ports.get_mut(usize::try_from(id).ok()?)
}

impl Backend for ConsoleBackend {
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        self.is_multiport = features & feature::MULTIPORT != 0;
        for queue in queues.into_iter().flatten() {
            let place = place(queue.index());
            match place.and_then(|(port, way)| Some((self.ports.get_mut(port)?, way))) {
                Some((port, Way::ToGuest)) => port.receive = Some(queue),
                Some((port, Way::FromGuest)) => port.transmit = Some(queue),
                None if queue.index() == CONTROL[0] => self.to_driver = Some(queue),
                None => self.from_driver = Some(queue),
            }
        }
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        let of_ports = self.ports.iter_mut().flat_map(|port| [port.receive.take(), port.transmit.take()]);
        of_ports.chain([self.to_driver.take(), self.from_driver.take()]).flatten().collect()
    }

    fn reset(&mut self) {
        self.is_ready = false;
        self.ports.iter_mut().for_each(|port| port.restore(PortState::default()));
    }

    fn doorbell(&mut self, queue: u16) {
        match place(queue) {
            Some((port, Way::ToGuest)) => self.receive(port),
            Some((port, Way::FromGuest)) => {
                if let Some(port) = self.ports.get_mut(port) {
                    port.transmit();
                }
            }
            None => {
                self.hear();
                self.tell();
                // Ports may have been opened.
                (0..self.ports.len()).for_each(|port| self.receive(port));
            }
        }
    }

    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
        for (data, port) in (OWN_EVENTS..).zip(&self.ports) {
            if let Some(events) = lock(&port.end).events() {
                ops.add(Events::with_data(&events, data, EventSet::IN))?;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Events, _: &mut EventOps<'_>) {
        let Ok(index) = usize::try_from(event.data() - OWN_EVENTS) else { return };
        let is_multiport = self.is_multiport;
        let Some(port) = self.ports.get_mut(index) else { return };
        lock(&port.end).serve();
        port.transmit();
        port.receive(is_multiport);
        self.tell();
    }
}

state! {
    struct ConsoleState: "cons-bk", 1 {
        is_ready: bool,
        ports: Vec<PortState>,
    }
}

impl Save for ConsoleBackend {
    fn save(&mut self) -> saved::Result<Saved> {
        let ports = self.ports.iter().map(Port::state).collect();
        Ok(Saved::of(&ConsoleState { is_ready: self.is_ready, ports }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let ConsoleState { is_ready, ports } = saved.get()?;
        saved.check(ports.len() == self.ports.len(), "other ports than there are")?;
        self.is_ready = is_ready;
        self.ports.iter_mut().zip(ports).for_each(|(port, state)| port.restore(state));
        Ok(())
    }
}

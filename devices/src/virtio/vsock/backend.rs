//! The queues of a socket device, and the host's streams.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};

use event_manager::{EventOps, Events};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use super::packet::Pieces;
use super::table::{MAX_CONNECTIONS, Ports, Table};
use crate::GuestRam;
use crate::log::Seldom;
use crate::saved::{self, Kind, Save, Saved};
use crate::virtio::{Backend, Buffer, Chain, OWN_EVENTS, Queue, slices};

/// Connects to who takes connections to a port on the host, without waiting. The stream it returns does not block.
pub type Connector = Box<dyn FnMut(u32) -> io::Result<UnixStream> + Send>;

/// Events of streams that are taken from the kernel at once.
const EVENTS: usize = 64;

/// Ports on the host's side of connections that the host began: from this one up to twice that, as Firecracker numbers them.
const FIRST_PORT: u32 = 1 << 30;

/// The guest's port of a connection that its host's end has not asked for yet (VMADDR_PORT_ANY).
const NO_PORT: u32 = u32::MAX;

/// What the epoll set says of the listener.
const LISTENER: u64 = u64::MAX;

/// The longest `CONNECT` line.
const MAX_LINE: usize = 32;

/// The event by which the guest learns that its connections have gone (VIRTIO 1.2, 5.10.6.7).
const TRANSPORT_RESET: [u8; 4] = [0; 4];

/// What moves bytes between the driver's queues and the host's streams.
pub struct VsockBackend {
    receive: Option<Queue>,
    transmit: Option<Queue>,
    events: Option<Queue>,
    table: Table,
    host: Host,
    /// Connections were lost, and the guest has not been told.
    reset_due: bool,
    oddities: Seldom,
}

/// The host's side.
struct Host {
    listener: UnixListener,
    connector: Connector,
    /// Has the listener and all streams, edge-triggered.
    epoll: Epoll,
    /// Streams that have not said yet where they want to, with what they have said, by their ports.
    callers: BTreeMap<u32, (UnixStream, Vec<u8>)>,
    next_port: u32,
    troubles: Seldom,
}

impl VsockBackend {
    /// For a guest of this context identifier. Who connects to `listener`, which does not block, wants to the guest; `connector` is for the other direction.
    ///
    /// # Errors
    /// The listener can't be watched.
    pub fn new(cid: u32, listener: UnixListener, connector: Connector) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        watch(&epoll, ControlOperation::Add, listener.as_raw_fd(), EventSet::IN, LISTENER)?;
        Ok(VsockBackend {
            receive: None,
            transmit: None,
            events: None,
            table: Table::new(cid.into()),
            host: Host {
                listener,
                connector,
                epoll,
                callers: BTreeMap::new(),
                next_port: FIRST_PORT,
                troubles: Seldom::default(),
            },
            reset_due: false,
            oddities: Seldom::default(),
        })
    }

    /// Takes the guest's packets.
    fn transmit(&mut self) {
        let VsockBackend { transmit: Some(queue), table, host, oddities, .. } = self else { return };
        queue.serve(|ram, chain| {
            let taken = table.take(pieces(ram, chain.readable()), &mut |ports| host.connect(ports));
            if let Err(oddity) = taken {
                oddities.log(|more| tracing::warn!("the guest's vsock driver sent {oddity}{more}"));
            }
            0
        });
    }

    /// Gives the guest packets, as long as there are packets and buffers.
    fn give(&mut self) {
        let VsockBackend { receive: Some(queue), table, oddities, .. } = self else { return };
        let mut rest = queue.size();
        while rest > 0 && table.has_something() {
            let Some(chain) = queue.pop() else {
                if queue.unmute() {
                    continue;
                }
                break;
            };
            rest -= 1;
            let room = pieces(queue.ram(), chain.writable());
            if room.len() <= super::packet::HEADER_SIZE {
                oddities
                    .log(|more| tracing::warn!("the guest's vsock driver offers too small a buffer{more}"));
                queue.push(chain.head(), 0);
            } else if let Some(written) = table.give(room) {
                queue.push(chain.head(), written);
            } else {
                queue.unpop(1);
            }
        }
        if rest == 0 && table.has_something() {
            queue.ring_again();
        }
        queue.notify();
    }

    /// Tells the guest that its connections have gone, once it has a buffer for that.
    fn tell_reset(&mut self) {
        let VsockBackend { events: Some(queue), reset_due: due @ true, .. } = self else { return };
        let chain = loop {
            match queue.pop() {
                Some(chain) => break chain,
                None if queue.unmute() => {}
                None => return,
            }
        };
        let written = write_event(queue.ram(), &chain);
        queue.push(chain.head(), written);
        queue.notify();
        *due = false;
    }

    /// Takes in what has changed on the host's side.
    fn streams(&mut self) {
        let mut events = [EpollEvent::default(); EVENTS];
        let count = match self.host.epoll.wait(0, &mut events) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(error) => {
                return self
                    .host
                    .troubles
                    .log(|more| tracing::error!("vsock streams can't be polled: {error}{more}"));
            }
        };
        for event in events.iter().take(count) {
            if event.data() == LISTENER {
                self.host.accept(&self.table);
                continue;
            }
            let ports = ports(event.data());
            if ports.guest == NO_PORT {
                self.host.listen(ports.host, &mut self.table);
            } else {
                self.table.ready(ports, event.event_set());
            }
        }
    }
}

/// Registers a descriptor with an epoll set, or changes what its events say.
fn watch(epoll: &Epoll, how: ControlOperation, fd: i32, events: EventSet, data: u64) -> io::Result<()> {
    epoll.ctl(how, fd, EpollEvent::new(events | EventSet::EDGE_TRIGGERED, data))
}

const fn number(ports: Ports) -> u64 {
    (ports.host as u64) << 32 | ports.guest as u64
}

fn ports(number: u64) -> Ports {
    let half = |number: u64| u32::try_from(number & 0xffff_ffff).unwrap_or(NO_PORT);
    Ports { host: half(number >> 32), guest: half(number) }
}

/// A stream's events: the kernel adds those of its end.
const STREAM_EVENTS: EventSet = EventSet::IN.union(EventSet::OUT).union(EventSet::READ_HANG_UP);

impl Host {
    /// Connects for the guest.
    fn connect(&mut self, ports: Ports) -> io::Result<UnixStream> {
        if ports.guest == NO_PORT {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let stream = (self.connector)(ports.host)?;
        watch(&self.epoll, ControlOperation::Add, stream.as_raw_fd(), STREAM_EVENTS, number(ports))?;
        Ok(stream)
    }

    /// Takes in who waits at the listener.
    fn accept(&mut self, table: &Table) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) if table.len() + self.callers.len() < MAX_CONNECTIONS => {
                    if let Err(error) = self.receive(stream, table) {
                        self.troubles
                            .log(|more| tracing::error!("a vsock client can't be served: {error}{more}"));
                    }
                }
                Ok(_) => self.troubles.log(|more| tracing::warn!("too many vsock clients{more}")),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return self
                        .troubles
                        .log(|more| tracing::error!("vsock clients can't be accepted: {error}{more}"));
                }
            }
        }
    }

    fn receive(&mut self, stream: UnixStream, table: &Table) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        // There are more ports than clients.
        while self.callers.contains_key(&self.next_port) || table.has_host_port(self.next_port) {
            self.advance();
        }
        let host = self.next_port;
        self.advance();
        let data = number(Ports { host, guest: NO_PORT });
        watch(&self.epoll, ControlOperation::Add, stream.as_raw_fd(), STREAM_EVENTS, data)?;
        self.callers.insert(host, (stream, Vec::new()));
        Ok(())
    }

    const fn advance(&mut self) {
        self.next_port = FIRST_PORT | self.next_port.wrapping_add(1) & (FIRST_PORT - 1);
    }

    /// A client may have said more of where it wants to.
    fn listen(&mut self, host: u32, table: &mut Table) {
        let Some((mut stream, mut line)) = self.callers.remove(&host) else { return };
        // Byte by byte, as what is behind the line is not ours.
        let mut byte = [0];
        while line.last() != Some(&b'\n') {
            match stream.read(&mut byte) {
                Ok(1) if line.len() < MAX_LINE => line.extend(byte),
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.callers.insert(host, (stream, line));
                    return;
                }
                Err(_) => return,
            }
        }
        let Some(guest) = wanted_port(&line) else {
            return self
                .troubles
                .log(|more| tracing::warn!("a vsock client did not say CONNECT and a port{more}"));
        };
        let ports = Ports { host, guest };
        // Events that there are already come again.
        match watch(&self.epoll, ControlOperation::Modify, stream.as_raw_fd(), STREAM_EVENTS, number(ports)) {
            Ok(()) => table.request(ports, stream, format!("OK {host}\n")),
            Err(error) => {
                self.troubles.log(|more| tracing::error!("a vsock client can't be watched: {error}{more}"));
            }
        }
    }
}

/// The port of a `CONNECT port\n` line.
fn wanted_port(line: &[u8]) -> Option<u32> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let is_connect = words.next()?.eq_ignore_ascii_case("connect");
    let port = words.next()?.parse().ok()?;
    (is_connect && port != NO_PORT && words.next().is_none()).then_some(port)
}

/// The memory behind buffers.
fn pieces<'a>(ram: &'a GuestRam, buffers: &'a [Buffer]) -> Pieces<'a> {
    Pieces::new(slices(ram, buffers).map_while(Result::ok).collect())
}

fn write_event(ram: &GuestRam, chain: &Chain) -> u32 {
    match pieces(ram, chain.writable()).split_at(TRANSPORT_RESET.len()) {
        Some((head, _)) => {
            head.write(&TRANSPORT_RESET);
            4
        }
        None => 0,
    }
}

impl Backend for VsockBackend {
    fn start(&mut self, _: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        let mut queues = queues.into_iter();
        let mut next = || queues.next().flatten();
        (self.receive, self.transmit, self.events) = (next(), next(), next());
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        [self.receive.take(), self.transmit.take(), self.events.take()].into_iter().flatten().collect()
    }

    fn reset(&mut self) {
        self.table.clear();
        self.host.callers.clear();
        self.reset_due = false;
    }

    fn doorbell(&mut self, queue: u16) {
        match queue {
            1 => {
                self.transmit();
                self.give();
            }
            0 => self.give(),
            _ => self.tell_reset(),
        }
    }

    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
        ops.add(Events::with_data(&self.host.epoll, OWN_EVENTS, EventSet::IN))
    }

    fn event(&mut self, _: Events, _: &mut EventOps<'_>) {
        self.streams();
        self.give();
    }
}

const KIND: Kind = Kind::new("vsock-bk");

/// Connections are not saved, as their streams can't be: the guest is told that they are gone.
impl Save for VsockBackend {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::nothing(KIND))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        saved.expect_nothing(KIND)?;
        self.reset();
        self.reset_due = true;
        Ok(())
    }
}

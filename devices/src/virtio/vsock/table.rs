//! All connections of a socket device, as packets see them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::unix::net::UnixStream;

use vmm_sys_util::epoll::EventSet;

use super::connection::{BUFFER, Connection, Fate};
use super::packet::{HEADER_SIZE, HOST_CID, Header, Pieces, TYPE_STREAM, op};

/// The most connections at a time, those that are being made included. With what each keeps in memory, 64 MiB.
pub const MAX_CONNECTIONS: usize = 512;

/// The most refusals that wait for buffers of the guest's. A guest that is owed more gives no buffers, and gets no more refusals.
const MAX_REFUSALS: usize = 1024;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ports {
    /// The port on the host's side.
    pub host: u32,
    /// The port on the guest's side.
    pub guest: u32,
}

/// Why a packet was not what a driver should send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Oddity {
    /// It has no whole header.
    #[error("a packet without a header")]
    Short,
    /// It is not from this guest to the host.
    #[error("a packet from {from} to {to}")]
    Cid {
        /// Context identifier of the sender.
        from: u64,
        /// Context identifier of the receiver.
        to: u64,
    },
    /// It is for a type of sockets that was not offered.
    #[error("a packet for sockets of type {0}")]
    Kind(u16),
    /// Its operation is unknown.
    #[error("a packet with operation {0}")]
    Op(u16),
    /// It names more data than there is.
    #[error("a packet that names {0} bytes and has less")]
    Length(u32),
    /// There are too many connections.
    #[error("a connection beyond the {MAX_CONNECTIONS} that there can be")]
    Full,
}

/// Connects to the host's end of a port, for these ends.
pub type Connect<'a> = &'a mut dyn FnMut(Ports) -> io::Result<UnixStream>;

/// Connections by their ends, and what the guest has to be told of them.
pub struct Table {
    cid: u64,
    connections: BTreeMap<Ports, Connection>,
    /// Connections that may have something for the guest, once each, served in turns.
    ready: VecDeque<Ports>,
    /// Ends of connections that there are not, or not any more.
    refusals: VecDeque<Ports>,
}

impl Table {
    /// Without connections, for a guest of this context identifier.
    pub const fn new(cid: u64) -> Self {
        Table { cid, connections: BTreeMap::new(), ready: VecDeque::new(), refusals: VecDeque::new() }
    }

    /// Ends all connections. The guest is not told.
    pub fn clear(&mut self) {
        self.connections.clear();
        self.ready.clear();
        self.refusals.clear();
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether a port on the host's side has connections.
    pub fn has_host_port(&self, host: u32) -> bool {
        let (first, last) = (Ports { host, guest: 0 }, Ports { host, guest: u32::MAX });
        self.connections.range(first..=last).next().is_some()
    }

    /// Asks the guest for a connection; `greeting` goes to the stream when it accepts. There is none with these ends.
    pub fn request(&mut self, ports: Ports, stream: UnixStream, greeting: String) {
        self.connections.insert(ports, Connection::requested(stream, greeting));
        self.call(ports);
    }

    /// Takes a packet of the guest's: all its bytes. What is odd about it is for the log: it has had its answer.
    pub fn take(&mut self, packet: Pieces<'_>, connect: Connect<'_>) -> Result<(), Oddity> {
        let (header, data) = packet.split_at(HEADER_SIZE).ok_or(Oddity::Short)?;
        let header = header.read_header();
        if (header.src_cid, header.dst_cid) != (self.cid, HOST_CID) {
            return Err(Oddity::Cid { from: header.src_cid, to: header.dst_cid });
        }
        let ports = Ports { host: header.dst_port, guest: header.src_port };
        if header.kind != TYPE_STREAM {
            self.refuse(ports, &header);
            return Err(Oddity::Kind(header.kind));
        }
        let len = usize::try_from(header.len).unwrap_or(usize::MAX);
        let data = if header.op == op::RW { data.split_at(len) } else { data.split_at(0) };
        let Some((data, _)) = data else {
            self.end(ports);
            self.refuse(ports, &header);
            return Err(Oddity::Length(header.len));
        };
        if self.connections.get(&ports).is_some_and(|found| found.is_orphan() && header.op == op::REQUEST) {
            self.end(ports);
        }
        let fate = match self.connections.get_mut(&ports) {
            Some(connection) => connection.take(&header, &data),
            None if header.op == op::REQUEST => return self.accept(ports, &header, connect),
            None => Fate::Reset,
        };
        self.seal(ports, fate, &header);
        if (op::REQUEST..=op::CREDIT_REQUEST).contains(&header.op) {
            Ok(())
        } else {
            Err(Oddity::Op(header.op))
        }
    }

    /// The guest asks for a connection.
    fn accept(&mut self, ports: Ports, request: &Header, connect: Connect<'_>) -> Result<(), Oddity> {
        if self.connections.len() >= MAX_CONNECTIONS {
            self.refuse(ports, request);
            return Err(Oddity::Full);
        }
        match connect(ports) {
            Ok(stream) => {
                self.connections.insert(ports, Connection::accepted(stream, request));
                self.call(ports);
            }
            Err(error) => {
                tracing::debug!("nobody on the host takes vsock port {}: {error}", ports.host);
                self.refuse(ports, request);
            }
        }
        Ok(())
    }

    /// A stream has changed.
    pub fn ready(&mut self, ports: Ports, events: EventSet) {
        if let Some(connection) = self.connections.get_mut(&ports) {
            let fate = connection.ready(events);
            self.seal(ports, fate, &Header::default());
        }
    }

    /// Carries out what becomes of a connection, after a packet or something else.
    fn seal(&mut self, ports: Ports, fate: Fate, cause: &Header) {
        match fate {
            Fate::Goes => self.call(ports),
            Fate::Reset => {
                self.end(ports);
                self.refuse(ports, cause);
            }
            Fate::Over => self.end(ports),
        }
    }

    fn end(&mut self, ports: Ports) {
        self.connections.remove(&ports);
        self.ready.retain(|ready| *ready != ports);
    }

    /// Has a connection served, if it may have something for the guest.
    fn call(&mut self, ports: Ports) {
        let has_something = self.connections.get(&ports).is_some_and(Connection::has_something);
        if has_something && !self.ready.contains(&ports) {
            self.ready.push_back(ports);
        }
    }

    /// Tells the guest that there is no such connection, unless that is what it says itself.
    fn refuse(&mut self, ports: Ports, cause: &Header) {
        if cause.op != op::RST && self.refusals.len() < MAX_REFUSALS {
            self.refusals.push_back(ports);
        }
    }

    /// Whether [`Table::give`] may have a packet.
    pub fn has_something(&self) -> bool {
        !self.refusals.is_empty() || !self.ready.is_empty()
    }

    /// Writes the next packet for the guest into `room`, if there is one; returns its size in bytes. Room for a header and at
    /// least a byte is there.
    pub fn give(&mut self, room: Pieces<'_>) -> Option<u32> {
        let (head, room) = room.split_at(HEADER_SIZE)?;
        let (ports, mut header) = self.next(&room)?;
        header.src_cid = HOST_CID;
        header.dst_cid = self.cid;
        header.src_port = ports.host;
        header.dst_port = ports.guest;
        header.kind = TYPE_STREAM;
        head.write_header(&header);
        u32::try_from(HEADER_SIZE).ok()?.checked_add(header.len)
    }

    fn next(&mut self, room: &Pieces<'_>) -> Option<(Ports, Header)> {
        if let Some(ports) = self.refusals.pop_front() {
            return Some((ports, Header { op: op::RST, ..Header::default() }));
        }
        while let Some(ports) = self.ready.pop_front() {
            let given = self.connections.get_mut(&ports).and_then(|connection| connection.give(room));
            self.call(ports);
            if let Some(given) = given {
                let header = Header {
                    op: given.op,
                    flags: given.flags,
                    len: given.len,
                    buf_alloc: BUFFER,
                    fwd_cnt: given.fwd_cnt,
                    ..Header::default()
                };
                return Some((ports, header));
            }
        }
        None
    }
}

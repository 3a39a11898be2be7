//! A socket device with its driver, and programs of the host.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::super::*;
use crate::virtio::{Vsock, VsockBackend};

pub const CID: u64 = 42;
pub const HOST: u64 = 2;
pub const FIRST_PORT: u32 = 0x4000_0000;
pub const BUFFER: u32 = 128 << 10;
pub const ROOM: u32 = 256 << 10;

pub const REQUEST: u16 = 1;
pub const RESPONSE: u16 = 2;
pub const RST: u16 = 3;
pub const SHUTDOWN: u16 = 4;
pub const RW: u16 = 5;
pub const CREDIT_UPDATE: u16 = 6;
pub const CREDIT_REQUEST: u16 = 7;

/// A packet as a test writes and reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub from: (u64, u32),
    pub to: (u64, u32),
    pub op: u16,
    pub flags: u32,
    /// The type of the socket.
    pub kind: u16,
    /// The length that its header names, if that is not the data's.
    pub len: Option<u32>,
    pub room: u32,
    pub forwarded: u32,
    pub data: Vec<u8>,
}

impl Packet {
    pub fn bytes(&self) -> Vec<u8> {
        let len = self.len.unwrap_or(self.data.len().try_into().unwrap());
        [
            &self.from.0.to_le_bytes()[..],
            &self.to.0.to_le_bytes(),
            &self.from.1.to_le_bytes(),
            &self.to.1.to_le_bytes(),
            &len.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &self.op.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.room.to_le_bytes(),
            &self.forwarded.to_le_bytes(),
            &self.data,
        ]
        .concat()
    }

    pub fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let cid = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let data = bytes[44..].to_vec();
        assert_eq!(word(24), u32::try_from(data.len()).unwrap(), "the length is the data's");
        Packet {
            from: (cid(0), word(16)),
            to: (cid(8), word(20)),
            op: (word(28) >> 16) as u16,
            kind: (word(28) & 0xffff) as u16,
            flags: word(32),
            len: None,
            room: word(36),
            forwarded: word(40),
            data,
        }
    }
}

/// A packet of the guest's.
pub fn packet(op: u16, guest: u32, host: u32, data: &[u8]) -> Packet {
    Packet {
        from: (CID, guest),
        to: (HOST, host),
        op,
        flags: 0,
        kind: 1,
        len: None,
        room: ROOM,
        forwarded: 0,
        data: data.to_vec(),
    }
}

/// Where connections of the guest's lead.
pub type Services = Arc<Mutex<VecDeque<(u32, UnixStream)>>>;

pub struct Guest {
    pub driver: Box<dyn Driver>,
    pub reactor: Inline,
    pub receive: Ring,
    pub transmit: Ring,
    pub events: Ring,
    /// How many buffers for packets were offered.
    pub offered: u16,
    /// Where clients connect to.
    pub address: SocketAddr,
    /// Ports on the host that somebody serves, with the device's ends.
    pub services: Services,
}

/// Both parts of a device, with where clients connect to, and services that there are none of yet.
pub fn parts() -> (Vsock, VsockBackend, SocketAddr, Services) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("triarch-test-{}-{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let services = Services::default();
    let served = services.clone();
    let connector = Box::new(move |port| {
        let mut served = served.lock().unwrap();
        let at = served.iter().position(|(served, _)| *served == port);
        at.and_then(|at| served.remove(at))
            .map(|(_, stream)| stream)
            .ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    });
    let backend = VsockBackend::new(42, listener, connector).unwrap();
    (Vsock::new(42), backend, address, services)
}

pub const RECEIVE_SIZE: u16 = 8;
/// Where the buffer of packet `slot` for the guest lies.
pub const fn buffer(slot: u16) -> u64 {
    0x1_0000 + 0x1000 * slot as u64
}

impl Guest {
    pub fn new(make: MakeDriver, ram: &GuestRam) -> Self {
        let (device, backend, address, services) = parts();
        let reactor = Inline::new();
        let driver = make(Box::new(device), reactor.worker(backend), ram.clone());
        let ring = |base, size| Ring::new(ram, base, size);
        Guest {
            driver,
            reactor,
            receive: ring(0x1000, RECEIVE_SIZE),
            transmit: ring(0x2000, 8),
            events: ring(0x3000, 2),
            offered: 0,
            address,
            services,
        }
    }

    pub fn negotiate(&mut self) {
        for status in [1, 3] {
            self.driver.set_status(status);
        }
        self.driver.set_features(VERSION_1 | 1);
        self.driver.set_status(0xb);
        for (index, ring) in (0..).zip([&self.receive, &self.transmit, &self.events]) {
            self.driver.enable(index, ring.size, ring.parts);
        }
        self.driver.set_status(0xf);
        assert_eq!(self.driver.status(), 0xf);
        self.reactor.run();
    }

    /// A running driver that has offered all its buffers.
    pub fn running(make: MakeDriver) -> Self {
        let mut guest = Self::new(make, &ram());
        guest.negotiate();
        (0..RECEIVE_SIZE).for_each(|_| guest.offer());
        guest
    }

    /// Offers the next buffer, of 44 + 1024 bytes.
    pub fn offer(&mut self) {
        let slot = self.offered % RECEIVE_SIZE;
        self.receive.describe(slot, &[(buffer(slot), 44 + 1024, WRITE, 0)]);
        self.receive.offer(slot);
        self.offered += 1;
        self.driver.ring(0);
        self.reactor.run();
    }

    /// Sends bytes, in two buffers if there are as many.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        const AT: u64 = 0x4_0000;
        self.transmit.write(AT, bytes);
        let len = u32::try_from(bytes.len()).unwrap();
        let (front, back) = (len.min(30), len.saturating_sub(30));
        let next = if back > 0 { NEXT } else { 0 };
        self.transmit.describe(2, &[(AT, front, next, 3), (AT + 30, back, 0, 0)]);
        self.transmit.offer(2);
        self.driver.ring(1);
        self.reactor.run();
        assert_eq!(self.transmit.take_used(), Some((2, 0)));
    }

    pub fn send(&mut self, packet: &Packet) {
        self.send_bytes(&packet.bytes());
    }

    /// The next packet for the guest. Its buffer is offered again.
    pub fn receive(&mut self) -> Option<Packet> {
        self.reactor.run();
        let (slot, written) = self.receive.take_used()?;
        let mut bytes = vec![0; written.try_into().unwrap()];
        let at = vm_memory::GuestAddress(buffer(slot.try_into().unwrap()));
        vm_memory::Bytes::read_slice(&self.receive.ram, &mut bytes, at).unwrap();
        self.offer();
        let packet = Packet::parse(&bytes);
        assert_eq!((packet.from.0, packet.to.0, packet.kind), (HOST, CID, 1));
        Some(packet)
    }

    /// The next packet for the guest, which has this operation.
    pub fn expect(&mut self, op: u16) -> Packet {
        let packet = self.receive().unwrap();
        assert_eq!(packet.op, op, "{packet:?}");
        packet
    }

    /// A client that wants to port 52, and the port on the host's side of what becomes its connection.
    pub fn call(&mut self) -> (UnixStream, u32) {
        let mut client = UnixStream::connect_addr(&self.address).unwrap();
        client.write_all(b"CONNECT 52\n").unwrap();
        let request = self.expect(REQUEST);
        assert_eq!((request.to.1, request.room, request.forwarded), (52, BUFFER, 0));
        (client, request.from.1)
    }

    /// A client that is connected to port 52.
    pub fn called(&mut self) -> (UnixStream, u32) {
        let (mut client, port) = self.call();
        self.send(&packet(RESPONSE, 52, port, b""));
        assert_eq!(hear(&mut client, 14), format!("OK {port}\n").as_bytes());
        (client, port)
    }

    /// Somebody who takes one connection to port 80.
    pub fn serve(&mut self) -> UnixStream {
        let (ours, service) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        self.services.lock().unwrap().push_back((80, ours));
        service
    }

    /// A connection of the guest's to port 80, from this port: the service's end of it.
    pub fn connect(&mut self, guest: u32) -> UnixStream {
        let service = self.serve();
        self.send(&packet(REQUEST, guest, 80, b""));
        let response = self.expect(RESPONSE);
        assert_eq!((response.from.1, response.to.1, response.room), (80, guest, BUFFER));
        service
    }
}

/// Reads that many bytes.
pub fn hear(stream: &mut UnixStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Whether a stream's other end has gone, with nothing left to read.
pub fn is_over(stream: &mut UnixStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    stream.read(&mut [0]).is_ok_and(|count| count == 0)
}

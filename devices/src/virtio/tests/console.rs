//! The console device, with a driver that knows several ports and one that knows one (VIRTIO 1.2, 5.3).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::*;
use crate::saved::testing::Random;
use crate::virtio::{Console, ConsoleBackend, PortConfig, PortEnd, PortKind, WindowSize};

const SIZE: u64 = 1;
const MULTIPORT: u64 = 2;
const EMERGENCY_WRITE: u64 = 4;

/// Events of messages.
const DEVICE_READY: u16 = 0;
const DEVICE_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const CONSOLE_PORT: u16 = 4;
const RESIZE: u16 = 5;
const PORT_OPEN: u16 = 6;
const PORT_NAME: u16 = 7;

/// The host's end of a port, as the test has it.
struct Host {
    is_open: bool,
    size: Option<WindowSize>,
    /// For the guest.
    input: VecDeque<u8>,
    /// From the guest.
    output: Vec<u8>,
    /// Bytes that it takes yet.
    room: usize,
    event: EventFd,
}

impl Host {
    fn new(is_open: bool) -> Arc<Mutex<Self>> {
        let event = EventFd::new(EFD_NONBLOCK).unwrap();
        let (input, output) = Default::default();
        Arc::new(Mutex::new(Host { is_open, size: None, input, output, room: usize::MAX, event }))
    }
}

impl PortEnd for Host {
    fn is_open(&self) -> bool {
        self.is_open
    }

    fn read(&mut self, bytes: &mut [u8]) -> usize {
        let len = self.input.len().min(bytes.len());
        bytes.iter_mut().zip(self.input.drain(..len)).for_each(|(byte, input)| *byte = input);
        len
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let len = self.room.min(bytes.len());
        self.room -= len;
        self.output.extend(&bytes[..len]);
        len
    }

    fn size(&self) -> Option<WindowSize> {
        self.size
    }

    fn events(&self) -> Option<i32> {
        Some(std::os::fd::AsRawFd::as_raw_fd(&self.event))
    }

    fn serve(&mut self) {
        self.event.read().unwrap();
    }
}

fn console(end: &Arc<Mutex<Host>>) -> PortConfig {
    PortConfig { kind: PortKind::Console, end: end.clone() }
}

/// A console that takes what the guest writes.
pub const SUBJECT: Subject = Subject {
    name: "console",
    id: 3,
    make: |reactor| {
        let ports = vec![console(&Host::new(true))];
        (Box::new(Console::new(ports.clone())), reactor.worker(ConsoleBackend::new(ports)))
    },
    features: FEATURES | SIZE | MULTIPORT | EMERGENCY_WRITE,
    queue: 1,
    request: |ring, first| ring.describe(first, &[(0x8000, 20, NEXT, first + 1), (0x9000, 5000, 0, 0)]),
    written: 0,
};

/// A device of two consoles and a stream, and its guest.
struct Guest {
    driver: Box<dyn Driver>,
    reactor: Inline,
    rings: Vec<Ring>,
    hosts: [Arc<Mutex<Host>>; 3],
    /// There is a buffer for a message.
    listens: bool,
}

impl Guest {
    fn over(make: MakeDriver, ram: &GuestRam) -> Self {
        let hosts = [Host::new(true), Host::new(true), Host::new(false)];
        let mut ports: Vec<_> = hosts.iter().map(console).collect();
        ports[2].kind = PortKind::Named("org.example.agent".to_owned());
        let reactor = Inline::new();
        let backend = reactor.worker(ConsoleBackend::new(ports.clone()));
        let driver = make(Box::new(Console::new(ports)), backend, ram.clone());
        let rings = (0..8).map(|queue| Ring::new(ram, 0x1000 * (queue + 1), 16)).collect();
        Guest { driver, reactor, rings, hosts, listens: false }
    }

    fn running(make: MakeDriver, features: u64) -> Self {
        let mut guest = Self::over(make, &ram());
        guest.driver.set_status(3);
        guest.driver.set_features(VERSION_1 | features);
        guest.driver.set_status(0xb);
        let count = if features & MULTIPORT != 0 { 8 } else { 2 };
        for (index, ring) in (0..count).zip(&guest.rings) {
            guest.driver.enable(index, ring.size, ring.parts);
        }
        guest.driver.set_status(0xf);
        assert_eq!(guest.driver.status(), 0xf);
        guest.reactor.run();
        guest
    }

    /// One whose driver has made all ports, and has them open.
    fn open(make: MakeDriver) -> Self {
        let mut guest = Self::running(make, MULTIPORT);
        guest.say(0, DEVICE_READY, 1);
        (0..3).for_each(|_| _ = guest.hear());
        for port in 0..3 {
            guest.say(port, PORT_READY, 1);
            guest.say(port, PORT_OPEN, 1);
        }
        while guest.hear().is_some() {}
        guest
    }

    fn host(&self, port: usize) -> std::sync::MutexGuard<'_, Host> {
        self.hosts[port].lock().unwrap()
    }

    /// Changes a host's end, and has the device find out.
    fn change(&mut self, port: usize, change: impl FnOnce(&mut Host)) {
        {
            let mut host = self.hosts[port].lock().unwrap();
            change(&mut host);
            host.event.write(1).unwrap();
        }
        self.reactor.run();
    }

    /// Offers a buffer of this queue; the chain's descriptor is the number of the slot.
    fn offer(&mut self, queue: u16, slot: u16, descriptor: super::super::testing::Descriptor) {
        let ring = &mut self.rings[usize::from(queue)];
        ring.describe(slot, &[descriptor]);
        ring.offer(slot);
        self.driver.ring(queue);
        self.reactor.run();
    }

    fn used(&mut self, queue: u16) -> Option<(u32, u32)> {
        self.rings[usize::from(queue)].take_used()
    }

    /// Writes to a port's transmit queue. Whether it has been taken.
    fn write(&mut self, queue: u16, bytes: &[u8]) -> bool {
        self.rings[0].write(0x2_0000, bytes);
        self.offer(queue, 0, (0x2_0000, bytes.len().try_into().unwrap(), 0, 0));
        self.used(queue) == Some((0, 0))
    }

    fn say_bytes(&mut self, bytes: &[u8]) {
        assert!(self.write(3, bytes), "a message is taken, whatever it says");
    }

    fn say(&mut self, port: u32, event: u16, value: u16) {
        let bytes = [&port.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat();
        self.say_bytes(&bytes);
    }

    /// What the device says, once: port, event, value and what follows.
    fn hear(&mut self) -> Option<(u32, u16, u16, Vec<u8>)> {
        if !std::mem::replace(&mut self.listens, true) {
            self.offer(2, 0, (0x2_1000, 64, WRITE, 0));
        }
        let (_, len) = self.used(2)?;
        self.listens = false;
        let bytes: [u8; 64] = self.rings[0].read(0x2_1000);
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Some((u32::from(half(0)), half(4), half(6), bytes[8..usize::try_from(len).unwrap()].to_vec()))
    }
}

fn everywhere(test: impl Fn(MakeDriver)) {
    for (name, make) in TRANSPORTS {
        println!("over {name}");
        test(make);
    }
}

#[test]
fn a_driver_of_one_port_has_a_console() {
    everywhere(|make| {
        let mut guest = Guest::running(make, SIZE);
        guest.host(0).size = Some((0x50, 0x18));
        for (offset, word) in [(0, [0x50, 0, 0x18, 0]), (4, [3, 0, 0, 0]), (8, [0; 4])] {
            let mut config = [0xa5; 4];
            guest.driver.read_config(offset, &mut config);
            assert_eq!(config, word);
        }
        assert!(guest.write(1, b"hello"));
        assert_eq!(guest.host(0).output, b"hello");
        guest.change(0, |host| host.input.extend(b"typed"));
        guest.offer(0, 0, (0x2_2000, 3, WRITE, 0));
        assert_eq!((guest.used(0), guest.rings[0].read(0x2_2000)), (Some((0, 3)), *b"typ\0"));
        guest.offer(0, 0, (0x2_2000, 3, WRITE, 0));
        assert_eq!((guest.used(0), guest.rings[0].read(0x2_2000)), (Some((0, 2)), *b"ed"));
        // A buffer waits for input.
        guest.offer(0, 0, (0x2_2000, 8, WRITE, 0));
        assert_eq!(guest.used(0), None);
        guest.change(0, |host| host.input.extend(b"!"));
        assert_eq!(guest.used(0), Some((0, 1)));
        // No room is an answer, too.
        guest.offer(0, 0, (0x2_2000, 8, 0, 0));
        assert_eq!(guest.used(0), Some((0, 0)));
    });
}

#[test]
fn an_emergency_needs_no_queues() {
    everywhere(|make| {
        let mut guest = Guest::over(make, &ram());
        assert_eq!(guest.driver.features() & 7, SIZE | MULTIPORT | EMERGENCY_WRITE);
        guest.driver.core().write_config(8, &[b'o', 0, 0, 0]);
        guest.driver.core().write_config(8, b"k");
        guest.driver.core().write_config(8, b"");
        guest.driver.core().write_config(0, b"no");
        assert_eq!((&*guest.host(0).output, &*guest.host(1).output), (&b"ok"[..], &b""[..]));
    });
}

#[test]
fn the_driver_learns_what_each_port_is() {
    everywhere(|make| {
        let mut guest = Guest::running(make, MULTIPORT);
        guest.host(1).size = Some((80, 0x1234));
        assert_eq!(guest.hear(), None, "it is not ready");
        guest.say(0, DEVICE_READY, 1);
        assert_eq!(
            [(); 3].map(|()| guest.hear().unwrap()),
            [0, 1, 2].map(|port| (port, DEVICE_ADD, 0, vec![]))
        );
        assert_eq!(guest.hear(), None);
        guest.say(2, PORT_READY, 1);
        assert_eq!(guest.hear(), Some((2, PORT_NAME, 1, b"org.example.agent".to_vec())));
        assert_eq!(guest.hear(), None, "nobody is at its end");
        guest.say(1, PORT_READY, 1);
        assert_eq!(guest.hear(), Some((1, CONSOLE_PORT, 1, vec![])));
        assert_eq!(guest.hear(), Some((1, PORT_OPEN, 1, vec![])));
        assert_eq!(guest.hear(), Some((1, RESIZE, 0, vec![80, 0, 0x34, 0x12])));
        assert_eq!(guest.hear(), None);
        // As they come and go.
        guest.change(2, |host| host.is_open = true);
        assert_eq!(guest.hear(), Some((2, PORT_OPEN, 1, vec![])));
        guest.change(2, |host| host.is_open = false);
        guest.change(1, |host| host.size = Some((81, 25)));
        assert_eq!(guest.hear(), Some((1, RESIZE, 0, vec![81, 0, 25, 0])));
        assert_eq!(guest.hear(), Some((2, PORT_OPEN, 0, vec![])));
        assert_eq!(guest.hear(), None);
        // A driver that begins anew.
        guest.say(0, DEVICE_READY, 1);
        assert_eq!(guest.hear(), Some((0, DEVICE_ADD, 0, vec![])));
    });
}

#[test]
fn each_port_has_its_queues() {
    everywhere(|make| {
        let mut guest = Guest::open(make);
        guest.change(2, |host| host.is_open = true);
        for (port, queue) in [(0, 1), (1, 5), (2, 7)] {
            assert!(guest.write(queue, &[b'0' + u8::try_from(port).unwrap()]));
            assert_eq!(guest.host(port).output, [b'0' + u8::try_from(port).unwrap()]);
            guest.offer(queue - 1, 0, (0x2_2000, 8, WRITE, 0));
            assert_eq!(guest.used(queue - 1), None);
            guest.change(port, |host| host.input.push_back(b'x'));
            assert_eq!(guest.used(queue - 1), Some((0, 1)));
        }
        // What nobody has open in the guest waits, with the host.
        guest.say(2, PORT_OPEN, 0);
        guest.offer(6, 0, (0x2_2000, 8, WRITE, 0));
        guest.change(2, |host| host.input.push_back(b'y'));
        assert_eq!((guest.used(6), guest.host(2).input.len()), (None, 1));
        guest.say(2, PORT_OPEN, 1);
        assert_eq!(guest.used(6), Some((0, 1)));
        // And what is written to nobody is gone.
        guest.change(2, |host| host.is_open = false);
        assert!(guest.write(7, b"nobody"));
        assert_eq!(guest.host(2).output, b"2");
    });
}

#[test]
fn what_the_host_does_not_take_waits() {
    everywhere(|make| {
        let mut guest = Guest::open(make);
        guest.host(1).room = 6000;
        let text: Vec<u8> = (0..10_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        assert!(!guest.write(5, &text));
        assert_eq!(guest.host(1).output, text[..6000]);
        assert!(guest.write(1, b"another port goes on"));
        // It goes on elsewhere, too, where it was.
        let saved = guest.driver.saved().save().unwrap();
        let mut other = Guest::over(make, &guest.rings[0].ram);
        other.driver.saved().restore(&saved).unwrap();
        assert_eq!(other.driver.saved().save().unwrap(), saved);
        other.driver.core().start();
        other.reactor.run();
        assert_eq!((guest.used(5), &*other.host(1).output), (Some((0, 0)), &text[6000..]));
        let mut guest = Guest::open(make);
        guest.host(1).room = 6000;
        assert!(!guest.write(5, &text));
        guest.change(1, |host| host.room = 1000);
        assert_eq!((guest.used(5), guest.host(1).output.len()), (None, 7000));
        guest.change(1, |host| host.room = usize::MAX);
        assert_eq!(guest.used(5), Some((0, 0)));
        assert!(guest.host(1).output == text);
        // Who leaves does not hold up the guest.
        guest.host(1).room = 3;
        assert!(!guest.write(5, b"abcdef"));
        guest.change(1, |host| host.is_open = false);
        assert_eq!(guest.used(5), Some((0, 0)));
        // The next chain begins at its beginning.
        guest.change(1, |host| (host.is_open, host.room) = (true, usize::MAX));
        guest.host(1).output.clear();
        assert!(guest.write(5, b"new"));
        assert_eq!(guest.host(1).output, b"new");
    });
}

#[test]
fn a_chain_as_large_as_ram_is_written_in_turns() {
    everywhere(|make| {
        let mut guest = Guest::open(make);
        let all = u32::try_from(RAM_SIZE).unwrap();
        let ring = &mut guest.rings[1];
        ring.describe(0, &[(0, all, NEXT, 1), (0, all, NEXT, 2), (0, 5, 0, 0)]);
        ring.offer(0);
        guest.driver.ring(1);
        guest.reactor.step();
        assert_eq!(guest.host(0).output.len(), RAM_SIZE);
        guest.reactor.run();
        assert_eq!((guest.used(1), guest.host(0).output.len()), (Some((0, 0)), 2 * RAM_SIZE + 5));
    });
}

#[test]
fn what_makes_no_sense_is_passed_over() {
    everywhere(|make| {
        let mut guest = Guest::running(make, MULTIPORT);
        // Before it is ready, of ports that there are not, of what only the device says, and none at all.
        guest.say(0, PORT_READY, 1);
        guest.say(0, PORT_OPEN, 1);
        for event in 0..10 {
            guest.say(3, event, u16::from(event != DEVICE_READY));
            guest.say(u32::MAX, event, u16::from(event != DEVICE_READY));
        }
        guest.say_bytes(&[0; 7]);
        guest.say(0, DEVICE_READY, 0);
        guest.offer(3, 0, (0x2_0000, 64, WRITE, 0));
        assert_eq!((guest.used(3), guest.hear()), (Some((0, 0)), None));
        guest.say(0, DEVICE_READY, 1);
        assert_eq!(guest.hear(), Some((0, DEVICE_ADD, 0, vec![])));
        // A buffer that is too short gets what fits, and no more than once.
        guest.offer(2, 0, (0x2_1000, 5, WRITE, 0));
        assert_eq!(guest.used(2), Some((0, 5)));
        assert_eq!(guest.hear(), Some((2, DEVICE_ADD, 0, vec![])));
        assert_eq!(guest.hear(), None);
        let mut random = Random::new();
        for _ in 0..300 {
            let mut bytes = [0_u8; 8];
            bytes.iter_mut().for_each(|byte| *byte = random.below(9).try_into().unwrap());
            bytes[1..4].fill(0);
            bytes[5] = 0;
            guest.say_bytes(&bytes);
            guest.hear();
        }
        assert_eq!(guest.driver.status(), 0xf);
    });
}

#[test]
fn a_reset_forgets_what_the_driver_knows() {
    everywhere(|make| {
        let mut guest = Guest::open(make);
        guest.driver.set_status(0);
        let fresh = Guest::over(make, &ram()).driver.saved().save().unwrap();
        guest.driver.take_interrupts();
        assert_eq!(guest.driver.saved().save().unwrap().bytes.len(), fresh.bytes.len());
        let mut other = Guest::running(make, MULTIPORT);
        assert_eq!(other.hear(), None);
    });
}

//! What holds for every device on every transport.

mod balloon;
mod changes;
mod console;
mod mem;
mod pmem;
mod saved;
mod vsock;

use super::net::testing as net;
use super::testing::ccw::{CcwDriver, Told};
use super::testing::pci::{PciDriver, Way};
use super::testing::{Driver, INDIRECT, Inline, MmioDriver, NEXT, RAM_SIZE, Ring, WRITE, ram};
use super::{Blk, BlkBackend, DiskInfo, Limits, Rng, RngBackend, VirtioDevice, Worker, blk, status};
use crate::GuestRam;

pub const VERSION_1: u64 = 1 << 32;
const INDIRECT_DESC: u64 = 1 << 28;
const EVENT_IDX: u64 = 1 << 29;
const RING_RESET: u64 = 1 << 40;

/// Entropy that is not: each byte is its number.
struct Counting(u8);

impl std::io::Read for Counting {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        for byte in &mut *bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(bytes.len())
    }
}

pub type MakeDriver = fn(Box<dyn VirtioDevice>, Box<dyn Worker>, GuestRam) -> Box<dyn Driver>;

/// Every transport.
pub const TRANSPORTS: [(&str, MakeDriver); 6] = [
    ("mmio", |device, worker, ram| Box::new(MmioDriver::new(device, worker, ram))),
    ("PCI with MSI-X", |device, worker, ram| Box::new(PciDriver::new(device, worker, ram, Way::Msix))),
    ("PCI with an interrupt pin", |device, worker, ram| {
        Box::new(PciDriver::new(device, worker, ram, Way::Pin))
    }),
    ("PCI through configuration space", |device, worker, ram| {
        Box::new(PciDriver::new(device, worker, ram, Way::Config))
    }),
    ("ccw with classic interrupts", |device, worker, ram| {
        Box::new(CcwDriver::new(device, worker, ram, Told::Classic))
    }),
    ("ccw with adapter interrupts", |device, worker, ram| {
        Box::new(CcwDriver::new(device, worker, ram, Told::Adapter))
    }),
];

/// Makes both parts of a device.
pub type MakeDevice = fn(&Inline) -> (Box<dyn VirtioDevice>, Box<dyn Worker>);

/// A device as its driver knows it.
pub struct Subject {
    name: &'static str,
    /// Its type.
    id: u32,
    /// Makes one whose backend runs on this reactor.
    make: MakeDevice,
    /// Features that it offers on any transport.
    pub features: u64,
    /// The queue that requests go to. The other ones are not enabled.
    queue: u16,
    /// Puts a request into four descriptors from this one on. Buffers may be between 0x8000 and 0x10000; a device that is started
    /// carries it out at once.
    pub request: fn(&Ring, u16),
    /// How many bytes it writes for that.
    written: u32,
}

/// Every device.
pub const DEVICES: [Subject; 9] = [
    Subject {
        name: "rng",
        id: 4,
        make: |reactor| (Box::new(Rng), reactor.worker(RngBackend::new(Counting(1)))),
        features: FEATURES,
        queue: 0,
        request: |ring, first| {
            ring.describe(first, &[(0x8000, 3, WRITE | NEXT, first + 1), (0x9000, 2, WRITE, 0)])
        },
        written: 5,
    },
    Subject {
        name: "net-receive",
        id: 1,
        make: net::endless,
        features: FEATURES | net::FEATURES,
        queue: 0,
        request: |ring, first| {
            ring.describe(first, &[(0x8000, 20, WRITE | NEXT, first + 1), (0x9000, 1800, WRITE, 0)])
        },
        written: 12 + 60,
    },
    Subject {
        name: "net-transmit",
        id: 1,
        make: net::endless,
        features: FEATURES | net::FEATURES,
        queue: 1,
        request: |ring, first| {
            ring.describe(
                first,
                &[(0x8000, 11, NEXT, first + 1), (0x9000, 60, NEXT, first + 2), (0xa000, 7, 0, 0)],
            )
        },
        written: 0,
    },
    Subject {
        name: "blk",
        id: 2,
        make: |reactor| {
            let info = DiskInfo { sectors: 8, ..blk::tests::info() };
            let disk = Box::new(blk::tests::MemDisk::new(8));
            let backend = BlkBackend::new(disk, info.clone(), Limits::default()).unwrap();
            (Box::new(Blk::new(&info)), reactor.worker(backend))
        },
        features: FEATURES | 0x6644,
        queue: 0,
        // Reads a sector.
        request: |ring, first| {
            ring.write(0x8000, &[0; 16]);
            let data = (0x9000, 512, WRITE | NEXT, first + 2);
            ring.describe(first, &[(0x8000, 16, NEXT, first + 1), data, (0xa000, 1, WRITE, 0)]);
        },
        written: 513,
    },
    balloon::SUBJECT,
    mem::SUBJECT,
    pmem::SUBJECT,
    vsock::SUBJECT,
    console::SUBJECT,
];

/// What every device offers.
const FEATURES: u64 = VERSION_1 | EVENT_IDX | INDIRECT_DESC;

/// A device on a transport.
#[derive(Clone, Copy)]
pub struct Case {
    pub subject: &'static Subject,
    pub transport: MakeDriver,
}

/// A device on a transport, reset, and its guest.
pub struct Fixture {
    subject: &'static Subject,
    pub driver: Box<dyn Driver>,
    pub reactor: Inline,
    pub ring: Ring,
}

impl Fixture {
    pub fn new(case: Case) -> Self {
        Self::over(case, Ring::new(&ram(), 0x1000, 16))
    }

    /// Over a ring that is there already, with its RAM.
    fn over(Case { subject, transport }: Case, ring: Ring) -> Self {
        let reactor = Inline::new();
        let (device, worker) = (subject.make)(&reactor);
        Fixture { subject, driver: transport(device, worker, ring.ram.clone()), reactor, ring }
    }

    /// Takes the device from a reset to a running driver.
    fn negotiate(&mut self, features: u64) {
        let driver = &mut self.driver;
        driver.set_status(status::ACKNOWLEDGE);
        driver.set_status(status::ACKNOWLEDGE | status::DRIVER);
        driver.set_features(features);
        driver.set_status(status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK);
        assert_eq!(driver.status(), 0xb, "features are agreed on");
        driver.enable(self.subject.queue, self.ring.size, self.ring.parts);
        driver.set_status(0xf);
    }

    /// A running driver.
    pub fn running(case: Case, features: u64) -> Self {
        let mut fixture = Self::new(case);
        fixture.negotiate(features);
        assert_eq!(fixture.driver.status(), 0xf);
        fixture.settle();
        fixture
    }

    fn settle(&self) {
        self.reactor.run();
    }

    fn ring(&mut self) {
        self.driver.ring(self.subject.queue);
        self.settle();
    }

    /// Makes one of four requests available.
    fn offer(&mut self, request: u16) {
        (self.subject.request)(&self.ring, request * 4);
        self.ring.offer(request * 4);
    }

    /// Takes back a request that was carried out.
    fn assert_served(&mut self, request: u16) {
        assert_eq!(self.ring.take_used(), Some((u32::from(request) * 4, self.subject.written)));
    }

    /// Has the device carry out a request, alone.
    fn assert_works(&mut self) {
        self.offer(0);
        self.ring();
        self.assert_served(0);
        assert_eq!(self.ring.take_used(), None);
    }

    /// Resets the device, and starts it anew over another ring.
    fn restart(&mut self) {
        self.driver.set_status(0);
        assert_eq!(self.driver.status(), 0);
        self.ring = Ring::new(&self.ring.ram, 0x3000, 4);
        self.negotiate(VERSION_1);
    }

    /// That the device wants a reset and gets to work again after it.
    fn assert_broken_until_reset(&mut self) {
        assert!(self.driver.told().1, "the driver is told");
        self.assert_broken_until_reset_untold();
    }

    /// The same of a driver that need not be told.
    fn assert_broken_until_reset_untold(&mut self) {
        assert_eq!(self.driver.status(), 0x4f);
        self.offer(0);
        self.ring();
        assert_eq!(self.ring.take_used(), None);
        self.restart();
        self.assert_works();
    }
}

fn on_every_transport(test: impl Fn(Case)) {
    for (name, transport) in TRANSPORTS {
        for subject in &DEVICES {
            println!("{} over {name}", subject.name);
            test(Case { subject, transport });
        }
    }
}

/// The same of the entropy device.
fn rng_on_every_transport(test: impl Fn(Case)) {
    on_every_transport(|case| {
        if case.subject.id == 4 {
            test(case);
        }
    });
}

#[test]
fn a_request_is_carried_out_and_told() {
    on_every_transport(|case| {
        for features in [VERSION_1, case.subject.features] {
            let mut fixture = Fixture::running(case, features);
            assert_eq!(fixture.driver.device_id(), case.subject.id);
            assert_eq!(fixture.driver.told(), (false, false));
            fixture.assert_works();
            assert_eq!(fixture.driver.told(), (true, false));
        }
    });
}

#[test]
fn a_request_is_filled() {
    rng_on_every_transport(|case| {
        for features in [VERSION_1, FEATURES] {
            let mut fixture = Fixture::running(case, features);
            fixture.ring.describe(3, &[(0x8000, 3, WRITE | NEXT, 4), (0x9000, 2, WRITE, 0)]);
            fixture.ring.offer(3);
            fixture.ring();
            assert_eq!(fixture.ring.take_used(), Some((3, 5)));
            assert_eq!(fixture.ring.read(0x8000), [1, 2, 3, 0]);
            assert_eq!(fixture.ring.read(0x9000), [4, 5, 0]);
        }
    });
}

#[test]
fn a_ring_goes_round() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1);
        for round in 0..100 {
            fixture.offer(round % 4);
            fixture.ring();
            fixture.assert_served(round % 4);
        }
    });
}

#[test]
fn an_indirect_table_is_followed() {
    rng_on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1 | INDIRECT_DESC);
        fixture.ring.describe(0, &[(0xa000, 32, INDIRECT, 0)]);
        fixture.ring.put_descriptor(0xa000, 0, (0x8000, 1, WRITE | NEXT, 1));
        fixture.ring.put_descriptor(0xa000, 1, (0x8100, 1, WRITE, 0));
        fixture.ring.offer(0);
        fixture.ring();
        assert_eq!(fixture.ring.take_used(), Some((0, 2)));
        assert_eq!((fixture.ring.read(0x8000), fixture.ring.read(0x8100)), ([1], [2]));
    });
}

#[test]
fn interrupts_that_are_not_wanted_do_not_come() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1);
        fixture.ring.set_quiet(true);
        fixture.assert_works();
        assert_eq!(fixture.driver.told(), (false, false));
    });
}

#[test]
fn features_that_can_not_be_are_not_agreed_on() {
    on_every_transport(|case| {
        let offered = Fixture::new(case).driver.features();
        assert_eq!(offered & !RING_RESET, case.subject.features);
        for features in [0, EVENT_IDX, VERSION_1 | 1 << 34, VERSION_1 | 1 << 63, u64::MAX] {
            let mut driver = Fixture::new(case).driver;
            driver.set_status(3);
            driver.set_features(features);
            driver.set_status(0xb);
            assert_eq!(driver.status(), 3, "{features:#x}");
            driver.set_status(7);
            assert_eq!(driver.status(), 3, "no driver without features");
        }
    });
}

#[test]
fn a_reset_in_the_middle_forgets_everything() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1);
        fixture.offer(0);
        fixture.driver.ring(case.subject.queue);
        fixture.driver.set_status(0);
        assert_eq!((fixture.driver.status(), fixture.driver.told()), (0, (false, false)));
        fixture.settle();
        assert_eq!(fixture.ring.take_used(), None, "nothing is written after a reset");
        fixture.restart();
        fixture.assert_works();
    });
}

#[test]
fn a_stopped_device_goes_on_where_it_was() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1);
        fixture.assert_works();
        fixture.driver.core().stop();
        assert_eq!(fixture.driver.core().queue(case.subject.queue.into()).progress, (1, 1));
        fixture.offer(1);
        fixture.ring();
        assert_eq!(fixture.ring.take_used(), None);
        fixture.driver.core().start();
        fixture.settle();
        // What was rung for meanwhile.
        fixture.assert_served(1);
    });
}

#[test]
fn rings_that_can_not_be_ask_for_a_reset() {
    const END: u64 = RAM_SIZE as u64;
    on_every_transport(|case| {
        let queue = case.subject.queue;
        let too_long = Fixture::new(case).driver.max_size(queue) * 2;
        let cases = [
            (8, [0x1008, 0x2000, 0x3000]),
            (8, [0x1000, 0x2001, 0x3000]),
            (8, [0x1000, 0x2000, 0x3002]),
            (3, [0x1000, 0x2000, 0x3000]),
            (0, [0x1000, 0x2000, 0x3000]),
            (too_long, [0x1000, 0x2000, 0x3000]),
            (8, [END - 16, 0x2000, 0x3000]),
            (8, [0x1000, END - 16, 0x3000]),
            (8, [0x1000, 0x2000, END - 16]),
            (8, [0x1000, 0x2000, u64::MAX - 3]),
            (8, [u64::MAX - 15, 0x2000, 0x3000]),
        ];
        for (size, parts) in cases {
            let mut fixture = Fixture::new(case);
            fixture.driver.set_status(3);
            fixture.driver.set_features(VERSION_1);
            fixture.driver.set_status(0xb);
            fixture.driver.enable(queue, size, parts);
            fixture.driver.set_status(0xf);
            fixture.assert_broken_until_reset();
        }
    });
}

#[test]
fn chains_that_can_not_be_ask_for_a_reset() {
    const END: u64 = RAM_SIZE as u64;
    on_every_transport(|case| {
        let cases: [(&str, &[super::testing::Descriptor]); 9] = [
            ("a loop", &[(0x8000, 1, WRITE | NEXT, 1), (0x8000, 1, WRITE | NEXT, 0)]),
            ("itself", &[(0x8000, 1, WRITE | NEXT, 0)]),
            ("an index out of range", &[(0x8000, 1, WRITE | NEXT, 16)]),
            ("a buffer across the end of RAM", &[(END - 1, 2, WRITE, 0)]),
            ("a buffer across the end of all", &[(u64::MAX, 2, WRITE, 0)]),
            ("readable after writable", &[(0x8000, 1, WRITE | NEXT, 1), (0x8000, 1, 0, 0)]),
            ("an indirect table of odd length", &[(0xa000, 17, INDIRECT, 0)]),
            ("an indirect table outside", &[(END, 16, INDIRECT, 0)]),
            ("an empty indirect table", &[(0xa000, 0, INDIRECT, 0)]),
        ];
        for (what, descriptors) in cases {
            println!("{what}");
            let mut fixture = Fixture::running(case, VERSION_1 | INDIRECT_DESC);
            fixture.ring.describe(0, descriptors);
            fixture.ring.offer(0);
            fixture.ring();
            fixture.assert_broken_until_reset();
        }
    });
}

#[test]
fn a_head_or_an_index_out_of_range_asks_for_a_reset() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1);
        fixture.ring.offer(16);
        fixture.ring();
        fixture.assert_broken_until_reset();
        let mut fixture = Fixture::running(case, VERSION_1);
        fixture.ring.set_available(17);
        fixture.ring();
        fixture.assert_broken_until_reset();
    });
}

#[test]
fn a_chain_of_endless_buffers_is_refused() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1 | INDIRECT_DESC);
        for index in 0..1025 {
            let flags = if index < 1024 { WRITE | NEXT } else { WRITE };
            fixture.ring.put_descriptor(0xa000, index, (0x8000, 1, flags, index + 1));
        }
        fixture.ring.describe(0, &[(0xa000, 1025 * 16, INDIRECT, 0)]);
        fixture.ring.offer(0);
        fixture.ring();
        fixture.assert_broken_until_reset();
    });
}

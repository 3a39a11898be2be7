//! Persistent memory, with a driver that flushes it (VIRTIO 1.3, 5.19).

use super::*;
use crate::virtio::{Pmem, PmemBackend};
use blk::tests::MemDisk;

const ADDRESS: u64 = 5 << 30;
const SIZE: u64 = 6 << 20;

/// Persistent memory that is flushed.
pub const SUBJECT: Subject = Subject {
    name: "pmem",
    id: 27,
    make: |reactor| {
        let backend = PmemBackend::new(Box::new(MemDisk::new(8)));
        (Box::new(Pmem::new(ADDRESS, SIZE)), reactor.worker(backend))
    },
    features: FEATURES,
    queue: 0,
    request: |ring, first| {
        ring.write(0x8000, &[0; 4]);
        ring.describe(first, &[(0x8000, 4, NEXT, first + 1), (0x9000, 4, WRITE, 0)]);
    },
    written: 4,
};

fn fixture(disk: &MemDisk, transport: MakeDriver) -> Fixture {
    let (reactor, ram) = (Inline::new(), ram());
    let worker = reactor.worker(PmemBackend::new(Box::new(disk.clone())));
    let driver = transport(Box::new(Pmem::new(ADDRESS, SIZE)), worker, ram.clone());
    let mut fixture = Fixture { subject: &SUBJECT, driver, reactor, ring: Ring::new(&ram, 0x1000, 64) };
    fixture.negotiate(VERSION_1);
    fixture.settle();
    fixture
}

fn everywhere(test: impl Fn(&MemDisk, Fixture)) {
    for (name, transport) in TRANSPORTS {
        println!("{name}");
        let disk = MemDisk::new(8);
        test(&disk, fixture(&disk, transport));
    }
}

/// A chain of its own for each request: the response of request `index` is at 0x9000 + 4 * `index`.
fn offer(fixture: &mut Fixture, index: u16) {
    fixture.ring.write(0x8000, &[0; 4]);
    let response = 0x9000 + 4 * u64::from(index);
    fixture.ring.write(response, &[0xee; 4]);
    fixture.ring.describe(2 * index, &[(0x8000, 4, NEXT, 2 * index + 1), (response, 4, WRITE, 0)]);
    fixture.ring.offer(2 * index);
}

#[test]
fn a_driver_is_told_where_it_lies_and_flushes_it() {
    everywhere(|disk, mut fixture| {
        let mut config = [0xa5; 16];
        for (offset, word) in (0..).step_by(4).zip(config.as_chunks_mut::<4>().0) {
            fixture.driver.read_config(offset, word);
        }
        assert_eq!(config, *[ADDRESS, SIZE].map(u64::to_le_bytes).as_flattened());
        offer(&mut fixture, 0);
        fixture.ring();
        assert_eq!((fixture.ring.take_used(), fixture.ring.read(0x9000)), (Some((0, 4)), [0; 4]));
        assert_eq!(disk.log(), ["flush at 0"]);
        disk.set(false, true);
        offer(&mut fixture, 1);
        fixture.ring();
        assert_eq!((fixture.ring.take_used(), fixture.ring.read(0x9004)), (Some((2, 4)), [0xff; 4]));
    });
}

#[test]
fn a_flush_is_done_before_the_device_stops() {
    everywhere(|disk, mut fixture| {
        disk.set(true, false);
        offer(&mut fixture, 0);
        fixture.ring();
        assert_eq!((fixture.ring.take_used(), fixture.ring.read(0x9000)), (None, [0xee; 4]));
        fixture.driver.core().stop();
        assert_eq!((fixture.ring.take_used(), fixture.ring.read(0x9000)), (Some((0, 4)), [0; 4]));
        assert_eq!(fixture.driver.told(), (true, false));
    });
}

#[test]
fn more_flushes_than_are_in_flight_wait() {
    everywhere(|disk, mut fixture| {
        disk.set(true, false);
        (0..20).for_each(|index| offer(&mut fixture, index));
        fixture.ring();
        disk.work();
        fixture.settle();
        assert_eq!(disk.log().len(), 16);
        disk.work();
        fixture.settle();
        assert_eq!(disk.log().len(), 4);
        let mut served: Vec<_> = std::iter::from_fn(|| fixture.ring.take_used()).collect();
        served.sort_unstable();
        assert_eq!(served, (0..20).map(|index| (2 * index, 4)).collect::<Vec<_>>());
        assert_eq!(fixture.driver.status(), 0xf);
    });
}

#[test]
fn what_is_no_flush_fails_and_what_can_not_be_answered_asks_for_a_reset() {
    everywhere(|disk, mut fixture| {
        offer(&mut fixture, 0);
        fixture.ring.write(0x8000, &[1, 0, 0, 0]);
        fixture.ring();
        assert_eq!((fixture.ring.take_used(), fixture.ring.read(0x9000)), (Some((0, 4)), [0xff; 4]));
        assert_eq!(disk.log(), [] as [&str; 0]);
        let chains: [&[super::super::testing::Descriptor]; 3] =
            [&[(0x8000, 3, NEXT, 1), (0x9000, 4, WRITE, 0)], &[(0x8000, 4, 0, 0)], &[(0x9000, 8, WRITE, 0)]];
        for chain in chains {
            fixture.ring.describe(0, chain);
            fixture.ring.offer(0);
            fixture.ring();
            assert_eq!(fixture.driver.status(), 0x4f);
            fixture.restart();
        }
    });
}

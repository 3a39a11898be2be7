//! What changes while a driver runs: the configuration space, and queues one by one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::nothing_to_save;
use crate::virtio::DeviceType;

/// A device whose configuration is a number that the host changes.
struct Sized(Arc<AtomicU32>);

nothing_to_save!(Sized, "test");

impl VirtioDevice for Sized {
    fn device_type(&self) -> DeviceType {
        DeviceType::Entropy
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[16]
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        assert_eq!(offset, 0);
        data.copy_from_slice(&self.0.load(Ordering::Relaxed).to_le_bytes());
    }

    fn write_config(&mut self, _: u64, _: &[u8]) {}
}

#[test]
fn a_changed_configuration_has_another_generation_and_is_told() {
    for (name, transport) in TRANSPORTS {
        println!("over {name}");
        let (size, reactor, ram) = (Arc::new(AtomicU32::new(7)), Inline::new(), ram());
        let worker = reactor.worker(RngBackend::new(Counting(1)));
        let driver = transport(Box::new(Sized(size.clone())), worker, ram.clone());
        let mut fixture =
            Fixture { subject: &DEVICES[0], driver, reactor, ring: Ring::new(&ram, 0x1000, 16) };
        let read = |fixture: &mut Fixture| {
            let mut bytes = [0; 4];
            fixture.driver.read_config(0, &mut bytes);
            (u32::from_le_bytes(bytes), fixture.driver.core().generation())
        };
        assert_eq!(read(&mut fixture), (7, 0));
        size.store(8, Ordering::Relaxed);
        fixture.driver.core().config_changed();
        fixture.negotiate(VERSION_1);
        assert_eq!((fixture.driver.told(), read(&mut fixture)), ((false, false), (8, 1)), "nobody was there");
        size.store(9, Ordering::Relaxed);
        fixture.driver.core().config_changed();
        assert_eq!((fixture.driver.told(), read(&mut fixture)), ((false, true), (9, 2)));
        assert_eq!(fixture.driver.told(), (false, false));
        // A reset does not take it back, as what was read before may still be known.
        fixture.restart();
        assert_eq!(read(&mut fixture), (9, 2));
        for _ in 0..254 {
            fixture.driver.core().config_changed();
        }
        assert_eq!(read(&mut fixture), (9, 0));
    }
}

#[test]
fn the_generation_is_a_register() {
    let reactor = Inline::new();
    let worker = reactor.worker(RngBackend::new(Counting(1)));
    let mut driver = MmioDriver::new(Box::new(Rng), worker, ram());
    assert_eq!(driver.read(0xfc), 0);
    driver.core().config_changed();
    assert_eq!(driver.read(0xfc), 1);
}

#[test]
fn a_queue_is_reset_alone() {
    on_every_transport(|case| {
        if Fixture::new(case).driver.features() & RING_RESET == 0 {
            return;
        }
        let queue = case.subject.queue;
        let mut fixture = Fixture::running(case, VERSION_1 | RING_RESET);
        fixture.assert_works();
        fixture.offer(1);
        fixture.driver.ring(queue);
        fixture.driver.reset_queue(queue);
        fixture.ring();
        assert_eq!((fixture.ring.take_used(), fixture.driver.status()), (None, 0xf), "the device stays");
        // From its beginning, elsewhere.
        fixture.ring = Ring::new(&fixture.ring.ram, 0x3000, 4);
        fixture.driver.enable(queue, fixture.ring.size, fixture.ring.parts);
        fixture.assert_works();
    });
}

#[test]
fn a_queue_is_not_reset_without_agreement() {
    on_every_transport(|case| {
        if Fixture::new(case).driver.features() & RING_RESET == 0 {
            return;
        }
        let mut fixture = Fixture::running(case, VERSION_1);
        fixture.driver.core().reset_queue(case.subject.queue.into());
        fixture.assert_works();
        let mut fixture = Fixture::running(case, VERSION_1 | RING_RESET);
        fixture.driver.core().reset_queue(0x1_0000);
        fixture.assert_works();
    });
}

#[test]
fn a_queue_that_broke_the_rules_needs_more_than_its_reset() {
    on_every_transport(|case| {
        if Fixture::new(case).driver.features() & RING_RESET == 0 {
            return;
        }
        let mut fixture = Fixture::running(case, VERSION_1 | RING_RESET);
        fixture.ring.offer(16);
        fixture.ring();
        fixture.driver.reset_queue(case.subject.queue);
        fixture.driver.enable(case.subject.queue, fixture.ring.size, fixture.ring.parts);
        fixture.assert_broken_until_reset();
    });
}

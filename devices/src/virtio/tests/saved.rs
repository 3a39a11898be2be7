//! Saving in the middle, and going on in another instance.

use super::*;
use crate::saved::testing::{golden, mutations, refuses_what_is_cut_off};
use crate::{Save, Saved};

impl Fixture {
    /// Saves the device, makes another one over the same RAM, and lets that go on. The driver does not notice.
    fn moved(mut self, make: MakeDriver) -> Self {
        let saved = self.driver.saved().save().unwrap();
        let reactor = Inline::new();
        let worker = reactor.worker(RngBackend::new(Counting(0x80)));
        let mut driver = make(Box::new(Rng), worker, self.ring.ram.clone());
        driver.saved().restore(&saved).unwrap();
        assert_eq!(driver.saved().save().unwrap(), saved);
        driver.give_interrupts(self.driver.take_interrupts());
        driver.core().start();
        reactor.run();
        Fixture { driver, reactor, ring: self.ring }
    }
}

/// A fixture's device as a thing to be restored.
impl Save for Fixture {
    fn save(&mut self) -> crate::saved::Result<Saved> {
        self.driver.saved().save()
    }

    fn restore(&mut self, saved: &Saved) -> crate::saved::Result<()> {
        self.driver.saved().restore(saved)
    }
}

#[test]
fn a_saved_device_goes_on_in_another_instance() {
    on_every_transport(|make| {
        for features in [VERSION_1, VERSION_1 | EVENT_IDX | INDIRECT_DESC] {
            let mut fixture = Fixture::running(make, features);
            fixture.ring.describe(0, &[(0x8000, 1, WRITE, 0), (0x8001, 1, WRITE, 0), (0x8002, 1, WRITE, 0)]);
            fixture.ring.offer(0);
            fixture.ring();
            assert_eq!((fixture.ring.take_used(), fixture.driver.told()), (Some((0, 1)), (true, false)));
            // Rung for, and not served yet.
            fixture.ring.offer(1);
            fixture.driver.ring(0);
            fixture.ring.want_next();
            let mut fixture = fixture.moved(make);
            assert_eq!((fixture.driver.status(), fixture.driver.core().driver_features()), (0xf, features));
            assert_eq!((fixture.ring.take_used(), fixture.ring.take_used()), (Some((1, 1)), None));
            assert_eq!(fixture.driver.told(), (true, false));
            fixture.ring.want_next();
            fixture.ring.offer(2);
            fixture.ring();
            assert_eq!(fixture.ring.take_used(), Some((2, 1)));
            assert_eq!(fixture.driver.told(), (true, false));
            assert_eq!(fixture.ring.read(0x8000), [1, 0x80, 0x81, 0]);
            // And it can be reset as any other.
            fixture.driver.set_status(0);
            fixture.ring = Ring::new(&fixture.ring.ram, 0x3000, 4);
            fixture.negotiate(VERSION_1);
            fixture.ring.describe(0, &[(0x8000, 1, WRITE, 0)]);
            fixture.ring.offer(0);
            fixture.ring();
            assert_eq!(fixture.ring.take_used(), Some((0, 1)));
        }
    });
}

#[test]
fn a_device_is_saved_at_every_step_of_its_start() {
    on_every_transport(|make| {
        let mut fixture = Fixture::new(make).moved(make);
        fixture.driver.set_status(1);
        let mut fixture = fixture.moved(make);
        assert_eq!(fixture.driver.status(), 1);
        fixture.driver.set_status(3);
        fixture.driver.set_features(VERSION_1);
        let mut fixture = fixture.moved(make);
        fixture.driver.set_status(0xb);
        assert_eq!(fixture.driver.status(), 0xb);
        let mut fixture = fixture.moved(make);
        fixture.driver.enable(0, fixture.ring.size, fixture.ring.parts);
        let mut fixture = fixture.moved(make);
        fixture.driver.set_status(0xf);
        fixture.ring.describe(0, &[(0x8000, 2, WRITE, 0)]);
        fixture.ring.offer(0);
        fixture.ring();
        assert_eq!(fixture.ring.take_used(), Some((0, 2)));
        let mut fixture = fixture.moved(make);
        assert_eq!(fixture.driver.status(), 0xf);
        fixture.driver.set_status(0x8f);
        let mut fixture = fixture.moved(make);
        assert_eq!(fixture.driver.status(), 0x8f);
    });
}

#[test]
fn a_device_that_needs_a_reset_still_does_elsewhere() {
    on_every_transport(|make| {
        let mut fixture = Fixture::running(make, VERSION_1);
        fixture.ring.offer(8);
        fixture.ring();
        assert_eq!(fixture.driver.status(), 0x4f);
        fixture.moved(make).assert_broken_until_reset_untold();
    });
}

#[test]
fn rings_that_broke_before_the_driver_was_ready_can_be_saved() {
    on_every_transport(|make| {
        let mut fixture = Fixture::new(make);
        fixture.driver.set_status(3);
        fixture.driver.set_features(VERSION_1);
        fixture.driver.set_status(0xb);
        fixture.driver.enable(0, 3, [0x1001, u64::MAX, 0]);
        let mut fixture = fixture.moved(make);
        fixture.driver.set_status(0xf);
        assert_eq!(fixture.driver.status(), 0x4f);
    });
}

#[test]
fn what_a_device_can_not_be_is_refused() {
    on_every_transport(|make| {
        let mut fixture = Fixture::running(make, VERSION_1);
        let saved = fixture.save().unwrap();
        refuses_what_is_cut_off(&saved, || Fixture::new(make));
        // The core is last. From its end: two sections of nothing, and before them the queue.
        let core = |change: fn(&mut [u8])| {
            let mut saved = saved.clone();
            let at = saved.bytes.windows(8).position(|kind| kind == b"virtio\0\0").unwrap() + 16;
            change(&mut saved.bytes[at..]);
            Fixture::new(make).restore(&saved)
        };
        core(|_| ()).unwrap();
        core(|bytes| bytes[2] = 0xff).unwrap();
        let invalid: [(&str, fn(&mut [u8])); 8] = [
            ("DEVICE_NEEDS_RESET is no bit of the driver's", |bytes| bytes[0] |= 0x40),
            ("no features", |bytes| bytes[0] = 7),
            ("a flag", |bytes| bytes[1] = 2),
            ("a feature that there is not", |bytes| bytes[3] = 1),
            ("features without VERSION_1", |bytes| bytes[7] = 0),
            ("queues", |bytes| bytes[11] = 0),
            ("a size", |bytes| bytes[15] = 7),
            ("an address", |bytes| bytes[25] = 1),
        ];
        for (what, change) in invalid {
            assert!(core(change).is_err(), "{what}");
        }
    });
}

#[test]
fn mutated_state_does_no_harm() {
    on_every_transport(|make| {
        let mut fixture = Fixture::running(make, VERSION_1 | EVENT_IDX);
        fixture.ring.describe(0, &[(0x8000, 1, WRITE, 0)]);
        fixture.ring.offer(0);
        fixture.ring();
        let saved = fixture.save().unwrap();
        mutations(
            &saved,
            3000,
            || Fixture::new(make),
            |fixture| {
                fixture.driver.core().start();
                fixture.settle();
                fixture.driver.core().ring(0);
                fixture.settle();
                fixture.save().unwrap();
            },
        );
    });
}

#[test]
fn golden_states() {
    let names = ["virtio-mmio-1", "virtio-ccw-classic-1", "virtio-ccw-adapter-1"];
    for ((_, make), name) in TRANSPORTS.into_iter().zip(names) {
        let mut fixture = Fixture::running(make, VERSION_1 | EVENT_IDX);
        fixture.ring.describe(0, &[(0x8000, 1, WRITE, 0)]);
        for _ in 0..3 {
            fixture.ring.offer(0);
        }
        fixture.ring();
        fixture.driver.core().config_changed();
        golden(name, &fixture.save().unwrap(), &mut Fixture::new(make));
    }
}

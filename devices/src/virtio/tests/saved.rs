//! Saving in the middle, and going on in another instance.

use std::io;

use event_manager::{EventOps, Events};

use super::*;
use crate::saved::testing::{golden, mutations, refuses_what_is_cut_off};
use crate::virtio::{Backend, Queue};
use crate::{Save, Saved, nothing_to_save};

impl Fixture {
    /// Saves the device, makes another one over the same RAM, and lets that go on. The driver does not notice.
    pub fn moved(mut self, case: Case) -> Self {
        let saved = self.save().unwrap();
        let mut other = Self::over(case, self.ring);
        other.restore(&saved).unwrap();
        assert_eq!(other.save().unwrap(), saved);
        other.driver.give_interrupts(self.driver.take_interrupts());
        other.driver.core().start();
        other.settle();
        other
    }

    /// Up to features that are agreed on.
    fn agreed(case: Case) -> Self {
        let mut fixture = Fixture::new(case);
        fixture.driver.set_status(3);
        fixture.driver.set_features(VERSION_1);
        fixture.driver.set_status(0xb);
        fixture
    }
}

/// A fixture's device as a thing to be saved.
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
    on_every_transport(|case| {
        for features in [VERSION_1, case.subject.features] {
            let mut fixture = Fixture::running(case, features);
            fixture.assert_works();
            assert_eq!(fixture.driver.told(), (true, false));
            // Rung for, and not served yet.
            fixture.offer(1);
            fixture.driver.ring(case.subject.queue);
            fixture.ring.want_next();
            let mut fixture = fixture.moved(case);
            assert_eq!((fixture.driver.status(), fixture.driver.core().driver_features()), (0xf, features));
            fixture.assert_served(1);
            assert_eq!(fixture.driver.told(), (true, false));
            fixture.ring.want_next();
            fixture.offer(2);
            fixture.ring();
            fixture.assert_served(2);
            assert_eq!((fixture.driver.told(), fixture.ring.take_used()), ((true, false), None));
            // And it can be reset as any other.
            fixture.restart();
            fixture.assert_works();
        }
    });
}

#[test]
fn what_has_not_been_told_is_told_elsewhere() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1);
        fixture.assert_works();
        let mut fixture = fixture.moved(case);
        assert_eq!(fixture.driver.told(), (true, false));
        assert_eq!(fixture.driver.told(), (false, false));
    });
}

#[test]
fn a_device_is_saved_at_every_step_of_its_start() {
    on_every_transport(|case| {
        let mut fixture = Fixture::new(case).moved(case);
        fixture.driver.set_status(1);
        let mut fixture = fixture.moved(case);
        assert_eq!(fixture.driver.status(), 1);
        fixture.driver.set_status(3);
        fixture.driver.set_features(VERSION_1);
        let mut fixture = fixture.moved(case);
        fixture.driver.set_status(0xb);
        assert_eq!(fixture.driver.status(), 0xb);
        let mut fixture = fixture.moved(case);
        fixture.driver.enable(case.subject.queue, fixture.ring.size, fixture.ring.parts);
        let mut fixture = fixture.moved(case);
        fixture.driver.set_status(0xf);
        fixture.assert_works();
        let mut fixture = fixture.moved(case);
        assert_eq!(fixture.driver.status(), 0xf);
        fixture.driver.set_status(0x8f);
        let mut fixture = fixture.moved(case);
        assert_eq!(fixture.driver.status(), 0x8f);
        fixture.restart();
        fixture.assert_works();
    });
}

#[test]
fn a_device_that_needs_a_reset_still_does_elsewhere() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1);
        fixture.ring.offer(16);
        fixture.ring();
        assert_eq!(fixture.driver.status(), 0x4f);
        fixture.moved(case).assert_broken_until_reset();
    });
}

#[test]
fn rings_that_can_not_be_can_be_saved_until_the_driver_is_ready() {
    on_every_transport(|case| {
        let mut fixture = Fixture::agreed(case);
        fixture.driver.enable(case.subject.queue, 3, [0x1001, u64::MAX, 0]);
        let mut fixture = fixture.moved(case);
        fixture.driver.set_status(0xf);
        fixture.moved(case).assert_broken_until_reset();
    });
}

#[test]
fn a_device_that_is_saved_while_it_runs_stops() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1);
        let saved = fixture.save().unwrap();
        fixture.offer(0);
        fixture.ring();
        assert_eq!(fixture.ring.take_used(), None);
        assert_eq!(fixture.save().unwrap(), saved);
        fixture.driver.core().start();
        fixture.settle();
        fixture.assert_served(0);
        // A state that is taken on takes the place of all that was.
        fixture.restore(&saved).unwrap();
        assert_eq!(fixture.save().unwrap(), saved);
    });
}

/// A backend that carries out requests when it is stopped, and not before, as if its host were slow.
#[derive(Default)]
struct Slow {
    queues: Vec<Queue>,
    taken: Vec<u16>,
}

nothing_to_save!(Slow, "slow");

impl Backend for Slow {
    fn start(&mut self, _: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        self.queues = queues.into_iter().flatten().collect();
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        for head in self.taken.drain(..) {
            self.queues[0].push(head, 0);
        }
        std::mem::take(&mut self.queues)
    }

    fn doorbell(&mut self, _: u16) {
        while let Some(chain) = self.queues[0].pop() {
            self.taken.push(chain.head());
        }
    }

    fn watch(&mut self, _: &mut EventOps<'_>) -> event_manager::Result<()> {
        Ok(())
    }

    fn event(&mut self, _: Events, _: &mut EventOps<'_>) {}
}

#[test]
fn what_is_in_flight_when_a_device_is_saved_comes_back_and_is_told() {
    rng_on_every_transport(|case| {
        let slow = |ring: Ring| {
            let reactor = Inline::new();
            let worker = reactor.worker(Slow::default());
            let driver = (case.transport)(Box::new(Rng), worker, ring.ram.clone());
            Fixture { subject: case.subject, driver, reactor, ring }
        };
        let mut fixture = slow(Ring::new(&ram(), 0x1000, 16));
        fixture.negotiate(VERSION_1);
        (0..3).for_each(|request| fixture.offer(request));
        fixture.ring();
        assert_eq!((fixture.ring.take_used(), fixture.driver.told()), (None, (false, false)));
        let saved = fixture.save().unwrap();
        assert_eq!(fixture.driver.core().queue(0).progress, (3, 3));
        let interrupts = fixture.driver.take_interrupts();
        let mut other = slow(fixture.ring);
        other.restore(&saved).unwrap();
        other.driver.give_interrupts(interrupts);
        assert_eq!(other.driver.told(), (true, false));
        assert_eq!(
            [(); 4].map(|()| other.ring.take_used()),
            [Some((0, 0)), Some((4, 0)), Some((8, 0)), None]
        );
    });
}

/// A state with a change in that of its core, from the core's first byte on.
fn with_core(saved: &Saved, change: impl FnOnce(&mut [u8])) -> Saved {
    let mut saved = saved.clone();
    let core = saved.bytes.windows(8).position(|kind| kind == b"virtio\0\0").unwrap() + 16;
    change(&mut saved.bytes[core..]);
    saved
}

#[test]
fn what_a_device_can_not_be_is_refused() {
    on_every_transport(|case| {
        let saved = Fixture::running(case, VERSION_1).save().unwrap();
        type Change = fn(&mut [u8], u16);
        let restore = |change: Change| {
            let saved = with_core(&saved, |bytes| change(bytes, case.subject.queue));
            Fixture::new(case).restore(&saved)
        };
        restore(|_, _| ()).unwrap();
        restore(|bytes, _| bytes[2] = 0xff).unwrap();
        // Status, flag, generation, features, number of queues; then 31 bytes of each.
        let invalid: [(&str, Change); 8] = [
            ("DEVICE_NEEDS_RESET is no bit of the driver's", |bytes, _| bytes[0] |= 0x40),
            ("a driver without features", |bytes, _| bytes[0] = 7),
            ("a flag", |bytes, _| bytes[1] = 2),
            ("a feature that there is not", |bytes, _| bytes[10] = 0x80),
            ("features without VERSION_1", |bytes, _| bytes[7] = 0),
            ("a number of queues", |bytes, _| bytes[11] += 1),
            ("a queue's size", |bytes, queue| bytes[15 + 31 * usize::from(queue)] = 7),
            ("a queue's address", |bytes, queue| bytes[15 + 31 * usize::from(queue) + 3] = 1),
        ];
        for (what, change) in invalid {
            assert!(restore(change).is_err(), "{what}");
        }
    });
}

#[test]
fn state_that_is_cut_off_or_mutated_does_no_harm() {
    on_every_transport(|case| {
        let mut fixture = Fixture::running(case, VERSION_1 | EVENT_IDX);
        fixture.assert_works();
        let saved = fixture.save().unwrap();
        refuses_what_is_cut_off(&saved, || Fixture::new(case));
        mutations(
            &saved,
            1000,
            || Fixture::new(case),
            |fixture| {
                fixture.driver.core().start();
                fixture.settle();
                (0..3).for_each(|queue| fixture.driver.core().ring(queue));
                fixture.settle();
                fixture.save().unwrap();
            },
        );
    });
}

#[test]
fn golden_states() {
    let names = [
        "virtio-mmio",
        "virtio-pci-msix",
        "virtio-pci-pin",
        "virtio-pci-config",
        "virtio-ccw-classic",
        "virtio-ccw-adapter",
    ];
    for ((_, transport), name) in TRANSPORTS.into_iter().zip(names) {
        for subject in &DEVICES {
            let case = Case { subject, transport };
            let mut fixture = Fixture::running(case, VERSION_1 | EVENT_IDX);
            (0..3).for_each(|request| fixture.offer(request));
            fixture.ring();
            fixture.driver.core().config_changed();
            let name = format!("{name}-{}-1", subject.name);
            golden(&name, &fixture.save().unwrap(), &mut Fixture::new(case));
        }
    }
}

#[test]
fn selectors_and_causes_of_interrupts_stay() {
    let (_, transport) = TRANSPORTS[0];
    let case = Case { subject: &DEVICES[0], transport };
    let mut driver =
        MmioDriver::new(Box::new(Rng), Inline::new().worker(RngBackend::new(Counting(1))), ram());
    for (register, value) in [(0x14, 1), (0x24, 2), (0x30, 3)] {
        driver.write(register, value);
    }
    let saved = driver.device.save().unwrap();
    assert_eq!(saved.bytes[..16], [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    let mut other = MmioDriver::new(Box::new(Rng), Inline::new().worker(RngBackend::new(Counting(1))), ram());
    other.device.restore(&saved).unwrap();
    assert_eq!([0x10, 0x34].map(|register| other.read(register)), [1 | 1 << 8, 0], "of what is selected");
    let mut bad = saved.clone();
    bad.bytes[12] = 4;
    assert!(Fixture::new(case).restore(&bad).is_err(), "a cause that there is not");
}

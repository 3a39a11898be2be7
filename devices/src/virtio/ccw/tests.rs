//! Commands in literal bytes, and indicators.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::virtio::testing::ccw::{BLOCK, CcwDriver, Ended, GOOD, NoRoutes, REFUSED, Told};
use crate::virtio::testing::{Driver, ram};
use crate::virtio::{DeviceType, Notifier, Queue};
use crate::{Trigger, nothing_to_save};

/// A device with as many queues as there are sizes, and 4 bytes of configuration that can be written.
struct Configured(Vec<u16>, [u8; 4]);

impl VirtioDevice for Configured {
    fn device_type(&self) -> DeviceType {
        DeviceType::Entropy
    }

    fn features(&self) -> u64 {
        1 << 5
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.0
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        for (byte, at) in data.iter_mut().zip(offset..) {
            *byte = self.1.get(usize::try_from(at).unwrap()).copied().unwrap_or(0);
        }
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        assert_eq!(offset, 0);
        self.1.iter_mut().zip(data).for_each(|(byte, value)| *byte = *value);
    }
}

nothing_to_save!(Configured, "test");

struct Nowhere;

nothing_to_save!(Nowhere, "test");

impl Worker for Nowhere {
    fn start(&mut self, _: u64, _: Vec<Option<Queue>>) -> io::Result<()> {
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        Vec::new()
    }

    fn reset(&mut self) {}
}

fn enabled(queues: usize, routes: Box<dyn AdapterRoutes>) -> CcwDriver {
    let device = Configured(vec![16; queues], [1, 2, 3, 4]);
    let mut driver =
        CcwDriver::without_revision(Box::new(device), Box::new(Nowhere), ram(), routes, Told::Adapter);
    driver.enable_subchannel(true);
    driver
}

/// Of revision 2, with so many queues.
fn driver(queues: usize) -> CcwDriver {
    let mut driver = enabled(queues, Box::new(NoRoutes));
    assert_eq!(driver.send(0x83, &[0, 2, 0, 0]), GOOD);
    driver
}

/// A command that was rejected with all its data taken.
const REJECTED: Ended = (REFUSED, 0, 0);

/// What SET_IND_ADAPTER brings.
fn adapter(summary: u64, indicators: u64, first_bit: u64, isc: u8) -> Vec<u8> {
    let [summary, indicators, first_bit] = [summary, indicators, first_bit].map(u64::to_be_bytes);
    [&summary[..], &indicators, &first_bit, &[isc]].concat()
}

#[test]
fn nothing_goes_before_the_revision() {
    let mut driver = enabled(1, Box::new(NoRoutes));
    for command in [0x11, 0x12, 0x13, 0x21, 0x22, 0x31, 0x32, 0x33, 0x43, 0x53, 0x72, 0x73] {
        assert_eq!(driver.command(command, 0x20, 64), (REFUSED, 0, 64), "{command:#x}");
    }
    for revision in [[0, 0, 0, 0], [0, 3, 0, 0], [0, 2, 0, 1], [0x01, 0, 0, 0]] {
        assert_eq!(driver.send(0x83, &revision), REJECTED, "{revision:?}");
    }
    assert_eq!(driver.send(0x83, &[0, 1, 0, 0]), GOOD);
    assert_eq!(driver.send(0x83, &[0, 1, 0, 0]), REJECTED, "once");
    assert_eq!(driver.command(0x72, 0, 1), (REFUSED, 0, 1), "revision 1 has no READ_STATUS");
    assert_eq!(driver.send(0x31, &[1]), GOOD);
    // A reset does not change the revision; to disable the subchannel does.
    assert_eq!(driver.command(0x33, 0, 0), GOOD);
    assert_eq!(driver.send(0x83, &[0, 2, 0, 0]), REJECTED);
    driver.enable_subchannel(false);
    driver.enable_subchannel(true);
    assert_eq!(driver.send(0x31, &[1]), (REFUSED, 0, 1));
    assert_eq!(driver.send(0x83, &[0, 2, 0, 0]), GOOD);
    for command in [0x01, 0x02, 0x07, 0x14, 0x23, 0x93, 0xf3] {
        assert_eq!(driver.command(command, 0x20, 64), (REFUSED, 0, 64), "{command:#x}");
    }
}

#[test]
fn blocks_of_another_length() {
    let mut driver = driver(1);
    for (command, len) in
        [(0x11, 5), (0x12, 5), (0x13, 32), (0x31, 1), (0x32, 4), (0x43, 8), (0x53, 8), (0x72, 1), (0x73, 25)]
    {
        driver.write(BLOCK, &[0; 64]);
        // Too short: incorrect length unless that is suppressed, and rejected all the same.
        let short = if len == 1 { 0 } else { len - 1 };
        assert_eq!(driver.command(command, 0, short), (REFUSED, 0x40, 0), "{command:#x}");
        assert_eq!(driver.command(command, 0x20, short), (REFUSED, 0, 0), "{command:#x}");
        assert_eq!(driver.command(command, 0, len), GOOD, "{command:#x}");
        // Too long: carried out, and told of unless that is suppressed.
        assert_eq!(driver.command(command, 0, len + 3), (0x0c, 0x40, 3), "{command:#x}");
        assert_eq!(driver.command(command, 0x20, len + 3), (0x0c, 0, 3), "{command:#x}");
    }
}

#[test]
fn the_configuration_is_read_and_written() {
    let mut driver = driver(1);
    let mut bytes = [0xa5; 3];
    driver.read_config(2, &mut bytes);
    assert_eq!(bytes, [3, 4, 0]);
    assert_eq!(driver.send(0x21, &[9, 8]), GOOD);
    driver.write(BLOCK, &[0xa5; 300]);
    assert_eq!(driver.command(0x22, 0, 256), GOOD);
    let read: [u8; 257] = driver.read(BLOCK);
    assert_eq!((&read[..5], read[255], read[256]), (&[9, 8, 3, 4, 0][..], 0, 0xa5));
    // There is no more.
    assert_eq!(driver.command(0x22, 0x20, 300), (0x0c, 0, 44));
    assert_eq!(driver.command(0x21, 0, 300), (0x0c, 0x40, 44));
}

#[test]
fn queues_are_set_up_and_given_up() {
    let mut driver = driver(2);
    assert_eq!([0, 1, 2, 0xffff].map(|queue| driver.max_size(queue)), [16, 16, 0, 0]);
    driver.enable(1, 8, [0x1000, 0x2000, 0x3000]);
    let queue = driver.core().queue(1);
    assert_eq!((queue.ready, queue.size), (true, 8));
    assert_eq!([queue.descriptors, queue.available, queue.used], [0x1000, 0x2000, 0x3000]);
    assert!(!driver.core().queue(0).ready);
    // Set up again, elsewhere.
    driver.enable(1, 4, [0x4000, 0x5000, 0x1_0000_6000]);
    let queue = driver.core().queue(1);
    assert_eq!((queue.size, queue.used), (4, 0x1_0000_6000));
    let mut block = [0; 32];
    block[13] = 1;
    assert_eq!(driver.send(0x13, &block), GOOD);
    assert!(!driver.core().queue(1).ready);
    block[13] = 2;
    assert_eq!(driver.send(0x13, &block), REJECTED, "no such queue");
}

#[test]
fn a_status_that_can_not_be_is_refused_and_changes_nothing() {
    let mut driver = driver(1);
    assert_eq!(driver.send(0x31, &[0x0b]), REJECTED, "no features have been written");
    assert_eq!(driver.status(), 0);
    assert_eq!(driver.send(0x31, &[0x07]), REJECTED);
    assert_eq!(driver.status(), 0);
    driver.set_features(1 << 32 | 1 << 5);
    assert_eq!(driver.send(0x31, &[0x0b]), GOOD);
    assert_eq!(driver.send(0x31, &[0x0f]), GOOD);
    assert_eq!(driver.status(), 0x0f);
    assert_eq!(driver.send(0x31, &[0]), GOOD);
    assert_eq!((driver.status(), driver.core().driver_features()), (0, 0));
}

#[test]
fn indicators_are_of_one_kind_and_in_ram() {
    let mut driver = driver(3);
    let address = |address: u64| address.to_be_bytes();
    // Of a RAM of 1 MiB.
    for outside in [0x10_0000, 0xf_fff9, u64::MAX, u64::MAX - 7, 1 << 63] {
        assert_eq!(driver.send(0x43, &address(outside)), REJECTED);
        assert_eq!(driver.send(0x53, &address(outside)), REJECTED);
    }
    let blocks = [
        adapter(0x10_0000, 0x9000, 0, 0),
        adapter(0x9000, 0x10_0000, 0, 0),
        // The third queue's bit.
        adapter(0x9000, 0xf_ffff, 6, 0),
        adapter(0x9000, 0x9000, u64::MAX - 1, 0),
        adapter(0x9000, u64::MAX, 8, 0),
        adapter(0x9000, 0x9000, 0, 8),
    ];
    for block in &blocks {
        assert_eq!(driver.send(0x73, block), REJECTED, "{block:x?}");
    }
    assert_eq!(driver.send(0x73, &adapter(0xf_ffff, 0xf_ffff, 5, 7)), GOOD);
    assert_eq!(driver.send(0x43, &address(0x9000)), REJECTED, "there are an adapter's");
    assert_eq!(driver.send(0x73, &adapter(0, 0, 0, 0)), GOOD);
    assert_eq!(driver.send(0x43, &address(0xf_fff8)), GOOD);
    assert_eq!(driver.send(0x73, &adapter(0x9000, 0x9001, 0, 0)), REJECTED, "there are classic ones");
    assert_eq!(driver.send(0x43, &address(0)), GOOD);
    assert_eq!(driver.send(0x73, &adapter(0x9000, 0x9001, 0, 0)), GOOD);
    let mut many = self::driver(65);
    assert_eq!(many.send(0x43, &address(0x9000)), REJECTED, "more queues than bits");
}

#[test]
fn classic_bits_count_from_the_right() {
    let mut driver = driver(64);
    driver.write(0x9000, &[0xa5; 24]);
    assert_eq!(driver.send(0x43, &0x9008u64.to_be_bytes()), GOOD);
    driver.write(0x9008, &[0; 8]);
    let notifier = driver.unit().notifier.clone();
    for queue in [0, 9, 63] {
        notifier.queue(queue);
    }
    assert_eq!(driver.read(0x9007), [0xa5, 0x80, 0, 0, 0, 0, 0, 2, 1, 0xa5]);
    assert!(driver.floating.take().is_some_and(|interruption| interruption.id == 0x0001_0007));
    assert_eq!(driver.floating.take(), None, "one interruption for all");
}

#[test]
fn adapter_bits_count_from_the_left() {
    let mut driver = driver(12);
    driver.write(0x9000, &[0; 16]);
    assert_eq!(driver.send(0x73, &adapter(0x9000, 0x9008, 6, 4)), GOOD);
    let notifier = driver.unit().notifier.clone();
    for queue in [0, 1, 2, 11, 12, 0xffff] {
        notifier.queue(queue);
    }
    assert_eq!(driver.read(0x9000), [1, 0, 0, 0, 0, 0, 0, 0, 0x03, 0x80, 0x40]);
    let taken = driver.floating.take().unwrap();
    assert_eq!((taken.id, taken.parameter, taken.word), (0, 0, 0xa000_0000));
    assert_eq!(driver.floating.take(), None, "the summary was set already");
    driver.write(0x9000, &[0]);
    notifier.queue(1);
    assert!(driver.floating.take().is_some());
    // When the indicators are taken away, memory is left alone.
    assert_eq!(driver.send(0x73, &adapter(0x9000, 0, 0, 4)), GOOD);
    driver.write(0x9000, &[0; 16]);
    notifier.queue(1);
    assert_eq!((driver.read(0x9000), driver.floating.take()), ([0; 16], None));
}

#[test]
fn a_reset_takes_indicators_away() {
    let mut driver = driver(1);
    for reset in 0..3 {
        driver.write(0x9000, &[0; 32]);
        assert_eq!(driver.send(0x73, &adapter(0x9000, 0x9008, 0, 0)), GOOD);
        assert_eq!(driver.send(0x53, &0x9010u64.to_be_bytes()), GOOD);
        match reset {
            0 => assert_eq!(driver.command(0x33, 0, 0), GOOD),
            1 => assert_eq!(driver.send(0x31, &[0]), GOOD),
            _ => crate::Reset::reset(&mut driver.css),
        }
        let notifier = driver.unit().notifier.clone();
        notifier.queue(0);
        notifier.config();
        assert_eq!((driver.read(0x9000), driver.floating.take()), ([0; 32], None));
    }
    driver.enable_subchannel(true);
    assert_eq!(driver.send(0x31, &[1]), (REFUSED, 0, 1), "the revision went too");
}

/// A host that sets indicators by itself, and what it was told and did.
#[derive(Clone, Default)]
struct Host {
    routes: Arc<Mutex<Vec<Option<AdapterRoute>>>>,
    triggered: Arc<AtomicU32>,
}

struct Bit(Arc<AtomicU32>, u32);

impl Trigger for Bit {
    fn trigger(&self) {
        self.0.fetch_or(1 << self.1, Ordering::AcqRel);
    }
}

impl AdapterRoutes for Host {
    fn set(&self, route: Option<&AdapterRoute>) -> Vec<Box<dyn Trigger>> {
        self.routes.lock().unwrap().push(route.cloned());
        let queues = route.map_or(0, |route| route.queues.len());
        (0..).take(queues).map(|queue| Box::new(Bit(self.triggered.clone(), queue)) as _).collect()
    }
}

#[test]
fn a_host_may_set_indicators_by_itself() {
    let host = Host::default();
    let mut driver = enabled(3, Box::new(host.clone()));
    assert_eq!(driver.send(0x83, &[0, 2, 0, 0]), GOOD);
    driver.write(0x9000, &[0; 16]);
    assert_eq!(driver.send(0x73, &adapter(0x9000, 0x9008, 14, 2)), GOOD);
    let notifier = driver.unit().notifier.clone();
    notifier.queue(0);
    notifier.queue(2);
    notifier.queue(3);
    assert_eq!(host.triggered.load(Ordering::Acquire), 0b101);
    assert_eq!((driver.read(0x9000), driver.floating.take()), ([0; 16], None), "the device does nothing");
    assert_eq!(driver.send(0x73, &adapter(0x9000, 0x9001, 0, 3)), GOOD);
    assert_eq!(driver.command(0x33, 0, 0), GOOD);
    assert_eq!(driver.command(0x33, 0, 0), GOOD);
    let route = |queues, isc| Some(AdapterRoute { summary: 0x9000, queues, isc });
    let expected = [
        route(vec![(0x9009, 6), (0x9009, 7), (0x900a, 0)], 2),
        route(vec![(0x9001, 0), (0x9001, 1), (0x9001, 2)], 3),
        None,
    ];
    assert_eq!(*host.routes.lock().unwrap(), expected);
}

#[test]
fn questions_and_answers_may_be_in_pieces() {
    let mut driver = driver(1);
    // READ_FEAT, half 1, of which a byte, a hole of two and two bytes are in different places.
    driver.write(0xc_0000, &[0x12, 0x80, 0, 1, 0, 0x0c, 0x10, 0]);
    driver.write(0xc_0008, &[0, 0x90, 0, 2, 0, 0x0c, 0x20, 0]);
    driver.write(0xc_0010, &[0, 0, 0, 2, 0, 0x0c, 0x30, 0]);
    driver.write(0xc_1000, &[0xa5; 8]);
    driver.write(0xc_2000, &[0xa5; 8]);
    driver.write(0xc_3000, &[0xa5, 1, 0xa5]);
    let orb = [0, 0, 0, 0, 0, 0x80, 0xff, 0, 0, 0x0c, 0, 0];
    assert_eq!(driver.css.ssch(0x1_0007, &orb), Ok(0));
    let (_, irb) = driver.css.tsch(0x1_0007).unwrap();
    assert_eq!(irb.unwrap()[..12], [0, 0x80, 0x40, 7, 0, 0x0c, 0, 0x18, 0x0c, 0, 0, 0]);
    // Feature 32, and no other.
    assert_eq!((driver.read(0xc_1000), driver.read(0xc_2000)), ([1, 0xa5], [0xa5; 3]));
    assert_eq!(driver.read(0xc_3000), [0, 1, 0xa5]);
}

#[test]
fn a_host_that_sets_indicators_is_told_of_them_again() {
    let (before, after) = (Host::default(), Host::default());
    let mut driver = enabled(3, Box::new(before.clone()));
    assert_eq!(driver.send(0x83, &[0, 1, 0, 0]), GOOD);
    assert_eq!(driver.send(0x73, &adapter(0x9000, 0x9008, 14, 2)), GOOD);
    assert_eq!(driver.send(0x53, &0x9010u64.to_be_bytes()), GOOD);
    let saved = driver.css.save().unwrap();
    let mut other = enabled(3, Box::new(after.clone()));
    other.css.restore(&saved).unwrap();
    assert_eq!(*after.routes.lock().unwrap(), *before.routes.lock().unwrap());
    let notifier = other.unit().notifier.clone();
    notifier.queue(2);
    assert_eq!(after.triggered.load(Ordering::Acquire), 0b100);
    notifier.config();
    assert_eq!(other.read(0x9010), [0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(other.command(0x72, 0, 1), (REFUSED, 0, 1), "revision 1");
    // Taken away again by who restores what was saved before them.
    let empty = enabled(3, Box::new(Host::default())).css.save().unwrap();
    other.css.restore(&empty).unwrap();
    assert_eq!(after.routes.lock().unwrap().last(), Some(&None));
    assert_eq!(other.send(0x31, &[1]), (REFUSED, 0, 1), "no revision");
}

#[test]
fn indicators_and_revisions_that_can_not_be_are_refused() {
    let saved = |queues, command: u8, block: &[u8]| {
        let mut driver = driver(queues);
        assert_eq!(driver.send(command, block), GOOD);
        driver.unit().save().unwrap()
    };
    let restored = |saved: &Saved, queues, at: usize, value: u8| {
        let mut bad = saved.clone();
        assert_ne!(bad.bytes[at], value);
        bad.bytes[at] = value;
        enabled(queues, Box::new(NoRoutes)).unit().restore(&bad)
    };
    // Three bytes of the revision; the configuration's indicators, classic ones, an adapter's.
    let classic = saved(1, 0x43, &0x9000u64.to_be_bytes());
    assert_eq!(classic.bytes[..14], [1, 2, 0, 0, 1, 0, 0x90, 0, 0, 0, 0, 0, 0, 0]);
    enabled(1, Box::new(NoRoutes)).unit().restore(&classic).unwrap();
    assert!(restored(&classic, 1, 1, 3).is_err(), "revision 3");
    assert!(restored(&classic, 1, 1, 0).is_err(), "revision 0");
    assert!(restored(&classic, 1, 7, 0x10).is_err(), "outside of RAM");
    let config = saved(1, 0x53, &0x9000u64.to_be_bytes());
    assert!(restored(&config, 1, 6, 0x10).is_err(), "outside of RAM");
    let block = saved(2, 0x73, &adapter(0x9000, 0x9008, 0, 7));
    // Flags and addresses: 5 and 1; the summary; the number of queues, and of each a byte and its bit; the subclass.
    assert_eq!(block.bytes[5..18], [1, 0, 0x90, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(block.bytes[18..37], [8, 0x90, 0, 0, 0, 0, 0, 0, 0, 8, 0x90, 0, 0, 0, 0, 0, 0, 1, 7]);
    enabled(2, Box::new(NoRoutes)).unit().restore(&block).unwrap();
    for (what, at, value) in [
        ("the summary outside of RAM", 8, 0x10),
        ("a byte outside of RAM", 20, 0x10),
        ("no such bit", 26, 8),
        ("no such subclass", 36, 8),
    ] {
        assert!(restored(&block, 2, at, value).is_err(), "{what}");
    }
    // Both kinds at once; more queues than a classic set has bits.
    let mut both = block.clone();
    both.bytes.splice(4..5, classic.bytes[4..13].iter().copied());
    assert!(enabled(2, Box::new(NoRoutes)).unit().restore(&both).is_err());
    let mut many = driver(65).unit().save().unwrap();
    many.bytes.splice(4..5, classic.bytes[4..13].iter().copied());
    assert!(enabled(65, Box::new(NoRoutes)).unit().restore(&many).is_err());
}

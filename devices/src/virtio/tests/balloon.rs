//! The memory balloon, with a driver that fills and empties it (VIRTIO 1.2, 5.5).

use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vm_memory::{FileOffset, GuestAddress};

use super::*;
use crate::virtio::{Balloon, BalloonBackend, BalloonFeatures, BalloonSize};

const STATS: u64 = 1 << 1;
const DEFLATE_ON_OOM: u64 = 1 << 2;
const REPORTING: u64 = 1 << 5;
/// Where RAM lies in its file.
const OFFSET: u64 = 0x3000;
const END: u64 = RAM_SIZE as u64;

/// A balloon that one page is put into.
pub const SUBJECT: Subject = Subject {
    name: "balloon",
    id: 5,
    make: |reactor| {
        let features = BalloonFeatures { deflate_on_oom: true, reporting: true, stats: true };
        let release = Box::new(|_: &File, _, _| Err(std::io::ErrorKind::Unsupported.into()));
        let backend = BalloonBackend::new(release, Some(Duration::from_secs(1000))).unwrap();
        (Box::new(Balloon::new(BalloonSize::new(7), features)), reactor.worker(backend))
    },
    features: FEATURES | STATS | DEFLATE_ON_OOM | REPORTING,
    queue: 0,
    request: |ring, first| {
        ring.write(0x8000, &[0xf0, 0, 0, 0]);
        ring.describe(first, &[(0x8000, 4, 0, 0)]);
    },
    written: 0,
};

/// Ranges of the file that were freed: offsets and lengths.
type Released = Arc<Mutex<Vec<(u64, u64)>>>;

struct Guest {
    driver: Box<dyn Driver>,
    reactor: Inline,
    rings: Vec<Ring>,
    released: Released,
    size: BalloonSize,
}

/// RAM of a file.
fn file_ram() -> GuestRam {
    let path = std::env::temp_dir().join(format!("triarch-{:?}-balloon", std::thread::current().id()));
    let path = path.with_extension(std::process::id().to_string());
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.set_len(OFFSET + END).unwrap();
    let region = (GuestAddress(0), RAM_SIZE, Some(FileOffset::new(file, OFFSET)));
    GuestRam::from_ranges_with_files([region]).unwrap()
}

impl Guest {
    fn new(make: MakeDriver, ram: &GuestRam, stats: Option<Duration>) -> Self {
        let released = Released::default();
        let list = released.clone();
        let release = Box::new(move |_: &File, offset, len| {
            list.lock().unwrap().push((offset, len));
            Ok(())
        });
        let size = BalloonSize::new(0x102);
        let features = BalloonFeatures { deflate_on_oom: true, reporting: true, stats: stats.is_some() };
        let (balloon, reactor) = (Balloon::new(size.clone(), features), Inline::new());
        let backend = BalloonBackend::new(release, stats).unwrap();
        let driver = make(Box::new(balloon), reactor.worker(backend), ram.clone());
        let count = if stats.is_some() { 4 } else { 3 };
        let rings = (0..count).map(|index| Ring::new(ram, 0x1000 * (index + 1), 8)).collect();
        Guest { driver, reactor, rings, released, size }
    }

    fn running(make: MakeDriver, stats: Option<Duration>, features: u64) -> Self {
        let mut guest = Self::new(make, &file_ram(), stats);
        guest.driver.set_status(3);
        guest.driver.set_features(VERSION_1 | features);
        guest.driver.set_status(0xb);
        for (index, ring) in (0..).zip(&guest.rings) {
            guest.driver.enable(index, ring.size, ring.parts);
        }
        guest.driver.set_status(0xf);
        assert_eq!(guest.driver.status(), 0xf);
        guest.reactor.run();
        guest
    }

    /// Offers a chain; what was freed for it.
    fn offer(&mut self, queue: u16, descriptors: &[super::super::testing::Descriptor]) -> Vec<(u64, u64)> {
        let ring = &mut self.rings[usize::from(queue)];
        ring.describe(0, descriptors);
        ring.offer(0);
        self.driver.ring(queue);
        self.reactor.run();
        std::mem::take(&mut *self.released.lock().unwrap())
    }

    fn is_served(&mut self, queue: u16) -> bool {
        self.rings[usize::from(queue)].take_used() == Some((0, 0))
    }

    fn write_pages(&self, at: u64, pages: &[u32]) -> u32 {
        let bytes: Vec<u8> = pages.iter().flat_map(|page| page.to_le_bytes()).collect();
        self.rings[0].write(at, &bytes);
        bytes.len().try_into().unwrap()
    }
}

fn everywhere(test: impl Fn(MakeDriver)) {
    for (name, make) in TRANSPORTS {
        println!("over {name}");
        test(make);
    }
}

#[test]
fn the_driver_sees_the_target_and_says_how_far_it_is() {
    everywhere(|make| {
        let mut guest = Guest::new(make, &ram(), None);
        assert_eq!(guest.driver.device_id(), 5);
        assert_eq!(guest.driver.features() & 0xff, DEFLATE_ON_OOM | REPORTING);
        let mut guest = Guest::running(make, None, REPORTING);
        let read = |guest: &mut Guest| {
            let mut config = [[0xa5; 4]; 2];
            for (offset, half) in [0, 4].into_iter().zip(&mut config) {
                guest.driver.read_config(offset, half);
            }
            config
        };
        assert_eq!(read(&mut guest), [[2, 1, 0, 0], [0; 4]]);
        guest.driver.core().write_config(0, &[9, 9, 9, 9]);
        guest.driver.core().write_config(4, &[0xfe, 0, 0, 0]);
        guest.driver.core().write_config(8, &[9, 9, 9, 9]);
        assert_eq!(read(&mut guest), [[2, 1, 0, 0], [0xfe, 0, 0, 0]]);
        assert_eq!((guest.size.target(), guest.size.actual()), (0x102, 0xfe));
        guest.size.set_target(3);
        guest.driver.core().config_changed();
        assert_eq!((guest.driver.told(), read(&mut guest)[0][0]), ((false, true), 3));
        // Both sizes are saved.
        let saved = guest.driver.saved().save().unwrap();
        let mut other = Guest::new(make, &guest.rings[0].ram, None);
        other.driver.saved().restore(&saved).unwrap();
        assert_eq!((other.size.target(), other.size.actual()), (3, 0xfe));
    });
}

#[test]
fn pages_in_the_balloon_are_freed_in_runs() {
    everywhere(|make| {
        let mut guest = Guest::running(make, None, 0);
        let len = guest.write_pages(0x8000, &[5, 9, 4, 3, 5, 255]);
        let freed = guest.offer(0, &[(0x8000, len, 0, 0)]);
        assert_eq!(
            freed,
            [(OFFSET + 0x3000, 0x3000), (OFFSET + 0x9000, 0x1000), (OFFSET + 0xf_f000, 0x1000)]
        );
        assert!(guest.is_served(0));
        // In pieces, and half a number at the end.
        let len = guest.write_pages(0x8000, &[7, 8, 9]);
        let freed = guest.offer(0, &[(0x8000, 6, NEXT, 1), (0x8006, len - 8, 0, 0)]);
        assert_eq!(freed, [(OFFSET + 0x7000, 0x2000)]);
        assert!(guest.is_served(0));
        assert_eq!(guest.offer(1, &[(0x8000, len, 0, 0)]), [], "they come back by themselves");
        assert!(guest.is_served(1));
    });
}

#[test]
fn pages_that_are_no_ram_are_left_alone() {
    everywhere(|make| {
        let mut guest = Guest::running(make, None, 0);
        let len = guest.write_pages(0x8000, &[255, 256, 257, u32::MAX, u32::MAX - 1, 0x8000_0000]);
        assert_eq!(guest.offer(0, &[(0x8000, len, 0, 0)]), [(OFFSET + 0xf_f000, 0x1000)]);
        assert!(guest.is_served(0));
        // A chain that is written to lists nothing, and one of all of RAM no more than is read.
        assert_eq!(guest.offer(0, &[(0x8000, len, WRITE, 0)]), []);
        assert!(guest.is_served(0));
        guest.rings[0].write(0x1_0000 + 0x1_0000, &[20, 0, 0, 0]);
        let freed = guest.offer(0, &[(0x1_0000, 0x2_0000, NEXT, 1), (0, 0x10_0000, 0, 0)]);
        assert_eq!(freed, [(OFFSET, 0x1000)]);
        assert!(guest.is_served(0));
        assert_eq!(guest.driver.status(), 0xf);
    });
}

#[test]
fn free_pages_are_reported_by_the_queue_behind_those_that_there_are() {
    let second = Duration::from_secs(1000);
    everywhere(|make| {
        let cases =
            [(None, REPORTING, 2), (Some(second), STATS | REPORTING, 3), (Some(second), REPORTING, 2)];
        for (stats, features, queue) in cases {
            let mut guest = Guest::running(make, stats, features);
            let reported = [
                (0x2_0000, 0x2000, WRITE | NEXT, 1),
                (0x3_0800, 0x2000, WRITE | NEXT, 2),
                (0x4_0001, 0x1ffe, WRITE | NEXT, 3),
                (0x5_0000, 0, WRITE, 0),
            ];
            let freed = guest.offer(queue, &reported);
            assert_eq!(freed, [(OFFSET + 0x2_0000, 0x2000), (OFFSET + 0x3_1000, 0x1000)]);
            assert!(guest.is_served(queue));
        }
    });
}

#[test]
fn statistics_are_asked_for_again_and_again() {
    everywhere(|make| {
        let mut stats = [0u8; 35];
        stats[0..10].copy_from_slice(&[4, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        stats[10..20].copy_from_slice(&[0xff; 10]);
        let mut guest = Guest::running(make, Some(Duration::from_millis(5)), STATS);
        guest.rings[0].write(0x8000, &stats);
        for _ in 0..3 {
            assert_eq!(guest.offer(2, &[(0x8000, 35, 0, 0)]), []);
            while !guest.is_served(2) {
                std::thread::sleep(Duration::from_millis(1));
                guest.reactor.run();
            }
        }
        // The device keeps the buffer until it is time, even if it is stopped meanwhile.
        let mut guest = Guest::running(make, Some(Duration::from_secs(1000)), STATS);
        guest.offer(2, &[(0x8000, 35, 0, 0)]);
        guest.driver.core().stop();
        assert!(!guest.is_served(2));
        guest.driver.core().start();
        guest.reactor.run();
        assert!(!guest.is_served(2));
        // One buffer, no more.
        guest.offer(2, &[(0x8000, 35, 0, 0)]);
        assert!(guest.is_served(2));
        assert!(!guest.is_served(2));
        assert_eq!(guest.driver.status(), 0xf);
    });
}

//! The memory device, with a driver that plugs and unplugs blocks (VIRTIO 1.3, 5.15).

use std::fs::File;
use std::sync::{Arc, Mutex};

use vm_memory::{FileOffset, GuestAddress};

use super::*;
use crate::Save;
use crate::virtio::{Mem, MemBackend, MemRegion, MemSize, SizeError};

const INACCESSIBLE: u64 = 1 << 1;
const ADDRESS: u64 = 1 << 32;
const BLOCK: u64 = 1 << 20;
/// More than what a driver has to choose from at first.
const SIZE: u64 = 1100 * BLOCK;
/// Where the memory lies in its file.
const OFFSET: u64 = 0x3000;

const REGION: MemRegion = MemRegion { address: ADDRESS, size: SIZE, block: BLOCK };

/// A memory device that is asked for the state of a block.
pub const SUBJECT: Subject = Subject {
    name: "mem",
    id: 24,
    make: |reactor| {
        let size = MemSize::new(REGION, 3 * BLOCK).unwrap();
        let backend = MemBackend::new(size.clone(), Box::new(|_: &File, _, _| Ok(())));
        (Box::new(Mem::new(size)), reactor.worker(backend))
    },
    features: FEATURES | INACCESSIBLE,
    queue: 0,
    request: |ring, first| {
        ring.write(0x8000, &request(3, ADDRESS, 1));
        ring.describe(first, &[(0x8000, 24, NEXT, first + 1), (0x9000, 10, WRITE, 0)]);
    },
    written: 10,
};

fn request(what: u16, address: u64, blocks: u16) -> [u8; 24] {
    let mut bytes = [0xee; 24];
    bytes[..2].copy_from_slice(&what.to_le_bytes());
    bytes[8..16].copy_from_slice(&address.to_le_bytes());
    bytes[16..18].copy_from_slice(&blocks.to_le_bytes());
    bytes
}

const PLUG: u16 = 0;
const UNPLUG: u16 = 1;
const UNPLUG_ALL: u16 = 2;
const STATE: u16 = 3;

const ACK: u16 = 0;
const NACK: u16 = 1;
const BUSY: u16 = 2;
const ERROR: u16 = 3;

struct Guest {
    driver: Box<dyn Driver>,
    reactor: Inline,
    ring: Ring,
    size: MemSize,
    /// Ranges of the file that were freed: offsets and lengths.
    freed: Arc<Mutex<Vec<(u64, u64)>>>,
    /// Whether the host frees memory.
    frees: Arc<Mutex<bool>>,
}

/// RAM as the other tests have it, and behind it the device's memory, of a file.
fn memory() -> GuestRam {
    let path = std::env::temp_dir().join(format!("triarch-{:?}-mem", std::thread::current().id()));
    let path = path.with_extension(std::process::id().to_string());
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.set_len(OFFSET + SIZE).unwrap();
    let size = usize::try_from(SIZE).unwrap();
    let memory = (GuestAddress(ADDRESS), size, Some(FileOffset::new(file, OFFSET)));
    GuestRam::from_ranges_with_files([(GuestAddress(0), RAM_SIZE, None), memory]).unwrap()
}

impl Guest {
    /// Whose device is asked to have so many blocks.
    fn running(make: MakeDriver, blocks: u64) -> Self {
        let mut guest = Self::new(make, blocks);
        guest.start();
        guest
    }

    fn new(make: MakeDriver, blocks: u64) -> Self {
        let (freed, frees) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(true)));
        let (list, can) = (freed.clone(), frees.clone());
        let release = Box::new(move |_: &File, offset, len| {
            if !*can.lock().unwrap() {
                return Err(std::io::ErrorKind::Unsupported.into());
            }
            list.lock().unwrap().push((offset, len));
            Ok(())
        });
        let ram = memory();
        let size = MemSize::new(REGION, blocks * BLOCK).unwrap();
        let reactor = Inline::new();
        let worker = reactor.worker(MemBackend::new(size.clone(), release));
        let driver = make(Box::new(Mem::new(size.clone())), worker, ram.clone());
        let ring = Ring::new(&ram, 0x1000, 16);
        Guest { driver, reactor, ring, size, freed, frees }
    }

    fn start(&mut self) {
        self.driver.set_status(3);
        self.driver.set_features(VERSION_1 | INACCESSIBLE);
        self.driver.set_status(0xb);
        self.driver.enable(0, self.ring.size, self.ring.parts);
        self.driver.set_status(0xf);
        assert_eq!(self.driver.status(), 0xf);
    }

    fn offer(&mut self, descriptors: &[super::super::testing::Descriptor]) {
        self.ring.describe(0, descriptors);
        self.ring.offer(0);
        self.driver.ring(0);
        self.reactor.run();
    }

    /// Has a request carried out, in pieces: how it went, and the state that it tells.
    fn ask(&mut self, what: u16, block: u64, blocks: u16) -> (u16, u16) {
        self.ask_at(what, ADDRESS + block * BLOCK, blocks)
    }

    fn ask_at(&mut self, what: u16, address: u64, blocks: u16) -> (u16, u16) {
        let bytes = request(what, address, blocks);
        self.ring.write(0x8000, &bytes[..13]);
        self.ring.write(0x8800, &bytes[13..]);
        self.ring.write(0x9000, &[0xee; 32]);
        self.offer(&[
            (0x8000, 13, NEXT, 1),
            (0x8800, 11, NEXT, 2),
            (0x9000, 1, NEXT | WRITE, 3),
            (0x9001, 20, WRITE, 0),
        ]);
        assert_eq!(self.ring.take_used(), Some((0, 10)));
        let answer: [u8; 11] = self.ring.read(0x9000);
        assert_eq!((&answer[2..8], answer[10]), (&[0; 6][..], 0xee));
        (u16::from_le_bytes([answer[0], answer[1]]), u16::from_le_bytes([answer[8], answer[9]]))
    }

    /// What was freed since it was asked last, in blocks of the device's memory.
    fn freed(&self) -> Vec<(u64, u64)> {
        let blocks = |(offset, len): (u64, u64)| ((offset - OFFSET) / BLOCK, len / BLOCK);
        std::mem::take(&mut *self.freed.lock().unwrap()).into_iter().map(blocks).collect()
    }

    /// Configuration space, by the largest accesses that every transport has.
    fn config(&mut self) -> [u64; 7] {
        let mut bytes = [0xa5; 56];
        for (offset, word) in (0..).step_by(4).zip(bytes.as_chunks_mut::<4>().0) {
            self.driver.read_config(offset, word);
        }
        let (fields, _) = bytes.as_chunks();
        std::array::from_fn(|field| u64::from_le_bytes(fields[field]))
    }

    /// What is usable, plugged and requested, in blocks.
    fn sizes(&mut self) -> [u64; 3] {
        let [.., usable, plugged, requested] = self.config();
        [usable, plugged, requested].map(|bytes| bytes / BLOCK)
    }
}

fn everywhere(test: impl Fn(MakeDriver)) {
    for (name, make) in TRANSPORTS {
        println!("{name}");
        test(make);
    }
}

#[test]
fn configuration_space_tells_of_the_region_and_of_changes() {
    everywhere(|make| {
        let mut guest = Guest::running(make, 5);
        assert_eq!(guest.config(), [BLOCK, 0, ADDRESS, SIZE, (1024 + 5) * BLOCK, 0, 5 * BLOCK]);
        assert_eq!(guest.driver.told(), (false, false));
        guest.size.set_requested(90 * BLOCK).unwrap();
        guest.driver.core().config_changed();
        assert_eq!(guest.driver.told(), (false, true));
        assert_eq!(guest.sizes(), [1100, 0, 90]);
        guest.size.set_requested(3 * BLOCK).unwrap();
        assert_eq!(guest.sizes(), [1100, 0, 3], "what is usable does not shrink");
        assert_eq!(guest.size.set_requested(BLOCK / 2), Err(SizeError::Uneven(BLOCK / 2, BLOCK)));
        assert_eq!(guest.size.set_requested(SIZE + BLOCK), Err(SizeError::TooLarge(SIZE + BLOCK, SIZE)));
        assert_eq!(guest.size.requested(), 3 * BLOCK);
    });
    assert!(MemSize::new(REGION, SIZE + BLOCK).is_err());
}

#[test]
fn blocks_are_plugged_up_to_what_is_requested() {
    everywhere(|make| {
        let mut guest = Guest::running(make, 5);
        assert_eq!(guest.ask(PLUG, 2, 3), (ACK, 0));
        assert_eq!(guest.size.plugged(), 3 * BLOCK);
        assert_eq!(guest.ask(PLUG, 4, 1), (ERROR, 0), "it is plugged already");
        assert_eq!(guest.ask(PLUG, 1, 2), (ERROR, 0), "one of them is");
        assert_eq!(guest.ask(PLUG, 7, 3), (NACK, 0), "that is more than requested");
        assert_eq!(guest.ask(PLUG, 1028, 1), (ACK, 0), "the last that is usable");
        assert_eq!(guest.sizes(), [1029, 4, 5]);
        for (what, address, blocks) in [
            ("unaligned", ADDRESS + 1, 1),
            ("none", ADDRESS, 0),
            ("before the region", ADDRESS - BLOCK, 1),
            ("around its start", ADDRESS - BLOCK, 2),
            ("not usable", ADDRESS + 1029 * BLOCK, 1),
            ("partly usable", ADDRESS + 1028 * BLOCK, 2),
            ("behind the region", ADDRESS + SIZE, 1),
            ("at the end of all", !(BLOCK - 1), 65535),
            ("nowhere", 0, 65535),
        ] {
            for request in [PLUG, UNPLUG, STATE] {
                assert_eq!(guest.ask_at(request, address, blocks), (ERROR, 0), "{what}");
            }
        }
        assert_eq!((guest.sizes(), guest.freed()), ([1029, 4, 5], vec![]));
        assert_eq!((guest.driver.status(), guest.driver.told().1), (0xf, false));
    });
}

#[test]
fn what_is_unplugged_goes_back_to_the_host() {
    everywhere(|make| {
        let mut guest = Guest::running(make, 8);
        assert_eq!(guest.ask(PLUG, 0, 8), (ACK, 0));
        guest.size.set_requested(2 * BLOCK).unwrap();
        assert_eq!(guest.ask(PLUG, 9, 1), (NACK, 0));
        assert_eq!(guest.ask(UNPLUG, 3, 4), (ACK, 0));
        assert_eq!((guest.freed(), guest.size.plugged()), (vec![(3, 4)], 4 * BLOCK));
        assert_eq!(guest.ask(UNPLUG, 2, 2), (ERROR, 0), "one of them is unplugged");
        let states = [(0, 3, 0), (3, 4, 1), (6, 2, 2), (0, 8, 2), (500, 500, 1)];
        for (block, blocks, state) in states {
            assert_eq!(guest.ask(STATE, block, blocks), (ACK, state));
        }
        // A host that does not take it back leaves it to the guest.
        *guest.frees.lock().unwrap() = false;
        assert_eq!(guest.ask(UNPLUG, 0, 1), (BUSY, 0));
        assert_eq!(guest.ask(UNPLUG_ALL, 0, 0), (BUSY, 0));
        assert_eq!((guest.freed(), guest.sizes()), (vec![], [1032, 4, 2]));
        *guest.frees.lock().unwrap() = true;
        assert_eq!(guest.ask_at(UNPLUG_ALL, 0xdead, 77), (ACK, 0));
        assert_eq!((guest.freed(), guest.sizes()), (vec![(0, 1100)], [1026, 0, 2]));
        assert_eq!(guest.ask(PLUG, 0, 1), (ACK, 0));
    });
}

#[test]
fn what_is_plugged_outlives_a_reset_and_is_saved() {
    everywhere(|make| {
        let mut guest = Guest::running(make, 8);
        assert_eq!(guest.ask(PLUG, 1, 2), (ACK, 0));
        guest.driver.set_status(0);
        guest.ring = Ring::new(&guest.ring.ram, 0x3000, 16);
        guest.start();
        assert_eq!(guest.ask(STATE, 1, 2), (ACK, 0));
        guest.size.set_requested(20 * BLOCK).unwrap();
        let saved = guest.driver.saved().save().unwrap();
        let mut other = Guest::new(make, 0);
        other.driver.saved().restore(&saved).unwrap();
        other.driver.give_interrupts(guest.driver.take_interrupts());
        assert_eq!(other.sizes(), [1044, 2, 20]);
        assert_eq!(other.size.plugged(), 2 * BLOCK);
    });
}

#[test]
fn states_that_can_not_be_are_refused() {
    let new = || Mem::new(MemSize::new(REGION, 3 * BLOCK).unwrap());
    let saved = new().save().unwrap();
    assert_eq!(saved.bytes.len(), 8 + 8 + 4 + 138);
    let restore = |at: usize, value: u64| {
        let mut changed = saved.clone();
        changed.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        new().restore(&changed)
    };
    restore(0, 2 * BLOCK).unwrap();
    restore(8, SIZE).unwrap();
    restore(8 + 8 + 4, 0xff).unwrap();
    for (what, at, value) in [
        ("half a block is requested", 0, BLOCK / 2),
        ("more is requested than there can be", 0, SIZE + BLOCK),
        ("less is usable than requested", 8, 2 * BLOCK),
        ("more is usable than there is", 8, SIZE + BLOCK),
        ("there are other blocks", 16, 137),
        ("a block is plugged that is not usable", 8 + 8 + 4 + 130, u64::MAX),
    ] {
        assert!(restore(at, value).is_err(), "{what}");
    }
}

#[test]
fn chains_that_are_no_requests_ask_for_a_reset() {
    everywhere(|make| {
        let chains: [(&str, u16, &[super::super::testing::Descriptor]); 5] = [
            ("too short", 3, &[(0x8000, 23, NEXT, 1), (0x9000, 10, WRITE, 0)]),
            ("no room for an answer", 3, &[(0x8000, 24, NEXT, 1), (0x9000, 9, WRITE, 0)]),
            ("no answer", 3, &[(0x8000, 24, 0, 0)]),
            ("no request", 3, &[(0x9000, 10, WRITE, 0)]),
            ("unknown", 4, &[(0x8000, 24, NEXT, 1), (0x9000, 10, WRITE, 0)]),
        ];
        for (what, kind, chain) in chains {
            let mut guest = Guest::running(make, 8);
            guest.ring.write(0x8000, &request(kind, ADDRESS, 1));
            guest.offer(chain);
            assert_eq!((guest.driver.status(), guest.ring.take_used()), (0x4f, None), "{what}");
        }
    });
}

//! The bus, and MSI-X.

use std::sync::{Arc, Mutex};

use super::*;
use crate::{Device, Effect, Line, MsiMessage, Window, nothing_to_save};

const MEMORY: Window = Window { base: 0x1000_0000, size: 0x10_0000 };

/// A function with a BAR of 4 KiB, which reads as its offset plus the sum of what was written there.
struct Probe {
    config: ConfigSpace,
    sum: u8,
}

impl Probe {
    fn new(address: u64) -> Self {
        let identity =
            Identity { vendor: 0x1234, device: 0x5678, revision: 9, class: 0x0a_0b0c, subsystem: (1, 2) };
        let mut config = ConfigSpace::new(&identity);
        config.add_bar(0x1000, address, MEMORY);
        Probe { config, sum: 0 }
    }
}

nothing_to_save!(Probe, "probe");

impl Function for Probe {
    fn read_config(&mut self, offset: u16, data: &mut [u8]) {
        self.config.read(offset, data);
    }

    fn write_config(&mut self, offset: u16, data: &[u8]) {
        self.config.write(offset, data);
    }

    fn window(&self) -> Option<Window> {
        self.config.window()
    }

    fn read_bar(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(u8::try_from(offset & 0xff).unwrap().wrapping_add(self.sum));
    }

    fn write_bar(&mut self, _: u64, data: &[u8]) {
        self.sum = data.iter().fold(self.sum, |sum, byte| sum.wrapping_add(*byte));
    }
}

fn bus() -> (Ecam, Memory) {
    let mut host = PciHost::new(MEMORY);
    host.add(1, Box::new(Probe::new(MEMORY.base))).unwrap();
    host.add(31, Box::new(Probe::new(MEMORY.base + 0x1000))).unwrap();
    assert_eq!(host.add(0, Box::new(Probe::new(0))), Err(PciError::Taken(0)));
    assert_eq!(host.add(31, Box::new(Probe::new(0))), Err(PciError::Taken(31)));
    assert_eq!(host.add(32, Box::new(Probe::new(0))), Err(PciError::NoSuchDevice(32)));
    let host = Arc::new(Mutex::new(host));
    (Ecam(host.clone()), Memory(host))
}

fn read<const N: usize>(device: &mut impl Device, offset: u64) -> [u8; N] {
    let mut data = [0xa5; N];
    assert_eq!(device.read(offset, &mut data), Effect::None);
    data
}

#[test]
fn functions_are_where_their_numbers_say() {
    let (mut ecam, _) = bus();
    assert_eq!(read(&mut ecam, 0), [0x36, 0x1b, 0x08, 0x00]);
    assert_eq!(read(&mut ecam, 0x08), [0, 0, 0, 6], "a host bridge");
    assert_eq!(read(&mut ecam, 0x8000), [0x34, 0x12, 0x78, 0x56]);
    assert_eq!(read(&mut ecam, 0xf_8008), [9, 0x0c, 0x0b, 0x0a]);
    // Another function, another device, another bus.
    for offset in [0x9000, 0x1_0000, 0x10_0000, u64::MAX - 3] {
        assert_eq!(read(&mut ecam, offset), [0xff; 4], "{offset:#x}");
        assert_eq!(ecam.write(offset, &[0; 4]), Effect::None);
    }
    assert_eq!(read(&mut ecam, 0x8100), [0; 4], "no extended capabilities");
    assert_eq!(read(&mut ecam, 0x80fe), [0; 4]);
    assert_eq!(read(&mut ecam, 0x8ffe), [0xff; 4], "across the function's end");
    assert_eq!(ecam.write(0x8ffe, &[0; 4]), Effect::None);
}

#[test]
fn a_bar_is_decoded_where_the_driver_has_it() {
    let (mut ecam, mut memory) = bus();
    assert_eq!(read(&mut memory, 0x10), [0xff; 4], "memory is off");
    assert_eq!(ecam.write(0x8004, &[2, 0]), Effect::None);
    assert_eq!(read(&mut memory, 0x10), [0x10; 4]);
    assert_eq!(read(&mut memory, 0x1010), [0xff; 4], "the other one's is off");
    assert_eq!(read(&mut memory, 0xffe), [0xff; 4], "across its end");
    for nowhere in [0xffe, 0x1000, 0x10_0000, u64::MAX - 3] {
        assert_eq!(memory.write(nowhere, &[1; 4]), Effect::None);
    }
    assert_eq!(read(&mut memory, 0x20), [0x20; 4]);
    assert_eq!(memory.write(0x20, &[1, 2]), Effect::None);
    assert_eq!(read(&mut memory, 0x20), [0x23; 4]);
    assert_eq!(memory.write(0x20, &[0xfd]), Effect::None);
    // To the other's place, where the first of both answers.
    assert_eq!(ecam.write(0xf_8004, &[2, 0]), Effect::None);
    assert_eq!(ecam.write(0x8010, &[0, 0x10, 0, 0x10]), Effect::None);
    assert_eq!(read(&mut memory, 0x10), [0xff; 4]);
    assert_eq!(read(&mut memory, 0x1020), [0x20; 4]);
}

#[test]
fn lines_that_are_shared_stay_as_long_as_one_asserts_them() {
    #[derive(Default)]
    struct Level(Mutex<Vec<bool>>);
    impl Line for Level {
        fn set(&self, asserted: bool) {
            self.0.lock().unwrap().push(asserted);
        }
    }
    let level = Arc::new(Level::default());
    let line = SharedLine::new(level.clone());
    let (one, other) = (line.share(1), line.share(5));
    for (share, asserted) in [(&one, true), (&other, true), (&one, true), (&one, false), (&other, false)] {
        share.set(asserted);
    }
    assert_eq!(*level.0.lock().unwrap(), [true, true, true, true, false]);
}

#[derive(Debug, PartialEq)]
enum Told {
    Set(u16, MsiMessage),
    Sent(u16),
}

#[derive(Clone, Default)]
struct Host(Arc<Mutex<Vec<Told>>>);

impl Host {
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Messages for Host {
    fn set(&self, vector: u16, message: MsiMessage) {
        self.0.lock().unwrap().push(Told::Set(vector, message));
    }

    fn send(&self, vector: u16) {
        self.0.lock().unwrap().push(Told::Sent(vector));
    }
}

fn pending(msix: &Msix) -> [u8; 8] {
    let mut bits = [0xa5; 8];
    msix.read_pending(0, &mut bits);
    bits
}

/// Unmasks a vector whose message is its number.
fn unmask(msix: &Msix, vector: u16) {
    msix.write_table(u64::from(vector) * 16 + 8, &u64::from(vector).to_le_bytes());
}

fn message(vector: u16) -> MsiMessage {
    MsiMessage { address: 0, data: vector.into() }
}

#[test]
fn what_is_due_while_masked_is_sent_when_unmasked() {
    let host = Host::default();
    let msix = Msix::new(11, Box::new(host.clone()));
    assert!(!msix.signal(9));
    assert_eq!(pending(&msix), [0; 8], "not enabled");
    msix.set_control(true, false);
    assert!(msix.signal(9));
    msix.signal(9);
    msix.signal(11);
    msix.signal(0xffff);
    assert_eq!((host.take(), pending(&msix)), (vec![], [0, 2, 0, 0, 0, 0, 0, 0]));
    let mut byte = [0];
    msix.read_pending(1, &mut byte);
    assert_eq!(byte, [2]);
    unmask(&msix, 9);
    assert_eq!(host.take(), [Told::Set(9, message(9)), Told::Sent(9)]);
    assert_eq!(pending(&msix), [0; 8]);
    msix.signal(9);
    assert_eq!(host.take(), [Told::Sent(9)]);
    // All at once.
    msix.set_control(true, true);
    msix.signal(9);
    unmask(&msix, 3);
    msix.signal(3);
    assert_eq!((host.take(), pending(&msix)), (vec![], [8, 2, 0, 0, 0, 0, 0, 0]));
    msix.set_control(true, false);
    assert_eq!(host.take(), [Told::Set(3, message(3)), Told::Sent(3), Told::Sent(9)]);
    // Forgotten when it is turned off.
    msix.set_control(true, true);
    msix.signal(9);
    msix.set_control(false, false);
    msix.set_control(true, false);
    assert_eq!((host.take(), pending(&msix)), (vec![], [0; 8]));
}

#[test]
fn the_table_is_read_as_it_was_written() {
    let msix = Msix::new(2, Box::new(Host::default()));
    let read = |offset, len: usize| {
        let mut data = [0xa5; 8];
        msix.read_table(offset, &mut data[..len]);
        data[..len].to_vec()
    };
    assert_eq!(read(0x18, 8), [0, 0, 0, 0, 1, 0, 0, 0], "masked at first");
    msix.write_table(0x10, &[1, 2, 3, 4, 5, 6, 7, 8]);
    msix.write_table(0x18, &[9, 10, 11, 12]);
    msix.write_table(0x1c, &[0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(read(0x10, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(read(0x14, 4), [5, 6, 7, 8]);
    assert_eq!(read(0x18, 8), [9, 10, 11, 12, 0, 0, 0, 0], "reserved bits stay");
    // Not aligned, too small, behind the end.
    for (offset, len) in
        [(0x12, 4), (0x14, 8), (0x10, 2), (0x10, 1), (0x20, 4), (0x2000, 8), (u64::MAX - 7, 8)]
    {
        msix.write_table(offset, &[0xff; 8][..len]);
        assert_eq!(read(offset, len), [0; 8][..len], "{offset:#x} {len}");
    }
    assert_eq!(read(0x10, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
}

//! Accesses that no sane driver makes: every device at every offset, with every size of access and more.
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

use std::sync::{Arc, Mutex};

use triarch_devices::{
    AcpiEvents, AcpiPower, Bus, Device, I8042, Input, Ioapic, Line, Pl011, Pl031, Shutdown, Sink, Trigger,
    Uart16550, Window,
};

struct Host;

impl Line for Host {
    fn set(&self, _: bool) {}
}

impl Sink for Host {
    fn put(&mut self, _: &[u8]) {}

    fn echo(&mut self, _: &[u8]) {}
}

fn uart() -> Uart16550 {
    Uart16550::new(Arc::new(Host), Box::new(Host), Box::new(|| ()))
}

fn pl011() -> Pl011 {
    Pl011::new(Arc::new(Host), Box::new(Host), Box::new(|| ()))
}

/// Sizes that instructions have, and others.
const SIZES: [usize; 8] = [0, 1, 2, 3, 4, 5, 8, 16];

/// Does the same to two devices that are alike: at every offset, and many times at those of `registers`, which are behind each
/// other. What the two read is the same, whatever was in the buffer, and though one of them is now and then a new one that is restored
/// from the other's state. `then` does something else after each access.
fn hammer<D: Device>(size: u64, registers: &[u64], make: impl Fn() -> D, then: impl Fn(&mut D)) {
    let (mut one, mut other) = (make(), make());
    // xorshift64.
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let everywhere = (0..=size).chain([u64::MAX - 8, u64::MAX]);
    for offset in everywhere.chain(registers.iter().copied().cycle().take(2000)) {
        for len in SIZES {
            let (mut first, mut second) = (vec![0; len], vec![0xff; len]);
            assert_eq!(one.read(offset, &mut first), other.read(offset, &mut second));
            assert_eq!(first, second, "{len} bytes at {offset:#x}");
            let value: Vec<u8> = std::iter::repeat_with(&mut random).flatten().take(len).collect();
            assert_eq!(one.write(offset, &value), other.write(offset, &value));
            then(&mut one);
            then(&mut other);
            if random()[0] < 16 {
                let saved = one.save().unwrap();
                other = make();
                other.restore(&saved).unwrap();
                assert_eq!(other.save().unwrap(), saved);
            }
        }
    }
}

fn feed(device: &mut impl Input) {
    let room = device.room();
    assert!(room <= 64, "{room}");
    assert!(device.take(b"four") <= room);
    assert!(device.room() <= room);
}

#[test]
fn serial_ports() {
    hammer(8, &[0, 1, 2, 3, 4, 5, 6, 7], uart, feed);
    hammer(Pl011::SIZE, &[0, 4, 0x18, 0x2c, 0x30, 0x34, 0x38, 0x44], pl011, feed);
}

struct NoInterrupt;

impl Trigger for NoInterrupt {
    fn trigger(&self) {}
}

#[test]
fn other_devices() {
    hammer(5, &[0, 4], I8042::new, |_| ());
    hammer(u64::from(AcpiPower::SIZE), &[0, 1, 2, 3], AcpiPower::new, |_| ());
    let events = || AcpiEvents::new(Box::new(NoInterrupt), Box::new(|| true));
    hammer(u64::from(AcpiEvents::SIZE), &[0, 1], events, |events| _ = events.ask());
    let ioapic = || Ioapic::new(24, Box::new(|_| ()), Box::new(|_| ()));
    hammer(Ioapic::SIZE, &[0, 0x10, 0x40], ioapic, |ioapic| {
        for pin in [0, 23, 24, u32::MAX] {
            ioapic.set_line(pin, true);
            ioapic.set_line(pin, false);
        }
        ioapic.end_of_interrupt(0xff);
    });
}

#[test]
fn the_clock() {
    // It goes on while it is read, so no two are alike.
    let mut clock = Pl031::new();
    for offset in (0..=Pl031::SIZE).chain([u64::MAX]) {
        for len in SIZES {
            let mut data = vec![0xa5; len];
            let _ = clock.read(offset, &mut data);
            let _ = clock.write(offset, &vec![0xff; len]);
            assert!(data.iter().skip(4).all(|byte| *byte == 0), "{len} bytes at {offset:#x}");
        }
    }
}

#[test]
fn a_bus_with_neighbours() {
    let mut bus = Bus::default();
    bus.insert(Window { base: 0x3f8, size: 8 }, Arc::new(Mutex::new(uart()))).unwrap();
    bus.insert(Window { base: 0x400, size: 0x1000 }, Arc::new(Mutex::new(pl011()))).unwrap();
    for address in (0x3e8..0x1410).chain([u64::MAX - 8, u64::MAX]) {
        for len in SIZES {
            let mut data = vec![0xa5; len];
            let _ = bus.read(address, &mut data);
            let within = |base, end| address >= base && address.saturating_add(len as u64) <= end;
            let inside = within(0x3f8, 0x400) || within(0x400, 0x1400);
            assert!(inside || data.iter().all(|byte| *byte == 0xff), "{len} bytes at {address:#x}");
            let _ = bus.write(address, &data);
        }
    }
}

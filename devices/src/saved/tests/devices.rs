//! Devices that are no virtio devices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::testing::{golden, mutations, refuses_what_is_cut_off};
use super::*;
use crate::{
    AcpiEvents, AcpiPower, Device, Effect, I8042, Input, Ioapic, Line, MsiMessage, Pl011, Pl031, Pvpanic,
    Sclp, SclpConfig, Shutdown, Sink, Trigger, Uart16550,
};

/// The host's end of everything.
#[derive(Clone, Default)]
struct Host {
    level: Arc<AtomicBool>,
    edges: Arc<AtomicUsize>,
    output: Arc<Mutex<Vec<u8>>>,
    drained: Arc<AtomicUsize>,
}

impl Line for Host {
    fn set(&self, asserted: bool) {
        self.level.store(asserted, Ordering::Relaxed);
        self.edges.fetch_add(asserted.into(), Ordering::Relaxed);
    }
}

impl Trigger for Host {
    fn trigger(&self) {
        self.edges.fetch_add(1, Ordering::Relaxed);
    }
}

impl Sink for Host {
    fn put(&mut self, bytes: &[u8]) {
        self.output.lock().unwrap().extend(bytes);
    }

    fn echo(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }
}

impl Host {
    fn hook(&self) -> crate::Hook {
        let drained = self.drained.clone();
        Box::new(move || _ = drained.fetch_add(1, Ordering::Relaxed))
    }

    fn uart(&self) -> Uart16550 {
        Uart16550::new(Arc::new(self.clone()), Box::new(self.clone()), self.hook())
    }

    fn pl011(&self) -> Pl011 {
        Pl011::new(Arc::new(self.clone()), Box::new(self.clone()), self.hook())
    }

    fn edges(&self) -> usize {
        self.edges.swap(0, Ordering::Relaxed)
    }
}

fn write(device: &mut dyn Device, offset: u64, data: &[u8]) {
    assert_eq!(device.write(offset, data), Effect::None);
}

fn read<const N: usize>(device: &mut dyn Device, offset: u64) -> [u8; N] {
    let mut data = [0xa5; N];
    assert_eq!(device.read(offset, &mut data), Effect::None);
    data
}

/// What every device's state stands: its golden file, being cut off, and mutations, after which the device is accessed at each of
/// `offsets`.
fn withstands<D: Device>(name: &str, saved: &Saved, make: impl Fn() -> D, offsets: &[u64]) {
    golden(name, saved, &mut make());
    refuses_what_is_cut_off(saved, &make);
    mutations(saved, 2000, &make, |device| {
        for &offset in offsets {
            for value in [0, u32::MAX] {
                let _ = device.read(offset, &mut [0; 4]);
                let _ = device.write(offset, &value.to_le_bytes());
            }
        }
        device.save().unwrap();
    });
}

#[test]
fn a_16550() {
    let (host, other) = (Host::default(), Host::default());
    let mut port = host.uart();
    for (register, value) in [(3, 0x80), (0, 0x01), (1, 0x02), (3, 0x1b), (1, 0x05), (4, 0x0b), (7, 0x5a)] {
        write(&mut port, register, &[value]);
    }
    assert_eq!(port.take(b"abc"), 3);
    assert_eq!((read(&mut port, 0), host.edges()), ([b'a'], 1));
    port.take(b"d");
    let saved = port.save().unwrap();
    withstands("uart-1", &saved, || Host::default().uart(), &[0, 1, 2, 3, 4, 5, 6, 7]);

    let mut restored = other.uart();
    restored.restore(&saved).unwrap();
    assert_eq!(other.edges(), 0, "the interrupt was sent before");
    assert_eq!([2, 0, 0, 0].map(|register| read(&mut restored, register)), [[0xc4], [b'b'], [b'c'], [b'd']]);
    assert_eq!(other.drained.load(Ordering::Relaxed), 1);
    restored.take(b"e");
    assert_eq!(other.edges(), 1);
    write(&mut restored, 0, b"x");
    assert_eq!(*other.output.lock().unwrap(), b"x");
    // The line is cut off in the other, too.
    write(&mut port, 4, &[0x1b]);
    let mut restored = other.uart();
    restored.restore(&port.save().unwrap()).unwrap();
    assert_eq!(restored.room(), 0);
    write(&mut restored, 4, &[0x0b]);
    assert_eq!(other.drained.load(Ordering::Relaxed), 2);
}

#[test]
fn a_pl011() {
    let (host, other) = (Host::default(), Host::default());
    let mut port = host.pl011();
    let registers = [
        (0x20, 0x12_u16),
        (0x24, 0x3456),
        (0x28, 0x17),
        (0x2c, 0x70),
        (0x30, 0x301),
        (0x34, 0x21),
        (0x38, 0x50),
        (0x48, 0x05),
    ];
    for (register, value) in registers {
        write(&mut port, register, &value.to_le_bytes());
    }
    port.take(b"abc");
    assert!(host.level.load(Ordering::Relaxed));
    let saved = port.save().unwrap();
    let offsets: Vec<u64> = (0..0x50).step_by(4).collect();
    withstands("pl011-1", &saved, || Host::default().pl011(), &offsets);

    let mut restored = other.pl011();
    restored.restore(&saved).unwrap();
    assert!(other.level.load(Ordering::Relaxed), "the line is as it was");
    assert_eq!((restored.room(), other.drained.load(Ordering::Relaxed)), (29, 0));
    for (register, value) in registers {
        assert_eq!(read(&mut restored, register), value.to_le_bytes());
    }
    assert_eq!([(); 3].map(|()| read(&mut restored, 0)), [[b'a'], [b'b'], [b'c']]);
    assert!(!other.level.load(Ordering::Relaxed));
}

#[test]
fn a_pl031() {
    // An hour behind the host.
    let bytes = [
        &[0x78, 0x56, 0x34, 0x12, 0xf0, 0xf1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[0xef, 0xbe, 0xad, 0xde, 1, 0, 0, 0, 0, 0, 0, 0],
    ];
    let literal = Saved { kind: Kind::new("pl031"), version: 1, bytes: bytes.concat() };
    let mut clock = Pl031::new();
    clock.restore(&literal).unwrap();
    let saved = clock.save().unwrap();
    assert_eq!(saved, literal);
    withstands("pl031-1", &saved, Pl031::new, &[0, 4, 8, 12, 16, 20, 24, 28]);

    let now = u32::from_le_bytes(read(&mut Pl031::new(), 0));
    assert!((now - 3600..now - 3590).contains(&u32::from_le_bytes(read(&mut clock, 0))));
    assert_eq!([4, 8, 16].map(|at| u32::from_le_bytes(read(&mut clock, at))), [0xdead_beef, 0x1234_5678, 1]);
    // No guest's clock is farther off than its 32 bits.
    let mut far = literal.clone();
    far.bytes[8] = 1;
    assert!(clock.restore(&far).is_err());
}

#[test]
fn power_and_reset() {
    let mut power = AcpiPower::new();
    write(&mut power, 0, &[0x14]);
    let saved = power.save().unwrap();
    withstands("acpi-power-1", &saved, AcpiPower::new, &[1, 3]);
    let mut restored = AcpiPower::new();
    restored.restore(&saved).unwrap();
    assert_eq!(read(&mut restored, 0), [0x14]);
    let enabled = Saved { bytes: vec![0x34], ..saved };
    assert!(restored.restore(&enabled).is_err(), "nobody sleeps");

    let host = Host::default();
    let events = || AcpiEvents::new(Box::new(host.clone()), Box::new(|| true));
    let mut pressed = events();
    assert!(pressed.ask());
    let saved = pressed.save().unwrap();
    withstands("acpi-events-1", &saved, events, &[0, 1]);
    let mut restored = events();
    restored.restore(&saved).unwrap();
    assert_eq!(read(&mut restored, 0), [AcpiEvents::POWER_BUTTON]);
    assert_eq!(host.edges(), 1, "the interrupt controller has what is pending");
    let saved = Pvpanic::new().save().unwrap();
    golden("pvpanic-1", &saved, &mut Pvpanic::new());
    refuses_what_is_cut_off(&saved, Pvpanic::new);

    let saved = I8042::new().save().unwrap();
    withstands("i8042-1", &saved, I8042::new, &[0, 1]);
}

/// What an I/O APIC sent, and what it last mirrored: by pin, the message's data.
#[derive(Clone, Default)]
struct Messages {
    sent: Arc<Mutex<Vec<u32>>>,
    mirrored: Arc<Mutex<Vec<(usize, u32)>>>,
}

impl Messages {
    fn ioapic(&self) -> Ioapic {
        let (sent, mirrored) = (self.sent.clone(), self.mirrored.clone());
        let deliver = move |message: MsiMessage| sent.lock().unwrap().push(message.data);
        let mirror = move |all: &[Option<MsiMessage>]| {
            let some = all.iter().enumerate().filter_map(|(pin, message)| Some((pin, (*message)?.data)));
            *mirrored.lock().unwrap() = some.collect();
        };
        Ioapic::new(4, Box::new(deliver), Box::new(mirror))
    }

    fn sent(&self) -> Vec<u32> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

#[test]
fn an_ioapic() {
    let (before, after) = (Messages::default(), Messages::default());
    let mut chip = before.ioapic();
    let mut set = |index: u8, value: u32| {
        write(&mut chip, 0, &[index]);
        write(&mut chip, 0x10, &value.to_le_bytes());
    };
    set(0, 0x0200_0000);
    set(0x10, 0x0000_0031);
    set(0x12, 0x0000_8032);
    set(0x13, 0x0100_0000);
    set(0x14, 0x0000_8033);
    // Masked again: an interrupt may yet have to end.
    set(0x14, 0x0001_8034);
    chip.set_line(0, true);
    chip.set_line(1, true);
    assert_eq!(before.sent(), [0x31, 0xc032]);
    let saved = chip.save().unwrap();
    let make = || Messages::default().ioapic();
    withstands("ioapic-1", &saved, make, &[0, 0x10, 0x40]);

    let mut restored = after.ioapic();
    restored.restore(&saved).unwrap();
    assert_eq!(*after.mirrored.lock().unwrap(), [(1, 0xc032), (2, 0xc033)]);
    restored.set_line(0, true);
    restored.set_line(1, true);
    assert!(after.sent().is_empty(), "they were sent before");
    restored.end_of_interrupt(0x32);
    assert_eq!(after.sent(), [0xc032]);
    restored.set_line(0, false);
    restored.set_line(0, true);
    assert_eq!(after.sent(), [0x31]);

    let bad: [(usize, u8); 5] = [
        (0x01, 1),    // an identifier's reserved bits
        (0x05, 3),    // one pin less
        (0x0a, 0x10), // pin 0's delivery status
        (0x0a, 0x40), // its remote IRR, though it is edge-triggered
        (0x12, 2),    // the pin's line
    ];
    for (at, value) in bad {
        let mut bad = saved.clone();
        bad.bytes[at] = value;
        assert!(make().restore(&bad).is_err(), "{at:#x}");
    }
}

fn sclp(host: &Host) -> Sclp {
    let config = SclpConfig { cpus: 1, memory: 64 << 20 };
    let signal = host.edges.clone();
    let signal = Box::new(move |_| _ = signal.fetch_add(1, Ordering::Relaxed));
    Sclp::new(config, signal, Box::new(host.clone()), host.hook())
}

/// Sets the mask of events that the guest receives.
fn receive(sclp: &mut Sclp, mask: u32) {
    let mut sccb = [0; 28];
    (sccb[1], sccb[11]) = (28, 4);
    sccb[12..16].copy_from_slice(&mask.to_be_bytes());
    assert!(sclp.service_call(0x0078_0005, 0x1000, &mut sccb).is_some());
    assert_eq!(sccb[6..8], [0x00, 0x20]);
}

/// Reads events: the response code, and what follows the header.
fn events(sclp: &mut Sclp) -> (u8, Vec<u8>) {
    let mut sccb = vec![0; 1024];
    (sccb[0], sccb[5]) = (4, 0x80);
    assert!(sclp.service_call(0x0077_0005, 0x1000, &mut sccb).is_some());
    let len = usize::from(u16::from_be_bytes([sccb[0], sccb[1]]));
    (sccb[6], sccb[8..len].to_vec())
}

#[test]
fn an_sclp() {
    let (host, other) = (Host::default(), Host::default());
    let mut before = sclp(&host);
    // Commands, VT220 input, the request to shut down; first all of it, then the line-mode console alone.
    receive(&mut before, 0x0000_0048);
    before.take(b"typed");
    assert!(before.ask());
    receive(&mut before, 0x8000_0008);
    before.take(b"one\rtwo\r\nhal\x7f");
    let saved = before.save().unwrap();
    let make = || sclp(&Host::default());
    golden("sclp-1", &saved, &mut make());
    refuses_what_is_cut_off(&saved, make);
    mutations(&saved, 2000, make, |sclp| {
        sclp.take(&[b'x'; 5000]);
        events(sclp);
        receive(sclp, u32::MAX);
        events(sclp);
        sclp.ask();
        sclp.save().unwrap();
    });

    let mut after = sclp(&other);
    after.restore(&saved).unwrap();
    assert_eq!(other.edges(), 0, "the guest knows already");
    assert_eq!((after.room(), before.room()), (4086, 4086));
    after.take(b"f\r");
    before.take(b"f\r");
    let told = events(&mut after);
    assert_eq!(told, events(&mut before));
    assert_eq!((told.0, told.1[..9].to_vec()), (0x00, vec![0, 9, 0x1d, 0, 0, 0, 0, 0, 0]));
    receive(&mut after, 0x0000_0040);
    assert_eq!(events(&mut after).1, [&[0, 12, 0x1a, 0, 0, 0, 0][..], b"typed"].concat());

    let mut bad = saved.clone();
    bad.bytes[4..6].fill(0);
    assert!(make().restore(&bad).is_err(), "masks of no bytes");
    // A command that is longer than a line, and more of them than there is room for.
    for (count, len) in [(1_u32, 252_u32), (20, 251)] {
        let line = [&len.to_le_bytes()[..], &vec![b'x'; usize::try_from(len).unwrap()]].concat();
        let mut bytes = [&[0; 4][..], &[4, 0, 0, 0, 0, 0, 0]].concat();
        bytes.extend(count.to_le_bytes());
        bytes.extend((0..count).flat_map(|_| line.clone()));
        bytes.extend([0, 0, 0, 0, 0, 0]);
        let long = Saved { bytes, ..saved.clone() };
        assert!(matches!(make().restore(&long), Err(Error::Invalid { .. })), "{count} lines of {len}");
    }
}

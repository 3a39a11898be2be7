//! Hostile guests, made of bytes: what the fuzzer (`ci/fuzz`) and the kept corpus drive devices with.
//!
//! Each target takes any bytes. It must end soon, whatever they are, and not panic: a device has a defined answer to everything.
//! As a test, each target runs over its corpus in `ci/fuzz.d/corpus`, on every ISA.

use std::sync::{Arc, Mutex};

use vm_memory::{Bytes, GuestAddress};

use crate::saved::Saved;
use crate::virtio::testing::RAM_SIZE;
use crate::virtio::tests::{Case, DEVICES, Fixture, TRANSPORTS, VERSION_1};
use crate::{
    AcpiPower, Device, I8042, Input, Ioapic, Line, Pl011, Pl031, Save, Sclp, SclpConfig, Shutdown, Sink,
    Uart16550,
};

/// The most operations of an input: longer ones find nothing that shorter ones don't.
const MAX_OPERATIONS: usize = 512;

/// The most bytes of an operation's data.
const MAX_DATA: usize = 256;

/// The most rounds of its thread that a device gets after an operation. A backend that always has something to do, as a network
/// with frames without end, has no more to do once its guest's buffers are full.
const MAX_ROUNDS: usize = 64;

/// Takes an input apart, from its start.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    /// The next `len` bytes, or those that are left.
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// The next number of `N` bytes, little-endian; what is missing is 0.
    fn number<const N: usize>(&mut self) -> u64 {
        let mut number = [0; 8];
        self.bytes(N.min(8)).iter().zip(&mut number).for_each(|(from, to)| *to = *from);
        u64::from_le_bytes(number)
    }

    fn byte(&mut self) -> u8 {
        self.number::<1>().to_le_bytes()[0]
    }

    fn short(&mut self) -> u16 {
        let [low, high, ..] = self.number::<2>().to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    fn word(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.number::<4>().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// One of `count`.
    fn index(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    /// An address: most often in RAM, sometimes at its end, seldom anywhere.
    fn address(&mut self) -> u64 {
        const END: u64 = RAM_SIZE as u64;
        match self.byte() {
            0..200 => self.number::<3>() % END,
            200..230 => END.saturating_sub(self.number::<1>()),
            _ => self.number::<8>(),
        }
    }

    /// Data with their length in front.
    fn data(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte()) % MAX_DATA;
        self.bytes(len).to_vec()
    }

    /// An access of a size that a guest has.
    fn access(&mut self) -> Vec<u8> {
        let len = 1 << self.index(4);
        let mut data = vec![0; len];
        self.bytes(len).iter().zip(&mut data).for_each(|(from, to)| *to = *from);
        data
    }

    /// Calls `operate` with the number of an operation until the input ends.
    fn operations(&mut self, mut operate: impl FnMut(&mut Self, u8)) {
        for _ in 0..MAX_OPERATIONS {
            if self.0.is_empty() {
                break;
            }
            let operation = self.byte();
            operate(self, operation);
        }
    }
}

fn case(input: &mut Script<'_>) -> Case {
    let subject = &DEVICES[input.index(DEVICES.len())];
    let (_, transport) = TRANSPORTS[input.index(TRANSPORTS.len())];
    Case { subject, transport }
}

fn settle(fixture: &Fixture) {
    for _ in 0..MAX_ROUNDS {
        if fixture.reactor.step() == 0 {
            break;
        }
    }
}

/// Every virtio device on every transport: its driver starts it as it should, and then does anything.
pub fn virtio(data: &[u8]) {
    let mut input = Script(data);
    let case = case(&mut input);
    let features = if input.byte() % 2 == 0 { VERSION_1 } else { case.subject.features };
    let mut fixture = Some(Fixture::running(case, features));
    input.operations(|input, operation| {
        let Some(running) = &mut fixture else { return };
        match operation % 12 {
            0 | 1 => {
                let table = if input.byte() % 2 == 0 { running.ring.parts[0] } else { 0xa000 };
                let index = input.short() % 20;
                let (address, len) = (input.address(), input.word());
                let len = if input.byte() % 4 == 0 { len } else { len % 0x2000 };
                let descriptor = (address, len, u16::from(input.byte() % 8), input.short() % 20);
                running.ring.put_descriptor(table, index, descriptor);
            }
            2 => running.ring.offer(input.short() % 20),
            3 => {
                let request = input.short() % 4;
                (case.subject.request)(&running.ring, request * 4);
                running.ring.offer(request * 4);
            }
            4 => {
                let (address, data) = (input.address(), input.data());
                // A guest writes to its RAM only.
                let _ = running.ring.ram.write(&data, GuestAddress(address));
            }
            5 => running.ring.set_available(input.short()),
            6 | 7 => running.driver.core().ring(u32::from(input.byte())),
            8 if input.byte() % 8 == 0 => fixture = fixture.take().map(|fixture| fixture.moved(case)),
            8 => running.driver.core().config_changed(),
            _ => {
                let (how, at) = (input.byte(), input.number::<3>());
                let mut data = input.access();
                running.driver.attack(how, at, &mut data);
            }
        }
        fixture.iter().for_each(settle);
    });
}

/// Channel programs: a virtio device's subchannel, and instructions with any operands.
pub fn channel(data: &[u8]) {
    const CCW: usize = 4;
    let mut input = Script(data);
    let subject = &DEVICES[input.index(DEVICES.len())];
    let (_, transport) = TRANSPORTS[CCW + input.index(TRANSPORTS.len() - CCW)];
    let mut fixture = Some(Fixture::new(Case { subject, transport }));
    input.operations(|input, operation| {
        let Some(running) = &mut fixture else { return };
        match operation % 8 {
            0 => {
                let (address, data) = (input.address(), input.data());
                let _ = running.ring.ram.write(&data, GuestAddress(address));
            }
            1 if input.byte() % 8 == 0 => {
                fixture = fixture.take().map(|fixture| fixture.moved(Case { subject, transport }));
            }
            _ => {
                let (how, at, mut data) = (input.byte(), input.number::<8>(), input.data());
                running.driver.attack(how, at, &mut data);
            }
        }
        fixture.iter().for_each(settle);
    });
}

/// PCI configuration space and BARs of a device that its firmware has not touched.
pub fn pci(data: &[u8]) {
    const WAYS: std::ops::Range<usize> = 1..4;
    let mut input = Script(data);
    let subject = &DEVICES[input.index(DEVICES.len())];
    let (_, transport) = TRANSPORTS[WAYS.start + input.index(WAYS.len())];
    let mut fixture = Fixture::new(Case { subject, transport });
    input.operations(|input, operation| {
        let (at, mut data) = (input.number::<4>(), input.access());
        fixture.driver.attack(operation, at, &mut data);
        settle(&fixture);
    });
}

/// Saved states of a virtio device: what is accepted is what is saved again, and can run.
pub fn saved(data: &[u8]) {
    let mut input = Script(data);
    let mut fixture = Fixture::new(case(&mut input));
    let Ok(state) = Saved::decode(input.0) else { return };
    if fixture.restore(&state).is_err() {
        return;
    }
    assert_eq!(fixture.save().unwrap(), state, "what is accepted is what is saved again");
    fixture.driver.core().start();
    settle(&fixture);
    (0..3).for_each(|queue| fixture.driver.core().ring(queue));
    settle(&fixture);
    fixture.save().unwrap();
}

/// A console's host end that takes everything.
struct Nowhere;

impl Sink for Nowhere {
    fn put(&mut self, _: &[u8]) {}

    fn echo(&mut self, _: &[u8]) {}
}

struct Unconnected;

impl Line for Unconnected {
    fn set(&self, _: bool) {}
}

/// SCCBs, with consoles that have input.
pub fn sccb(data: &[u8]) {
    const COMMANDS: [u32; 6] = [0x0001_0001, 0x0002_0001, 0x0012_0001, 0x0076_0005, 0x0077_0005, 0x0078_0005];
    let mut input = Script(data);
    let config = SclpConfig { cpus: input.word(), memory: input.number::<8>() };
    let make = || Sclp::new(config, Box::new(|_| ()), Box::new(Nowhere), Box::new(|| ()));
    let mut sclp = make();
    input.operations(|input, operation| match operation % 8 {
        0 => {
            let data = input.data();
            let taken = sclp.take(&data[..data.len().min(sclp.room())]);
            assert!(taken <= data.len());
        }
        1 => _ = sclp.ask(),
        2 => {
            let state = sclp.save().unwrap();
            sclp = make();
            sclp.restore(&state).unwrap();
        }
        chosen => {
            let command = COMMANDS.get(usize::from(chosen) - 2).copied().unwrap_or_else(|| input.word());
            // As long as its length field says, as whoever carries out the instruction copies it.
            let len = usize::from(input.short() % 0x1001).max(8);
            let mut block = vec![0; len];
            input.data().iter().zip(&mut block).for_each(|(from, to)| *to = *from);
            block[..2].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            let address = input.word() & 0x7fff_fff8;
            let _ = sclp.service_call(command, address, &mut block);
        }
    });
}

/// Registers of all devices that are not virtio's.
pub fn chips(data: &[u8]) {
    let (line, sink) = (Arc::new(Unconnected), || Box::new(Nowhere));
    let uart = Arc::new(Mutex::new(Uart16550::new(line.clone(), sink(), Box::new(|| ()))));
    let pl011 = Arc::new(Mutex::new(Pl011::new(line, sink(), Box::new(|| ()))));
    let ioapic = Arc::new(Mutex::new(Ioapic::new(24, Box::new(|_| ()), Box::new(|_| ()))));
    let devices: [Arc<Mutex<dyn Device>>; 6] = [
        uart.clone(),
        pl011.clone(),
        ioapic.clone(),
        Arc::new(Mutex::new(I8042::new())),
        Arc::new(Mutex::new(Pl031::new())),
        Arc::new(Mutex::new(AcpiPower::new())),
    ];
    let inputs: [Arc<Mutex<dyn Input>>; 2] = [uart, pl011];
    let mut input = Script(data);
    input.operations(|input, operation| {
        let device = &devices[input.index(devices.len())];
        match operation % 8 {
            0 => {
                let (console, bytes) = (&inputs[input.index(2)], input.data());
                let mut console = console.lock().unwrap();
                let room = console.room().min(bytes.len());
                console.take(&bytes[..room]);
            }
            1 => {
                let mut device = device.lock().unwrap();
                let state = device.save().unwrap();
                device.restore(&state).unwrap();
            }
            2 => {
                let mut ioapic = ioapic.lock().unwrap();
                ioapic.set_line(input.byte().into(), true);
                ioapic.end_of_interrupt(input.byte());
            }
            3 | 4 => {
                let (at, mut data) = (u64::from(input.short() % 0x1008), input.access());
                let _ = device.lock().unwrap().read(at, &mut data);
            }
            _ => {
                let (at, data) = (u64::from(input.short() % 0x1008), input.access());
                let _ = device.lock().unwrap().write(at, &data);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    type Target = fn(&[u8]);
    const TARGETS: [(&str, Target); 6] = [
        ("virtio", virtio),
        ("channel", channel),
        ("pci", pci),
        ("saved", saved),
        ("sccb", sccb),
        ("chips", chips),
    ];

    #[test]
    fn the_corpus_and_what_is_near_it_do_no_harm() {
        for (name, target) in TARGETS {
            let folder =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/fuzz.d/corpus").join(name);
            let mut files: Vec<_> =
                std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            assert!(!files.is_empty(), "{name} has a corpus");
            let mut random = crate::saved::testing::Random::new();
            for file in files {
                let mut bytes = std::fs::read(&file).unwrap();
                println!("{}", file.display());
                target(&bytes);
                random.mutate(&mut bytes);
                target(&bytes);
            }
        }
    }
}

//! What tests drive devices with: a guest that writes literal bytes, and a reactor that runs when it is told to.

pub mod ccw;
pub mod pci;

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use event_manager::{EventManager, SubscriberId, SubscriberOps};
use vm_memory::{Bytes, GuestAddress};

use super::{Backend, Queue, Station, VirtioDevice, VirtioMmio, Worker};
use crate::saved;
use crate::{Device, Effect, GuestRam, Save, Saved, Trigger};

/// Size of the guest's RAM in bytes; it starts at 0.
pub const RAM_SIZE: usize = 1 << 20;

/// Counts interrupts.
#[derive(Debug, Clone, Default)]
pub struct Interrupts(Arc<AtomicU32>);

impl Interrupts {
    /// How many there have been since the last call.
    pub fn take(&self) -> u32 {
        self.0.swap(0, Ordering::AcqRel)
    }
}

impl Trigger for Interrupts {
    fn trigger(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A thread's stand-in: does what there is to do when [`Inline::run`] is called.
#[derive(Clone)]
pub struct Inline(Arc<Mutex<EventManager<Station>>>);

impl Inline {
    pub fn new() -> Self {
        Inline(Arc::new(Mutex::new(EventManager::new().unwrap())))
    }

    /// Serves events until there are none; not for ever, as frames that there is no room for may come without end.
    pub fn run(&self) {
        for _ in 0..10_000 {
            if self.step() == 0 {
                break;
            }
        }
    }

    /// Serves the events that there are; how many there were.
    pub fn step(&self) -> usize {
        self.0.lock().unwrap().run_with_timeout(0).unwrap()
    }

    pub fn worker(&self, backend: impl Backend + 'static) -> Box<dyn Worker> {
        let place = Place::Here(Station::new(Box::new(backend)));
        Box::new(InlineWorker { reactor: self.clone(), place: Some(place) })
    }
}

enum Place {
    Here(Station),
    There(SubscriberId),
}

struct InlineWorker {
    reactor: Inline,
    place: Option<Place>,
}

impl InlineWorker {
    fn station(&mut self) -> &mut Station {
        let Some(Place::Here(station)) = &mut self.place else { panic!("it is not stopped") };
        station
    }
}

impl Save for InlineWorker {
    fn save(&mut self) -> saved::Result<Saved> {
        self.station().save()
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        self.station().restore(saved)
    }
}

impl Worker for InlineWorker {
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        let Some(Place::Here(mut station)) = self.place.take() else { panic!("started twice") };
        station.start(features, queues)?;
        self.place = Some(Place::There(self.reactor.0.lock().unwrap().add_subscriber(station)));
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        let Some(Place::There(id)) = self.place.take() else { panic!("not started") };
        let mut station = self.reactor.0.lock().unwrap().remove_subscriber(id).unwrap();
        let queues = station.stop();
        self.place = Some(Place::Here(station));
        queues
    }

    fn reset(&mut self) {
        self.station().reset();
    }
}

/// How a test's guest sets up and rings a device, whatever its transport.
pub trait Driver {
    fn device_id(&mut self) -> u32;
    fn features(&mut self) -> u64;
    fn set_features(&mut self, features: u64);
    fn status(&mut self) -> u8;
    fn set_status(&mut self, status: u8);
    /// The most entries of a queue.
    fn max_size(&mut self, queue: u16) -> u16;
    /// Enables a queue whose parts lie at these addresses.
    fn enable(&mut self, queue: u16, size: u16, parts: [u64; 3]);
    fn ring(&mut self, queue: u16);
    /// Resets a queue, over a transport that has VIRTIO_F_RING_RESET.
    fn reset_queue(&mut self, queue: u16);
    /// Whether a queue's use has been told since the last call, and a change of the configuration.
    fn told(&mut self) -> (bool, bool);
    fn read_config(&mut self, offset: u64, data: &mut [u8]);
    fn core(&mut self) -> &mut super::Core;
    /// Does what a guest may do that keeps no rules, whatever comes of it: `how` chooses an access or an instruction, `at` its place.
    fn attack(&mut self, how: u8, at: u64, data: &mut [u8]);
    /// The transport with its device, and what has to be saved with it.
    fn saved(&mut self) -> &mut dyn Save;
    /// Takes away the interrupts that are pending, as an interrupt controller would be saved.
    fn take_interrupts(&mut self) -> Box<dyn Any>;
    /// Makes those pending that were taken from a driver of the same kind.
    fn give_interrupts(&mut self, interrupts: Box<dyn Any>);
}

/// Over memory-mapped registers, by their numbers in VIRTIO 1.2, 4.2.2.
pub struct MmioDriver {
    pub device: VirtioMmio,
    interrupts: Interrupts,
}

impl MmioDriver {
    pub fn new(device: Box<dyn VirtioDevice>, worker: Box<dyn Worker>, ram: GuestRam) -> Self {
        let interrupts = Interrupts::default();
        let device = VirtioMmio::new(device, worker, ram, Box::new(interrupts.clone())).unwrap();
        MmioDriver { device, interrupts }
    }

    pub fn read(&mut self, offset: u64) -> u32 {
        let mut word = [0xa5; 4];
        assert_eq!(self.device.read(offset, &mut word), Effect::None);
        u32::from_le_bytes(word)
    }

    pub fn write(&mut self, offset: u64, value: u32) {
        assert_eq!(self.device.write(offset, &value.to_le_bytes()), Effect::None);
    }
}

pub fn split(value: u64) -> [u32; 2] {
    [(value & 0xffff_ffff) as u32, (value >> 32) as u32]
}

impl Driver for MmioDriver {
    fn device_id(&mut self) -> u32 {
        self.read(0x8)
    }

    fn features(&mut self) -> u64 {
        self.write(0x14, 0);
        let low = self.read(0x10);
        self.write(0x14, 1);
        u64::from(low) | u64::from(self.read(0x10)) << 32
    }

    fn set_features(&mut self, features: u64) {
        for (half, bits) in (0..).zip(split(features)) {
            self.write(0x24, half);
            self.write(0x20, bits);
        }
    }

    fn status(&mut self) -> u8 {
        self.read(0x70).try_into().unwrap()
    }

    fn set_status(&mut self, status: u8) {
        self.write(0x70, status.into());
    }

    fn max_size(&mut self, queue: u16) -> u16 {
        self.write(0x30, queue.into());
        self.read(0x34).try_into().unwrap()
    }

    fn enable(&mut self, queue: u16, size: u16, parts: [u64; 3]) {
        self.write(0x30, queue.into());
        self.write(0x38, size.into());
        for (register, part) in [0x80, 0x90, 0xa0].into_iter().zip(parts) {
            let [low, high] = split(part);
            self.write(register, low);
            self.write(register + 4, high);
        }
        self.write(0x44, 1);
    }

    fn ring(&mut self, queue: u16) {
        self.write(0x50, queue.into());
    }

    fn reset_queue(&mut self, queue: u16) {
        self.write(0x30, queue.into());
        self.write(0xc0, 1);
        assert_eq!((self.read(0xc0), self.read(0x44)), (0, 0), "it has ended, and the queue is not ready");
    }

    fn told(&mut self) -> (bool, bool) {
        let causes = self.read(0x60);
        assert_eq!(
            self.interrupts.take() > 0,
            causes != 0,
            "an interrupt has a cause and a cause an interrupt"
        );
        self.write(0x64, causes);
        assert_eq!(self.read(0x60), 0);
        (causes & 1 != 0, causes & 2 != 0)
    }

    fn read_config(&mut self, offset: u64, data: &mut [u8]) {
        assert_eq!(self.device.read(0x100 + offset, data), Effect::None);
    }

    fn core(&mut self) -> &mut super::Core {
        self.device.core()
    }

    fn attack(&mut self, how: u8, at: u64, data: &mut [u8]) {
        let effect = if how.is_multiple_of(2) {
            self.device.write(at % 0x200, data)
        } else {
            self.device.read(at % 0x200, data)
        };
        assert_eq!(effect, Effect::None);
    }

    fn saved(&mut self) -> &mut dyn Save {
        &mut self.device
    }

    fn take_interrupts(&mut self) -> Box<dyn Any> {
        Box::new(self.interrupts.take())
    }

    fn give_interrupts(&mut self, interrupts: Box<dyn Any>) {
        let count: u32 = *interrupts.downcast().unwrap();
        (0..count).for_each(|_| self.interrupts.trigger());
    }
}

/// A descriptor: address, length, flags, next.
pub type Descriptor = (u64, u32, u16, u16);
pub const NEXT: u16 = 1;
pub const WRITE: u16 = 2;
pub const INDIRECT: u16 = 4;

/// The driver's side of a split virtqueue, in literal little-endian bytes (VIRTIO 1.2, 2.7).
pub struct Ring {
    pub ram: GuestRam,
    /// Addresses of the descriptor table, the available ring and the used ring.
    pub parts: [u64; 3],
    pub size: u16,
    available: u16,
    used: u16,
}

impl Ring {
    /// At this address, which is a multiple of 16.
    pub fn new(ram: &GuestRam, base: u64, size: u16) -> Self {
        let available = base + 16 * u64::from(size);
        let used = (available + 6 + 2 * u64::from(size)).next_multiple_of(4);
        Ring { ram: ram.clone(), parts: [base, available, used], size, available: 0, used: 0 }
    }

    pub fn write(&self, address: u64, bytes: &[u8]) {
        self.ram.write_slice(bytes, GuestAddress(address)).unwrap();
    }

    pub fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.ram.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    pub fn put_descriptor(&self, table: u64, index: u16, (address, len, flags, next): Descriptor) {
        let at = table + 16 * u64::from(index);
        self.write(at, &address.to_le_bytes());
        self.write(at + 8, &len.to_le_bytes());
        self.write(at + 12, &flags.to_le_bytes());
        self.write(at + 14, &next.to_le_bytes());
    }

    /// Writes descriptors from index `first` on.
    pub fn describe(&self, first: u16, descriptors: &[Descriptor]) {
        for (index, descriptor) in (first..).zip(descriptors) {
            self.put_descriptor(self.parts[0], index, *descriptor);
        }
    }

    /// Makes the chain that starts at descriptor `head` available.
    pub fn offer(&mut self, head: u16) {
        let slot = u64::from(self.available % self.size);
        self.write(self.parts[1] + 4 + 2 * slot, &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
        self.set_available(self.available);
    }

    /// Writes the available index.
    pub fn set_available(&self, index: u16) {
        self.write(self.parts[1] + 2, &index.to_le_bytes());
    }

    /// With VIRTIO_F_EVENT_IDX: the driver wants to hear of the next chain that comes back.
    pub fn want_next(&self) {
        self.write(self.parts[1] + 4 + 2 * u64::from(self.size), &self.used.to_le_bytes());
    }

    /// Sets whether the driver wants no interrupts.
    pub fn set_quiet(&self, quiet: bool) {
        self.write(self.parts[1], &u16::from(quiet).to_le_bytes());
    }

    /// The next chain that came back: its head, and how many bytes were written.
    pub fn take_used(&mut self) -> Option<(u32, u32)> {
        if u16::from_le_bytes(self.read(self.parts[2] + 2)) == self.used {
            return None;
        }
        let at = self.parts[2] + 4 + 8 * u64::from(self.used % self.size);
        self.used = self.used.wrapping_add(1);
        Some((u32::from_le_bytes(self.read(at)), u32::from_le_bytes(self.read(at + 4))))
    }
}

/// RAM, zeroed.
pub fn ram() -> GuestRam {
    GuestRam::from_ranges(&[(GuestAddress(0), RAM_SIZE)]).unwrap()
}

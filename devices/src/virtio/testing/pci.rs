//! A guest's driver over PCI, in literal bytes (VIRTIO 1.2, 4.1; PCI Local Bus 3.0, 6).

use std::any::Any;
use std::sync::{Arc, Mutex};

use vmm_sys_util::eventfd::EventFd;

use super::Driver;
use crate::pci::{Messages, PciHost};
use crate::virtio::{Core, Doorbells, PciWiring, VirtioDevice, VirtioPci, Worker};
use crate::{GuestRam, Line, MsiMessage, Save, Window};

pub const MEMORY: Window = Window { base: 0x1_0000_0000, size: 0x10_0000 };
/// Where the device is at first, and where this driver moves it.
pub const FIRST_BAR: u64 = 0x1_0000_8000;
pub const BAR: u64 = 0x1_0001_0000;
/// Configuration space of device 5.
const CONFIG: u64 = 5 << 15;
/// The driver's vectors: of the configuration, of queue 0.
const VECTORS: [u16; 2] = [1, 0];

/// How the driver wants to be told, and how it reaches the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Msix,
    Pin,
    /// By MSI-X, with the registers reached through configuration space.
    Config,
}

/// What a host was told, and what it has sent.
#[derive(Debug, Default)]
pub struct Log {
    pub set: Vec<(u16, MsiMessage)>,
    pub sent: Vec<u16>,
    pub line: bool,
    pub edges: u32,
    pub doorbells: Vec<u64>,
    pub events: Vec<Arc<EventFd>>,
}

#[derive(Clone, Default)]
pub struct Host(pub Arc<Mutex<Log>>);

impl Messages for Host {
    fn set(&self, vector: u16, message: MsiMessage) {
        self.0.lock().unwrap().set.push((vector, message));
    }

    fn send(&self, vector: u16) {
        self.0.lock().unwrap().sent.push(vector);
    }
}

impl Line for Host {
    fn set(&self, asserted: bool) {
        let mut log = self.0.lock().unwrap();
        log.edges += u32::from(asserted && !log.line);
        log.line = asserted;
    }
}

impl Doorbells for Host {
    fn place(&mut self, addresses: &[u64]) {
        self.0.lock().unwrap().doorbells = addresses.to_vec();
    }
}

/// Over PCI. The offsets of the structures are as the capabilities tell.
pub struct PciDriver {
    pub host: Host,
    pub pci: PciHost,
    pub bar: u64,
    way: Way,
    common: u64,
    isr: u64,
    device: u64,
    pub notify: u64,
    pub step: u64,
    /// Offsets of MSI-X's capability, of its table and its pending bits, and of the way through configuration space.
    pub msix: u64,
    pub table: u64,
    pub pending: u64,
    pub window: u64,
}

impl PciDriver {
    pub fn new(device: Box<dyn VirtioDevice>, worker: Box<dyn Worker>, ram: GuestRam, way: Way) -> Self {
        let mut driver = Self::untouched(device, worker, ram, way);
        driver.find_structures();
        driver.bar = BAR;
        driver.write_config(0x10, &BAR.to_le_bytes()[..4]);
        driver.write_config(0x14, &BAR.to_le_bytes()[4..]);
        // Memory, bus master.
        driver.write_config(0x04, &[6, 0]);
        if way != Way::Pin {
            driver.set_up_msix();
        }
        driver
    }

    /// A device as its board leaves it.
    pub fn untouched(
        device: Box<dyn VirtioDevice>,
        worker: Box<dyn Worker>,
        ram: GuestRam,
        way: Way,
    ) -> Self {
        let host = Host::default();
        let (placing, log) = (host.clone(), host.clone());
        let wiring = PciWiring {
            bar: FIRST_BAR,
            memory: MEMORY,
            line: Box::new(host.clone()),
            messages: Box::new(host.clone()),
            doorbells: Box::new(move |events| {
                log.0.lock().unwrap().events = events.to_vec();
                Box::new(placing)
            }),
        };
        let function = VirtioPci::new(device, worker, ram, wiring).unwrap();
        let mut pci = PciHost::new(MEMORY);
        pci.add(5, Box::new(function)).unwrap();
        PciDriver {
            host,
            pci,
            bar: FIRST_BAR,
            way,
            common: 0,
            isr: 0,
            device: 0,
            notify: 0,
            step: 0,
            msix: 0,
            table: 0,
            pending: 0,
            window: 0,
        }
    }

    pub fn read_config(&mut self, register: u64, data: &mut [u8]) {
        data.fill(0xa5);
        self.pci.read_config(CONFIG + register, data);
    }

    pub fn config<const N: usize>(&mut self, register: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.read_config(register, &mut bytes);
        bytes
    }

    pub fn write_config(&mut self, register: u64, data: &[u8]) {
        self.pci.write_config(CONFIG + register, data);
    }

    /// Walks the list of capabilities.
    pub fn find_structures(&mut self) {
        let [status, _] = self.config(0x06);
        assert_eq!(status & 0x10, 0x10, "there are capabilities");
        let [mut at] = self.config(0x34);
        let mut seen = Vec::new();
        while at != 0 {
            let register = u64::from(at);
            let [id, next] = self.config(register);
            match id {
                0x11 => {
                    self.msix = register;
                    let vectors = self.function().core().queue_count().to_le_bytes();
                    assert_eq!(self.config(register + 2), vectors, "one more than queues, not enabled");
                    self.table = u32::from_le_bytes(self.config(register + 4)).into();
                    self.pending = u32::from_le_bytes(self.config(register + 8)).into();
                    assert_eq!((self.table % 8, self.pending % 8), (0, 0), "BAR 0");
                }
                0x09 => {
                    let [len, kind, bar, 0, 0, 0] = self.config(register + 2) else { panic!("no padding") };
                    assert_eq!(bar, 0);
                    let offset = u64::from(u32::from_le_bytes(self.config(register + 8)));
                    match kind {
                        1 => self.common = offset,
                        2 => {
                            self.notify = offset;
                            self.step = u32::from_le_bytes(self.config(register + 16)).into();
                        }
                        3 => self.isr = offset,
                        4 => self.device = offset,
                        5 => self.window = register,
                        _ => panic!("kind {kind}"),
                    }
                    assert_eq!(len, if kind == 2 || kind == 5 { 20 } else { 16 });
                    seen.push(kind);
                }
                _ => panic!("capability {id:#x}"),
            }
            at = next;
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    }

    fn set_up_msix(&mut self) {
        self.write_config(self.msix + 2, &[0, 0x80]);
        for vector in [0, 1] {
            let entry = self.table + vector * 16;
            self.write(entry, &[0, 0x10, 0xe0, 0xfe]);
            self.write(entry + 4, &[0; 4]);
            self.write(entry + 8, &[0x40, 0, 0, 0]);
            self.write(entry + 12, &[0; 4]);
        }
    }

    /// Reads from the BAR.
    pub fn read(&mut self, offset: u64, data: &mut [u8]) {
        if self.way == Way::Config {
            self.lead_to(offset, data.len());
            return self.read_config(self.window + 16, data);
        }
        data.fill(0xa5);
        self.pci.read_memory(self.bar + offset - MEMORY.base, data);
    }

    pub fn write(&mut self, offset: u64, data: &[u8]) {
        if self.way == Way::Config {
            self.lead_to(offset, data.len());
            return self.write_config(self.window + 16, data);
        }
        self.pci.write_memory(self.bar + offset - MEMORY.base, data);
    }

    fn lead_to(&mut self, offset: u64, len: usize) {
        self.write_config(self.window + 4, &[0]);
        self.write_config(self.window + 8, &u32::try_from(offset).unwrap().to_le_bytes());
        self.write_config(self.window + 12, &u32::try_from(len).unwrap().to_le_bytes());
    }

    pub fn array<const N: usize>(&mut self, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(offset, &mut bytes);
        bytes
    }

    pub fn write_common(&mut self, register: u64, data: &[u8]) {
        self.write(self.common + register, data);
    }

    pub fn common<const N: usize>(&mut self, register: u64) -> [u8; N] {
        self.array(self.common + register)
    }

    pub fn isr(&mut self) -> u8 {
        let [isr] = self.array(self.isr);
        isr
    }

    pub fn function(&mut self) -> &mut VirtioPci {
        let function: &mut dyn Any = self.pci.function(5).unwrap();
        function.downcast_mut().unwrap()
    }
}

impl Driver for PciDriver {
    fn device_id(&mut self) -> u32 {
        let [vendor @ .., low, high] = self.config::<4>(0);
        assert_eq!(vendor, [0xf4, 0x1a]);
        let [revision] = self.config(8);
        assert!(revision >= 1, "no legacy interface");
        u32::from(u16::from_le_bytes([low, high])) - 0x1040
    }

    fn features(&mut self) -> u64 {
        let [low, high] = [0u32, 1].map(|half| {
            self.write_common(0, &half.to_le_bytes());
            u32::from_le_bytes(self.common(4))
        });
        self.write_common(0, &[2, 0, 0, 0]);
        assert_eq!(self.common(4), [0; 4]);
        u64::from(low) | u64::from(high) << 32
    }

    fn set_features(&mut self, features: u64) {
        for (half, bits) in (0u32..).zip(super::split(features)) {
            self.write_common(8, &half.to_le_bytes());
            self.write_common(12, &bits.to_le_bytes());
            assert_eq!(self.common(12), bits.to_le_bytes());
        }
    }

    fn status(&mut self) -> u8 {
        let [status] = self.common(0x14);
        status
    }

    fn set_status(&mut self, status: u8) {
        self.write_common(0x14, &[status]);
    }

    fn max_size(&mut self, queue: u16) -> u16 {
        self.write_common(0x16, &queue.to_le_bytes());
        u16::from_le_bytes(self.common(0x18))
    }

    fn enable(&mut self, queue: u16, size: u16, parts: [u64; 3]) {
        if self.way != Way::Pin {
            self.write_common(0x10, &VECTORS[0].to_le_bytes());
            assert_eq!(self.common(0x10), VECTORS[0].to_le_bytes());
        }
        self.write_common(0x16, &queue.to_le_bytes());
        self.write_common(0x18, &size.to_le_bytes());
        for (register, part) in [0x20, 0x28, 0x30].into_iter().zip(parts) {
            for (register, half) in [register, register + 4].into_iter().zip(super::split(part)) {
                self.write_common(register, &half.to_le_bytes());
                assert_eq!(self.common(register), half.to_le_bytes());
            }
        }
        if self.way != Way::Pin {
            self.write_common(0x1a, &VECTORS[1].to_le_bytes());
            assert_eq!(self.common(0x1a), VECTORS[1].to_le_bytes());
        }
        self.write_common(0x1c, &[1, 0]);
        assert_eq!(self.common(0x1c), [1, 0]);
    }

    /// The way through configuration space is left as it was.
    fn ring(&mut self, queue: u16) {
        let way: [u8; 12] = self.config(self.window + 4);
        self.write_common(0x16, &queue.to_le_bytes());
        let at = u64::from(u16::from_le_bytes(self.common(0x1e)));
        self.write(self.notify + at * self.step, &queue.to_le_bytes());
        self.write_config(self.window + 4, &way);
    }

    fn reset_queue(&mut self, queue: u16) {
        self.write_common(0x16, &queue.to_le_bytes());
        self.write_common(0x3a, &[1, 0]);
        assert_eq!(
            (self.common(0x3a), self.common(0x1c), self.common(0x1a)),
            ([0; 2], [0; 2], [0xff; 2]),
            "it has ended, and the queue is as it was at first"
        );
    }

    fn told(&mut self) -> (bool, bool) {
        let [status, _] = self.config(0x06);
        let isr = self.isr();
        let mut log = self.host.0.lock().unwrap();
        let (sent, edges) = (std::mem::take(&mut log.sent), std::mem::take(&mut log.edges));
        assert!(!log.line, "the line goes down when the status is read");
        if self.way == Way::Pin {
            assert_eq!((sent, edges > 0, status & 8 != 0), (vec![], isr != 0, isr != 0));
            return (isr & 1 != 0, isr & 2 != 0);
        }
        assert_eq!((edges, status & 8), (0, 0));
        let told = VECTORS.map(|vector| sent.contains(&vector));
        assert_eq!(isr, if told[0] { 2 } else { 0 });
        (told[1], told[0])
    }

    fn read_config(&mut self, offset: u64, data: &mut [u8]) {
        self.read(self.device + offset, data);
    }

    fn core(&mut self) -> &mut Core {
        self.function().core()
    }

    fn attack(&mut self, how: u8, at: u64, data: &mut [u8]) {
        match how % 6 {
            0 => self.pci.write_config(CONFIG + at % 0x1000, data),
            1 => self.pci.read_config(CONFIG + at % 0x1000, data),
            // Wherever the BAR is now, or is not.
            2 => self.pci.write_memory(self.bar - MEMORY.base + at % 0x8000, data),
            3 => self.pci.read_memory(self.bar - MEMORY.base + at % 0x8000, data),
            4 => self.pci.write_memory(at % MEMORY.size, data),
            _ => self.pci.write_config(at, data),
        }
    }

    fn saved(&mut self) -> &mut dyn Save {
        &mut self.pci
    }

    /// Messages that were sent. The line's level is the device's own.
    fn take_interrupts(&mut self) -> Box<dyn Any> {
        let mut log = self.host.0.lock().unwrap();
        log.edges = 0;
        Box::new(std::mem::take(&mut log.sent))
    }

    fn give_interrupts(&mut self, interrupts: Box<dyn Any>) {
        let sent: Vec<u16> = *interrupts.downcast().unwrap();
        self.host.0.lock().unwrap().sent.extend(sent);
    }
}

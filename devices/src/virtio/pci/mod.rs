//! Virtio over PCI (VIRTIO 1.2, 4.1), without the legacy interface.
//!
//! All that the driver reaches lies in one BAR, a page each: common configuration, ISR status, the device's configuration,
//! doorbells, and MSI-X's table and pending bits.

mod notifier;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::core::{Core, QueueSetup};
use super::mmio::{half, set_high, set_low};
use super::{VirtioDevice, Worker};
use crate::pci::{ConfigSpace, ConfigState, Function, Identity, Messages, Msix};
use crate::saved::{self, Error, Save, Saved, state};
use crate::{GuestRam, Line, Window};
use notifier::{NO_VECTOR, NotifierState, PciNotifier};

/// Where parts of the BAR lie.
mod part {
    use super::Range;

    pub(super) const COMMON: Range<u64> = 0..0x40;
    pub(super) const ISR: Range<u64> = 0x1000..0x1001;
    pub(super) const DEVICE: Range<u64> = 0x2000..0x3000;
    pub(super) const NOTIFY: Range<u64> = 0x3000..0x4000;
    pub(super) const TABLE: Range<u64> = 0x4000..0x6000;
    pub(super) const PENDING: Range<u64> = 0x6000..0x7000;
}

/// Bytes from one queue's doorbell to the next's.
const DOORBELL_STEP: u64 = 4;
/// As many as the table has room for: more than that share one.
const MAX_VECTORS: u16 = 512;

/// Structures that capabilities tell of (4.1.4).
mod structure {
    pub(super) const COMMON: u8 = 1;
    pub(super) const NOTIFY: u8 = 2;
    pub(super) const ISR: u8 = 3;
    pub(super) const DEVICE: u8 = 4;
    /// A way to the BAR through configuration space.
    pub(super) const PCI: u8 = 5;
}

/// A capability of the vendor's.
const CAPABILITY_VENDOR: u8 = 0x09;
/// Offsets in the capability that leads through configuration space (4.1.4.9): BAR, offset, length, data.
const WAY_BAR: u16 = 4;
const WAY_OFFSET: u16 = 8;
const WAY_LENGTH: u16 = 12;
const WAY_DATA: u16 = 16;

/// Registers of the common configuration (4.1.4.3), by offset.
mod reg {
    pub(super) const DEVICE_FEATURE_SELECT: u64 = 0x00;
    pub(super) const DEVICE_FEATURE: u64 = 0x04;
    pub(super) const DRIVER_FEATURE_SELECT: u64 = 0x08;
    pub(super) const DRIVER_FEATURE: u64 = 0x0c;
    pub(super) const CONFIG_VECTOR: u64 = 0x10;
    pub(super) const QUEUES: u64 = 0x12;
    pub(super) const STATUS: u64 = 0x14;
    pub(super) const GENERATION: u64 = 0x15;
    pub(super) const QUEUE_SELECT: u64 = 0x16;
    pub(super) const QUEUE_SIZE: u64 = 0x18;
    pub(super) const QUEUE_VECTOR: u64 = 0x1a;
    pub(super) const QUEUE_ENABLE: u64 = 0x1c;
    pub(super) const QUEUE_DOORBELL: u64 = 0x1e;
    pub(super) const QUEUE_DESCRIPTORS: u64 = 0x20;
    pub(super) const QUEUE_AVAILABLE: u64 = 0x28;
    pub(super) const QUEUE_USED: u64 = 0x30;
    pub(super) const QUEUE_RESET: u64 = 0x3a;
}

/// A host that may answer doorbells by itself.
pub trait Doorbells: Send {
    /// The doorbells are at these guest-physical addresses from now on, by queue; with none, they are nowhere. A write of any size
    /// rings one.
    fn place(&mut self, addresses: &[u64]);
}

/// What makes a host's [`Doorbells`] of what rings them, by queue.
pub type MakeDoorbells = Box<dyn FnOnce(&[Arc<vmm_sys_util::eventfd::EventFd>]) -> Box<dyn Doorbells>>;

/// What a virtio device on a PCI bus needs besides the device.
pub struct PciWiring {
    /// Where its BAR is first, a multiple of [`VirtioPci::BAR_SIZE`].
    pub bar: u64,
    /// Where its BAR may be.
    pub memory: Window,
    /// Where its pin leads.
    pub line: Box<dyn Line>,
    /// Sends its messages; there are as many as [`VirtioPci::vectors`] says.
    pub messages: Box<dyn Messages>,
    /// May answer its doorbells.
    pub doorbells: MakeDoorbells,
}

/// A virtio device as a PCI function.
pub struct VirtioPci {
    core: Core,
    notifier: Arc<PciNotifier>,
    config: ConfigSpace,
    /// Offset of the capability that leads to the BAR.
    way: u16,
    doorbells: Box<dyn Doorbells>,
    /// Where the host has the doorbells.
    placed: Option<Window>,
    /// Selectors, as the driver wrote them.
    device_features: u32,
    driver_features: u32,
    queue: u16,
}

impl VirtioPci {
    /// Bytes of the BAR.
    pub const BAR_SIZE: u64 = 0x8000;

    /// Vectors of a device with so many queues: one each, and one for changes of the configuration.
    pub fn vectors(queues: usize) -> u16 {
        u16::try_from(queues).unwrap_or(u16::MAX).saturating_add(1).min(MAX_VECTORS)
    }

    /// A device in the state of a reset, whose BAR is not decoded yet.
    ///
    /// # Errors
    /// As of [`Core::new`].
    pub fn new(
        device: Box<dyn VirtioDevice>,
        worker: Box<dyn Worker>,
        ram: GuestRam,
        wiring: PciWiring,
    ) -> io::Result<Self> {
        let queues = device.queue_sizes().len();
        let vectors = Self::vectors(queues);
        let msix = Msix::new(vectors, wiring.messages);
        let notifier = Arc::new(PciNotifier::new(queues, msix, wiring.line));
        let core = Core::new(device, worker, ram, notifier.clone())?.with_queue_reset();
        let doorbells = (wiring.doorbells)(core.doorbells());
        let mut config = ConfigSpace::new(&identity(core.device_type() as u32));
        config.add_bar(Self::BAR_SIZE, wiring.bar, wiring.memory);
        config.add_interrupt_pin();
        let [table, pending] = [part::TABLE, part::PENDING].map(|part| offset32(part.start));
        config.add_msix(vectors, table, pending);
        add_structure(&mut config, structure::COMMON, &part::COMMON);
        add_structure(&mut config, structure::ISR, &part::ISR);
        add_structure(&mut config, structure::DEVICE, &part::DEVICE);
        add_structure(&mut config, structure::NOTIFY, &part::NOTIFY);
        let way = add_structure(&mut config, structure::PCI, &(0..0));
        Ok(VirtioPci {
            core,
            notifier,
            config,
            way,
            doorbells,
            placed: None,
            device_features: 0,
            driver_features: 0,
            queue: 0,
        })
    }

    /// The device behind the registers.
    pub const fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Carries out what a write to configuration space means.
    fn update(&mut self) {
        self.notifier.set_control(self.config.msix(), self.config.allows_intx());
        let window = self.config.window();
        if window == self.placed {
            return;
        }
        self.placed = window;
        let addresses = window.into_iter().flat_map(|window| {
            (0..self.core.queue_count())
                .map(move |queue| window.base + part::NOTIFY.start + u64::from(queue) * DOORBELL_STEP)
        });
        self.doorbells.place(&addresses.collect::<Vec<_>>());
    }

    fn read_common(&self, offset: u64, len: usize) -> u32 {
        let queue = self.core.queue(self.queue.into());
        match (offset, len) {
            (reg::DEVICE_FEATURE_SELECT, 4) => self.device_features,
            (reg::DEVICE_FEATURE, 4) => half(self.core.features(), self.device_features),
            (reg::DRIVER_FEATURE_SELECT, 4) => self.driver_features,
            (reg::DRIVER_FEATURE, 4) => half(self.core.driver_features(), self.driver_features),
            (reg::CONFIG_VECTOR, 2) => self.notifier.vector_of(None).into(),
            (reg::QUEUES, 2) => self.core.queue_count().into(),
            (reg::STATUS, 1) => self.core.status().into(),
            (reg::GENERATION, 1) => self.core.generation().into(),
            (reg::QUEUE_SELECT, 2) => self.queue.into(),
            // 0 tells that there is no such queue.
            (reg::QUEUE_SIZE, 2) => queue.size.into(),
            (reg::QUEUE_VECTOR, 2) => self.notifier.vector_of(Some(self.queue)).into(),
            (reg::QUEUE_ENABLE, 2) => queue.ready.into(),
            (reg::QUEUE_DOORBELL, 2) => self.queue.into(),
            (reg::QUEUE_DESCRIPTORS.., 4) => {
                let (register, which) = (offset & !7, if offset & 4 == 0 { 0 } else { 1 });
                match register {
                    reg::QUEUE_DESCRIPTORS => half(queue.descriptors, which),
                    reg::QUEUE_AVAILABLE => half(queue.available, which),
                    reg::QUEUE_USED => half(queue.used, which),
                    _ => 0,
                }
            }
            _ => 0,
        }
    }

    fn write_common(&mut self, offset: u64, len: usize, value: u32) {
        let [a, b, ..] = value.to_le_bytes();
        let short = u16::from_le_bytes([a, b]);
        match (offset, len) {
            (reg::DEVICE_FEATURE_SELECT, 4) => self.device_features = value,
            (reg::DRIVER_FEATURE_SELECT, 4) => self.driver_features = value,
            (reg::DRIVER_FEATURE, 4) => self.core.set_driver_features(self.driver_features, value),
            (reg::CONFIG_VECTOR, 2) => self.notifier.set_vector(None, short),
            (reg::STATUS, 1) => {
                self.core.set_status(a);
                if a == 0 {
                    self.notifier.reset();
                }
            }
            (reg::QUEUE_SELECT, 2) => self.queue = short,
            (reg::QUEUE_SIZE, 2) => self.set_up(|queue| queue.size = short),
            (reg::QUEUE_VECTOR, 2) => self.notifier.set_vector(Some(self.queue), short),
            // A driver does not take a queue out of use like this (4.1.4.3.2).
            (reg::QUEUE_ENABLE, 2) if short == 1 => self.core.enable_queue(self.queue.into(), true),
            (reg::QUEUE_RESET, 2) if short == 1 => self.reset_queue(),
            (reg::QUEUE_DESCRIPTORS.., 4) => {
                let set = if offset & 4 == 0 { set_low } else { set_high };
                match offset & !7 {
                    reg::QUEUE_DESCRIPTORS => self.set_up(|queue| set(&mut queue.descriptors, value)),
                    reg::QUEUE_AVAILABLE => self.set_up(|queue| set(&mut queue.available, value)),
                    reg::QUEUE_USED => self.set_up(|queue| set(&mut queue.used, value)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// It has ended when this returns, so the register reads as 0 (4.1.4.3.1).
    fn reset_queue(&mut self) {
        self.core.reset_queue(self.queue.into());
        if !self.core.queue(self.queue.into()).ready {
            self.notifier.set_vector(Some(self.queue), NO_VECTOR);
        }
    }

    fn set_up(&mut self, change: impl FnOnce(&mut QueueSetup)) {
        self.core.set_up_queue(self.queue.into(), change);
    }

    /// What the capability in configuration space leads to: an offset in the BAR, and how many bytes. `None` if the driver has set
    /// it up wrongly, or accesses the data by another size.
    fn leads_to(&self, offset: u16, len: usize) -> Option<u64> {
        let [bar, ..] = self.config.word(self.way + WAY_BAR).to_le_bytes();
        let to = u64::from(self.config.word(self.way + WAY_OFFSET));
        let length = self.config.word(self.way + WAY_LENGTH);
        let fits =
            offset == self.way + WAY_DATA && usize::try_from(length) == Ok(len) && matches!(len, 1 | 2 | 4);
        let is_there = bar == 0 && to < Self::BAR_SIZE && to.is_multiple_of(length.max(1).into());
        (fits && is_there).then_some(to)
    }
}

/// Ids and class of a device by its type (4.1.2).
const fn identity(device_type: u32) -> Identity {
    const VENDOR: u16 = 0x1af4;
    const FIRST_DEVICE: u16 = 0x1040;
    let [a, b, ..] = device_type.to_le_bytes();
    let class = match device_type {
        1 => 0x02_0000, // Ethernet
        2 => 0x01_8000, // mass storage of another kind
        3 => 0x07_8000, // communication of another kind
        _ => 0xff_0000, // none that there is
    };
    let device = FIRST_DEVICE + u16::from_le_bytes([a, b]);
    Identity { vendor: VENDOR, device, revision: 1, class, subsystem: (VENDOR, 0x1100) }
}

/// Offsets in a BAR are small.
fn offset32(offset: u64) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// Adds the capability that tells where a structure lies; for the way through configuration space, one that the driver sets up.
fn add_structure(config: &mut ConfigSpace, kind: u8, part: &Range<u64>) -> u16 {
    let [offset, length] = [part.start, part.end - part.start].map(|number| offset32(number).to_le_bytes());
    let more = match kind {
        structure::NOTIFY => Some(offset32(DOORBELL_STEP).to_le_bytes()),
        structure::PCI => Some([0; 4]),
        _ => None,
    };
    let size = if more.is_some() { 20 } else { 16 };
    // Length of the capability, kind, BAR, id, padding; offset, length.
    let mut body = [&[size, kind, 0, 0, 0, 0], &offset[..], &length[..]].concat();
    body.extend(more.iter().flatten());
    let mut writable = vec![0; body.len()];
    if kind == structure::PCI {
        writable[2] = 0xff;
        writable[6..14].fill(0xff);
    }
    config.add_capability(CAPABILITY_VENDOR, &body, &writable)
}

/// The offset in `part` of an access that lies in it.
fn within(part: &Range<u64>, offset: u64, len: usize) -> Option<u64> {
    let end = offset.checked_add(u64::try_from(len).ok()?)?;
    (offset >= part.start && end <= part.end).then(|| offset - part.start)
}

state! {
    /// Registers of the transport.
    struct PciState: "vio-pci", 1 {
        config: ConfigState,
        /// BAR, offset and length of the way through configuration space.
        way_bar: u8,
        way_offset: u32,
        way_length: u32,
        device_features: u32,
        driver_features: u32,
        queue: u16,
        notifier: NotifierState,
        core: Saved,
    }
}

impl Save for VirtioPci {
    fn save(&mut self) -> saved::Result<Saved> {
        // First, as the worker's last notifications are among what is pending.
        let core = self.core.save()?;
        let [way_bar, ..] = self.config.word(self.way + WAY_BAR).to_le_bytes();
        Ok(Saved::of(&PciState {
            config: self.config.state(),
            way_bar,
            way_offset: self.config.word(self.way + WAY_OFFSET),
            way_length: self.config.word(self.way + WAY_LENGTH),
            device_features: self.device_features,
            driver_features: self.driver_features,
            queue: self.queue,
            notifier: self.notifier.state(),
            core,
        }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let state: PciState = saved.get()?;
        self.core.restore(&state.core)?;
        let invalid = |what| Error::Invalid { kind: saved.kind, what };
        self.config.restore(&state.config).ok_or(invalid("a register of configuration space"))?;
        self.config.write(self.way + WAY_BAR, &[state.way_bar]);
        self.config.write(self.way + WAY_OFFSET, &state.way_offset.to_le_bytes());
        self.config.write(self.way + WAY_LENGTH, &state.way_length.to_le_bytes());
        let (msix, intx) = (self.config.msix(), self.config.allows_intx());
        self.notifier.restore(&state.notifier, msix, intx).ok_or(invalid("an interrupt"))?;
        self.device_features = state.device_features;
        self.driver_features = state.driver_features;
        self.queue = state.queue;
        self.update();
        Ok(())
    }
}

impl Function for VirtioPci {
    fn read_config(&mut self, offset: u16, data: &mut [u8]) {
        if let Some(to) = self.leads_to(offset, data.len()) {
            return self.read_bar(to, data);
        }
        self.config.show_interrupt(self.notifier.is_pending());
        self.config.read(offset, data);
    }

    fn write_config(&mut self, offset: u16, data: &[u8]) {
        if let Some(to) = self.leads_to(offset, data.len()) {
            return self.write_bar(to, data);
        }
        self.config.write(offset, data);
        self.update();
    }

    fn window(&self) -> Option<Window> {
        self.config.window()
    }

    /// Registers of the common configuration are read at their natural width, halves of the queues' addresses by 32 bits; other
    /// accesses read as zero, and so do gaps.
    fn read_bar(&mut self, offset: u64, data: &mut [u8]) {
        let len = data.len();
        data.fill(0);
        if let Some(at) = within(&part::COMMON, offset, len) {
            let value = self.read_common(at, len).to_le_bytes();
            data.iter_mut().zip(value).for_each(|(data, byte)| *data = byte);
        } else if within(&part::ISR, offset, len).is_some() {
            data.fill(self.notifier.take_causes());
        } else if let Some(at) = within(&part::DEVICE, offset, len) {
            self.core.read_config(at, data);
        } else if let Some(at) = within(&part::TABLE, offset, len) {
            self.notifier.msix.read_table(at, data);
        } else if let Some(at) = within(&part::PENDING, offset, len) {
            self.notifier.msix.read_pending(at, data);
        }
    }

    fn write_bar(&mut self, offset: u64, data: &[u8]) {
        let len = data.len();
        if let Some(at) = within(&part::COMMON, offset, len) {
            let mut value = [0; 4];
            value.iter_mut().zip(data).for_each(|(byte, data)| *byte = *data);
            self.write_common(at, len, u32::from_le_bytes(value));
        } else if let Some(at) = within(&part::DEVICE, offset, len) {
            self.core.write_config(at, data);
        } else if let Some(at) = within(&part::NOTIFY, offset, len) {
            self.core.ring(offset32(at / DOORBELL_STEP));
        } else if let Some(at) = within(&part::TABLE, offset, len) {
            self.notifier.msix.write_table(at, data);
        }
    }
}

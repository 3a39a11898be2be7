//! Virtio over memory-mapped registers (VIRTIO 1.2, 4.2).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use virtio_bindings::virtio_mmio as reg;

use super::core::{Core, QueueSetup};
use super::{Notifier, VirtioDevice, Worker};
use crate::saved::{self, Save, Saved, state};
use crate::{Device, Effect, GuestRam, Trigger};

/// "virt".
const MAGIC: u32 = 0x7472_6976;
/// The version without legacy.
const VERSION: u32 = 2;
/// "TRIA". Drivers look at it for the sake of quirks only.
const VENDOR: u32 = 0x4149_5254;
/// Length and base of a shared memory region that does not exist (4.2.2), in each half.
const NO_REGION: u32 = u32::MAX;
/// Register that resets the selected queue (4.2.2, with VIRTIO_F_RING_RESET).
const QUEUE_RESET: u32 = 0x0c0;
/// All causes of interrupts.
const CAUSES: u32 = reg::VIRTIO_MMIO_INT_VRING | reg::VIRTIO_MMIO_INT_CONFIG;

/// Tells a driver by an interrupt, and by a register that says why.
///
/// The interrupt is edge-triggered, and each cause makes an edge, even one that is not acknowledged yet. So none is lost.
pub struct MmioNotifier {
    causes: AtomicU32,
    interrupt: Box<dyn Trigger>,
}

impl MmioNotifier {
    /// By this interrupt.
    pub fn new(interrupt: Box<dyn Trigger>) -> Self {
        MmioNotifier { causes: AtomicU32::new(0), interrupt }
    }

    fn raise(&self, cause: u32) {
        self.causes.fetch_or(cause, Ordering::AcqRel);
        self.interrupt.trigger();
    }
}

impl Notifier for MmioNotifier {
    fn queue(&self, _: u16) {
        self.raise(reg::VIRTIO_MMIO_INT_VRING);
    }

    fn config(&self) {
        self.raise(reg::VIRTIO_MMIO_INT_CONFIG);
    }
}

/// A virtio device behind memory-mapped registers.
pub struct VirtioMmio {
    core: Core,
    notifier: Arc<MmioNotifier>,
    /// Selectors, as the driver wrote them.
    device_features: u32,
    driver_features: u32,
    queue: u32,
}

impl VirtioMmio {
    /// Size of the register window in bytes.
    pub const SIZE: u64 = 0x200;
    /// Offset of the register that doorbells are rung by: a 32-bit write of the queue's number.
    pub const DOORBELL: u64 = reg::VIRTIO_MMIO_QUEUE_NOTIFY as u64;
    /// Offset of the configuration space.
    const CONFIG: u64 = reg::VIRTIO_MMIO_CONFIG as u64;

    /// A device that interrupts by `interrupt`, an edge-triggered one.
    ///
    /// # Errors
    /// As of [`Core::new`].
    pub fn new(
        device: Box<dyn VirtioDevice>,
        worker: Box<dyn Worker>,
        ram: GuestRam,
        interrupt: Box<dyn Trigger>,
    ) -> io::Result<Self> {
        let notifier = Arc::new(MmioNotifier::new(interrupt));
        let core = Core::new(device, worker, ram, notifier.clone())?.with_queue_reset();
        Ok(VirtioMmio { core, notifier, device_features: 0, driver_features: 0, queue: 0 })
    }

    /// The device behind the registers.
    pub const fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    fn read_register(&self, offset: u32) -> u32 {
        match offset {
            reg::VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            reg::VIRTIO_MMIO_VERSION => VERSION,
            reg::VIRTIO_MMIO_DEVICE_ID => self.core.device_type() as u32,
            reg::VIRTIO_MMIO_VENDOR_ID => VENDOR,
            reg::VIRTIO_MMIO_DEVICE_FEATURES => half(self.core.features(), self.device_features),
            reg::VIRTIO_MMIO_QUEUE_NUM_MAX => self.core.queue(self.queue).max_size.into(),
            reg::VIRTIO_MMIO_QUEUE_READY => self.core.queue(self.queue).ready.into(),
            reg::VIRTIO_MMIO_INTERRUPT_STATUS => self.notifier.causes.load(Ordering::Acquire),
            reg::VIRTIO_MMIO_STATUS => self.core.status().into(),
            reg::VIRTIO_MMIO_SHM_LEN_LOW
            | reg::VIRTIO_MMIO_SHM_LEN_HIGH
            | reg::VIRTIO_MMIO_SHM_BASE_LOW
            | reg::VIRTIO_MMIO_SHM_BASE_HIGH => NO_REGION,
            reg::VIRTIO_MMIO_CONFIG_GENERATION => self.core.generation().into(),
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u32, value: u32) {
        let mut set_up = |change: fn(&mut QueueSetup, u32)| {
            self.core.set_up_queue(self.queue, |queue| change(queue, value));
        };
        match offset {
            reg::VIRTIO_MMIO_DEVICE_FEATURES_SEL => self.device_features = value,
            reg::VIRTIO_MMIO_DRIVER_FEATURES_SEL => self.driver_features = value,
            reg::VIRTIO_MMIO_DRIVER_FEATURES => {
                self.core.set_driver_features(self.driver_features, value);
            }
            reg::VIRTIO_MMIO_QUEUE_SEL => self.queue = value,
            // A size that does not fit is refused with the ring.
            reg::VIRTIO_MMIO_QUEUE_NUM => set_up(|queue, value| queue.size = value.try_into().unwrap_or(0)),
            reg::VIRTIO_MMIO_QUEUE_READY => self.core.enable_queue(self.queue, value == 1),
            // The reset has ended when the register can be read: that gives 0, as it does for what is not there.
            QUEUE_RESET if value == 1 => self.core.reset_queue(self.queue),
            reg::VIRTIO_MMIO_QUEUE_NOTIFY => self.core.ring(value),
            reg::VIRTIO_MMIO_INTERRUPT_ACK => {
                self.notifier.causes.fetch_and(!value, Ordering::AcqRel);
            }
            reg::VIRTIO_MMIO_STATUS => {
                // Bits above the status byte mean nothing.
                let [status, ..] = value.to_le_bytes();
                self.core.set_status(status);
                if self.core.status() == 0 {
                    self.notifier.causes.store(0, Ordering::Release);
                }
            }
            reg::VIRTIO_MMIO_QUEUE_DESC_LOW => set_up(|queue, value| set_low(&mut queue.descriptors, value)),
            reg::VIRTIO_MMIO_QUEUE_DESC_HIGH => {
                set_up(|queue, value| set_high(&mut queue.descriptors, value))
            }
            reg::VIRTIO_MMIO_QUEUE_AVAIL_LOW => set_up(|queue, value| set_low(&mut queue.available, value)),
            reg::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => set_up(|queue, value| set_high(&mut queue.available, value)),
            reg::VIRTIO_MMIO_QUEUE_USED_LOW => set_up(|queue, value| set_low(&mut queue.used, value)),
            reg::VIRTIO_MMIO_QUEUE_USED_HIGH => set_up(|queue, value| set_high(&mut queue.used, value)),
            _ => {}
        }
    }
}

state! {
    /// Registers of the transport.
    struct MmioState: "vio-mmio", 1 {
        device_features: u32,
        driver_features: u32,
        queue: u32,
        /// Of the interrupt status register.
        causes: u32,
        core: Saved,
    }
}

impl Save for VirtioMmio {
    fn save(&mut self) -> saved::Result<Saved> {
        // First, as the worker's last notifications are among the causes.
        let core = self.core.save()?;
        Ok(Saved::of(&MmioState {
            device_features: self.device_features,
            driver_features: self.driver_features,
            queue: self.queue,
            causes: self.notifier.causes.load(Ordering::Acquire),
            core,
        }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let state: MmioState = saved.get()?;
        saved.check(state.causes & !CAUSES == 0, "an interrupt status")?;
        self.core.restore(&state.core)?;
        self.device_features = state.device_features;
        self.driver_features = state.driver_features;
        self.queue = state.queue;
        self.notifier.causes.store(state.causes, Ordering::Release);
        Ok(())
    }
}

/// Half of a set of 64 bits: 0 for the low one, 1 for the high one; there are no others.
pub(super) fn half(bits: u64, which: u32) -> u32 {
    let [low, high] = halves(bits);
    match which {
        0 => low,
        1 => high,
        _ => 0,
    }
}

fn halves(bits: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = bits.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

pub(super) fn set_low(address: &mut u64, value: u32) {
    *address = *address & !0xffff_ffff | u64::from(value);
}

pub(super) fn set_high(address: &mut u64, value: u32) {
    *address = *address & 0xffff_ffff | u64::from(value) << 32;
}

impl Device for VirtioMmio {
    /// Registers are read by aligned 32-bit accesses; others read as zero. The configuration space is read as the driver likes.
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        data.fill(0);
        if offset >= Self::CONFIG {
            self.core.read_config(offset - Self::CONFIG, data);
        } else if let (Ok(offset), Ok(word)) = (u32::try_from(offset), <&mut [u8; 4]>::try_from(data)) {
            *word = self.read_register(offset).to_le_bytes();
        }
        Effect::None
    }

    /// As with reads; other accesses do nothing.
    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        if offset >= Self::CONFIG {
            self.core.write_config(offset - Self::CONFIG, data);
        } else if let (Ok(offset), Ok(word)) = (u32::try_from(offset), data.try_into()) {
            self.write_register(offset, u32::from_le_bytes(word));
        }
        Effect::None
    }
}

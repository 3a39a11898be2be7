//! The state machine that every virtio device shares, whatever its transport (VIRTIO 1.2, 2 and 3).

mod saved;

use std::io;
use std::sync::Arc;

use virtio_bindings::{virtio_config as config, virtio_ring};
use virtio_queue::QueueT;
use vm_memory::GuestAddress;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::fault::Fault;
use super::queue::{Queue, Wiring};
use super::{DeviceType, Notifier, VirtioDevice, Worker};
use crate::GuestRam;

/// Bits of the device status (VIRTIO 1.2, 2.1).
pub mod status {
    /// The driver has found the device.
    pub const ACKNOWLEDGE: u8 = 1;
    /// The driver knows how to drive it.
    pub const DRIVER: u8 = 2;
    /// The driver is ready.
    pub const DRIVER_OK: u8 = 4;
    /// Features are agreed on.
    pub const FEATURES_OK: u8 = 8;
    /// The device can't go on.
    pub const NEEDS_RESET: u8 = 64;
    /// The driver has given up.
    pub const FAILED: u8 = 128;
}

const fn bit(feature: u32) -> u64 {
    1 << feature
}

/// Queues can be reset one by one (VIRTIO 1.2, 2.6.1).
const RING_RESET: u64 = bit(40);

/// Features that every device has.
const FEATURES: u64 = bit(config::VIRTIO_F_VERSION_1)
    | bit(virtio_ring::VIRTIO_RING_F_INDIRECT_DESC)
    | bit(virtio_ring::VIRTIO_RING_F_EVENT_IDX);

/// A queue as the driver sets it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSetup {
    /// The most entries that it can have; 0 if there is no such queue.
    pub max_size: u16,
    /// Entries.
    pub size: u16,
    /// Whether the driver has enabled it.
    pub ready: bool,
    /// Guest-physical address of the descriptor table.
    pub descriptors: u64,
    /// Guest-physical address of the driver's area, the available ring.
    pub available: u64,
    /// Guest-physical address of the device's area, the used ring.
    pub used: u64,
    /// Positions in the rings, where work stops and goes on: the next available one, the next used one.
    pub progress: (u16, u16),
}

impl QueueSetup {
    const fn new(max_size: u16) -> Self {
        QueueSetup {
            max_size,
            size: max_size,
            ready: false,
            descriptors: 0,
            available: 0,
            used: 0,
            progress: (0, 0),
        }
    }

    /// The ring, if it can be one: aligned, of a possible size, within RAM.
    fn ring(&self, ram: &GuestRam, event_idx: bool) -> Option<virtio_queue::Queue> {
        let mut ring = virtio_queue::Queue::new(self.max_size).ok()?;
        ring.try_set_size(self.size).ok()?;
        ring.try_set_desc_table_address(GuestAddress(self.descriptors)).ok()?;
        ring.try_set_avail_ring_address(GuestAddress(self.available)).ok()?;
        ring.try_set_used_ring_address(GuestAddress(self.used)).ok()?;
        ring.set_event_idx(event_idx);
        ring.set_next_avail(self.progress.0);
        ring.set_next_used(self.progress.1);
        ring.set_ready(true);
        ring.is_valid(ram).then_some(ring)
    }
}

/// A virtio device between its transport and its worker.
pub struct Core {
    device: Box<dyn VirtioDevice>,
    worker: Box<dyn Worker>,
    ram: GuestRam,
    notifier: Arc<dyn Notifier>,
    doorbells: Vec<Arc<EventFd>>,
    /// Features that the transport adds.
    transport_features: u64,
    status: u8,
    driver_features: u64,
    queues: Vec<QueueSetup>,
    generation: u8,
    /// The driver broke the rules. Set by the worker, too.
    fault: Arc<Fault>,
    /// Whether the worker has the queues.
    running: bool,
}

impl Core {
    /// A device in the state of a reset.
    ///
    /// # Errors
    /// There are no descriptors left for doorbells.
    pub fn new(
        device: Box<dyn VirtioDevice>,
        worker: Box<dyn Worker>,
        ram: GuestRam,
        notifier: Arc<dyn Notifier>,
    ) -> io::Result<Self> {
        let queues: Vec<_> = device.queue_sizes().iter().map(|&size| QueueSetup::new(size)).collect();
        let doorbell = |_| EventFd::new(EFD_NONBLOCK).map(Arc::new);
        let doorbells = queues.iter().map(doorbell).collect::<io::Result<_>>()?;
        Ok(Core {
            device,
            worker,
            ram,
            notifier,
            doorbells,
            transport_features: 0,
            status: 0,
            driver_features: 0,
            queues,
            generation: 0,
            fault: Arc::default(),
            running: false,
        })
    }

    /// Over a transport that can reset queues one by one, by [`Core::reset_queue`].
    pub fn with_queue_reset(mut self) -> Self {
        self.transport_features |= RING_RESET;
        self
    }

    /// What it is.
    pub fn device_type(&self) -> DeviceType {
        self.device.device_type()
    }

    /// What the driver rings, by queue: KVM can write them without an exit.
    pub fn doorbells(&self) -> &[Arc<EventFd>] {
        &self.doorbells
    }

    /// Rings the doorbell of a queue; one that does not exist has none.
    pub fn ring(&self, queue: u32) {
        let doorbell = usize::try_from(queue).ok().and_then(|queue| self.doorbells.get(queue));
        if let Some(Err(error)) = doorbell.map(|doorbell| doorbell.write(1)) {
            tracing::error!("a doorbell can't be rung: {error}");
        }
    }

    /// All feature bits that are offered.
    pub fn features(&self) -> u64 {
        self.device.features() | FEATURES | self.transport_features
    }

    /// The feature bits that the driver has taken so far.
    pub const fn driver_features(&self) -> u64 {
        self.driver_features
    }

    /// Takes half of the driver's features: 0 for bits 0 to 31, 1 for 32 to 63. Others, and any once features are agreed on, are
    /// ignored.
    pub fn set_driver_features(&mut self, half: u32, value: u32) {
        if self.status & status::FEATURES_OK != 0 {
            return;
        }
        let value = u64::from(value);
        match half {
            0 => self.driver_features = self.driver_features & !0xffff_ffff | value,
            1 => self.driver_features = self.driver_features & 0xffff_ffff | value << 32,
            _ => {}
        }
    }

    /// Number of queues.
    pub fn queue_count(&self) -> u16 {
        // A device has at most 65536 queues, and ours a few.
        u16::try_from(self.queues.len()).unwrap_or(u16::MAX)
    }

    /// A queue. One that does not exist has a `max_size` of 0.
    pub fn queue(&self, index: u32) -> QueueSetup {
        let queue = usize::try_from(index).ok().and_then(|index| self.queues.get(index));
        queue.copied().unwrap_or(QueueSetup::new(0))
    }

    /// Changes a queue that is not enabled. Once enabled, a queue stays as it is until a reset.
    pub fn set_up_queue(&mut self, index: u32, change: impl FnOnce(&mut QueueSetup)) {
        let queue = usize::try_from(index).ok().and_then(|index| self.queues.get_mut(index));
        if let Some(queue) = queue.filter(|queue| !queue.ready) {
            change(queue);
        }
    }

    /// Enables a queue, or takes it out of use. A running device takes it up, or gives it up, at once.
    pub fn enable_queue(&mut self, index: u32, ready: bool) {
        let Some(at) = usize::try_from(index).ok().filter(|&at| at < self.queues.len()) else { return };
        if self.queues.get(at).is_none_or(|queue| queue.ready == ready) {
            return;
        }
        self.stop();
        if let Some(queue) = self.queues.get_mut(at) {
            // What is taken out of use starts anew when it comes back.
            *queue = if ready { QueueSetup { ready, ..*queue } } else { QueueSetup::new(queue.max_size) };
        }
        self.start();
    }

    /// Resets a queue, if the driver has agreed on that. When it returns, no buffer of the queue's is touched any more, and the
    /// driver may set it up again.
    pub fn reset_queue(&mut self, index: u32) {
        if self.status & status::FEATURES_OK != 0 && self.driver_features & RING_RESET != 0 {
            self.enable_queue(index, false);
        }
    }

    /// The device status.
    pub fn status(&self) -> u8 {
        if self.fault.is_set() { self.status | status::NEEDS_RESET } else { self.status }
    }

    /// The driver writes the device status. 0 resets the device; bits once set stay so (VIRTIO 1.2, 2.1.1).
    pub fn set_status(&mut self, value: u8) {
        if value == 0 {
            return self.reset();
        }
        let mut new = self.status | value & !status::NEEDS_RESET;
        let risen = new & !self.status;
        if risen & status::FEATURES_OK != 0 && !self.agrees() {
            new &= !status::FEATURES_OK;
        }
        // Without features there is no device to start (3.1.1).
        if new & status::FEATURES_OK == 0 {
            new &= !status::DRIVER_OK;
        }
        let starts = new & !self.status & status::DRIVER_OK != 0;
        self.status = new;
        if starts {
            self.start();
        }
    }

    /// Whether a driver that writes this status will read all of it. Else some bits will be missing: features that can't be agreed
    /// on, and a driver that is ready without them.
    pub fn accepts(&self, value: u8) -> bool {
        let has_features = (self.status | value) & status::FEATURES_OK != 0;
        let is_agreed = self.status & status::FEATURES_OK != 0 || has_features && self.agrees();
        is_agreed || value & (status::FEATURES_OK | status::DRIVER_OK) == 0
    }

    /// Whether the driver's features can be agreed to.
    fn agrees(&self) -> bool {
        self.driver_features & !self.features() == 0
            && self.driver_features & bit(config::VIRTIO_F_VERSION_1) != 0
    }

    /// Takes the device back to its beginning. When it returns, no buffer of the driver's is touched any more.
    pub fn reset(&mut self) {
        self.stop();
        self.worker.reset();
        self.status = 0;
        self.driver_features = 0;
        for queue in &mut self.queues {
            *queue = QueueSetup::new(queue.max_size);
        }
        self.fault.clear();
    }

    /// Hands the queues to the worker, if the driver is ready.
    pub fn start(&mut self) {
        if self.running || self.status & status::DRIVER_OK == 0 || self.fault.is_set() {
            return;
        }
        let event_idx = self.driver_features & bit(virtio_ring::VIRTIO_RING_F_EVENT_IDX) != 0;
        let mut queues = Vec::with_capacity(self.queues.len());
        for ((index, setup), doorbell) in (0..).zip(&self.queues).zip(&self.doorbells) {
            if !setup.ready {
                queues.push(None);
                continue;
            }
            let Some(ring) = setup.ring(&self.ram, event_idx) else {
                return self.fault.set(&*self.notifier, || {
                    tracing::warn!(
                        "the driver enabled virtqueue {index} with rings that can't be: {setup:x?}"
                    );
                });
            };
            let wiring = Wiring {
                index,
                ram: self.ram.clone(),
                doorbell: doorbell.clone(),
                notifier: self.notifier.clone(),
                fault: self.fault.clone(),
            };
            queues.push(Some(Queue::new(ring, wiring)));
        }
        if let Err(error) = self.worker.start(self.driver_features, queues) {
            return self.fault.set(&*self.notifier, || {
                tracing::error!("the {:?} device can't start: {error}", self.device_type());
            });
        }
        self.running = true;
        // What was made available before may have been rung for, or not.
        (0..).zip(&self.queues).filter(|(_, queue)| queue.ready).for_each(|(index, _)| self.ring(index));
    }

    /// Takes the queues back from the worker, with where it stopped; [`Core::start`] goes on from there.
    pub fn stop(&mut self) {
        if !std::mem::take(&mut self.running) {
            return;
        }
        for mut queue in self.worker.stop() {
            // Of what the backend gave back last.
            queue.notify();
            if let Some(setup) = self.queues.get_mut(usize::from(queue.index())) {
                setup.progress = queue.progress();
            }
        }
    }

    /// Changes whenever the configuration space has changed, so that the driver can tell what it read in one piece.
    pub const fn generation(&self) -> u8 {
        self.generation
    }

    /// Reads from configuration space.
    pub fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.device.read_config(offset, data);
    }

    /// The driver writes to configuration space.
    pub fn write_config(&mut self, offset: u64, data: &[u8]) {
        self.device.write_config(offset, data);
    }

    /// The device has changed its configuration space of its own accord: what was read of it before may not fit to what is read now,
    /// and a driver that there is hears of it.
    pub fn config_changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.status & status::DRIVER != 0 {
            self.notifier.config();
        }
    }
}

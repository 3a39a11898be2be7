//! What a PCI bus and virtio devices on it need of the host.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use triarch_arch::hv::{Doorbell, Interrupt, IrqRoute};
use triarch_arch::kvm::{self, DoorbellWatch, EventInterrupt};
use triarch_devices::pci::{INTX_LINES, Messages, PciHost, SharedLine};
use triarch_devices::virtio::Doorbells;
use triarch_devices::{Line, MsiMessage, Trigger};
use vmm_sys_util::eventfd::EventFd;

use crate::builder::send;
use crate::routes::{Lines, Routes, Write};

/// A machine's bus.
#[derive(Clone)]
pub struct PciBus {
    /// The bridge.
    pub host: Arc<Mutex<PciHost>>,
    /// Its lines.
    pub lines: [Arc<SharedLine>; INTX_LINES as usize],
}

impl PciBus {
    /// Where pin A of a device leads.
    pub fn pin(&self, device: u8) -> Box<dyn Line> {
        self.lines[usize::from(device % INTX_LINES)].share(device)
    }
}

/// How a vector's message is sent.
enum Vector {
    /// There is none yet.
    Unset,
    /// KVM sends it when the vector's eventfd is written.
    ByEvent(EventInterrupt),
    /// By a system call.
    ByCall(MsiMessage),
}

/// Messages of a device by KVM: each vector has a GSI of its own.
pub struct MessageRoutes {
    routes: Arc<Routes>,
    lines: Lines,
    /// What the device is known by to an ITS.
    requester: u32,
    vectors: Vec<Mutex<Vector>>,
    /// That KVM does not take a message is logged once: a driver can write any without end.
    logged: AtomicBool,
}

impl MessageRoutes {
    /// Of a device of bus 0 with these lines, one for each vector.
    pub fn new(routes: Arc<Routes>, lines: Lines, device: u8) -> Self {
        let vectors = lines.events.iter().map(|_| Mutex::new(Vector::Unset)).collect();
        // Bus, device and function have 8, 5 and 3 bits.
        let requester = u32::from(device) << 3;
        MessageRoutes { routes, lines, requester, vectors, logged: AtomicBool::new(false) }
    }

    fn vector(&self, vector: u16) -> Option<(MutexGuard<'_, Vector>, &Arc<EventFd>)> {
        let index = usize::from(vector);
        let state = self.vectors.get(index)?.lock().unwrap_or_else(PoisonError::into_inner);
        Some((state, self.lines.events.get(index)?))
    }

    /// Leads a vector's GSI to a message.
    fn route(
        &self,
        vector: u16,
        message: MsiMessage,
        (old, event): (Vector, &Arc<EventFd>),
    ) -> kvm::Result<EventInterrupt> {
        let MsiMessage { address, data } = message;
        let gsi = self.lines.first + usize::from(vector);
        let route = IrqRoute::Msi { address, data, requester: self.requester };
        self.routes.replace(gsi, [Some(route)])?;
        match old {
            // KVM goes by the new route from now on.
            Vector::ByEvent(interrupt) => Ok(interrupt),
            Vector::Unset | Vector::ByCall(_) => self.routes.by_event(event, gsi),
        }
    }
}

impl Messages for MessageRoutes {
    fn set(&self, vector: u16, message: MsiMessage) {
        let Some((mut state, event)) = self.vector(vector) else { return };
        let old = std::mem::replace(&mut *state, Vector::Unset);
        *state = match self.route(vector, message, (old, event)) {
            Ok(interrupt) => Vector::ByEvent(interrupt),
            Err(error) => {
                if !self.logged.swap(true, Ordering::Relaxed) {
                    tracing::warn!("KVM has no route for {message:x?}, so each costs a system call: {error}");
                }
                Vector::ByCall(message)
            }
        };
    }

    fn send(&self, vector: u16) {
        let Some((state, event)) = self.vector(vector) else { return };
        match *state {
            Vector::Unset => {}
            Vector::ByEvent(_) => Write(event.clone()).trigger(),
            Vector::ByCall(MsiMessage { address, data }) => {
                let message = Interrupt::Msi { address, data, requester: self.requester };
                send(self.routes.interrupts(), message);
            }
        }
    }
}

/// A device's doorbells, that KVM answers.
pub struct KernelDoorbells {
    kvm: kvm::Doorbells,
    events: Vec<Arc<EventFd>>,
    watches: Vec<DoorbellWatch>,
    /// That KVM does not answer them is logged once.
    logged: bool,
}

impl KernelDoorbells {
    /// That are nowhere yet, and write these.
    pub fn new(kvm: kvm::Doorbells, events: &[Arc<EventFd>]) -> Self {
        KernelDoorbells { kvm, events: events.to_vec(), watches: Vec::new(), logged: false }
    }
}

impl Doorbells for KernelDoorbells {
    fn place(&mut self, addresses: &[u64]) {
        self.watches.clear();
        for (address, event) in addresses.iter().zip(&self.events) {
            match self.kvm.watch(Doorbell::Address { address: *address }, event.clone()) {
                Ok(watch) => self.watches.push(watch),
                // Another device of the guest's is at the same place, or KVM has too many.
                Err(error) if !self.logged => {
                    tracing::warn!(
                        "KVM does not answer the doorbell at {address:#x}, so each leaves the guest: {error}"
                    );
                    self.logged = true;
                }
                Err(_) => {}
            }
        }
    }
}

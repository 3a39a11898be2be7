//! What the channel subsystem and virtio devices behind it need of the host (s390x).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use triarch_arch::hv::{Interrupt, IrqRoute};
use triarch_arch::kvm::{self, EventInterrupt, Interrupts};
use triarch_devices::Trigger;
use triarch_devices::css::{Floating, Interruption};
use triarch_devices::virtio::{AdapterRoute, AdapterRoutes};

use crate::builder::send;
use crate::routes::{Lines, Routes, Write};

/// KVM's floating interrupt controller.
pub struct KernelFloating(pub Interrupts);

impl Floating for KernelFloating {
    fn pend(&self, Interruption { id, parameter, word }: Interruption) {
        send(&self.0, Interrupt::Io { id, parameter, word });
    }

    fn withdraw(&self, id: u32) {
        send(&self.0, Interrupt::WithdrawIo { id });
    }

    fn report(&self) {
        send(&self.0, Interrupt::ChannelReport);
    }
}

/// Adapter interrupts of a device by KVM: it sets indicators and interrupts when an eventfd is written.
pub struct DeviceRoutes {
    routes: Arc<Routes>,
    /// Each queue's.
    lines: Lines,
    active: Mutex<Vec<EventInterrupt>>,
    /// That KVM does not send them is logged once: a driver can ask for them without end.
    logged: AtomicBool,
}

impl DeviceRoutes {
    /// Of a device with these lines, one for each queue.
    pub const fn new(routes: Arc<Routes>, lines: Lines) -> Self {
        DeviceRoutes { routes, lines, active: Mutex::new(Vec::new()), logged: AtomicBool::new(false) }
    }

    fn activate(&self, route: &AdapterRoute) -> kvm::Result<Vec<EventInterrupt>> {
        let adapter = |&(indicator, bit): &(u64, u8)| {
            let AdapterRoute { summary, isc, .. } = *route;
            Some(IrqRoute::Adapter { indicator, bit, summary, isc })
        };
        let Lines { first, events } = &self.lines;
        self.routes.replace(*first, route.queues.iter().map(adapter))?;
        (*first..).zip(events).map(|(gsi, event)| self.routes.by_event(event, gsi)).collect()
    }
}

impl AdapterRoutes for DeviceRoutes {
    fn set(&self, route: Option<&AdapterRoute>) -> Vec<Box<dyn Trigger>> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        // First, so that nothing goes by a route that is replaced.
        active.clear();
        let Lines { first, events } = &self.lines;
        let Some(route) = route else {
            if let Err(error) = self.routes.replace(*first, events.iter().map(|_| None)) {
                tracing::error!("routes of adapter interrupts stay: {error}");
            }
            return Vec::new();
        };
        match self.activate(route) {
            Ok(interrupts) => {
                *active = interrupts;
                events.iter().map(|event| Box::new(Write(event.clone())) as _).collect()
            }
            Err(error) => {
                if !self.logged.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "KVM does not send a device's interrupts, so each costs a system call: {error}"
                    );
                }
                Vec::new()
            }
        }
    }
}

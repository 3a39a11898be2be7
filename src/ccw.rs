//! What the channel subsystem and virtio devices behind it need of the host (s390x).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use triarch_arch::hv::{Interrupt, IrqRoute};
use triarch_arch::kvm::{self, EventInterrupt, Interrupts};
use triarch_devices::Trigger;
use triarch_devices::css::{Floating, Interruption};
use triarch_devices::virtio::{AdapterRoute, AdapterRoutes};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::builder::send;

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

/// The routes of all adapter interrupts of a machine. Each queue has a GSI of its own.
pub struct Routes {
    interrupts: Interrupts,
    table: Mutex<Vec<Option<IrqRoute>>>,
}

impl Routes {
    /// No routes yet.
    pub const fn new(interrupts: Interrupts) -> Self {
        Routes { interrupts, table: Mutex::new(Vec::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<IrqRoute>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// GSIs and eventfds for a device with so many queues.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn device(self: &Arc<Self>, queues: u16) -> io::Result<DeviceRoutes> {
        let events = (0..queues).map(|_| EventFd::new(EFD_NONBLOCK).map(Arc::new));
        let events = events.collect::<io::Result<Vec<_>>>()?;
        let mut table = self.lock();
        let first = table.len();
        table.resize(first + events.len(), None);
        Ok(DeviceRoutes {
            routes: self.clone(),
            first,
            events,
            active: Mutex::default(),
            logged: AtomicBool::new(false),
        })
    }

    /// Replaces the routes of GSIs from `first` on.
    fn replace(&self, first: usize, new: impl IntoIterator<Item = Option<IrqRoute>>) -> kvm::Result<()> {
        let mut table = self.lock();
        table.iter_mut().skip(first).zip(new).for_each(|(route, new)| *route = new);
        self.interrupts.set_routes(&table)
    }
}

/// Adapter interrupts of a device by KVM: it sets indicators and interrupts when an eventfd is written.
pub struct DeviceRoutes {
    routes: Arc<Routes>,
    /// The first queue's GSI.
    first: usize,
    events: Vec<Arc<EventFd>>,
    active: Mutex<Vec<EventInterrupt>>,
    /// That KVM does not send them is logged once: a driver can ask for them without end.
    logged: AtomicBool,
}

impl DeviceRoutes {
    fn activate(&self, route: &AdapterRoute) -> kvm::Result<Vec<EventInterrupt>> {
        let adapter = |&(indicator, bit): &(u64, u8)| {
            let AdapterRoute { summary, isc, .. } = *route;
            Some(IrqRoute::Adapter { indicator, bit, summary, isc })
        };
        self.routes.replace(self.first, route.queues.iter().map(adapter))?;
        let by_event = |(gsi, event): (usize, &Arc<EventFd>)| {
            // A machine has a few hundred.
            self.routes.interrupts.by_event(event.clone(), u32::try_from(gsi).unwrap_or(u32::MAX))
        };
        (self.first..).zip(&self.events).map(by_event).collect()
    }
}

impl AdapterRoutes for DeviceRoutes {
    fn set(&self, route: Option<&AdapterRoute>) -> Vec<Box<dyn Trigger>> {
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        // First, so that nothing goes by a route that is replaced.
        active.clear();
        let Some(route) = route else {
            if let Err(error) = self.routes.replace(self.first, self.events.iter().map(|_| None)) {
                tracing::error!("routes of adapter interrupts stay: {error}");
            }
            return Vec::new();
        };
        match self.activate(route) {
            Ok(interrupts) => {
                *active = interrupts;
                self.events.iter().map(|event| Box::new(Write(event.clone())) as _).collect()
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

/// Writes an eventfd.
struct Write(Arc<EventFd>);

impl Trigger for Write {
    fn trigger(&self) {
        if let Err(error) = self.0.write(1) {
            tracing::error!("an interrupt is lost: {error}");
        }
    }
}

//! The routes of a machine's interrupts: which GSI leads where.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use triarch_arch::hv::{IrqRoute, Irqchip};
use triarch_arch::kvm::{self, EventInterrupt, Interrupts};
use triarch_devices::Trigger;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Pins of the kernel's IOAPIC.
const KERNEL_PINS: u32 = 24;

/// All routes of a machine. The first are those of the interrupt controller's own pins, if it takes them by GSIs; those that
/// follow are for devices.
pub struct Routes {
    interrupts: Interrupts,
    table: Mutex<Vec<Option<IrqRoute>>>,
}

/// GSIs in a row, each with an eventfd.
pub struct Lines {
    /// The first GSI.
    pub first: usize,
    /// What interrupts by them, in their order.
    pub events: Vec<Arc<EventFd>>,
}

impl Routes {
    /// Of a machine with this interrupt controller, as it starts.
    pub fn new(interrupts: Interrupts, irqchip: Irqchip) -> Self {
        let pins = match irqchip {
            // KVM forgets its own routes with the first that is set.
            Irqchip::X86Kernel { .. } => (0..KERNEL_PINS).map(|pin| Some(IrqRoute::Pin { pin })).collect(),
            Irqchip::X86Split { pins } => (0..pins).map(|_| None).collect(),
            Irqchip::GicV2 { .. } | Irqchip::GicV3 { .. } | Irqchip::Flic => Vec::new(),
        };
        Routes { interrupts, table: Mutex::new(pins) }
    }

    /// What sends interrupts without a route.
    pub const fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<IrqRoute>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many GSIs that lead nowhere yet.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn lines(&self, count: u16) -> io::Result<Lines> {
        let events = (0..count).map(|_| EventFd::new(EFD_NONBLOCK).map(Arc::new));
        let events = events.collect::<io::Result<Vec<_>>>()?;
        let mut table = self.lock();
        let first = table.len();
        table.resize(first + events.len(), None);
        Ok(Lines { first, events })
    }

    /// Replaces the routes of GSIs from `first` on.
    ///
    /// # Errors
    /// KVM does not take them; all stay as they were.
    pub fn replace(&self, first: usize, new: impl IntoIterator<Item = Option<IrqRoute>>) -> kvm::Result<()> {
        let mut table = self.lock();
        let old = table.clone();
        table.iter_mut().skip(first).zip(new).for_each(|(route, new)| *route = new);
        let set = self.interrupts.set_routes(&table);
        if set.is_err() {
            *table = old;
        }
        set
    }

    /// Has KVM interrupt by the route of a GSI whenever `event` is written.
    ///
    /// # Errors
    /// As of [`Interrupts::by_event`].
    pub fn by_event(&self, event: &Arc<EventFd>, gsi: usize) -> kvm::Result<EventInterrupt> {
        // A machine has a few hundred.
        self.interrupts.by_event(event.clone(), u32::try_from(gsi).unwrap_or(u32::MAX))
    }
}

/// Writes an eventfd.
pub struct Write(pub Arc<EventFd>);

impl Trigger for Write {
    fn trigger(&self) {
        if let Err(error) = self.0.write(1) {
            tracing::error!("an interrupt is lost: {error}");
        }
    }
}

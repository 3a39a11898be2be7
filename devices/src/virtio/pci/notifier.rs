//! How a driver is told over PCI: by MSI-X, or by the interrupt pin and a status that says why (VIRTIO 1.2, 4.1.4.5, 4.1.5.1).

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Line;
use crate::pci::{Msix, VectorState};
use crate::saved::state;
use crate::virtio::Notifier;

/// The vector of what is not told.
pub const NO_VECTOR: u16 = 0xffff;

/// Bits of the ISR status.
const CAUSE_QUEUE: u8 = 1;
const CAUSE_CONFIG: u8 = 2;

/// The interrupt pin.
struct Intx {
    causes: u8,
    /// Whether it may be asserted.
    allowed: bool,
    line: Box<dyn Line>,
}

impl Intx {
    fn settle(&self) {
        self.line.set(self.allowed && self.causes != 0);
    }
}

state! {
    /// The choices of vectors, the vectors, and the causes of the pin's interrupt.
    pub struct NotifierState {
        config: u16,
        queues: Vec<u16>,
        vectors: Vec<VectorState>,
        causes: u8,
    }
}

/// Tells a driver by the vectors that it has chosen, or by the pin while MSI-X is off.
pub struct PciNotifier {
    pub msix: Msix,
    queues: Vec<AtomicU16>,
    config: AtomicU16,
    intx: Mutex<Intx>,
}

impl PciNotifier {
    /// For so many queues; the pin may be asserted.
    pub fn new(queues: usize, msix: Msix, line: Box<dyn Line>) -> Self {
        PciNotifier {
            msix,
            queues: (0..queues).map(|_| AtomicU16::new(NO_VECTOR)).collect(),
            config: AtomicU16::new(NO_VECTOR),
            intx: Mutex::new(Intx { causes: 0, allowed: true, line }),
        }
    }

    fn intx(&self) -> MutexGuard<'_, Intx> {
        self.intx.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vector(&self, queue: Option<u16>) -> Option<&AtomicU16> {
        match queue {
            Some(queue) => self.queues.get(usize::from(queue)),
            None => Some(&self.config),
        }
    }

    /// The vector of a queue, or with `None` of a changed configuration.
    pub fn vector_of(&self, queue: Option<u16>) -> u16 {
        self.vector(queue).map_or(NO_VECTOR, |vector| vector.load(Ordering::Acquire))
    }

    /// Chooses a vector; of one that is not there, none is chosen.
    pub fn set_vector(&self, queue: Option<u16>, vector: u16) {
        if let Some(place) = self.vector(queue) {
            place.store(if self.msix.has(vector) { vector } else { NO_VECTOR }, Ordering::Release);
        }
    }

    /// The causes of the interrupt, which are none after that.
    pub fn take_causes(&self) -> u8 {
        let mut intx = self.intx();
        let causes = std::mem::take(&mut intx.causes);
        intx.settle();
        causes
    }

    /// Whether the pin is asserted, or would be if it might.
    pub fn is_pending(&self) -> bool {
        !self.msix.is_enabled() && self.intx().causes != 0
    }

    /// Says what the driver lets the function do: MSI-X, all of its vectors masked, the pin.
    pub fn set_control(&self, (msix, masked): (bool, bool), intx: bool) {
        self.msix.set_control(msix, masked);
        let mut pin = self.intx();
        pin.allowed = intx && !msix;
        pin.settle();
    }

    /// Forgets the vectors and causes, as a reset of the device does.
    pub fn reset(&self) {
        self.queues
            .iter()
            .chain([&self.config])
            .for_each(|vector| vector.store(NO_VECTOR, Ordering::Release));
        self.take_causes();
    }

    /// What the driver has chosen, and what is pending.
    pub fn state(&self) -> NotifierState {
        NotifierState {
            config: self.vector_of(None),
            queues: self.queues.iter().map(|vector| vector.load(Ordering::Acquire)).collect(),
            vectors: self.msix.state(),
            causes: self.intx().causes,
        }
    }

    /// Has what a driver has chosen, and what is pending; the other arguments are as of [`PciNotifier::set_control`]. No message is
    /// sent. `None` if it can't have been so.
    pub fn restore(&self, state: &NotifierState, (msix, masked): (bool, bool), intx: bool) -> Option<()> {
        let is_choice = |vector: &u16| *vector == NO_VECTOR || self.msix.has(*vector);
        let fits = state.queues.len() == self.queues.len()
            && state.queues.iter().chain([&state.config]).all(is_choice)
            && state.causes & !(CAUSE_QUEUE | CAUSE_CONFIG) == 0;
        if !fits {
            return None;
        }
        self.msix.restore(&state.vectors, msix, masked)?;
        self.queues
            .iter()
            .zip(&state.queues)
            .for_each(|(queue, vector)| queue.store(*vector, Ordering::Release));
        self.config.store(state.config, Ordering::Release);
        self.intx().causes = state.causes;
        self.set_control((msix, masked), intx);
        Some(())
    }

    fn add_cause(&self, cause: u8) {
        let mut intx = self.intx();
        intx.causes |= cause;
        intx.settle();
    }
}

impl Notifier for PciNotifier {
    fn queue(&self, index: u16) {
        if !self.msix.signal(self.vector_of(Some(index))) {
            self.add_cause(CAUSE_QUEUE);
        }
    }

    /// The cause is there with MSI-X, too (4.1.4.5.1).
    fn config(&self) {
        self.add_cause(CAUSE_CONFIG);
        self.msix.signal(self.vector_of(None));
    }
}

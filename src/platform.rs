//! What a machine's vCPUs share: buses, and what exits go to.

use std::sync::{Arc, Mutex, PoisonError};

use triarch_arch::hv::{Exit, SystemEvent};
use triarch_arch::s390x::{Answer, program};
use triarch_devices::{Bus, Effect, Ioapic};

use crate::s390x::Calls;
use crate::vcpu::system_event;

/// The devices of a machine, as its vCPUs reach them.
pub struct Platform {
    /// The guest-physical address space.
    pub mmio: Bus,
    /// Ports (x86_64).
    pub pio: Bus,
    /// The IOAPIC of a split irqchip.
    pub ioapic: Option<Arc<Mutex<Ioapic>>>,
    /// What instructions call (s390x).
    pub s390x: Option<Calls>,
}

impl Platform {
    /// Carries out an exit. Returns what it means for the machine, if anything.
    pub fn serve(&self, exit: Exit<'_>) -> Option<SystemEvent> {
        match exit {
            Exit::PioRead { port, size, data } => {
                let chunks = data.chunks_mut(size.max(1));
                first_effect(chunks.map(|chunk| self.pio.read(port.into(), chunk)))
            }
            Exit::PioWrite { port, size, data } => {
                let chunks = data.chunks(size.max(1));
                first_effect(chunks.map(|chunk| self.pio.write(port.into(), chunk)))
            }
            Exit::MmioRead { address, data } => system_event(self.mmio.read(address, data)),
            Exit::MmioWrite { address, data } => system_event(self.mmio.write(address, data)),
            Exit::IoapicEoi { vector } => {
                if let Some(ioapic) = &self.ioapic {
                    ioapic.lock().unwrap_or_else(PoisonError::into_inner).end_of_interrupt(vector);
                }
                None
            }
            Exit::S390x { call, answer } => {
                *answer = match &self.s390x {
                    Some(calls) => calls.serve(&call),
                    None => Answer::program(program::OPERATION),
                };
                None
            }
            Exit::System(event) => Some(event),
            Exit::Interrupted | Exit::Resume => None,
        }
    }
}

/// Takes every access of a string instruction; the first effect counts.
fn first_effect(effects: impl Iterator<Item = Effect>) -> Option<SystemEvent> {
    effects.map(system_event).fold(None, Option::or)
}

//! What a machine's vCPUs share: buses, and what exits go to.

use triarch_arch::hv::{Exit, SystemEvent};
use triarch_devices::{Bus, Effect};

use crate::vcpu::system_event;

/// The devices of a machine, as its vCPUs reach them.
pub struct Platform {
    /// The guest-physical address space.
    pub mmio: Bus,
    /// Ports (x86_64).
    pub pio: Bus,
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
            Exit::IoapicEoi { .. } => None,
            Exit::S390x { .. } => None,
            Exit::System(event) => Some(event),
            Exit::Interrupted | Exit::Resume => None,
        }
    }
}

/// Takes every access of a string instruction; the first effect counts.
fn first_effect(effects: impl Iterator<Item = Effect>) -> Option<SystemEvent> {
    effects.map(system_event).fold(None, Option::or)
}

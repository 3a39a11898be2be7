//! Machine definitions: pure functions from a specification and a host's capabilities to a plan.
//!
//! A plan says all that a machine is: RAM, devices with their addresses and interrupts, what lies in RAM at the start, and the
//! boot vCPU's registers. The builder carries it out; `triarch plan` prints it; golden tests compare it.
#![forbid(unsafe_code)]

mod ccw;
mod memory;
mod microvm;
mod plan;
mod spec;
mod virt;
mod virtio;

pub use plan::{Attachment, DeviceKind, DeviceMemory, DeviceSlot, MachinePlan, RamRange, Segment, Source};
pub use spec::{Board, Error, IrqchipChoice, MachineSpec, Transport, VirtioKind};

use triarch_arch::hv::HostCaps;

/// Plans a machine.
///
/// # Errors
/// The specification asks for something that the board, the boot protocol or the host can't give.
pub fn plan(spec: &MachineSpec, host: &HostCaps) -> Result<MachinePlan, Error> {
    spec.check(host)?;
    match spec.board {
        Board::Microvm => microvm::plan(spec, host),
        Board::Virt => virt::plan(spec, host),
        Board::Ccw => ccw::plan(spec, host),
    }
}

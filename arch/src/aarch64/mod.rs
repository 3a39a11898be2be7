//! Arm's 64-bit A-profile: registers, memory map and boot protocols, as plain data.

use serde::Serialize;

use crate::Isa;

/// The ISA of this module.
pub const ISA: Isa = Isa::Aarch64;

pub mod fdt;
pub mod image;
mod state;

pub use state::{Events, MpState, PSTATE_EL1H_MASKED, Register, VcpuState, reg};

/// What an aarch64 host can give to its guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCaps {
    /// Bits of a guest-physical address, 32 to 52.
    pub address_bits: u8,
    /// Whether guests can have a GICv2.
    pub gic_v2: bool,
    /// Whether guests can have a GICv3.
    pub gic_v3: bool,
    /// Whether that GICv3 can have an interrupt translation service.
    pub its: bool,
    /// What vCPUs can have.
    pub cpu: CpuModel,
}

impl HostCaps {
    /// Those of a common host.
    pub fn typical() -> Self {
        let cpu = CpuModel { sve: false, pauth: true, pmu: true };
        HostCaps { address_bits: 44, gic_v2: false, gic_v3: true, its: true, cpu }
    }
}

/// How the vCPUs look: the host's CPU, with these optional features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CpuModel {
    /// The Scalable Vector Extension.
    pub sve: bool,
    /// Pointer authentication, of addresses and generic.
    pub pauth: bool,
    /// The performance monitors (PMUv3). Their interrupt is [`ppi::PMU`].
    pub pmu: bool,
}

/// Interrupts of every vCPU's own, numbered from 0 as in a device tree (interrupt id less 16).
pub mod ppi {
    /// The non-secure EL2 physical timer.
    pub const HYPERVISOR_TIMER: u32 = 10;
    /// The virtual timer.
    pub const VIRTUAL_TIMER: u32 = 11;
    /// The secure physical timer.
    pub const SECURE_TIMER: u32 = 13;
    /// The non-secure EL1 physical timer.
    pub const PHYSICAL_TIMER: u32 = 14;
    /// The performance monitors.
    pub const PMU: u32 = 7;
}

/// The affinity of a vCPU, as KVM derives it from the vCPU's number: 16 vCPUs share affinity levels 1 and up, as a GICv3 can
/// send a software interrupt to at most 16 CPUs at once (MPIDR_EL1.Aff0 to Aff2; Linux, `reset_mpidr`).
pub const fn affinity(vcpu: u32) -> u64 {
    let id = vcpu as u64;
    (id & 0xf) | ((id >> 4) & 0xff) << 8 | ((id >> 12) & 0xff) << 16
}

/// The CPU's virtualization extension, by `/proc/cpuinfo`. Arm's does not show EL2 there, so this can't be told.
pub fn virtualization(_cpuinfo: &str) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_vcpus_share_the_higher_affinities() {
        let cases = [(0, 0), (15, 15), (16, 0x100), (0x5a, 0x50a), (511, 0x1f0f), (4096, 0x10000)];
        for (vcpu, affinity_of_it) in cases {
            assert_eq!(affinity(vcpu), affinity_of_it, "{vcpu}");
        }
    }
}

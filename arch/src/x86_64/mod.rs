//! AMD64 / Intel 64: registers, memory map and boot protocols, as plain data.

use serde::Serialize;

use crate::Isa;

/// The ISA of this module.
pub const ISA: Isa = Isa::X86_64;

pub mod acpi;
pub mod boot;
pub mod bzimage;
mod compare;
pub mod cpuid;
pub mod pvh;
mod state;

pub use compare::{XSTATE_BV, differences};
pub use cpuid::CpuidLeaf;
pub use state::{
    DebugRegs, Events, ExceptionEvent, InterruptEvent, LAPIC_SIZE, MpState, Msr, NmiEvent, Regs, Segment,
    SmiEvent, Sregs, TableRegister, VcpuState, Xcr,
};

/// What an x86_64 host can give to its guests.
#[derive(Debug, Clone, PartialEq)]
pub struct HostCaps {
    /// The CPUID leaves that KVM can show to guests, of some vCPU.
    pub cpuid: Vec<CpuidLeaf>,
    /// Whether the IOAPIC can be among our devices while the LAPICs are in the kernel.
    pub split_irqchip: bool,
    /// Whether APIC ids above 254 can be used.
    pub x2apic_ids: bool,
}

impl HostCaps {
    /// Those of a common host.
    pub fn typical() -> Self {
        HostCaps { cpuid: cpuid::typical(), split_irqchip: true, x2apic_ids: true }
    }

    /// Width of physical addresses in bits.
    pub fn physical_address_bits(&self) -> u32 {
        cpuid::physical_address_bits(&self.cpuid)
    }
}

/// How the vCPUs look.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CpuModel {
    /// CPUID leaves, without what differs between vCPUs.
    pub cpuid: Vec<CpuidLeaf>,
}

/// The CPU's virtualization extension, by the flags of `/proc/cpuinfo`: VMX or SVM. `None` when there is none, or when it
/// can't be told.
pub fn virtualization(cpuinfo: &str) -> Option<&'static str> {
    let flags = cpuinfo.lines().find_map(|line| {
        let (name, flags) = line.split_once(':')?;
        (name.trim_end() == "flags").then_some(flags)
    })?;
    flags.split_ascii_whitespace().find_map(|flag| match flag {
        "vmx" => Some("VMX"),
        "svm" => Some("SVM"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_is_a_whole_flag_of_the_flags_line() {
        let cpuinfo = |flags| {
            format!("processor\t: 0\nvmx flags\t: vnmi ept\nflags\t\t: fpu {flags} sse2\nbugs\t\t: svm\n")
        };
        assert_eq!(virtualization(&cpuinfo("vmx")), Some("VMX"));
        assert_eq!(virtualization(&cpuinfo("svm")), Some("SVM"));
        assert_eq!(virtualization(&cpuinfo("svm_lock")), None);
        assert_eq!(virtualization(""), None);
    }
}

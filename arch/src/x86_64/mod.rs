//! AMD64 / Intel 64: registers, memory map and boot protocols, as plain data.

use serde::Serialize;

use crate::Isa;

/// The ISA of this module.
pub const ISA: Isa = Isa::X86_64;

pub mod bzimage;
pub mod pvh;

/// What an x86_64 host can give to its guests.
#[derive(Debug, Clone, PartialEq)]
pub struct HostCaps {}

impl HostCaps {
    /// Those of a common host.
    pub fn typical() -> Self {
        HostCaps {}
    }
}

/// State of a vCPU.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct VcpuState {}

/// How the vCPUs look.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CpuModel {}

/// The CPU's virtualization extension, by the flags of `/proc/cpuinfo`: VMX or SVM. `None` when there is none, or when it
/// can't be told.
pub fn virtualization(_cpuinfo: &str) -> Option<&'static str> {
    None
}

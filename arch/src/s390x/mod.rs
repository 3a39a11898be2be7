//! z/Architecture: registers, memory map and boot protocols, as plain data.

use serde::Serialize;

use crate::Isa;

/// The ISA of this module.
pub const ISA: Isa = Isa::S390x;

pub mod image;

/// What an s390x host can give to its guests.
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

/// Something that a guest asks the VMM to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {}

/// What the guest gets for a [`Call`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {}

/// The CPU's virtualization extension, by the features of `/proc/cpuinfo`: SIE. `None` when there is none, or when it
/// can't be told.
pub fn virtualization(_cpuinfo: &str) -> Option<&'static str> {
    None
}

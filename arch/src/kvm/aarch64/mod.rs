//! The glue of aarch64 hosts.

use super::{Error, Result, Vcpu, VmConfig};
use crate::hv::{Exit, Feature, HostCaps, Interrupt, VcpuState};

/// kvm-ioctls, with the one binding that the shared code names.
pub mod sys {
    pub use kvm_bindings::kvm_userspace_memory_region as MemoryRegion;
    pub use kvm_ioctls::{Kvm, VcpuFd, VmFd};
}

/// What the VM has besides its fd.
#[derive(Debug)]
pub struct Machine {}

/// What a vCPU has besides its fd.
#[derive(Debug, Default)]
pub struct VcpuExtra {}

pub fn host_caps(_kvm: &sys::Kvm) -> Result<HostCaps> {
    Err(Error::Missing("glue"))
}

pub fn features(_kvm: &sys::Kvm) -> Vec<Feature> {
    Vec::new()
}

pub fn create_vm(_kvm: &sys::Kvm, _config: &VmConfig) -> Result<sys::VmFd> {
    Err(Error::Missing("glue"))
}

impl Machine {
    pub fn new(_kvm: &sys::Kvm, _vm: &sys::VmFd, _config: &VmConfig) -> Result<Self> {
        Err(Error::Missing("glue"))
    }

    pub fn finish(&self, _vm: &sys::VmFd, _config: &VmConfig) -> Result<()> {
        Err(Error::Missing("glue"))
    }

    pub fn interrupt(&self, _vm: &sys::VmFd, _interrupt: Interrupt) -> Result<()> {
        Err(Error::Missing("glue"))
    }
}

pub fn init_vcpu(_vcpu: &mut Vcpu) -> Result<()> {
    Err(Error::Missing("glue"))
}

pub fn run(_vcpu: &mut Vcpu) -> Result<Exit<'_>> {
    Err(Error::Missing("glue"))
}

pub fn save(_vcpu: &mut Vcpu) -> Result<VcpuState> {
    Err(Error::Missing("glue"))
}

pub fn restore(_vcpu: &mut Vcpu, _state: &VcpuState) -> Result<()> {
    Err(Error::Missing("glue"))
}

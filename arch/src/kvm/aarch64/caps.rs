//! What the host can do.

use std::os::fd::AsRawFd;

use kvm_bindings::{
    KVM_CREATE_DEVICE_TEST, KVMIO, kvm_create_device, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS,
    kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3,
};
use kvm_ioctls::Cap;
use vmm_sys_util::ioctl::ioctl_with_mut_ref;
use vmm_sys_util::ioctl_iowr_nr;

use super::super::{Result, failed, uninterrupted};
use super::{LEGACY_ADDRESS_BITS, sys};
use crate::aarch64;
use crate::hv::{Feature, HostCaps, IsaCaps};

ioctl_iowr_nr!(KVM_CREATE_DEVICE, KVMIO, 0xe0, kvm_create_device);

pub fn host_caps(kvm: &sys::Kvm) -> Result<HostCaps> {
    let caps = isa_caps(kvm)?;
    let max_vcpus = u32::try_from(kvm.get_max_vcpus()).unwrap_or(u32::MAX);
    Ok(HostCaps { max_vcpus, isa: IsaCaps::Aarch64(caps) })
}

fn isa_caps(kvm: &sys::Kvm) -> Result<aarch64::HostCaps> {
    // Whether a device can be created is asked of a VM.
    let scratch = uninterrupted(|| kvm.create_vm()).map_err(failed("create a virtual machine"))?;
    let gic_v3 = has_device(&scratch, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3);
    let pauth = [Cap::ArmPtrAuthAddress, Cap::ArmPtrAuthGeneric];
    Ok(aarch64::HostCaps {
        address_bits: match u8::try_from(kvm.get_host_ipa_limit()) {
            Ok(bits) if bits > 0 => bits,
            _ => LEGACY_ADDRESS_BITS,
        },
        gic_v2: has_device(&scratch, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2),
        gic_v3,
        its: gic_v3
            && kvm.check_extension(Cap::SignalMsi)
            && has_device(&scratch, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS),
        cpu: aarch64::CpuModel {
            sve: kvm.check_extension(Cap::ArmSve),
            pauth: pauth.into_iter().all(|cap| kvm.check_extension(cap)),
            pmu: kvm.check_extension(Cap::ArmPmuV3),
        },
    })
}

/// Whether a device of this type can be created. Not by kvm-ioctls: its `create_device` would take fd 0, which a test leaves in
/// the structure, for its own, and close it.
fn has_device(vm: &sys::VmFd, type_: u32) -> bool {
    let mut device = kvm_create_device { type_, fd: 0, flags: KVM_CREATE_DEVICE_TEST };
    // SAFETY: the ioctl reads and writes one `kvm_create_device`, which `device` is; with this flag it creates nothing.
    unsafe { ioctl_with_mut_ref(&vm.as_raw_fd(), KVM_CREATE_DEVICE(), &mut device) == 0 }
}

pub fn features(_kvm: &sys::Kvm) -> Vec<Feature> {
    Vec::new()
}

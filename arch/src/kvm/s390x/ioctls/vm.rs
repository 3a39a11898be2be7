//! Ioctls of VMs.

use std::ffi::c_ulong;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};

use super::{
    DeviceFd, KVM_CHECK_EXTENSION, KVM_CREATE_DEVICE, KVM_CREATE_IRQCHIP, KVM_CREATE_VCPU, KVM_ENABLE_CAP,
    KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_S390_INTERRUPT, KVM_SET_DEVICE_ATTR,
    KVM_SET_USER_MEMORY_REGION, KvmRunWrapper, Result, VcpuFd, checked, new_file,
};
use crate::kvm::glue::bindings::{
    kvm_create_device, kvm_device_attr, kvm_enable_cap, kvm_s390_interrupt, kvm_userspace_memory_region,
};

/// A VM.
#[derive(Debug)]
pub struct VmFd {
    vm: File,
    run_size: usize,
}

impl VmFd {
    pub(super) fn new(vm: File, run_size: usize) -> Self {
        VmFd { vm, run_size }
    }

    /// KVM_SET_USER_MEMORY_REGION.
    ///
    /// # Safety
    /// `userspace_addr` leads to that much mapped memory, and it stays mapped for as long as the guest can reach it.
    pub unsafe fn set_user_memory_region(
        &self,
        user_memory_region: kvm_userspace_memory_region,
    ) -> Result<()> {
        // SAFETY: the caller vouches for the memory; the structure is the one that the request takes.
        let result = unsafe { ioctl_with_ref(self, KVM_SET_USER_MEMORY_REGION(), &user_memory_region) };
        checked(result).map(drop)
    }

    /// KVM_CREATE_IRQCHIP.
    pub fn create_irq_chip(&self) -> Result<()> {
        // SAFETY: takes no argument.
        checked(unsafe { ioctl(self, KVM_CREATE_IRQCHIP()) }).map(drop)
    }

    /// KVM_CREATE_VCPU.
    pub fn create_vcpu(&self, id: u64) -> Result<VcpuFd> {
        // SAFETY: takes a number.
        let fd = checked(unsafe { ioctl_with_val(self, KVM_CREATE_VCPU(), id) })?;
        // SAFETY: it has just been made for us.
        let vcpu = unsafe { new_file(fd) };
        let run = KvmRunWrapper::mmap_from_fd(&vcpu, self.run_size)?;
        Ok(VcpuFd::new(vcpu, run))
    }

    /// KVM_CREATE_DEVICE.
    pub fn create_device(&self, device: &mut kvm_create_device) -> Result<DeviceFd> {
        // SAFETY: the structure is the one that the request takes.
        checked(unsafe { ioctl_with_mut_ref(self, KVM_CREATE_DEVICE(), device) })?;
        // SAFETY: it has just been made for us. Descriptors are small.
        Ok(DeviceFd::new(unsafe { new_file(device.fd.cast_signed()) }))
    }

    /// KVM_ENABLE_CAP.
    pub fn enable_cap(&self, cap: &kvm_enable_cap) -> Result<()> {
        // SAFETY: the structure is the one that the request takes, and holds no pointer for the capabilities of s390x.
        checked(unsafe { ioctl_with_ref(self, KVM_ENABLE_CAP(), cap) }).map(drop)
    }

    /// KVM_CHECK_EXTENSION: 0 or less when `cap` is missing.
    pub fn check_extension_raw(&self, cap: c_ulong) -> i32 {
        // SAFETY: takes a number.
        unsafe { ioctl_with_val(self, KVM_CHECK_EXTENSION(), cap) }
    }

    /// KVM_S390_INTERRUPT: makes a floating interrupt pending.
    pub fn s390_interrupt(&self, interrupt: &kvm_s390_interrupt) -> Result<()> {
        // SAFETY: the structure is the one that the request takes.
        checked(unsafe { ioctl_with_ref(self, KVM_S390_INTERRUPT(), interrupt) }).map(drop)
    }

    /// KVM_SET_DEVICE_ATTR.
    ///
    /// # Safety
    /// `addr` leads to memory of the attribute's size (unlike in kvm-ioctls, where this isn't said).
    pub unsafe fn set_device_attr(&self, device_attr: &kvm_device_attr) -> Result<()> {
        // SAFETY: the caller vouches for the memory.
        checked(unsafe { ioctl_with_ref(self, KVM_SET_DEVICE_ATTR(), device_attr) }).map(drop)
    }

    /// KVM_GET_DEVICE_ATTR.
    ///
    /// # Safety
    /// `addr` leads to memory of the attribute's size that may be written to.
    pub unsafe fn get_device_attr(&self, device_attr: &mut kvm_device_attr) -> Result<()> {
        // SAFETY: the caller vouches for the memory.
        checked(unsafe { ioctl_with_mut_ref(self, KVM_GET_DEVICE_ATTR(), device_attr) }).map(drop)
    }

    /// KVM_HAS_DEVICE_ATTR.
    pub fn has_device_attr(&self, device_attr: &kvm_device_attr) -> Result<()> {
        // SAFETY: the request does not look at `addr`.
        checked(unsafe { ioctl_with_ref(self, KVM_HAS_DEVICE_ATTR(), device_attr) }).map(drop)
    }
}

impl AsRawFd for VmFd {
    fn as_raw_fd(&self) -> RawFd {
        self.vm.as_raw_fd()
    }
}

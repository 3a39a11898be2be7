//! Ioctls of /dev/kvm.

use std::ffi::{CStr, c_ulong};
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use vmm_sys_util::ioctl::{ioctl, ioctl_with_val};

use super::{
    KVM_CHECK_EXTENSION, KVM_CREATE_VM, KVM_GET_API_VERSION, KVM_GET_VCPU_MMAP_SIZE, Result, VmFd, checked,
    new_file,
};
use crate::kvm::glue::bindings::{KVM_CAP_MAX_VCPUS, KVM_CAP_NR_VCPUS};

/// The vCPUs of kernels that don't tell how many they allow (Documentation/virt/kvm/api.rst, KVM_CREATE_VCPU).
const DEFAULT_MAX_VCPUS: usize = 4;

/// An open /dev/kvm.
#[derive(Debug)]
pub struct Kvm {
    kvm: File,
}

impl Kvm {
    /// Opens the device node at `path`.
    pub fn new_with_path<P: AsRef<CStr>>(path: P) -> Result<Self> {
        // SAFETY: the path ends in a NUL.
        let fd = checked(unsafe { libc::open(path.as_ref().as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) })?;
        // SAFETY: it has just been opened.
        Ok(Kvm { kvm: unsafe { new_file(fd) } })
    }

    /// KVM_GET_API_VERSION.
    pub fn get_api_version(&self) -> i32 {
        // SAFETY: takes no argument; whatever the file is, the answer is only looked at.
        unsafe { ioctl(self, KVM_GET_API_VERSION()) }
    }

    /// KVM_CHECK_EXTENSION: 0 or less when `cap` is missing.
    pub fn check_extension_raw(&self, cap: c_ulong) -> i32 {
        // SAFETY: takes a number.
        unsafe { ioctl_with_val(self, KVM_CHECK_EXTENSION(), cap) }
    }

    /// Bytes of what a vCPU shares with the kernel.
    pub fn get_vcpu_mmap_size(&self) -> Result<usize> {
        // SAFETY: takes no argument.
        let size = checked(unsafe { ioctl(self, KVM_GET_VCPU_MMAP_SIZE()) })?;
        Ok(usize::try_from(size).unwrap_or(0))
    }

    /// The recommended number of vCPUs.
    pub fn get_nr_vcpus(&self) -> usize {
        self.positive(KVM_CAP_NR_VCPUS).unwrap_or(DEFAULT_MAX_VCPUS)
    }

    /// The most vCPUs.
    pub fn get_max_vcpus(&self) -> usize {
        self.positive(KVM_CAP_MAX_VCPUS).unwrap_or_else(|| self.get_nr_vcpus())
    }

    fn positive(&self, cap: u32) -> Option<usize> {
        usize::try_from(self.check_extension_raw(cap.into())).ok().filter(|n| *n > 0)
    }

    /// KVM_CREATE_VM, of the default type.
    pub fn create_vm(&self) -> Result<VmFd> {
        let run_size = self.get_vcpu_mmap_size()?;
        // SAFETY: takes a number.
        let fd = checked(unsafe { ioctl_with_val(self, KVM_CREATE_VM(), 0) })?;
        // SAFETY: it has just been made for us.
        Ok(VmFd::new(unsafe { new_file(fd) }, run_size))
    }
}

impl AsRawFd for Kvm {
    fn as_raw_fd(&self) -> RawFd {
        self.kvm.as_raw_fd()
    }
}

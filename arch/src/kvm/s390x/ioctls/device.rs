//! Ioctls of devices.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use vmm_sys_util::ioctl::ioctl_with_ref;

use super::{KVM_SET_DEVICE_ATTR, Result, checked};
use crate::kvm::glue::bindings::kvm_device_attr;

/// A device in the kernel.
#[derive(Debug)]
pub struct DeviceFd {
    fd: File,
}

impl DeviceFd {
    pub(super) fn new(fd: File) -> Self {
        DeviceFd { fd }
    }

    /// KVM_SET_DEVICE_ATTR.
    ///
    /// # Safety
    /// `addr` leads to memory of the attribute's size (unlike in kvm-ioctls, where this isn't said).
    pub unsafe fn set_device_attr(&self, device_attr: &kvm_device_attr) -> Result<()> {
        // SAFETY: the caller vouches for the memory.
        checked(unsafe { ioctl_with_ref(self, KVM_SET_DEVICE_ATTR(), device_attr) }).map(drop)
    }
}

impl AsRawFd for DeviceFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

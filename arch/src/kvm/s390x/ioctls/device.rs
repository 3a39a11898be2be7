//! Ioctls of devices.

use std::fs::File;

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
    /// If the attribute has data, `device_attr.addr` points to as many readable bytes as it takes.
    pub unsafe fn set_device_attr(&self, device_attr: &kvm_device_attr) -> Result<()> {
        // SAFETY: the caller vouches for the data that the attribute points to.
        checked(unsafe { ioctl_with_ref(&self.fd, KVM_SET_DEVICE_ATTR(), device_attr) }).map(drop)
    }
}

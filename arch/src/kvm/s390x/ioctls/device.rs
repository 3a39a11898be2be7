//! Ioctls of devices.

use std::fs::File;

/// A device in the kernel.
#[derive(Debug)]
pub struct DeviceFd {
    #[allow(dead_code, reason = "open for as long as the VM")]
    fd: File,
}

impl DeviceFd {
    pub(super) fn new(fd: File) -> Self {
        DeviceFd { fd }
    }
}

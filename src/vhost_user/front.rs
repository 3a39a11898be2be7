//! What the driver of a device sees whose queues a peer serves.

use triarch_devices::nothing_to_save;
use triarch_devices::virtio::{DeviceType, VirtioDevice, read_bytes};

/// A device of any type, with a configuration space that does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// What it is.
    pub device_type: DeviceType,
    /// Feature bits of its device type.
    pub features: u64,
    /// The most entries of each queue.
    pub queue_sizes: Vec<u16>,
    /// Its configuration space.
    pub config: Vec<u8>,
}

impl VirtioDevice for Front {
    fn device_type(&self) -> DeviceType {
        self.device_type
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&self.config, offset, data);
    }

    fn write_config(&mut self, _: u64, _: &[u8]) {}
}

// All of it comes of the device's specification and its peer.
nothing_to_save!(Front, "vhost");

//! The socket device (VIRTIO 1.2, 5.10): stream sockets between the guest and Unix sockets of the host.
//!
//! Who connects to the device's own socket and sends `CONNECT port\n` gets through to that port of the guest's, and is told so by
//! `OK hostport\n`. Where connections of the guest's lead, who makes the device says.

mod backend;
mod connection;
mod packet;
mod table;

pub use backend::{Connector, VsockBackend};

use super::{DeviceType, VirtioDevice, read_bytes};
use crate::nothing_to_save;

/// Entries of each queue: for packets to the guest, from the guest, and events.
const QUEUE_SIZES: [u16; 3] = [256, 256, 16];

/// There are stream sockets (VIRTIO_VSOCK_F_STREAM).
const STREAM: u64 = 1;

/// What the driver sees of a socket device.
#[derive(Debug)]
pub struct Vsock {
    cid: u32,
}

impl Vsock {
    /// For a guest of this context identifier: 3 and up, but the highest.
    pub const fn new(cid: u32) -> Self {
        Vsock { cid }
    }
}

impl VirtioDevice for Vsock {
    fn device_type(&self) -> DeviceType {
        DeviceType::Socket
    }

    fn features(&self) -> u64 {
        STREAM
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        let config = u64::from(self.cid).to_le_bytes();
        read_bytes(&config, offset, data);
    }

    fn write_config(&mut self, _: u64, _: &[u8]) {}
}

// The identifier is what the device was made with.
nothing_to_save!(Vsock, "vsock");

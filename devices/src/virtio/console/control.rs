//! Messages about ports (VIRTIO 1.2, 5.3.6.2), little-endian.

use super::WindowSize;

/// Bytes of a message without what some have behind it.
pub const SIZE: usize = 8;

mod event {
    pub const DEVICE_READY: u16 = 0;
    pub const DEVICE_ADD: u16 = 1;
    pub const PORT_READY: u16 = 3;
    pub const CONSOLE_PORT: u16 = 4;
    pub const RESIZE: u16 = 5;
    pub const PORT_OPEN: u16 = 6;
    pub const PORT_NAME: u16 = 7;
}

/// What the driver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It knows how to handle ports, or it does not.
    DeviceReady(bool),
    /// It has made a port, or failed to.
    PortReady(u32, bool),
    /// A program of the guest's has opened a port, or closed it.
    PortOpen(u32, bool),
}

impl Said {
    /// What a message says, if anything that the driver may say.
    pub fn parse(message: &[u8; SIZE]) -> Option<Self> {
        let [id @ .., e0, e1, v0, v1] = *message;
        let (id, value) = (u32::from_le_bytes(id), u16::from_le_bytes([v0, v1]) != 0);
        match u16::from_le_bytes([e0, e1]) {
            event::DEVICE_READY => Some(Said::DeviceReady(value)),
            event::PORT_READY => Some(Said::PortReady(id, value)),
            event::PORT_OPEN => Some(Said::PortOpen(id, value)),
            _ => None,
        }
    }
}

/// What the driver is told of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// It is there.
    Add,
    /// It is a console.
    Console,
    /// Its name.
    Name(String),
    /// Somebody is at the host's end, or nobody any more.
    Open(bool),
    /// Its window has this size.
    Resize(WindowSize),
}

impl Tell {
    /// The message, of port `id`.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        let (event, value) = match self {
            Tell::Add => (event::DEVICE_ADD, 0),
            Tell::Console => (event::CONSOLE_PORT, 1),
            Tell::Name(_) => (event::PORT_NAME, 1),
            Tell::Open(is_open) => (event::PORT_OPEN, u16::from(*is_open)),
            Tell::Resize(_) => (event::RESIZE, 0),
        };
        let mut bytes = [&id.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat();
        match self {
            Tell::Name(name) => bytes.extend(name.as_bytes()),
            Tell::Resize((columns, rows)) => {
                bytes.extend([columns.to_le_bytes(), rows.to_le_bytes()].concat())
            }
            Tell::Add | Tell::Console | Tell::Open(_) => {}
        }
        bytes
    }
}

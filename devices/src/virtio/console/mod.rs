//! The console device (VIRTIO 1.2, 5.3): ports between the guest and the host, of which some are consoles.

mod backend;
mod control;
mod port;

pub use backend::ConsoleBackend;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DeviceType, VirtioDevice, read_bytes};
use crate::nothing_to_save;

/// The most ports of a device: more than any guest is given, and few enough for their eventfds.
pub const MAX_PORTS: usize = 31;

/// Feature bits (5.3.3).
mod feature {
    /// The size of the console is known.
    pub const SIZE: u64 = 1 << 0;
    /// There may be several ports.
    pub const MULTIPORT: u64 = 1 << 1;
    /// A character may be written before there are queues.
    pub const EMERGENCY_WRITE: u64 = 1 << 2;
}

/// Entries of each queue.
const QUEUE_SIZE: u16 = 128;

/// Offset of the emergency-write field of configuration space (5.3.4).
const EMERGENCY_WRITE: u64 = 8;

/// Columns and rows of a window.
pub type WindowSize = (u16, u16);

/// The host's end of a port. No call waits for anybody.
pub trait PortEnd: Send {
    /// Whether somebody is there. What the guest writes to nobody is dropped.
    fn is_open(&self) -> bool;

    /// Takes bytes from the host; how many. 0 if there are none now.
    fn read(&mut self, bytes: &mut [u8]) -> usize;

    /// Gives the host bytes; how many it has taken. 0 if it has no room now, or is not open any more.
    fn write(&mut self, bytes: &[u8]) -> usize;

    /// The size of its window, if it is a terminal.
    fn size(&self) -> Option<WindowSize> {
        None
    }

    /// A descriptor that is readable when there may be something to read, room to write, or another answer of
    /// [`PortEnd::is_open`] or [`PortEnd::size`], until [`PortEnd::serve`] has been called. `None` if all stays as it is.
    fn events(&self) -> Option<i32>;

    /// Takes in what has happened.
    fn serve(&mut self);
}

/// A port's end, as both parts of a device have it. The part with the queues uses it; the other one only in an emergency.
pub type SharedEnd = Arc<Mutex<dyn PortEnd>>;

/// What a port is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortKind {
    /// A console (`/dev/hvc0` and so on).
    Console,
    /// A stream of this name (`/dev/virtio-ports/NAME`).
    Named(String),
}

/// A port of a device.
#[derive(Clone)]
pub struct PortConfig {
    /// What it is for.
    pub kind: PortKind,
    /// The host's end.
    pub end: SharedEnd,
}

/// What the driver sees of a console device.
pub struct Console {
    ports: Vec<PortConfig>,
    queues: Vec<u16>,
}

impl Console {
    /// With these ports, up to [`MAX_PORTS`]. The first one is a console to a driver that knows only one.
    pub fn new(ports: Vec<PortConfig>) -> Self {
        // Two of each port, and two for messages about them.
        let queues = vec![QUEUE_SIZE; 2 * ports.len().max(1) + 2];
        Console { ports, queues }
    }

    /// The size of the first terminal.
    fn size(&self) -> Option<WindowSize> {
        self.ports.iter().find_map(|port| lock(&port.end).size())
    }
}

fn lock(end: &SharedEnd) -> MutexGuard<'_, dyn PortEnd + 'static> {
    end.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VirtioDevice for Console {
    fn device_type(&self) -> DeviceType {
        DeviceType::Console
    }

    fn features(&self) -> u64 {
        feature::SIZE | feature::MULTIPORT | feature::EMERGENCY_WRITE
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queues
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // Linux takes a size of 0 by 0 for one that is not known.
        let (columns, rows) = self.size().unwrap_or_default();
        let ports = u32::try_from(self.ports.len()).unwrap_or(u32::MAX);
        let config = u64::from(columns) | u64::from(rows) << 16 | u64::from(ports) << 32;
        read_bytes(&config.to_le_bytes(), offset, data);
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        let Some(port) = self.ports.first() else { return };
        if let (EMERGENCY_WRITE, [character, ..]) = (offset, data) {
            // What there is no room for is lost: nobody waits in an emergency.
            lock(&port.end).write(&[*character]);
        }
    }
}

// Its ports are what it was made with.
nothing_to_save!(Console, "console");

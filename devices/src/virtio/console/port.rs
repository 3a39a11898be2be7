//! One port: its queues, and what its driver has been told of it.

use vm_memory::Bytes;

use super::control::Tell;
use super::{PortConfig, PortKind, SharedEnd, WindowSize, lock};
use crate::saved::state;
use crate::virtio::{Buffer, Queue, slices};
use crate::{GuestRam, log::Seldom};

/// Bytes that are moved at a time.
const PIECE: usize = 4096;

/// Bytes of a port's that are written in one go, so that a guest with gigabytes to write can't keep a worker from its other duties.
const MAX_IN_A_ROW: usize = 1 << 20;

state! {
    /// What a port and its driver know of each other.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct PortState {
        /// The driver has been told that it is there.
        is_added: bool,
        /// The driver has made it.
        is_ready: bool,
        /// The driver has been told what it is.
        is_described: bool,
        /// A program of the guest's has it open.
        is_open: bool,
        /// The driver believes that the host's end is open.
        host_is_open: bool,
        /// The window's size that the driver has been told: columns and rows.
        size: Option<WindowSize>,
        /// A position in the transmit queue, and how many bytes of the chain there the host has taken already.
        taken: (u16, u32),
    }
}

/// A port of the device's.
pub struct Port {
    kind: PortKind,
    pub end: SharedEnd,
    pub receive: Option<Queue>,
    pub transmit: Option<Queue>,
    state: PortState,
    oddities: Seldom,
}

impl Port {
    pub fn new(config: PortConfig) -> Self {
        let PortConfig { kind, end } = config;
        let (state, oddities) = (PortState::default(), Seldom::default());
        Port { kind, end, receive: None, transmit: None, state, oddities }
    }

    /// What the driver is to be told next, if anything.
    pub fn next_message(&self) -> Option<Tell> {
        let state = &self.state;
        if !state.is_added {
            return Some(Tell::Add);
        }
        if !state.is_ready {
            return None;
        }
        if !state.is_described {
            return Some(match &self.kind {
                PortKind::Console => Tell::Console,
                PortKind::Named(name) => Tell::Name(name.clone()),
            });
        }
        let end = lock(&self.end);
        if end.is_open() != state.host_is_open {
            return Some(Tell::Open(end.is_open()));
        }
        let size = end.size().filter(|_| self.kind == PortKind::Console);
        size.filter(|size| state.size != Some(*size)).map(Tell::Resize)
    }

    /// The driver has been told.
    pub const fn told(&mut self, message: &Tell) {
        match message {
            Tell::Add => self.state.is_added = true,
            Tell::Console | Tell::Name(_) => self.state.is_described = true,
            Tell::Open(is_open) => self.state.host_is_open = *is_open,
            Tell::Resize(size) => self.state.size = Some(*size),
        }
    }

    /// What the port and its driver know of each other.
    pub const fn state(&self) -> PortState {
        self.state
    }

    /// They know that.
    pub const fn restore(&mut self, state: PortState) {
        self.state = state;
    }

    /// The driver knows nothing of the port any more. What is in its queues stays.
    pub fn forget(&mut self) {
        self.state = PortState { taken: self.state.taken, ..PortState::default() };
    }

    /// The driver has made the port, or failed to. `None` if it can't know of it.
    pub fn set_ready(&mut self, is_ready: bool) -> Option<()> {
        if !self.state.is_added {
            return None;
        }
        self.forget();
        (self.state.is_added, self.state.is_ready) = (true, is_ready);
        Some(())
    }

    /// A program of the guest's has opened the port, or closed it. `None` if it can't know of it.
    pub const fn set_open(&mut self, is_open: bool) -> Option<()> {
        if !self.state.is_added {
            return None;
        }
        self.state.is_open = is_open;
        Some(())
    }

    /// Gives the host what the guest writes, as long as the host takes it. What it does not take stays in the queue.
    pub fn transmit(&mut self) {
        let Port { end, transmit: Some(queue), state, .. } = self else { return };
        let mut end = lock(end);
        // Of another chain, if the driver has reset the queue meanwhile.
        let (position, taken) = state.taken;
        let mut done = if position == queue.ring().next_available { taken } else { 0 };
        let mut rest = MAX_IN_A_ROW;
        queue.serve_while(|ram, chain| {
            while end.is_open() {
                if rest == 0 {
                    return None;
                }
                let mut piece = [0; PIECE];
                let len = read_at(ram, chain.readable(), done, &mut piece);
                if len == 0 {
                    break;
                }
                let taken = end.write(&piece[..len]).min(len);
                if taken == 0 && end.is_open() {
                    return None;
                }
                rest = rest.saturating_sub(taken);
                done = done.saturating_add(u32::try_from(taken).unwrap_or(u32::MAX));
            }
            done = 0;
            Some(0)
        });
        if rest == 0 {
            queue.ring_again();
        }
        state.taken = if done == 0 { (0, 0) } else { (queue.ring().next_available, done) };
    }

    /// Gives the guest what the host has for it, as long as there are buffers. The rest stays with the host. In a device of several
    /// ports, a port that nobody has open in the guest gets nothing.
    pub fn receive(&mut self, is_multiport: bool) {
        let Port { end, receive: Some(queue), state, oddities, .. } = self else { return };
        if is_multiport && !state.is_open {
            return;
        }
        let mut end = lock(end);
        let mut rest = queue.size();
        while rest > 0 {
            let Some(chain) = queue.pop() else {
                if queue.unmute() {
                    continue;
                }
                break;
            };
            rest -= 1;
            let mut piece = [0; PIECE];
            let room = room(chain.writable()).min(PIECE);
            if room == 0 {
                oddities
                    .log(|more| tracing::warn!("the guest's console driver offers an empty buffer{more}"));
                queue.push(chain.head(), 0);
                continue;
            }
            let len = end.read(&mut piece[..room]).min(room);
            if len == 0 {
                queue.unpop(1);
                break;
            }
            let written = write(queue.ram(), chain.writable(), &piece[..len]);
            queue.push(chain.head(), written);
        }
        if rest == 0 {
            queue.ring_again();
        }
        queue.notify();
    }
}

/// Bytes that buffers have room for.
pub fn room(buffers: &[Buffer]) -> usize {
    let sizes = buffers.iter().map(|buffer| usize::try_from(buffer.len).unwrap_or(usize::MAX));
    sizes.fold(0, usize::saturating_add)
}

/// Copies buffers' bytes from an offset on; how many.
pub fn read_at(ram: &GuestRam, buffers: &[Buffer], offset: u32, bytes: &mut [u8]) -> usize {
    let (mut skip, mut at) = (usize::try_from(offset).unwrap_or(usize::MAX), 0);
    for slice in slices(ram, buffers).map_while(Result::ok) {
        let skipped = skip.min(slice.len());
        skip -= skipped;
        let rest = bytes.get_mut(at..).unwrap_or_default();
        let len = rest.len().min(slice.len() - skipped);
        // The range is within the slice.
        if len == 0 || slice.read_slice(&mut rest[..len], skipped).is_err() {
            continue;
        }
        at += len;
    }
    at
}

/// Writes bytes to buffers, as far as they have room; how many.
pub fn write(ram: &GuestRam, buffers: &[Buffer], bytes: &[u8]) -> u32 {
    let mut at = 0;
    for slice in slices(ram, buffers).map_while(Result::ok) {
        let rest = bytes.get(at..).unwrap_or_default();
        let len = rest.len().min(slice.len());
        slice.copy_from(&rest[..len]);
        at += len;
    }
    u32::try_from(at).unwrap_or(u32::MAX)
}

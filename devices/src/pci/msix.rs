//! MSI-X: a table of messages, that each can be masked, and pending bits of those that were due meanwhile (PCI Local Bus 3.0,
//! 6.8.2).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::MsiMessage;
use crate::saved::state;

/// Bytes of an entry: address, data, vector control.
const ENTRY_SIZE: u64 = 16;
/// The vector control's only bit.
const MASKED: u32 = 1;

/// A host that sends a device's messages.
pub trait Messages: Send + Sync {
    /// The driver has given a vector this message; those that are sent from now on are it. It must not call back.
    fn set(&self, vector: u16, message: MsiMessage);

    /// Sends a vector's message, which has been set.
    fn send(&self, vector: u16);
}

/// An entry of the table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    message: MsiMessage,
    /// Vector control: only its lowest bit means anything.
    control: u32,
    /// Whether the host has this message. It gets it when it can first be sent, as drivers write it in pieces.
    is_set: bool,
}

struct State {
    enabled: bool,
    masked: bool,
    entries: Vec<Entry>,
}

state! {
    /// An entry of the table, and whether it is pending. Whether MSI-X is enabled is the configuration space's.
    pub struct VectorState {
        address: u64,
        data: u32,
        masked: bool,
        pending: bool,
    }
}

/// The vectors of a function.
///
/// Its lock is taken by who sends, for as long as that takes, and by accesses that change what is sent. No other lock but the
/// host's is taken under it.
pub struct Msix {
    state: RwLock<State>,
    /// Whether a vector was due while it was masked.
    pending: Vec<AtomicBool>,
    messages: Box<dyn Messages>,
}

impl Msix {
    /// So many vectors, all masked.
    pub fn new(vectors: u16, messages: Box<dyn Messages>) -> Self {
        let entry = Entry { message: MsiMessage::NONE, control: MASKED, is_set: false };
        let state = State { enabled: false, masked: false, entries: vec![entry; vectors.into()] };
        let pending = (0..vectors).map(|_| AtomicBool::new(false)).collect();
        Msix { state: RwLock::new(state), pending, messages }
    }

    /// Whether the vector is one of the table's.
    pub fn has(&self, vector: u16) -> bool {
        usize::from(vector) < self.pending.len()
    }

    /// Whether the driver has enabled MSI-X.
    pub fn is_enabled(&self) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).enabled
    }

    /// Sends a vector's message, now or when it is unmasked; a vector that is not there has none. Returns whether MSI-X is enabled:
    /// otherwise, nothing is sent.
    pub fn signal(&self, vector: u16) -> bool {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let index = usize::from(vector);
        if let (true, Some(entry), Some(pending)) =
            (state.enabled, state.entries.get(index), self.pending.get(index))
        {
            if state.masked || entry.control & MASKED != 0 {
                pending.store(true, Ordering::Release);
            } else {
                self.messages.send(vector);
            }
        }
        state.enabled
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if !state.enabled || state.masked {
            return;
        }
        for ((vector, entry), pending) in (0..).zip(&mut state.entries).zip(&self.pending) {
            if entry.control & MASKED != 0 {
                continue;
            }
            if !entry.is_set {
                self.messages.set(vector, entry.message);
                entry.is_set = true;
            }
            if pending.swap(false, Ordering::AcqRel) {
                self.messages.send(vector);
            }
        }
    }

    /// The driver enables MSI-X or takes that back, and masks all vectors or takes that back. Without MSI-X nothing is pending.
    pub fn set_control(&self, enabled: bool, masked: bool) {
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if (state.enabled, state.masked) == (enabled, masked) {
                return;
            }
        }
        self.change(|state| (state.enabled, state.masked) = (enabled, masked));
        if !enabled {
            self.pending.iter().for_each(|pending| pending.store(false, Ordering::Release));
        }
    }

    /// What the driver has written, and what is pending.
    pub fn state(&self) -> Vec<VectorState> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let vector = |(entry, pending): (&Entry, &AtomicBool)| VectorState {
            address: entry.message.address,
            data: entry.message.data,
            masked: entry.control & MASKED != 0,
            pending: pending.load(Ordering::Acquire),
        };
        state.entries.iter().zip(&self.pending).map(vector).collect()
    }

    /// Has what a driver has written, and what is pending; `enabled` and `masked` are as of [`Msix::set_control`]. The host gets its
    /// messages again; none is sent. `None` if it can't have been so.
    pub fn restore(&self, vectors: &[VectorState], enabled: bool, masked: bool) -> Option<()> {
        let can_be = |vector: &VectorState| !vector.pending || enabled && (masked || vector.masked);
        if vectors.len() != self.pending.len() || !vectors.iter().all(can_be) {
            return None;
        }
        self.change(|state| {
            (state.enabled, state.masked) = (enabled, masked);
            for ((entry, pending), vector) in state.entries.iter_mut().zip(&self.pending).zip(vectors) {
                let message = MsiMessage { address: vector.address, data: vector.data };
                *entry = Entry { message, control: vector.masked.into(), is_set: false };
                pending.store(vector.pending, Ordering::Release);
            }
        });
        Some(())
    }

    /// Reads the table, by aligned accesses of 4 or 8 bytes; others read as zero.
    pub fn read_table(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let Some((vector, at)) = place(offset, data.len()) else { return };
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = state.entries.get(vector) else { return };
        let bytes = entry.bytes();
        data.iter_mut().zip(bytes.iter().skip(at)).for_each(|(data, byte)| *data = *byte);
    }

    /// Writes the table, by aligned accesses of 4 or 8 bytes; others do nothing.
    pub fn write_table(&self, offset: u64, data: &[u8]) {
        let Some((vector, at)) = place(offset, data.len()) else { return };
        if vector >= self.pending.len() {
            return;
        }
        self.change(|state| {
            let Some(entry) = state.entries.get_mut(vector) else { return };
            let mut bytes = entry.bytes();
            bytes.iter_mut().skip(at).zip(data).for_each(|(byte, data)| *byte = *data);
            entry.write(bytes);
        });
    }

    /// Reads pending bits, by bytes as the driver likes.
    pub fn read_pending(&self, offset: u64, data: &mut [u8]) {
        for (byte, at) in data.iter_mut().zip(crate::byte_offsets(offset)) {
            let first = usize::try_from(at).ok().and_then(|at| at.checked_mul(8)).unwrap_or(usize::MAX);
            let bits = self.pending.iter().skip(first).take(8);
            *byte = (0..)
                .zip(bits)
                .fold(0, |byte: u8, (bit, pending)| byte | u8::from(pending.load(Ordering::Acquire)) << bit);
        }
    }
}

/// The vector, and the offset in its entry, of an aligned access of 4 or 8 bytes.
fn place(offset: u64, len: usize) -> Option<(usize, usize)> {
    let is_aligned = matches!(len, 4 | 8) && offset.is_multiple_of(u64::try_from(len).ok()?);
    let vector = usize::try_from(offset / ENTRY_SIZE).ok()?;
    is_aligned.then_some((vector, usize::try_from(offset % ENTRY_SIZE).ok()?))
}

impl Entry {
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let parts = self.message.address.to_le_bytes().into_iter().chain(self.message.data.to_le_bytes());
        let parts = parts.chain(self.control.to_le_bytes());
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        bytes
    }

    fn write(&mut self, bytes: [u8; 16]) {
        let [a, b, c, d, e, f, g, h, data @ .., i, j, k, l] = bytes;
        let message = MsiMessage {
            address: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            data: u32::from_le_bytes(data),
        };
        self.is_set &= message == self.message;
        self.message = message;
        self.control = u32::from_le_bytes([i, j, k, l]) & MASKED;
    }
}

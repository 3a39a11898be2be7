//! Input on its way to the guest.

use std::sync::{Mutex, TryLockError};

use triarch_devices::Input;

/// The most input that is kept for a guest that does not take it. It is read that far ahead so that a user can quit, and a client
/// can leave, whatever the guest does.
const MAX_PENDING: usize = 64 << 10;

/// Input that the guest has not taken yet.
#[derive(Debug, Default)]
pub struct Pending {
    bytes: Vec<u8>,
}

impl Pending {
    /// Adds what came in.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Whether no more is to be read for now.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= MAX_PENDING
    }

    /// Drops all of it, as there is no device to take it. Returns what [`Pending::offer_to`] does: no need to come again.
    pub fn discard(&mut self) -> bool {
        self.bytes.clear();
        false
    }

    /// Gives the device as much as it takes. Returns whether to try again soon: a vCPU that writes to a console which nobody reads
    /// is busy with the device for as long as that takes, and the control thread must not wait for it.
    pub fn offer_to(&mut self, device: &Mutex<dyn Input>) -> bool {
        if self.bytes.is_empty() {
            return false;
        }
        match device.try_lock() {
            Ok(mut device) => self.offer(&mut *device),
            Err(TryLockError::Poisoned(device)) => self.offer(&mut *device.into_inner()),
            Err(TryLockError::WouldBlock) => return true,
        }
        false
    }

    fn offer(&mut self, device: &mut dyn Input) {
        while !self.bytes.is_empty() && device.room() > 0 {
            let taken = device.take(&self.bytes).min(self.bytes.len());
            if taken == 0 {
                break;
            }
            self.bytes.drain(..taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Vec<u8>, usize);

    impl Input for Slow {
        fn room(&self) -> usize {
            self.1
        }

        fn take(&mut self, bytes: &[u8]) -> usize {
            let n = bytes.len().min(2).min(self.1);
            self.0.extend(&bytes[..n]);
            self.1 -= n;
            n
        }
    }

    #[test]
    fn input_waits_until_there_is_room() {
        let mut pending = Pending::default();
        pending.extend(b"hello");
        let mut device = Slow(Vec::new(), 3);
        pending.offer(&mut device);
        assert_eq!((device.0.as_slice(), pending.bytes.as_slice()), (&b"hel"[..], &b"lo"[..]));
        device.1 = 10;
        pending.offer(&mut device);
        assert_eq!((device.0.as_slice(), pending.bytes.is_empty()), (&b"hello"[..], true));
    }

    #[test]
    fn a_device_that_is_busy_is_not_waited_for() {
        let device = Mutex::new(Slow(Vec::new(), 10));
        let mut pending = Pending::default();
        assert!(!pending.offer_to(&device));
        pending.extend(b"hello");
        let busy = device.lock().unwrap();
        assert!(pending.offer_to(&device));
        drop(busy);
        assert!(!pending.offer_to(&device));
        assert_eq!(device.into_inner().unwrap().0, b"hello");
        pending.extend(&[0; MAX_PENDING]);
        assert!(pending.is_full());
        pending.discard();
        assert!(!pending.is_full());
    }
}

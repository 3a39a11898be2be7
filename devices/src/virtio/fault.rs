//! A driver that has broken the rules (VIRTIO 1.2, 2.1.2, DEVICE_NEEDS_RESET).

use std::sync::atomic::{AtomicBool, Ordering};

use super::Notifier;

/// Whether a device needs a reset, as its state machine and its queues' worker share it.
#[derive(Debug, Default)]
pub struct Fault {
    needs_reset: AtomicBool,
    logged: AtomicBool,
}

impl Fault {
    /// Whether the device needs a reset.
    pub fn is_set(&self) -> bool {
        self.needs_reset.load(Ordering::Acquire)
    }

    /// The device needs a reset from now on; its driver is told. `log` is called for the first fault in a device's life only, as a driver
    /// can reset it and break the rules again without end.
    pub fn set(&self, notifier: &dyn Notifier, log: impl FnOnce()) {
        if self.needs_reset.swap(true, Ordering::AcqRel) {
            return;
        }
        if !self.logged.swap(true, Ordering::AcqRel) {
            log();
        }
        notifier.config();
    }

    /// Takes on a saved state: who needed a reset knows, and the log, too.
    pub fn restore(&self, needs_reset: bool) {
        self.needs_reset.store(needs_reset, Ordering::Release);
        self.logged.store(needs_reset, Ordering::Release);
    }

    /// The device has been reset.
    pub fn clear(&self) {
        self.needs_reset.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Told(AtomicU32);

    impl Notifier for Told {
        fn queue(&self, _: u16) {}

        fn config(&self) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    #[test]
    fn a_driver_is_told_of_each_fault_and_the_log_of_one() {
        let (fault, told, mut logged) = (Fault::default(), Told::default(), 0);
        for round in 1..4 {
            assert!(!fault.is_set());
            fault.set(&told, || logged += 1);
            fault.set(&told, || logged += 1);
            assert!(fault.is_set());
            assert_eq!((told.0.load(Ordering::Acquire), logged), (round, 1));
            fault.clear();
        }
    }
}

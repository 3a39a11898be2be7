//! Asking a guest to shut down, and how long it may take.

use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use triarch_devices::Shutdown;

/// How long a guest may take to shut down. Service managers commonly give a process 90 seconds before they kill it (systemd's
/// TimeoutStopSec); within that a run still ends in good order.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// After how long a device that a vCPU is busy with is tried again.
const DEVICE_BUSY: Duration = Duration::from_millis(10);

/// A request to shut down, and how far it has come.
#[derive(Debug, Default)]
pub struct Request {
    /// When the guest's time is over; `None` while there is no request.
    deadline: Option<Instant>,
    /// The guest has been told.
    told: bool,
}

/// What a request comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is none.
    Nothing,
    /// Look again after this time.
    Wait(Duration),
    /// The guest does not listen, or its time is over.
    GiveUp,
}

impl Request {
    /// Makes the request. `false` if it was made before.
    pub fn make(&mut self, now: Instant) -> bool {
        let first = self.deadline.is_none();
        self.deadline.get_or_insert(now + PATIENCE);
        first
    }

    /// Whether it was made.
    pub fn is_made(&self) -> bool {
        self.deadline.is_some()
    }

    /// Tells the guest by `device`, the machine's way to do so, once it can be had; `None` where there is no way.
    pub fn pursue(&mut self, device: Option<&Mutex<dyn Shutdown>>, now: Instant) -> Next {
        let Some(deadline) = self.deadline else { return Next::Nothing };
        let left = deadline.saturating_duration_since(now);
        let Some(device) = device.filter(|_| !left.is_zero()) else { return Next::GiveUp };
        if self.told {
            return Next::Wait(left);
        }
        let listens = match device.try_lock() {
            Ok(mut device) => device.ask(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().ask(),
            // A vCPU that is blocked in it, in a write to the console, may be so for long: it must not block us as well.
            Err(TryLockError::WouldBlock) => return Next::Wait(left.min(DEVICE_BUSY)),
        };
        self.told = listens;
        if listens { Next::Wait(left) } else { Next::GiveUp }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest that listens or not, and how often it was asked.
    struct Guest {
        listens: bool,
        asked: usize,
    }

    impl Shutdown for Guest {
        fn ask(&mut self) -> bool {
            self.asked += 1;
            self.listens
        }
    }

    fn guest(listens: bool) -> Mutex<Guest> {
        Mutex::new(Guest { listens, asked: 0 })
    }

    #[test]
    fn without_a_request_there_is_nothing_to_do() {
        let guest = guest(true);
        let mut request = Request::default();
        assert_eq!(request.pursue(Some(&guest), Instant::now()), Next::Nothing);
        assert!(!request.is_made());
        assert_eq!(guest.lock().unwrap().asked, 0);
    }

    #[test]
    fn a_guest_that_listens_is_told_once_and_has_its_time() {
        let (guest, now) = (guest(true), Instant::now());
        let mut request = Request::default();
        assert!(request.make(now));
        assert_eq!(request.pursue(Some(&guest), now), Next::Wait(PATIENCE));
        let almost = now + PATIENCE - Duration::from_secs(1);
        assert!(!request.make(almost), "a second request is none");
        assert_eq!(request.pursue(Some(&guest), almost), Next::Wait(Duration::from_secs(1)));
        assert_eq!(request.pursue(Some(&guest), now + PATIENCE), Next::GiveUp);
        assert_eq!(guest.lock().unwrap().asked, 1);
    }

    #[test]
    fn a_guest_that_does_not_listen_is_given_up() {
        let (guest, now) = (guest(false), Instant::now());
        for device in [None, Some(&guest as &Mutex<dyn Shutdown>)] {
            let mut request = Request::default();
            request.make(now);
            assert_eq!(request.pursue(device, now), Next::GiveUp);
        }
    }

    #[test]
    fn a_busy_device_is_tried_again() {
        let (guest, now) = (guest(true), Instant::now());
        let mut request = Request::default();
        request.make(now);
        let busy = guest.lock().unwrap();
        assert_eq!(request.pursue(Some(&guest), now), Next::Wait(Duration::from_millis(10)));
        assert_eq!(request.pursue(Some(&guest), now + PATIENCE), Next::GiveUp, "not for ever");
        drop(busy);
        assert_eq!(request.pursue(Some(&guest), now), Next::Wait(PATIENCE));
    }
}

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
    /// It was made by a signal: then the run ends with the guest's time. A client may ask again, or stop it by force.
    by_signal: bool,
}

/// What came of asking a guest at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It has been told.
    Told,
    /// It will be told once its device can be had.
    Later,
    /// It does not listen.
    DoesNotListen,
    /// The machine has no way to do so.
    NoWay,
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
    /// Makes the request, for a signal. `false` if one has made it before.
    pub fn make(&mut self, now: Instant) -> bool {
        if std::mem::replace(&mut self.by_signal, true) {
            return false;
        }
        // A guest that a client has asked is asked again.
        (self.deadline, self.told) = (Some(now + PATIENCE), false);
        true
    }

    /// Asks the guest by `device`, for a client. A guest that does not listen has not been asked.
    pub fn ask(&mut self, device: Option<&Mutex<dyn Shutdown>>, now: Instant) -> Asked {
        let Some(device) = device else { return Asked::NoWay };
        let asked = match try_ask(device) {
            Some(true) => Asked::Told,
            Some(false) => return Asked::DoesNotListen,
            None => Asked::Later,
        };
        if !self.by_signal {
            (self.deadline, self.told) = (Some(now + PATIENCE), asked == Asked::Told);
        }
        asked
    }

    /// Whether it was made.
    pub fn is_made(&self) -> bool {
        self.deadline.is_some()
    }

    /// Tells the guest by `device`, the machine's way to do so, once it can be had; `None` where there is no way.
    pub fn pursue(&mut self, device: Option<&Mutex<dyn Shutdown>>, now: Instant) -> Next {
        let Some(deadline) = self.deadline else { return Next::Nothing };
        let left = deadline.saturating_duration_since(now);
        let Some(device) = device.filter(|_| !left.is_zero()) else { return self.give_up() };
        if self.told {
            return Next::Wait(left);
        }
        match try_ask(device) {
            Some(true) => {
                self.told = true;
                Next::Wait(left)
            }
            Some(false) => self.give_up(),
            None => Next::Wait(left.min(DEVICE_BUSY)),
        }
    }

    /// What a client has asked for is forgotten.
    fn give_up(&mut self) -> Next {
        if self.by_signal {
            return Next::GiveUp;
        }
        *self = Self::default();
        Next::Nothing
    }
}

/// Whether the guest listens; `None` if a vCPU is busy with the device. That may be blocked, in a write to the console, for long: it
/// must not block us as well.
fn try_ask(device: &Mutex<dyn Shutdown>) -> Option<bool> {
    match device.try_lock() {
        Ok(mut device) => Some(device.ask()),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner().ask()),
        Err(TryLockError::WouldBlock) => None,
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
    fn what_a_client_asks_for_is_forgotten_in_time() {
        let (guest, now) = (guest(true), Instant::now());
        let mut request = Request::default();
        assert_eq!(request.ask(None, now), Asked::NoWay);
        assert!(!request.is_made());
        assert_eq!(request.ask(Some(&guest), now), Asked::Told);
        assert!(request.is_made());
        assert_eq!(request.ask(Some(&guest), now), Asked::Told, "again");
        assert_eq!(guest.lock().unwrap().asked, 2);
        assert_eq!(request.pursue(Some(&guest), now), Next::Wait(PATIENCE));
        assert_eq!(request.pursue(Some(&guest), now + PATIENCE), Next::Nothing);
        assert!(!request.is_made());
        // A signal is another matter.
        assert_eq!(request.ask(Some(&guest), now), Asked::Told);
        assert!(request.make(now), "it is the first");
        assert!(!request.make(now));
        assert_eq!(request.pursue(Some(&guest), now), Next::Wait(PATIENCE));
        assert_eq!(guest.lock().unwrap().asked, 4);
        assert_eq!(request.pursue(Some(&guest), now + PATIENCE), Next::GiveUp);
    }

    #[test]
    fn a_client_is_told_of_a_guest_that_does_not_listen_and_does_not_wait_for_a_busy_one() {
        let (deaf, busy, now) = (guest(false), guest(true), Instant::now());
        let mut request = Request::default();
        assert_eq!(request.ask(Some(&deaf), now), Asked::DoesNotListen);
        assert!(!request.is_made());
        let held = busy.lock().unwrap();
        assert_eq!(request.ask(Some(&busy), now), Asked::Later);
        assert_eq!(request.pursue(Some(&busy), now), Next::Wait(DEVICE_BUSY));
        drop(held);
        assert_eq!(request.pursue(Some(&busy), now), Next::Wait(PATIENCE));
        assert_eq!(busy.lock().unwrap().asked, 1);
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

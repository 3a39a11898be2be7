//! Watchdogs: a guest that does not feed its own in time can't go on.

mod diag288;
mod i6300esb;

pub use diag288::Diag288;
pub use i6300esb::I6300esb;

use std::time::Duration;

use crate::Effect;

/// The host's clock, and what has [`Watchdog::expire`] called.
pub trait Alarm: Send {
    /// Time since some moment; it does not go back.
    fn now(&self) -> Duration;

    /// Rings at that time, or soon after it, instead of when it was set to before; `None`: not at all.
    fn set(&mut self, at: Option<Duration>);
}

/// A watchdog as its machine has it. Its time stands still at first.
pub trait Watchdog: Send {
    /// The alarm has rung. What it comes to, if the guest's time is over.
    fn expire(&mut self) -> Effect;

    /// The guest is paused: its time stands still.
    fn hold(&mut self);

    /// The guest runs, and its time, too.
    fn resume(&mut self);
}

/// Counts a guest's time down.
struct Countdown {
    alarm: Box<dyn Alarm>,
    left: Left,
    is_held: bool,
}

/// What is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// It is not counted.
    Nothing,
    /// It stands still.
    Held(Duration),
    /// It is over at this time.
    Until(Duration),
}

impl Countdown {
    fn new(alarm: Box<dyn Alarm>) -> Self {
        Countdown { alarm, left: Left::Nothing, is_held: true }
    }

    /// Counts from here down to 0.
    fn start(&mut self, span: Duration) {
        self.left = if self.is_held { Left::Held(span) } else { Left::Until(self.alarm.now() + span) };
        self.set();
    }

    fn stop(&mut self) {
        self.left = Left::Nothing;
        self.set();
    }

    fn set(&mut self) {
        self.alarm.set(match self.left {
            Left::Until(end) => Some(end),
            Left::Nothing | Left::Held(_) => None,
        });
    }

    /// What is left, if it is counted.
    fn left(&self) -> Option<Duration> {
        match self.left {
            Left::Nothing => None,
            Left::Held(left) => Some(left),
            Left::Until(end) => Some(end.saturating_sub(self.alarm.now())),
        }
    }

    /// Whether the time is over. If so, it is not counted any more.
    fn is_over(&mut self) -> bool {
        let is_over = matches!(self.left, Left::Until(end) if end <= self.alarm.now());
        if is_over {
            self.stop();
        }
        is_over
    }

    fn hold(&mut self) {
        self.is_held = true;
        if let Some(left) = self.left() {
            self.start(left);
        }
    }

    fn resume(&mut self) {
        self.is_held = false;
        if let Some(left) = self.left() {
            self.start(left);
        }
    }

    /// What is left, in nanoseconds, as it is saved.
    fn saved(&self) -> Option<u64> {
        self.left().map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
    }

    fn restore(&mut self, left: Option<u64>) {
        match left {
            Some(left) => self.start(Duration::from_nanos(left)),
            None => self.stop(),
        }
    }
}

#[cfg(test)]
pub mod testing {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A clock that stands still: the time, and when the alarm rings, in milliseconds.
    #[derive(Clone, Default)]
    pub struct Still(pub Arc<Mutex<(u64, Option<u64>)>>);

    impl Still {
        /// Lets time go on; whether the alarm rings.
        pub fn pass(&self, ms: u64) -> bool {
            let mut time = self.0.lock().unwrap();
            time.0 += ms;
            time.1.is_some_and(|at| at <= time.0)
        }

        /// In how many milliseconds it rings.
        pub fn rings_in(&self) -> Option<u64> {
            let time = self.0.lock().unwrap();
            time.1.map(|at| at - time.0)
        }
    }

    impl Alarm for Still {
        fn now(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().0)
        }

        fn set(&mut self, at: Option<Duration>) {
            self.0.lock().unwrap().1 = at.map(|at| u64::try_from(at.as_millis()).unwrap());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Still;
    use super::*;

    #[test]
    fn time_stands_still_while_the_guest_does() {
        let still = Still::default();
        let mut countdown = Countdown::new(Box::new(still.clone()));
        countdown.start(Duration::from_millis(10));
        assert_eq!((still.pass(50), countdown.is_over()), (false, false));
        countdown.resume();
        assert_eq!((still.pass(9), countdown.is_over(), still.rings_in()), (false, false, Some(1)));
        countdown.hold();
        assert_eq!((still.pass(50), countdown.is_over(), countdown.saved()), (false, false, Some(1_000_000)));
        countdown.resume();
        countdown.start(Duration::from_millis(5));
        assert_eq!((still.pass(4), still.pass(1), countdown.is_over()), (false, true, true));
        assert_eq!((countdown.is_over(), still.rings_in(), countdown.saved()), (false, None, None));
        countdown.start(Duration::from_millis(5));
        countdown.stop();
        countdown.resume();
        assert_eq!((still.pass(50), countdown.is_over()), (false, false));
    }
}

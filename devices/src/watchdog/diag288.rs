//! The watchdog of s390x: DIAGNOSE 288, as an LPAR has it (Linux, drivers/watchdog/diag288_wdt.c).

use std::time::Duration;

use super::{Alarm, Countdown, Watchdog};
use crate::saved::{self, Save, Saved, state};
use crate::{Effect, Reset};

/// Function codes.
mod function {
    pub const START: u64 = 0;
    pub const FEED: u64 = 1;
    pub const STOP: u64 = 2;
}

/// The only action that can be asked for: the machine is started again. What it comes to, the user says.
const RESTART: u64 = 0;

/// The shortest time in seconds.
const MIN_TIMEOUT: u64 = 15;

/// The watchdog. There is one in a machine.
pub struct Diag288 {
    countdown: Countdown,
    effect: Effect,
}

impl Diag288 {
    /// Not started. `effect` is what it comes to if it is not fed.
    pub fn new(alarm: Box<dyn Alarm>, effect: Effect) -> Self {
        Diag288 { countdown: Countdown::new(alarm), effect }
    }

    /// Carries out the instruction: a function, a time in seconds, an action. Returns false if the guest gets a specification
    /// exception for it.
    #[must_use]
    pub fn diagnose(&mut self, function: u64, timeout: u64, action: u64) -> bool {
        let is_started = self.countdown.left().is_some();
        match function {
            function::START | function::FEED => {
                let is_fit = function == function::START || is_started;
                // Nobody waits for more than 136 years.
                let Ok(seconds) = u32::try_from(timeout) else { return false };
                if !is_fit || action != RESTART || timeout < MIN_TIMEOUT {
                    return false;
                }
                self.countdown.start(Duration::from_secs(seconds.into()));
                true
            }
            function::STOP if is_started => {
                self.countdown.stop();
                true
            }
            _ => false,
        }
    }
}

impl Watchdog for Diag288 {
    fn expire(&mut self) -> Effect {
        if self.countdown.is_over() { self.effect } else { Effect::None }
    }

    fn hold(&mut self) {
        self.countdown.hold();
    }

    fn resume(&mut self) {
        self.countdown.resume();
    }
}

impl Reset for Diag288 {
    fn reset(&mut self) {
        self.countdown.stop();
    }
}

state! {
    struct Diag288State: "diag288", 1 {
        /// Nanoseconds that are left, if it is started.
        left: Option<u64>,
    }
}

impl Save for Diag288 {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::of(&Diag288State { left: self.countdown.saved() }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let Diag288State { left } = saved.get()?;
        self.countdown.restore(left);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Still;
    use super::*;
    use crate::saved::testing::{golden, mutations, refuses_what_is_cut_off};

    fn watchdog() -> (Diag288, Still) {
        let still = Still::default();
        let mut watchdog = Diag288::new(Box::new(still.clone()), Effect::Reset);
        watchdog.resume();
        (watchdog, still)
    }

    #[test]
    fn it_is_started_fed_and_stopped() {
        let (mut watchdog, still) = watchdog();
        assert!(!watchdog.diagnose(1, 15, 0), "it is not started");
        assert!(!watchdog.diagnose(2, 0, 0));
        for (function, timeout, action) in
            [(0, 14, 0), (0, 15, 1), (0, 1 << 32, 0), (0, u64::MAX, 0), (3, 15, 0), (1 << 32, 15, 0)]
        {
            assert!(!watchdog.diagnose(function, timeout, action), "{function} {timeout} {action}");
        }
        assert_eq!(still.rings_in(), None);
        assert!(watchdog.diagnose(0, 15, 0));
        assert!(!still.pass(14_000));
        assert_eq!(watchdog.expire(), Effect::None);
        assert!(watchdog.diagnose(1, 30, 0));
        assert!(!still.pass(29_999) && still.pass(1));
        assert_eq!((watchdog.expire(), watchdog.expire()), (Effect::Reset, Effect::None));
        assert!(watchdog.diagnose(0, 15, 0) && watchdog.diagnose(2, 0, 0));
        assert!(!still.pass(100_000));
        assert!(watchdog.diagnose(0, 15, 0));
        watchdog.reset();
        assert!(!still.pass(100_000));
    }

    #[test]
    fn what_is_left_is_saved() {
        let (mut before, still) = watchdog();
        assert!(before.diagnose(0, 15, 0));
        still.pass(5000);
        before.hold();
        let saved = before.save().unwrap();
        golden("diag288-1", &saved, &mut watchdog().0);
        let held = || Diag288::new(Box::new(Still::default()), Effect::Reset);
        refuses_what_is_cut_off(&saved, held);
        mutations(&saved, 1000, held, |watchdog| {
            watchdog.resume();
            let _ = watchdog.expire();
        });
        let still = Still::default();
        let mut after = Diag288::new(Box::new(still.clone()), Effect::PowerOff);
        after.restore(&saved).unwrap();
        assert_eq!(still.rings_in(), None);
        after.resume();
        assert_eq!(still.rings_in(), Some(10_000));
        assert!(after.diagnose(1, 15, 0));
    }
}

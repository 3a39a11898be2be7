//! A log that what a guest does, or a host's disk, can't fill.

use std::fmt;
use std::time::{Duration, Instant};

/// How long a message keeps others like it away.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets a message through at most once in a pause, and counts those that it held back.
#[derive(Debug, Default)]
pub struct Seldom {
    last: Option<Instant>,
    held_back: u64,
}

/// The end of a message: how many like it there were since the last one.
pub struct More(u64);

impl fmt::Display for More {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(to, " ({count} more like it before)"),
        }
    }
}

impl Seldom {
    /// Calls `tell`, unless it was called a short time ago.
    pub fn log(&mut self, tell: impl FnOnce(More)) {
        self.log_at(Instant::now(), tell);
    }

    fn log_at(&mut self, now: Instant, tell: impl FnOnce(More)) {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            self.held_back += 1;
            return;
        }
        self.last = Some(now);
        tell(More(std::mem::take(&mut self.held_back)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_a_pause_comes_through_and_counts_the_others() {
        let (mut seldom, start, mut told) = (Seldom::default(), Instant::now(), Vec::new());
        for second in [0, 1, 9, 10, 11, 25] {
            let now = start + Duration::from_secs(second);
            seldom.log_at(now, |more| told.push(format!("{second}{more}")));
        }
        assert_eq!(told, ["0", "10 (2 more like it before)", "25 (1 more like it before)"]);
    }
}

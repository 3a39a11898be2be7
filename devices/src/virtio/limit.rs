//! How fast a device may be used.

use std::io;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use vmm_sys_util::timerfd::TimerFd;

const NANOS: u128 = 1_000_000_000;

/// How long what was not used may be saved up: a burst of this length comes through at once.
const BURST: Duration = Duration::from_millis(100);

/// What a device may do in a second; `None` is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests, or frames.
    pub ops: Option<NonZeroU64>,
    /// Bytes that go through it.
    pub bytes: Option<NonZeroU64>,
}

impl Limits {
    /// Whether there is any.
    pub const fn any(&self) -> bool {
        self.ops.is_some() || self.bytes.is_some()
    }
}

/// A bucket that fills at a steady rate. What is taken may exceed what is in it: then nothing more is taken until it is filled again, so
/// that a request of any size comes through.
#[derive(Debug)]
struct Bucket {
    /// In a second.
    rate: u128,
    /// What is in it, in billionths. Never more than fits.
    level: u128,
    /// What is missing, in billionths; then the level is 0.
    debt: u128,
    /// When it was last filled.
    filled: Duration,
}

impl Bucket {
    fn new(rate: NonZeroU64, now: Duration) -> Self {
        let rate = u128::from(rate.get());
        Bucket { rate, level: rate * BURST.as_nanos(), debt: 0, filled: now }
    }

    fn fill(&mut self, now: Duration) {
        let gained = self.rate * now.saturating_sub(self.filled).as_nanos();
        self.filled = now;
        self.level = (self.level + gained.saturating_sub(self.debt)).min(self.rate * BURST.as_nanos());
        self.debt = self.debt.saturating_sub(gained);
    }

    /// How long until something can be taken.
    fn wait(&self) -> Duration {
        let nanos = self.debt.div_ceil(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn take(&mut self, amount: u64) {
        let amount = u128::from(amount) * NANOS;
        self.debt += amount.saturating_sub(self.level);
        self.level = self.level.saturating_sub(amount);
    }
}

/// Holds a device to its [`Limits`].
#[derive(Debug)]
pub struct Limiter {
    ops: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Limiter {
    /// With a burst saved up. Times are since any moment, the same for all calls.
    pub fn new(limits: Limits, now: Duration) -> Self {
        let bucket = |rate: Option<NonZeroU64>| rate.map(|rate| Bucket::new(rate, now));
        Limiter { ops: bucket(limits.ops), bytes: bucket(limits.bytes) }
    }

    /// How long the next request has to wait; zero if it does not.
    pub fn wait(&mut self, now: Duration) -> Duration {
        let buckets = [&mut self.ops, &mut self.bytes];
        let wait = |bucket: &mut Bucket| {
            bucket.fill(now);
            bucket.wait()
        };
        buckets.into_iter().flatten().map(wait).max().unwrap_or_default()
    }

    /// A request of so many bytes is let through.
    pub fn take(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.ops {
            bucket.take(1);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes);
        }
    }
}

/// Holds work back while a limit says so.
pub struct Brake {
    limiter: Limiter,
    timer: TimerFd,
    /// The timer runs.
    is_on: bool,
    began: Instant,
}

impl Brake {
    /// One, if there is a limit.
    ///
    /// # Errors
    /// There is no timer left.
    pub fn new(limits: Limits) -> io::Result<Option<Self>> {
        if !limits.any() {
            return Ok(None);
        }
        let timer = TimerFd::new().map_err(io::Error::from)?;
        let limiter = Limiter::new(limits, Duration::ZERO);
        Ok(Some(Brake { limiter, timer, is_on: false, began: Instant::now() }))
    }

    /// Whether work has to wait. If so, the timer tells when it is over.
    pub fn holds(&mut self) -> bool {
        if self.is_on {
            return true;
        }
        let wait = self.limiter.wait(self.began.elapsed());
        if wait.is_zero() {
            return false;
        }
        match self.timer.reset(wait, None) {
            Ok(()) => self.is_on = true,
            Err(error) => tracing::error!("a limit can't be kept: {error}"),
        }
        self.is_on
    }

    /// Work of so many bytes is let through.
    pub fn take(&mut self, bytes: u64) {
        self.limiter.take(bytes);
    }

    /// What is readable when the wait is over; then it is let go.
    pub const fn timer(&self) -> &TimerFd {
        &self.timer
    }

    /// The wait is over.
    pub fn let_go(&mut self) {
        self.is_on = false;
        if let Err(error) = self.timer.wait() {
            tracing::error!("a timer can't be read: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests of `bytes` come through in a time, if one is there whenever one may come.
    fn through(limits: Limits, bytes: u64, time: Duration) -> u64 {
        let (mut limiter, mut now, mut count) = (Limiter::new(limits, Duration::ZERO), Duration::ZERO, 0);
        while now < time {
            match limiter.wait(now) {
                Duration::ZERO => {
                    limiter.take(bytes);
                    count += 1;
                }
                wait => now += wait,
            }
        }
        count
    }

    #[test]
    fn rates_hold_over_time_and_a_burst_comes_first() {
        let limit = |ops, bytes| Limits { ops: NonZeroU64::new(ops), bytes: NonZeroU64::new(bytes) };
        let second = Duration::from_secs(1);
        for (limits, bytes, time, expected) in [
            (limit(100, 0), 4096, second, 110),
            (limit(100, 0), 4096, 10 * second, 1010),
            (limit(0, 1 << 20), 4096, second, 281),
            (limit(0, 1 << 20), 1 << 20, 10 * second, 10),
            (limit(10, 1 << 30), 4096, second, 11),
            (limit(u64::MAX, 1 << 20), 1 << 16, second, 17),
        ] {
            let got = through(limits, bytes, time);
            assert!((expected..=expected + 1).contains(&got), "{limits:?} {bytes}: {got}");
        }
    }

    #[test]
    fn a_request_of_any_size_comes_through_and_is_paid_for() {
        let mut limiter = Limiter::new(Limits { ops: None, bytes: NonZeroU64::new(1000) }, Duration::ZERO);
        assert_eq!(limiter.wait(Duration::ZERO), Duration::ZERO);
        limiter.take(2100);
        assert_eq!(limiter.wait(Duration::ZERO), Duration::from_secs(2));
        assert_eq!(limiter.wait(Duration::from_millis(1999)), Duration::from_millis(1));
        assert_eq!(limiter.wait(Duration::from_secs(2)), Duration::ZERO);
        limiter.take(u64::MAX);
        assert!(limiter.wait(Duration::from_secs(3)) > Duration::from_secs(1 << 30));
        // A clock that goes back is none that goes on.
        assert!(limiter.wait(Duration::ZERO) > Duration::from_secs(1 << 30));
    }
}

//! The machine's watchdog: when its time is over, and what it comes to.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use triarch_devices::pci::PciHost;
use triarch_devices::{Alarm, Effect, I6300esb, Watchdog};

use crate::wake::Wake;

/// A watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WatchdogSpec {
    /// What happens to a guest that does not feed it.
    pub action: Action,
}

/// What happens to a guest that does not feed its watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// As if it had asked for a reset.
    #[default]
    Reset,
    /// As if it had powered its machine off.
    Poweroff,
    /// As if it had crashed.
    Exit,
}

impl WatchdogSpec {
    /// What the device returns.
    pub const fn effect(self) -> Effect {
        match self.action {
            Action::Reset => Effect::Reset,
            Action::Poweroff => Effect::PowerOff,
            Action::Exit => Effect::Crash("its watchdog was not fed"),
        }
    }
}

/// What [`Deadline`] says when there is none.
const NEVER: u64 = u64::MAX;

/// When the control thread is to look at the watchdog: the device's thread stores it, and wakes only who would come too late.
pub struct Deadline {
    start: Instant,
    /// In nanoseconds from the start.
    at: AtomicU64,
    wake: Arc<Wake>,
}

impl Deadline {
    /// Without a time.
    pub fn new(wake: Arc<Wake>) -> Arc<Self> {
        Arc::new(Deadline { start: Instant::now(), at: AtomicU64::new(NEVER), wake })
    }

    /// How long it is until then.
    fn left(&self) -> Option<Duration> {
        let at = self.at.load(Ordering::Acquire);
        (at != NEVER).then(|| Duration::from_nanos(at).saturating_sub(self.start.elapsed()))
    }
}

/// A device's way to its deadline.
pub struct Bell(pub Arc<Deadline>);

impl Alarm for Bell {
    fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    fn set(&mut self, at: Option<Duration>) {
        let at = at.map_or(NEVER, |at| u64::try_from(at.as_nanos()).unwrap_or(NEVER));
        // Who waits for an earlier time finds out then. Most watchdogs are fed again and again, and no system call is needed for it.
        if self.0.at.swap(at, Ordering::AcqRel) > at {
            self.0.wake.wake();
        }
    }
}

/// A machine's watchdog, as the control thread has it.
pub struct Watch {
    device: Mutex<Box<dyn Watchdog>>,
    deadline: Arc<Deadline>,
}

impl Watch {
    /// Of a device that sets this deadline.
    pub fn new(device: Box<dyn Watchdog>, deadline: Arc<Deadline>) -> Self {
        Watch { device: Mutex::new(device), deadline }
    }

    /// What it has come to, and how long it is until that is to be asked again.
    pub fn look(&self) -> (Effect, Option<Duration>) {
        let effect = match self.deadline.left() {
            Some(left) if left.is_zero() => lock(&self.device).expire(),
            _ => Effect::None,
        };
        (effect, self.deadline.left())
    }

    /// As [`Watchdog::hold`].
    pub fn hold(&self) {
        lock(&self.device).hold();
    }

    /// As [`Watchdog::resume`].
    pub fn resume(&self) {
        lock(&self.device).resume();
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A watchdog that vCPUs reach, too.
pub struct SharedWatchdog<W>(pub Arc<Mutex<W>>);

impl<W: Watchdog> Watchdog for SharedWatchdog<W> {
    fn expire(&mut self) -> Effect {
        lock(&self.0).expire()
    }

    fn hold(&mut self) {
        lock(&self.0).hold();
    }

    fn resume(&mut self) {
        lock(&self.0).resume();
    }
}

/// A watchdog on a PCI bus, as the device of this number.
pub struct PciWatchdog(pub Arc<Mutex<PciHost>>, pub u8);

impl PciWatchdog {
    fn act<T: Default>(&self, act: impl FnOnce(&mut I6300esb) -> T) -> T {
        let mut host = lock(&self.0);
        let function: Option<&mut dyn Any> = host.function(self.1).map(|function| function as _);
        function.and_then(|function| function.downcast_mut()).map(act).unwrap_or_default()
    }
}

impl Watchdog for PciWatchdog {
    fn expire(&mut self) -> Effect {
        self.act(I6300esb::expire)
    }

    fn hold(&mut self) {
        self.act(I6300esb::hold);
    }

    fn resume(&mut self) {
        self.act(I6300esb::resume);
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use triarch_devices::{Diag288, Window};

    use super::*;
    use crate::devices::DeviceSpecs;

    fn is_woken(wake: &Wake) -> bool {
        let mut fds = [PollFd::new(wake, PollFlags::IN)];
        let woken = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0;
        wake.clear();
        woken
    }

    #[test]
    fn only_an_earlier_deadline_wakes() {
        let wake = Arc::new(Wake::new().unwrap());
        let deadline = Deadline::new(wake.clone());
        let mut bell = Bell(deadline.clone());
        let mut set = |seconds: Option<u64>| {
            bell.set(seconds.map(Duration::from_secs));
            is_woken(&wake)
        };
        assert_eq!(
            [Some(500), Some(600), Some(400), None, Some(700)].map(&mut set),
            [true, false, true, false, true]
        );
        assert!(deadline.left().is_some_and(|left| left > Duration::from_secs(600)));
        set(Some(0));
        assert_eq!(deadline.left(), Some(Duration::ZERO));
    }

    #[test]
    fn a_watchdog_is_looked_at_when_its_time_is_over() {
        let deadline = Deadline::new(Arc::new(Wake::new().unwrap()));
        let device = Arc::new(Mutex::new(Diag288::new(Box::new(Bell(deadline.clone())), Effect::PowerOff)));
        let watch = Watch::new(Box::new(SharedWatchdog(device.clone())), deadline);
        assert_eq!(watch.look(), (Effect::None, None));
        assert!(lock(&device).diagnose(0, 15, 0));
        assert_eq!(watch.look(), (Effect::None, None), "the guest is not running");
        watch.resume();
        let (effect, left) = watch.look();
        assert_eq!(effect, Effect::None);
        assert!(left.is_some_and(|left| left > Duration::from_secs(10)));
        watch.hold();
        assert_eq!(watch.look(), (Effect::None, None));
    }

    #[test]
    fn one_on_a_bus_is_reached_there() {
        let deadline = Deadline::new(Arc::new(Wake::new().unwrap()));
        let memory = Window { base: 1 << 32, size: 1 << 20 };
        let host = Arc::new(Mutex::new(PciHost::new(memory)));
        let device = I6300esb::new(memory.base, memory, Box::new(Bell(deadline.clone())), Effect::Reset);
        lock(&host).add(3, Box::new(device)).unwrap();
        let watch = Watch::new(Box::new(PciWatchdog(host.clone(), 3)), deadline);
        watch.resume();
        lock(&host).write_config(3 << 15 | 0x68, &[2]);
        let (effect, left) = watch.look();
        assert!(effect == Effect::None && left.is_some());
        // The shortest time, which is a millisecond.
        for (offset, byte) in [(0x68, 0), (0x60, 4), (4, 2)] {
            lock(&host).write_config(3 << 15 | offset, &[byte]);
        }
        for timer in [0, 4] {
            for (offset, value) in [(0xc, 0x80), (0xc, 0x86), (timer, 0)] {
                lock(&host).write_memory(offset, &[value, 0, 0, 0]);
            }
        }
        lock(&host).write_config(3 << 15 | 0x68, &[2]);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(watch.look(), (Effect::Reset, None));
    }

    #[test]
    fn words_become_a_watchdog() {
        let read = |text: &str| toml::from_str::<DeviceSpecs>(text).map(|specs| specs.watchdog());
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("watchdog = {}").unwrap(), Some(WatchdogSpec { action: Action::Reset }));
        let exit = read("watchdog = { action = 'exit' }").unwrap().unwrap();
        assert_eq!(exit.effect(), Effect::Crash("its watchdog was not fed"));
        assert!(read("watchdog = { action = 'bark' }").is_err());
    }
}

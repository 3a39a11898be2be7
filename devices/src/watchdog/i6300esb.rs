//! Intel's 6300ESB watchdog timer, a PCI function (Intel 6300ESB I/O Controller Hub datasheet, 16). Of its two stages, the first one's
//! interrupt is left out: their times are one. Its BAR has 64 bits, as all of the bus, where Intel's has 32.

use std::time::Duration;

use super::{Alarm, Countdown, Watchdog};
use crate::pci::{ConfigSpace, ConfigState, Function, Identity};
use crate::saved::{self, Save, Saved, state};
use crate::{Effect, Window, byte_offsets};

const IDENTITY: Identity =
    Identity { vendor: 0x8086, device: 0x25ab, revision: 0, class: 0x08_8000, subsystem: (0x1af4, 0x1100) };

/// Registers in configuration space.
mod config {
    /// How it works, of 16 bits.
    pub const SETUP: u64 = 0x60;
    /// Whether it works, of 8 bits.
    pub const LOCK: u64 = 0x68;
}

/// Bits of the setup register.
mod setup {
    /// Ticks are 2^5 cycles of the PCI clock instead of 2^15.
    pub const FAST: u16 = 1 << 2;
    /// Its end does nothing to the machine.
    pub const HARMLESS: u16 = 1 << 5;
    pub const WRITABLE: u16 = FAST | HARMLESS | 3;
}

/// Bits of the lock register.
mod lock {
    /// No more changes, until a reset.
    pub const LOCKED: u8 = 1 << 0;
    pub const ENABLED: u8 = 1 << 1;
    /// It begins anew at its end.
    pub const FREE_RUN: u8 = 1 << 2;
    pub const WRITABLE: u8 = LOCKED | ENABLED | FREE_RUN;
}

/// Registers behind the BAR. A write to one has to follow two writes that unlock it.
mod register {
    /// Times of the two stages, of 20 bits.
    pub const TIMER1: u64 = 0x0;
    pub const TIMER2: u64 = 0x4;
    pub const RELOAD: u64 = 0xc;
}

/// What is written to the reload register.
const UNLOCK: [u32; 2] = [0x80, 0x86];
const RELOAD: u32 = 1 << 8;
/// It has come to its end; written to be forgotten.
const TIMED_OUT: u32 = 1 << 9;

/// Bits of a stage's time.
const TIMER: u32 = 0xf_ffff;

/// The PCI clock, in MHz.
const CLOCK: u64 = 33;

/// The shortest time, so that a guest can't keep the host busy.
const MIN_SPAN: Duration = Duration::from_millis(1);

/// The watchdog.
pub struct I6300esb {
    config: ConfigSpace,
    countdown: Countdown,
    effect: Effect,
    setup: u16,
    lock: u8,
    timers: [u32; 2],
    /// How many of the writes that unlock have come.
    unlocked: u8,
    timed_out: bool,
}

impl I6300esb {
    /// Bytes of its BAR.
    pub const BAR_SIZE: u64 = 16;

    /// Not enabled. Its BAR is at `bar` first, and decoded within `memory`. `effect` is what it comes to if it is not fed.
    pub fn new(bar: u64, memory: Window, alarm: Box<dyn Alarm>, effect: Effect) -> Self {
        let mut config = ConfigSpace::new(&IDENTITY);
        config.add_bar(Self::BAR_SIZE, bar, memory);
        I6300esb {
            config,
            countdown: Countdown::new(alarm),
            effect,
            setup: 0,
            lock: 0,
            timers: [TIMER; 2],
            unlocked: 0,
            timed_out: false,
        }
    }

    /// Begins anew, if it is enabled.
    fn reload(&mut self) {
        if self.lock & lock::ENABLED == 0 {
            return self.countdown.stop();
        }
        let cycles = if self.setup & setup::FAST != 0 { 1 << 5 } else { 1 << 15 };
        let ticks: u64 = self.timers.iter().map(|timer| u64::from(*timer)).sum();
        // Up to 2^36 cycles.
        let span = Duration::from_nanos(ticks * cycles * 1000 / CLOCK);
        self.countdown.start(span.max(MIN_SPAN));
    }

    fn set_lock(&mut self, value: u8) {
        if self.lock & lock::LOCKED != 0 {
            return;
        }
        let was_enabled = self.lock & lock::ENABLED != 0;
        self.lock = value & lock::WRITABLE;
        if was_enabled != (self.lock & lock::ENABLED != 0) {
            self.reload();
        }
    }

    fn write_register(&mut self, offset: u64, value: u32) {
        let unlocked = std::mem::take(&mut self.unlocked);
        match (offset, unlocked) {
            (register::RELOAD, 0) if value == UNLOCK[0] => self.unlocked = 1,
            (register::RELOAD, 1) if value == UNLOCK[1] => self.unlocked = 2,
            (register::RELOAD, 2) => {
                if value & TIMED_OUT != 0 {
                    self.timed_out = false;
                }
                if value & RELOAD != 0 {
                    self.reload();
                }
            }
            (register::TIMER1, 2) => self.timers[0] = value & TIMER,
            (register::TIMER2, 2) => self.timers[1] = value & TIMER,
            _ => {}
        }
    }
}

impl Function for I6300esb {
    fn read_config(&mut self, offset: u16, data: &mut [u8]) {
        self.config.read(offset, data);
        let [low, high] = self.setup.to_le_bytes();
        for (at, byte) in byte_offsets(offset.into()).zip(data) {
            match at {
                config::SETUP => *byte = low,
                0x61 => *byte = high,
                config::LOCK => *byte = self.lock,
                _ => {}
            }
        }
    }

    fn write_config(&mut self, offset: u16, data: &[u8]) {
        self.config.write(offset, data);
        for (at, byte) in byte_offsets(offset.into()).zip(data) {
            match at {
                // The bits of the upper half can't be written.
                config::SETUP => self.setup = u16::from(*byte) & setup::WRITABLE,
                config::LOCK => self.set_lock(*byte),
                _ => {}
            }
        }
    }

    fn window(&self) -> Option<Window> {
        self.config.window()
    }

    fn read_bar(&mut self, offset: u64, data: &mut [u8]) {
        let status = if self.timed_out { TIMED_OUT } else { 0 }.to_le_bytes();
        for (at, byte) in byte_offsets(offset).zip(data) {
            let at = at.checked_sub(register::RELOAD).and_then(|at| usize::try_from(at).ok());
            *byte = at.and_then(|at| status.get(at)).copied().unwrap_or(0);
        }
    }

    fn write_bar(&mut self, offset: u64, data: &[u8]) {
        let mut value = [0; 4];
        value.iter_mut().zip(data).for_each(|(byte, data)| *byte = *data);
        self.write_register(offset, u32::from_le_bytes(value));
    }
}

impl Watchdog for I6300esb {
    fn expire(&mut self) -> Effect {
        if !self.countdown.is_over() {
            return Effect::None;
        }
        if self.setup & setup::HARMLESS == 0 {
            self.timed_out = true;
            return self.effect;
        }
        if self.lock & lock::FREE_RUN != 0 {
            self.reload();
        }
        Effect::None
    }

    fn hold(&mut self) {
        self.countdown.hold();
    }

    fn resume(&mut self) {
        self.countdown.resume();
    }
}

state! {
    struct I6300esbState: "i6300esb", 1 {
        config: ConfigState,
        setup: u16,
        lock: u8,
        timers: (u32, u32),
        unlocked: u8,
        timed_out: bool,
        /// Nanoseconds that are left, if it counts.
        left: Option<u64>,
    }
}

impl Save for I6300esb {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::of(&I6300esbState {
            config: self.config.state(),
            setup: self.setup,
            lock: self.lock,
            timers: (self.timers[0], self.timers[1]),
            unlocked: self.unlocked,
            timed_out: self.timed_out,
            left: self.countdown.saved(),
        }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let state: I6300esbState = saved.get()?;
        let I6300esbState { setup, lock, timers: (timer1, timer2), unlocked, .. } = state;
        let fits = setup & !setup::WRITABLE == 0
            && lock & !lock::WRITABLE == 0
            && (timer1 | timer2) & !TIMER == 0
            && unlocked <= 2;
        saved.check(fits, "a register's bits")?;
        let counts = state.left.is_none() || lock & lock::ENABLED != 0;
        saved.check(counts, "a time that is counted though it is off")?;
        let restored = self.config.restore(&state.config);
        saved.check(restored.is_some(), "a register of configuration space")?;
        (self.setup, self.lock, self.timers, self.unlocked) = (setup, lock, [timer1, timer2], unlocked);
        self.timed_out = state.timed_out;
        self.countdown.restore(state.left);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Still;
    use super::*;
    use crate::saved::testing::{golden, mutations, refuses_what_is_cut_off};

    const MEMORY: Window = Window { base: 0x1_0000_0000, size: 0x1000 };

    fn watchdog() -> (I6300esb, Still) {
        let still = Still::default();
        let mut watchdog = I6300esb::new(MEMORY.base, MEMORY, Box::new(still.clone()), Effect::Reset);
        watchdog.resume();
        (watchdog, still)
    }

    fn read_config<const N: usize>(watchdog: &mut I6300esb, offset: u16) -> [u8; N] {
        let mut bytes = [0xa5; N];
        watchdog.read_config(offset, &mut bytes);
        bytes
    }

    fn unlocked(watchdog: &mut I6300esb, offset: u64, data: &[u8]) {
        watchdog.write_bar(0xc, &[0x80, 0]);
        watchdog.write_bar(0xc, &[0x86, 0]);
        watchdog.write_bar(offset, data);
    }

    /// As Linux's driver does, with about two seconds.
    fn start(watchdog: &mut I6300esb, lock: u8) {
        watchdog.write_config(4, &[2, 0]);
        watchdog.write_config(0x60, &[3, 0]);
        watchdog.write_config(0x68, &[0]);
        unlocked(watchdog, 0xc, &[0, 3]);
        unlocked(watchdog, 0, &[0, 4, 0, 0]);
        unlocked(watchdog, 4, &[0, 4, 0, 0]);
        unlocked(watchdog, 0xc, &[0, 1]);
        watchdog.write_config(0x68, &[lock]);
    }

    #[test]
    fn it_is_found_started_and_fed() {
        let (mut watchdog, still) = watchdog();
        assert_eq!(read_config(&mut watchdog, 0), [0x86, 0x80, 0xab, 0x25]);
        assert_eq!(read_config(&mut watchdog, 9), [0x00, 0x80, 0x08]);
        start(&mut watchdog, 2);
        assert_eq!(watchdog.window(), Some(Window { base: MEMORY.base, size: 16 }));
        assert_eq!((read_config(&mut watchdog, 0x60), read_config(&mut watchdog, 0x68)), ([3, 0], [2]));
        // 2 * 1024 * 2^15 / 33 MHz.
        assert_eq!(still.rings_in(), Some(2033));
        still.pass(2000);
        watchdog.write_bar(0xc, &[0, 1]);
        watchdog.write_bar(0xc, &[0x86, 0]);
        watchdog.write_bar(0xc, &[0, 1]);
        assert_eq!(still.rings_in(), Some(33), "it was not unlocked");
        unlocked(&mut watchdog, 0xc, &[0, 1]);
        assert_eq!((still.rings_in(), watchdog.expire()), (Some(2033), Effect::None));
        assert!(still.pass(2034));
        assert_eq!((watchdog.expire(), watchdog.expire()), (Effect::Reset, Effect::None));
        let mut status = [0xa5; 2];
        watchdog.read_bar(0xc, &mut status);
        assert_eq!(status, [0, 2]);
        unlocked(&mut watchdog, 0xc, &[0, 2]);
        watchdog.read_bar(0xc, &mut status);
        assert_eq!(status, [0, 0]);
    }

    #[test]
    fn it_can_be_stopped_unless_it_is_locked() {
        let (mut watchdog, still) = watchdog();
        start(&mut watchdog, 2);
        watchdog.write_config(0x68, &[0]);
        assert_eq!((still.rings_in(), read_config(&mut watchdog, 0x68)), (None, [0]));
        start(&mut watchdog, 3);
        watchdog.write_config(0x68, &[0]);
        assert_eq!((still.rings_in(), read_config(&mut watchdog, 0x68)), (Some(2033), [3]));
    }

    #[test]
    fn one_without_teeth_only_counts() {
        let (mut watchdog, still) = watchdog();
        start(&mut watchdog, 2);
        watchdog.write_config(0x60, &[0x23]);
        still.pass(3000);
        assert_eq!((watchdog.expire(), still.rings_in()), (Effect::None, None));
        // Fast, without any time, and again and again.
        watchdog.write_config(0x68, &[0]);
        watchdog.write_config(0x60, &[0x27]);
        unlocked(&mut watchdog, 0, &[0; 4]);
        unlocked(&mut watchdog, 4, &[0; 4]);
        watchdog.write_config(0x68, &[6]);
        for _ in 0..3 {
            assert_eq!(still.rings_in(), Some(1));
            still.pass(1);
            assert_eq!(watchdog.expire(), Effect::None);
        }
    }

    #[test]
    fn it_is_saved_with_what_is_left() {
        let (mut before, still) = watchdog();
        start(&mut before, 2);
        still.pass(33);
        before.write_bar(0xc, &[0x80, 0]);
        before.hold();
        let saved = before.save().unwrap();
        golden("i6300esb-1", &saved, &mut watchdog().0);
        let held = || I6300esb::new(MEMORY.base, MEMORY, Box::new(Still::default()), Effect::Reset);
        refuses_what_is_cut_off(&saved, held);
        mutations(&saved, 2000, held, |watchdog| {
            watchdog.resume();
            let _ = watchdog.expire();
            watchdog.write_config(0x68, &[2]);
            watchdog.write_bar(0xc, &[0xff; 8]);
        });
        let (mut after, still) = watchdog();
        after.restore(&saved).unwrap();
        assert_eq!(still.rings_in(), Some(2000));
        after.write_bar(0xc, &[0x86, 0]);
        after.write_bar(0xc, &[0, 1]);
        assert_eq!(still.rings_in(), Some(2033));
    }
}

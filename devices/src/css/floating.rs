//! Interruptions on their way to the guest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::id_of;

/// An I/O interruption (PoP, "I/O-Interruption Code").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interruption {
    /// The subsystem-identification word; 0 for an adapter.
    pub id: u32,
    /// The interruption parameter.
    pub parameter: u32,
    /// The interruption-identification word: bit 0 tells of an adapter, bits 2 to 4 are the interruption subclass.
    pub word: u32,
}

impl Interruption {
    const ADAPTER: u32 = 0x8000_0000;
    const ISC_SHIFT: u32 = 27;

    /// Of an adapter, in an interruption subclass from 0 to 7.
    pub fn adapter(isc: u8) -> Self {
        Interruption { id: 0, parameter: 0, word: Self::ADAPTER | u32::from(isc) << Self::ISC_SHIFT }
    }

    /// Of a subchannel.
    fn subchannel(id: u32, parameter: u32, isc: u32) -> Self {
        Interruption { id, parameter, word: isc << Self::ISC_SHIFT }
    }
}

/// The floating interrupt controller: it keeps interruptions until a CPU takes them, by itself or by TEST PENDING INTERRUPTION.
///
/// Called from any thread; it must not call back.
pub trait Floating: Send + Sync {
    /// Makes an I/O interruption pending.
    fn pend(&self, interruption: Interruption);

    /// Takes back the interruption of a subchannel, by its subsystem-identification word, if no CPU has taken it yet.
    fn withdraw(&self, id: u32);

    /// Makes the machine check pending that tells of channel reports.
    fn report(&self);
}

/// A device that may ask for its driver's attention.
const ENABLED: u64 = 1 << 0;
/// The subchannel has a function in progress or a status pending that is not of the device's own accord.
const BUSY: u64 = 1 << 1;
/// The device wants attention. While the subchannel is not busy, that is a pending status.
const ALERT: u64 = 1 << 2;
const ISC_SHIFT: u64 = 8;
const ISC: u64 = 7 << ISC_SHIFT;
const PARAMETER_SHIFT: u64 = 32;
const PARAMETER: u64 = 0xffff_ffff << PARAMETER_SHIFT;

/// The end of a subchannel that its device can reach from any thread, without the channel subsystem's lock: it makes the subchannel
/// status-pending with an alert, as soon as it is not busy.
///
/// All of it is one word, so that an alert is seen either by who raises it or by who ends what it waited for.
pub struct Attention {
    number: u16,
    word: AtomicU64,
    floating: Arc<dyn Floating>,
}

impl Attention {
    /// Of the subchannel of this number, which is not enabled yet.
    pub fn new(number: u16, floating: Arc<dyn Floating>) -> Self {
        Attention { number, word: AtomicU64::new(0), floating }
    }

    /// The subchannel's number.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// The subchannel's subsystem-identification word.
    pub const fn id(&self) -> u32 {
        id_of(self.number)
    }

    /// Alerts the driver, unless an alert is pending already, or the subchannel is not enabled.
    pub fn raise(&self) {
        let alert = |word| (word & ENABLED != 0).then_some(word | ALERT);
        if let Ok(before) = self.word.try_update(Ordering::AcqRel, Ordering::Acquire, alert)
            && before & (ALERT | BUSY) == 0
        {
            self.pend(before);
        }
    }

    /// Interrupts, for the subchannel's status.
    pub(super) fn interrupt(&self) {
        self.pend(self.word.load(Ordering::Acquire));
    }

    fn pend(&self, word: u64) {
        // Both fit.
        let parameter = u32::try_from(word >> PARAMETER_SHIFT).unwrap_or_default();
        let isc = u32::try_from((word & ISC) >> ISC_SHIFT).unwrap_or_default();
        self.floating.pend(Interruption::subchannel(self.id(), parameter, isc));
    }

    /// Takes the interruption back.
    pub(super) fn withdraw(&self) {
        self.floating.withdraw(self.id());
    }

    /// Sets what interruptions look like from now on. A subchannel that is not enabled has no alerts.
    pub(super) fn configure(&self, enabled: bool, isc: u8, parameter: u32) {
        let configuration = u64::from(isc) << ISC_SHIFT & ISC | u64::from(parameter) << PARAMETER_SHIFT;
        let configured = |word| {
            let kept = word & !(ISC | PARAMETER | ENABLED);
            if enabled { kept | ENABLED | configuration } else { kept & !ALERT | configuration }
        };
        self.word.update(Ordering::AcqRel, Ordering::Acquire, configured);
    }

    /// Whether an alert is pending.
    pub(super) fn is_alert(&self) -> bool {
        self.word.load(Ordering::Acquire) & (ALERT | BUSY) == ALERT
    }

    /// Begins a function with an interruption parameter, unless an alert is pending.
    pub(super) fn begin(&self, parameter: u32) -> bool {
        let begun = |word| {
            (word & ALERT == 0).then_some(word & !PARAMETER | BUSY | u64::from(parameter) << PARAMETER_SHIFT)
        };
        self.word.try_update(Ordering::AcqRel, Ordering::Acquire, begun).is_ok()
    }

    /// Begins a function whatever is pending. An alert waits for its end.
    pub(super) fn force(&self) {
        self.word.fetch_or(BUSY, Ordering::AcqRel);
    }

    /// All functions have ended, and the program has seen the status: an alert that has waited becomes pending.
    pub(super) fn end(&self) {
        let before = self.word.fetch_and(!BUSY, Ordering::AcqRel);
        if before & ALERT != 0 {
            self.pend(before);
        }
    }

    /// Takes a pending alert. Whether there was one.
    pub(super) fn take_alert(&self) -> bool {
        let taken = |word| (word & (ALERT | BUSY) == ALERT).then_some(word & !ALERT);
        self.word.try_update(Ordering::AcqRel, Ordering::Acquire, taken).is_ok()
    }

    /// Takes on a saved state, as [`Attention::configure`] and those that begin functions made it. Nothing interrupts.
    pub(super) fn restore(&self, (enabled, isc, parameter): (bool, u8, u32), busy: bool, alert: bool) {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(enabled, ENABLED) | flag(busy, BUSY) | flag(alert, ALERT);
        let word = flags | u64::from(isc) << ISC_SHIFT & ISC | u64::from(parameter) << PARAMETER_SHIFT;
        self.word.store(word, Ordering::Release);
    }

    /// Whether the device wants attention, pending or not.
    pub(super) fn has_alert(&self) -> bool {
        self.word.load(Ordering::Acquire) & ALERT != 0
    }

    /// Back to the beginning: nothing is pending, and the subchannel is not enabled.
    pub(super) fn reset(&self) {
        self.word.store(0, Ordering::Release);
        self.withdraw();
    }
}

//! How a driver is told over channel I/O: by bits in its memory and an interrupt (VIRTIO 1.2, 4.3.3.1).

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use vm_memory::{GuestAddress, GuestMemoryBackend, VolatileMemory};

use crate::css::{Attention, Floating, Interruption};
use crate::saved::state;
use crate::virtio::Notifier;
use crate::{GuestRam, Trigger};

/// Bits of a classic set of indicators.
pub const CLASSIC_BITS: u16 = 64;

/// Where adapter interrupts are told of: what a host needs that sets indicators by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterRoute {
    /// Guest-physical address of the summary byte, of which bit 7 is set.
    pub summary: u64,
    /// Of each queue, the guest-physical address of a byte in RAM, and the number of its bit in it: 0 is the most significant.
    pub queues: Vec<(u64, u8)>,
    /// Interruption subclass.
    pub isc: u8,
}

/// A host that may set indicators and interrupt by itself.
pub trait AdapterRoutes: Send + Sync {
    /// The driver has set a device's indicators, or, with `None`, taken them away. Gives a trigger for each queue, if the host can
    /// set its indicators and interrupt; else none, and the device does so. Triggers that were given before have no effect
    /// any more when it returns.
    ///
    /// It must not call back.
    fn set(&self, route: Option<&AdapterRoute>) -> Vec<Box<dyn Trigger>>;
}

/// How the driver wants to be told of used buffers.
#[derive(Default)]
enum Queues {
    /// Not at all, yet.
    #[default]
    Unset,
    /// By a bit in the 8 bytes at this address, and the subchannel's interrupt.
    Classic(u64),
    /// By indicators and an adapter's interrupt. With the host's triggers, if it has any.
    Adapter(AdapterRoute, Vec<Box<dyn Trigger>>),
}

#[derive(Default)]
struct State {
    queues: Queues,
    /// Address of the 8 bytes whose last bit tells of a changed configuration.
    config: Option<u64>,
}

/// Tells a driver by indicators.
///
/// Its lock is taken by who tells, for as long as that takes, and by the commands that change how. So when such a command has
/// ended, the indicators of before are not touched any more. No other lock is taken under it.
pub struct CcwNotifier {
    ram: GuestRam,
    attention: Arc<Attention>,
    floating: Arc<dyn Floating>,
    routes: Box<dyn AdapterRoutes>,
    state: RwLock<State>,
}

state! {
    /// An [`AdapterRoute`].
    pub struct AdapterState {
        summary: u64,
        queues: Vec<(u64, u8)>,
        isc: u8,
    }
}

state! {
    /// Addresses of indicators. Classic ones and an adapter's exclude each other.
    pub struct IndicatorState {
        config: Option<u64>,
        classic: Option<u64>,
        adapter: Option<AdapterState>,
    }
}

/// The indicators can't be set up like this: they are not in RAM, or there are others of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfit;

impl CcwNotifier {
    pub fn new(
        ram: GuestRam,
        attention: Arc<Attention>,
        floating: Arc<dyn Floating>,
        routes: Box<dyn AdapterRoutes>,
    ) -> Self {
        CcwNotifier { ram, attention, floating, routes, state: RwLock::default() }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_ram(&self, address: u64, len: usize) -> bool {
        GuestMemoryBackend::check_range(&self.ram, GuestAddress(address), len)
    }

    /// Sets, or with `None` takes away, classic indicators.
    pub fn set_classic(&self, address: Option<u64>) -> Result<(), Unfit> {
        if address.is_some_and(|address| !self.is_ram(address, 8)) {
            return Err(Unfit);
        }
        self.change(|state| {
            if matches!(state.queues, Queues::Adapter(..)) {
                return Err(Unfit);
            }
            state.queues = address.map_or(Queues::Unset, Queues::Classic);
            Ok(())
        })
    }

    /// Sets, or with `None` takes away, the indicator of a changed configuration.
    pub fn set_config(&self, address: Option<u64>) -> Result<(), Unfit> {
        if address.is_some_and(|address| !self.is_ram(address, 8)) {
            return Err(Unfit);
        }
        self.change(|state| state.config = address);
        Ok(())
    }

    /// Sets, or with `None` takes away, an adapter's indicators.
    pub fn set_adapter(&self, route: Option<AdapterRoute>) -> Result<(), Unfit> {
        let fits = |route: &AdapterRoute| {
            self.is_ram(route.summary, 1) && route.queues.iter().all(|(byte, _)| self.is_ram(*byte, 1))
        };
        if !route.as_ref().is_none_or(fits) {
            return Err(Unfit);
        }
        self.change(|state| {
            if matches!(state.queues, Queues::Classic(_)) {
                return Err(Unfit);
            }
            let triggers = self.routes.set(route.as_ref());
            state.queues = route.map_or(Queues::Unset, |route| Queues::Adapter(route, triggers));
            Ok(())
        })
    }

    /// What the driver has set.
    pub fn state(&self) -> IndicatorState {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let (classic, adapter) = match &state.queues {
            Queues::Unset => (None, None),
            Queues::Classic(address) => (Some(*address), None),
            Queues::Adapter(route, _) => (None, Some(route)),
        };
        let adapter = adapter.map(|AdapterRoute { summary, queues, isc }| AdapterState {
            summary: *summary,
            queues: queues.clone(),
            isc: *isc,
        });
        IndicatorState { config: state.config, classic, adapter }
    }

    /// Sets what a driver has set for so many queues, as if it were done by commands: a host that sets indicators by itself
    /// hears of them.
    pub fn restore(&self, state: IndicatorState, queues: u16) -> Result<(), Unfit> {
        self.reset();
        self.set_config(state.config)?;
        if state.classic.is_some() {
            if queues > CLASSIC_BITS {
                return Err(Unfit);
            }
            self.set_classic(state.classic)?;
        }
        if let Some(AdapterState { summary, queues: bits, isc }) = state.adapter {
            if bits.len() != usize::from(queues) || bits.iter().any(|(_, bit)| *bit > 7) || isc > 7 {
                return Err(Unfit);
            }
            self.set_adapter(Some(AdapterRoute { summary, queues: bits, isc }))?;
        }
        Ok(())
    }

    /// Takes all indicators away.
    pub fn reset(&self) {
        self.change(|state| {
            if matches!(state.queues, Queues::Adapter(..)) {
                self.routes.set(None);
            }
            *state = State::default();
        });
    }

    /// Sets bits of a byte in RAM, which others may change as well. Whether any of them was set before.
    fn set_bits(&self, address: u64, bits: u8) -> bool {
        let set = GuestMemoryBackend::get_slice(&self.ram, GuestAddress(address), 1)
            .ok()
            .and_then(|byte| Some(byte.get_atomic_ref::<AtomicU8>(0).ok()?.fetch_or(bits, Ordering::AcqRel)));
        // It was in RAM when it was set up.
        set.is_some_and(|before| before & bits != 0)
    }

    /// Sets a bit of the 8 bytes at an address, that are one number: the last byte has bits 0 to 7.
    fn set_classic_bit(&self, address: u64, bit: u16) {
        self.set_bits(address + u64::from(7 - bit / 8 % 8), 1 << (bit % 8));
        self.attention.raise();
    }
}

impl Notifier for CcwNotifier {
    fn queue(&self, index: u16) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match &state.queues {
            Queues::Unset => {}
            Queues::Classic(address) => self.set_classic_bit(*address, index),
            Queues::Adapter(route, triggers) => {
                if let Some(trigger) = triggers.get(usize::from(index)) {
                    return trigger.trigger();
                }
                let Some((byte, bit)) = route.queues.get(usize::from(index)) else { return };
                self.set_bits(*byte, 0x80 >> (bit % 8));
                if !self.set_bits(route.summary, 1) {
                    self.floating.pend(Interruption::adapter(route.isc));
                }
            }
        }
    }

    fn config(&self) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = state.config {
            self.set_classic_bit(address, 0);
        }
    }
}

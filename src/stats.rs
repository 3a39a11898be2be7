//! What a machine did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Kinds of exits from the guest to the VMM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitKind {
    /// A read of a port.
    PioRead,
    /// A write to a port.
    PioWrite,
    /// A read of an address without memory.
    MmioRead,
    /// A write to an address without memory.
    MmioWrite,
    /// An end of interrupt at a split irqchip's IOAPIC.
    IoapicEoi,
    /// An s390x instruction that is the VMM's to carry out.
    Instruction,
    /// Power-off, reset, crash.
    System,
    /// A kick or another signal.
    Interrupted,
    /// Anything else.
    Other,
}

impl ExitKind {
    /// Number of kinds.
    pub const COUNT: usize = 9;
}

/// Counters of a machine. vCPU threads count for themselves and add up when they end, so counting costs no shared cache line.
#[derive(Debug, Default)]
pub struct Stats {
    /// Of threads that have ended.
    exits: Counts,
    /// Of those that run.
    running: Mutex<Vec<Arc<Counts>>>,
}

type Counts = [AtomicU64; ExitKind::COUNT];

/// Counts one thread's exits; others may read it meanwhile. Dropping it adds them to the machine's.
#[derive(Debug)]
pub struct ExitCounter {
    stats: Arc<Stats>,
    counts: Arc<Counts>,
}

impl ExitCounter {
    /// Of a thread that begins.
    pub fn new(stats: Arc<Stats>) -> Self {
        let counts = Arc::<Counts>::default();
        stats.running.lock().unwrap_or_else(PoisonError::into_inner).push(counts.clone());
        ExitCounter { stats, counts }
    }

    /// Counts one. Only one thread does, so no instruction that locks is needed.
    pub fn count(&mut self, kind: ExitKind) {
        let count = &self.counts[kind as usize];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl Drop for ExitCounter {
    fn drop(&mut self) {
        let mut running = self.stats.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|counts| !Arc::ptr_eq(counts, &self.counts));
        for (total, count) in self.stats.exits.iter().zip(&*self.counts) {
            total.fetch_add(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}

/// Exits of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExitCounts {
    /// Reads of ports.
    pub pio_read: u64,
    /// Writes to ports.
    pub pio_write: u64,
    /// Reads of addresses without memory.
    pub mmio_read: u64,
    /// Writes to addresses without memory.
    pub mmio_write: u64,
    /// Ends of interrupts at a split irqchip's IOAPIC.
    pub ioapic_eoi: u64,
    /// s390x instructions carried out by the VMM.
    pub instruction: u64,
    /// Power-offs, resets, crashes.
    pub system: u64,
    /// Kicks and other signals.
    pub interrupted: u64,
    /// Anything else.
    pub other: u64,
}

impl Stats {
    /// The exits of all vCPU threads so far.
    pub fn exits(&self) -> ExitCounts {
        // None is counted twice, as a thread that ends holds the lock.
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |kind: ExitKind| {
            let all = running.iter().map(|counts| &**counts).chain([&self.exits]);
            all.map(|counts| counts[kind as usize].load(Ordering::Relaxed)).sum()
        };
        ExitCounts {
            pio_read: of(ExitKind::PioRead),
            pio_write: of(ExitKind::PioWrite),
            mmio_read: of(ExitKind::MmioRead),
            mmio_write: of(ExitKind::MmioWrite),
            ioapic_eoi: of(ExitKind::IoapicEoi),
            instruction: of(ExitKind::Instruction),
            system: of(ExitKind::System),
            interrupted: of(ExitKind::Interrupted),
            other: of(ExitKind::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_count_while_a_thread_runs_and_once_it_has_ended() {
        let stats = Arc::new(Stats::default());
        let mut first = ExitCounter::new(stats.clone());
        let mut second = ExitCounter::new(stats.clone());
        first.count(ExitKind::MmioRead);
        second.count(ExitKind::MmioRead);
        second.count(ExitKind::System);
        let counted = |stats: &Stats| (stats.exits().mmio_read, stats.exits().system, stats.exits().other);
        assert_eq!(counted(&stats), (2, 1, 0));
        drop(second);
        assert_eq!(counted(&stats), (2, 1, 0));
        first.count(ExitKind::Other);
        drop(first);
        assert_eq!(counted(&stats), (2, 1, 1));
    }
}

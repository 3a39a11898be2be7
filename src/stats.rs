//! What a machine did, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

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
    exits: [AtomicU64; ExitKind::COUNT],
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
    /// Adds a vCPU's counts, in the order of [`ExitKind`].
    pub fn add_exits(&self, counts: &[u64; ExitKind::COUNT]) {
        for (total, count) in self.exits.iter().zip(counts) {
            total.fetch_add(*count, Ordering::Relaxed);
        }
    }

    /// The exits of all vCPU threads that have ended.
    pub fn exits(&self) -> ExitCounts {
        let of = |kind: ExitKind| self.exits[kind as usize].load(Ordering::Relaxed);
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

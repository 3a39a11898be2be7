//! Device models and buses, the same for every ISA.
//!
//! A device knows neither guest addresses nor pin numbers nor the hypervisor: it gets offsets, bytes and opaque interrupts, and
//! it returns what the machine is to do.
#![forbid(unsafe_code)]
// Fuzz targets drive devices by what tests have; the tests themselves are not in that build.
#![cfg_attr(fuzzing, allow(dead_code, missing_docs, unused_imports))]
#![cfg_attr(
    any(test, fuzzing),
    allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that fails is what it is for")
)]

mod acpi_events;
mod acpi_power;
mod bus;
pub mod css;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod i8042;
mod ioapic;
mod log;
pub mod pci;
mod pl011;
mod pl031;
mod power_key;
mod pvpanic;
pub mod saved;
mod sclp;
mod uart16550;
pub mod virtio;
mod watchdog;

pub use acpi_events::AcpiEvents;
pub use acpi_power::AcpiPower;
pub use bus::{Bus, BusError, Window};
pub use i8042::I8042;
pub use ioapic::{Ioapic, MsiMessage};
pub use pl011::Pl011;
pub use pl031::Pl031;
pub use power_key::PowerKey;
pub use pvpanic::Pvpanic;
pub use saved::{Save, Saved};
pub use sclp::{Sclp, SclpConfig};
pub use uart16550::Uart16550;
pub use watchdog::{Alarm, Diag288, I6300esb, Watchdog};

/// Guest RAM as devices see it.
pub type GuestRam = vm_memory::GuestMemoryMmap<()>;

/// A device whose registers lie on a bus.
pub trait Device: Save + Send {
    /// Reads `data.len()` bytes (1, 2, 4 or 8) at `offset` from the start of the device's window.
    ///
    /// All of `data` is written; a register that is not there reads as the device's specification says, or as ones.
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect;

    /// Writes `data` (1, 2, 4 or 8 bytes) at `offset` from the start of the device's window.
    fn write(&mut self, offset: u64, data: &[u8]) -> Effect;
}

/// What an access to a device means for the machine as a whole.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// The guest powered the machine off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// The guest can't go on; in plain words, why.
    Crash(&'static str),
}

/// An interrupt line of a device. Who made it knows where it leads.
pub trait Line: Send + Sync {
    /// Sets the level of the line. Setting it to what it is already does nothing.
    fn set(&self, asserted: bool);
}

/// A message or an edge that interrupts the guest. Who made it knows where it leads.
pub trait Trigger: Send + Sync {
    /// Interrupts.
    fn trigger(&self);
}

/// Where a console's bytes go: the host end of a serial port.
pub trait Sink: Send {
    /// Writes all of `bytes`, for a vCPU. It may wait for the host end's reader; a host end that is gone drops them.
    fn put(&mut self, bytes: &[u8]);

    /// Shows input that is on its way in, for who gives it. Never waits: what there is no room for is dropped.
    fn echo(&mut self, bytes: &[u8]);
}

/// Called by a device of its own accord, such as when it has room for input again. It must not call into the device.
pub type Hook = Box<dyn Fn() + Send>;

/// A device that takes input from the host's end of a console.
pub trait Input: Send {
    /// Bytes that can be taken now without loss.
    fn room(&self) -> usize;

    /// Takes bytes, at most [`Input::room`] of them; returns how many were taken. Never waits for output to be read.
    fn take(&mut self, bytes: &[u8]) -> usize;
}

/// A device by which a guest is asked to shut down.
pub trait Shutdown: Send {
    /// Asks the guest. Returns whether it listens; that it obeys is seen when it has.
    fn ask(&mut self) -> bool;
}

/// A device that a reset reaches which leaves the machine and its RAM as they are.
pub trait Reset: Send {
    /// Puts the device into the state that it had at first. No vCPU runs meanwhile.
    fn reset(&mut self);
}

/// The offset of each byte of an access. No device reaches the end of the address space, where they stay.
fn byte_offsets(offset: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |byte| offset.saturating_add(byte))
}

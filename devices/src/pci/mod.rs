//! PCI: a host bridge with memory-mapped configuration space (PCI Express Base 6.0, 7.2.2) and one bus, on it functions with
//! one BAR each.

mod config;
mod host;
mod intx;
mod msix;
#[cfg(test)]
mod tests;

pub use config::{ConfigSpace, ConfigState, Identity};
pub use host::{Ecam, Function, Memory, PciError, PciHost};
pub use intx::{INTX_LINES, SharedLine};
pub use msix::{Messages, Msix, VectorState};

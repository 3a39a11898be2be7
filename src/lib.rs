//! Triarch: the VM builder, the machine, and the command line.
#![deny(clippy::print_stderr, clippy::print_stdout, reason = "they panic when nobody reads; see `tell`")]

pub mod builder;
pub mod ccw;
pub mod channel;
pub mod cli;
pub mod console;
pub mod control;
pub mod devices;
pub mod disk;
pub mod loader;
pub mod machine;
pub mod memory;
pub mod net;
pub mod pci;
pub mod platform;
pub mod ports;
pub mod reactor;
pub mod routes;
pub mod s390x;
pub mod shutdown;
mod socket;
pub mod stats;
mod tell;
pub mod vcpu;
pub mod vhost_user;
pub mod virtio;
pub mod wake;
pub mod watchdog;

pub use triarch_arch::Isa;

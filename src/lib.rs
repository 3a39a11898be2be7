//! Triarch: the VM builder, the machine, and the command line.
#![deny(clippy::print_stderr, clippy::print_stdout, reason = "they panic when nobody reads; see `tell`")]
#![cfg_attr(fuzzing, allow(dead_code))]
#![cfg_attr(
    any(test, fuzzing),
    allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that fails is what it is for")
)]

pub mod builder;
pub mod ccw;
pub mod channel;
pub mod cli;
pub mod console;
pub mod control;
pub mod devices;
pub mod disk;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
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

//! Triarch: the VM builder, the machine, and the command line.

pub use triarch_arch::Isa;

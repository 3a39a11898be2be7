//! Per-ISA data and boot protocols, the hypervisor seam, and the KVM glue.
//!
//! Everything but [`kvm`] is plain code: it compiles, and is tested, on every host for every guest ISA. `cfg(target_arch)`
//! stands in two places of this crate: the [`host`] re-export below, and the choice of the glue file in `kvm/mod.rs`.

pub mod aarch64;
mod byte_group;
pub mod hv;
pub mod image;
mod isa;
pub mod kvm;
pub mod ram;
pub mod s390x;
pub mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64 as host;
#[cfg(target_arch = "s390x")]
pub use s390x as host;
#[cfg(target_arch = "x86_64")]
pub use x86_64 as host;

pub use byte_group::ByteGroup;
pub use isa::{Isa, ParseIsaError};

/// Guest RAM: shared, mapped regions that KVM, the loader and device back-ends all see.
pub type GuestRam = vm_memory::GuestMemoryMmap<()>;

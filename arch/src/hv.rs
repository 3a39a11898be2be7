//! The hypervisor seam: what the machine asks of a hypervisor and what comes back, in terms that fit every ISA.
//!
//! These are plain types. The KVM glue ([`crate::kvm`]) turns them into ioctls.

use serde::Serialize;

use crate::{Isa, aarch64, s390x, x86_64};

/// What a host can give to its guests, read once before planning.
#[derive(Debug, Clone, PartialEq)]
pub struct HostCaps {
    /// The most vCPUs that one machine may have.
    pub max_vcpus: u32,
    /// What only one ISA has.
    pub isa: IsaCaps,
}

/// The part of [`HostCaps`] that differs between ISAs.
#[derive(Debug, Clone, PartialEq)]
pub enum IsaCaps {
    /// An x86_64 host.
    X86_64(x86_64::HostCaps),
    /// An aarch64 host.
    Aarch64(aarch64::HostCaps),
    /// An s390x host.
    S390x(s390x::HostCaps),
}

impl HostCaps {
    /// Capabilities of a common host of `isa`, for plans that are only looked at.
    pub fn typical(isa: Isa) -> Self {
        match isa {
            Isa::X86_64 => HostCaps { max_vcpus: 1024, isa: IsaCaps::X86_64(x86_64::HostCaps::typical()) },
            Isa::Aarch64 => HostCaps { max_vcpus: 512, isa: IsaCaps::Aarch64(aarch64::HostCaps::typical()) },
            Isa::S390x => HostCaps { max_vcpus: 248, isa: IsaCaps::S390x(s390x::HostCaps::typical()) },
        }
    }
}

/// The interrupt controller that a machine has, with all that creating it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Irqchip {
    /// LAPICs, IOAPIC and PICs in the kernel.
    X86Kernel {
        /// Whether an i8254 is created too. Its creation and end cost milliseconds.
        pit: bool,
    },
    /// LAPICs in the kernel, the IOAPIC among our devices.
    X86Split {
        /// Input pins of the IOAPIC.
        pins: u32,
    },
    /// A GICv2.
    GicV2 {
        /// Guest-physical address of the distributor.
        distributor: u64,
        /// Guest-physical address of the CPU interface.
        cpu_interface: u64,
        /// Interrupt ids, SGIs and PPIs included.
        irqs: u32,
    },
    /// A GICv3.
    GicV3 {
        /// Guest-physical address of the distributor.
        distributor: u64,
        /// Guest-physical address of the first redistributor; the others follow, 128 KiB each.
        redistributors: u64,
        /// Guest-physical address of the interrupt translation service, if there is one.
        its: Option<u64>,
        /// Interrupt ids, SGIs and PPIs included.
        irqs: u32,
    },
    /// The floating interrupt controller.
    Flic,
}

/// How an interrupt of a device reaches the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum IrqRoute {
    /// A pin of the IOAPIC (x86_64) or a shared peripheral interrupt, counted from 0 (aarch64).
    Pin {
        /// The pin.
        pin: u32,
    },
    /// A message.
    Msi {
        /// Address that the message is written to.
        address: u64,
        /// Data of the message.
        data: u32,
        /// Requester id, for the GIC's ITS.
        requester: u32,
    },
    /// The SCLP's service signal, an external interrupt (s390x).
    ServiceSignal,
    /// An adapter's interrupt, that KVM tells of by setting bits in the guest's memory (s390x).
    Adapter {
        /// Guest-physical address of a byte that has the indicator.
        indicator: u64,
        /// The indicator's bit in it: 0 is the most significant.
        bit: u8,
        /// Guest-physical address of the summary byte, of which the least significant bit is set.
        summary: u64,
        /// Interruption subclass.
        isc: u8,
    },
}

/// Where a guest's driver rings for a device, so that KVM can write an eventfd instead of leaving the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doorbell {
    /// A 32-bit write of a value to an address without memory.
    Mmio {
        /// Guest-physical address.
        address: u64,
        /// The value; other values leave the guest.
        value: u32,
    },
    /// A write of any size and value to an address without memory.
    Address {
        /// Guest-physical address.
        address: u64,
    },
    /// A notification of a virtio device by DIAGNOSE 500 (s390x).
    Ccw {
        /// The device's subsystem-identification word.
        id: u32,
        /// Its queue; those of other queues leave the guest.
        queue: u32,
    },
}

/// An interrupt sent to the guest from the VMM's own threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// A line of the in-kernel interrupt controller goes up or down.
    Line {
        /// As in [`IrqRoute::Pin`].
        pin: u32,
        /// The new level.
        asserted: bool,
    },
    /// A message.
    Msi {
        /// Address that the message is written to.
        address: u64,
        /// Data of the message.
        data: u32,
        /// Requester id, for the GIC's ITS.
        requester: u32,
    },
    /// A service signal (s390x).
    Service {
        /// SCCB address and event-pending bit (z/Architecture's external interrupt 0x2401).
        parameter: u32,
    },
    /// An I/O interruption (s390x).
    Io {
        /// The subsystem-identification word; 0 for an adapter.
        id: u32,
        /// The interruption parameter.
        parameter: u32,
        /// The interruption-identification word.
        word: u32,
    },
    /// None: a subchannel's I/O interruption that the guest has not taken yet is taken back (s390x).
    WithdrawIo {
        /// The subsystem-identification word.
        id: u32,
    },
    /// The machine check that tells of channel reports (s390x).
    ChannelReport,
}

/// State of one vCPU, of whichever ISA.
///
/// Groups that are absent are left as the vCPU has them; a saved state has every group that the host offers. So a plan's
/// boot registers and a snapshot's vCPU go through the same restore.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VcpuState {
    /// An x86_64 vCPU.
    #[serde(rename = "x86_64")]
    X86_64(Box<x86_64::VcpuState>),
    /// An aarch64 vCPU.
    Aarch64(Box<aarch64::VcpuState>),
    /// An s390x vCPU.
    S390x(Box<s390x::VcpuState>),
}

impl VcpuState {
    /// The ISA that this is a state of.
    pub const fn isa(&self) -> Isa {
        match self {
            VcpuState::X86_64(_) => Isa::X86_64,
            VcpuState::Aarch64(_) => Isa::Aarch64,
            VcpuState::S390x(_) => Isa::S390x,
        }
    }
}

/// How the vCPUs of a machine look to the guest.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuModel {
    /// Leaves for every vCPU; topology and APIC id are filled in a vCPU.
    #[serde(rename = "x86_64")]
    X86_64(x86_64::CpuModel),
    /// Features that KVM_ARM_VCPU_INIT is asked for.
    Aarch64(aarch64::CpuModel),
    /// Type, facilities and identifier.
    S390x(s390x::CpuModel),
}

/// Why a vCPU came back from the guest.
///
/// Data slices and answers are the guest's registers in waiting: what is stored there takes effect when the vCPU next runs.
#[derive(Debug)]
pub enum Exit<'a> {
    /// A read of a port.
    PioRead {
        /// The port.
        port: u16,
        /// Bytes a single access: 1, 2 or 4.
        size: usize,
        /// Where the values go: one, or several of a string instruction.
        data: &'a mut [u8],
    },
    /// A write to a port.
    PioWrite {
        /// The port.
        port: u16,
        /// Bytes a single access: 1, 2 or 4.
        size: usize,
        /// The values: one, or several of a string instruction.
        data: &'a [u8],
    },
    /// A read of an address without memory.
    MmioRead {
        /// Guest-physical address.
        address: u64,
        /// Where the value goes: 1 to 8 bytes.
        data: &'a mut [u8],
    },
    /// A write to an address without memory.
    MmioWrite {
        /// Guest-physical address.
        address: u64,
        /// The value: 1 to 8 bytes.
        data: &'a [u8],
    },
    /// The guest ended an interrupt of a split irqchip's IOAPIC.
    IoapicEoi {
        /// The vector.
        vector: u8,
    },
    /// An s390x instruction or state change that is the VMM's to carry out.
    S390x {
        /// What the guest asks for.
        call: s390x::Call,
        /// What it gets; its default completes the instruction with condition code 0.
        answer: &'a mut s390x::Answer,
    },
    /// The guest asked for something that ends or restarts the machine.
    System(SystemEvent),
    /// A signal, or a request to leave the guest, came in.
    Interrupted,
    /// Nothing to do: run again.
    Resume,
}

/// An event that concerns the machine as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemEvent {
    /// The guest powered the machine off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// The guest asked for a reset that leaves RAM as it is. The vCPU that reports this goes on after it.
    SubsystemReset(SubsystemReset),
    /// The guest can't go on: a triple fault, a disabled wait, an instruction that KVM can't emulate.
    Crash {
        /// In plain words, with registers where they help.
        reason: String,
    },
}

/// A reset of CPUs and devices that leaves RAM as it is: what kernels of s390x start other kernels by (DIAGNOSE 308).
///
/// The vCPU that asked for it goes on at the PSW at absolute address 0; the others are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubsystemReset {
    /// Every CPU gets a clear reset: all registers are zero.
    Clear,
    /// The CPU that asked gets an initial CPU reset, the others get a CPU reset: they keep their registers, for a dump.
    LoadNormal,
}

/// An ability of a host, for `triarch check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// Its name, as the kernel's documentation has it.
    pub name: &'static str,
    /// Whether the host has it.
    pub present: bool,
    /// Whether no guest can run without it.
    pub required: bool,
    /// What it is for, and what its absence costs, in plain words.
    pub meaning: &'static str,
}

//! The plan of a machine.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use triarch_arch::Isa;
use triarch_arch::hv::{CpuModel, IrqRoute, Irqchip, VcpuState};

use crate::{Board, VirtioKind};

/// All that a machine is when it starts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachinePlan {
    /// The guest's ISA.
    pub isa: Isa,
    /// The board that made the plan.
    pub board: Board,
    /// Number of vCPUs; all are there from the start, all but vCPU 0 wait for the guest to start them.
    pub cpus: u32,
    /// How the vCPUs look to the guest.
    pub cpu_model: CpuModel,
    /// RAM, by ascending address.
    pub ram: Vec<RamRange>,
    /// Memory that devices bring, by ascending address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_memory: Vec<DeviceMemory>,
    /// The interrupt controller.
    pub irqchip: Irqchip,
    /// Devices.
    pub slots: Vec<DeviceSlot>,
    /// What is in RAM at the start, by ascending address; they do not overlap.
    pub segments: Vec<Segment>,
    /// State of vCPU 0 at the start. `None` when there is no kernel.
    pub boot_vcpu: Option<VcpuState>,
}

/// A range of RAM, of less than 8 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RamRange {
    /// Guest-physical address.
    pub base: u64,
    /// Size in bytes.
    pub size: u64,
}

impl RamRange {
    /// The most bytes of RAM in a row: one of KVM's memory slots has fewer than 2^31 pages (Linux, `KVM_MEM_MAX_NR_PAGES`).
    pub(crate) const MAX: u64 = (1 << 43) - (1 << 20);
}

/// Memory that a device brings into the guest's address space. The guest is told of it by the device's driver, not as RAM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceMemory {
    /// The name of the device's slot.
    pub device: Cow<'static, str>,
    /// Guest-physical address.
    pub base: u64,
    /// Size in bytes.
    pub size: u64,
}

impl DeviceMemory {
    /// The range of addresses.
    pub const fn range(&self) -> RamRange {
        RamRange { base: self.base, size: self.size }
    }
}

/// A device, where it sits and how it interrupts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceSlot {
    /// Unique name, such as `serial0`.
    pub name: Cow<'static, str>,
    /// What it is.
    pub kind: DeviceKind,
    /// Where it sits.
    pub at: Attachment,
    /// How it interrupts, if it does.
    pub irq: Option<IrqRoute>,
}

/// The device models that boards know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A 16550A serial port.
    Uart16550,
    /// The i8042 keyboard controller, as far as a reset needs it.
    I8042,
    /// Sleep and reset registers of hardware-reduced ACPI.
    AcpiPower,
    /// The event register of hardware-reduced ACPI, with the power button.
    AcpiEvents,
    /// The IOAPIC of a split irqchip.
    Ioapic,
    /// Arm's PL011 serial port.
    Pl011,
    /// Arm's PL031 real-time clock.
    Pl031,
    /// A power key.
    PowerKey,
    /// The register by which a kernel tells that it has panicked.
    Pvpanic,
    /// The service-call logical processor with its event facility and consoles.
    Sclp,
    /// A PCI host bridge; its first line leads where the slot's interrupt says, the other three to the pins that follow.
    PciHost,
    /// Intel's 6300ESB watchdog, on a PCI bus.
    I6300esb,
    /// The watchdog of DIAGNOSE 288.
    Diag288,
    /// A virtio device, on the transport that its attachment tells of.
    Virtio(VirtioKind),
}

/// Where a device sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "bus")]
pub enum Attachment {
    /// In the guest-physical address space.
    Mmio {
        /// First address.
        base: u64,
        /// Size in bytes.
        size: u64,
    },
    /// Among the ports (x86_64).
    Pio {
        /// First port.
        base: u16,
        /// Number of ports.
        size: u16,
    },
    /// Between the guest-physical address space and a PCI bus.
    HostBridge {
        /// First address of configuration space, of 1 MiB.
        ecam: u64,
        /// First address that its devices' registers may have.
        memory: u64,
        /// Bytes from there on.
        size: u64,
    },
    /// On the PCI bus, as function 0.
    Pci {
        /// The device's number.
        device: u8,
        /// Guest-physical address of its registers, until the guest moves them.
        bar: u64,
    },
    /// Nowhere: it has an interrupt only.
    Line,
    /// Reached by SERVICE CALL (s390x).
    ServiceCall,
    /// Reached by DIAGNOSE (s390x).
    Diagnose {
        /// The function's code.
        function: u16,
    },
    /// Behind a subchannel (s390x).
    Subchannel {
        /// The subchannel's number.
        number: u16,
        /// The device number.
        device: u16,
    },
}

/// Something that is in RAM at the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// What it is: `kernel`, `initrd`, `fdt`, ...
    pub name: &'static str,
    /// Guest-physical address.
    pub address: u64,
    /// Bytes of RAM that it takes; what its source does not fill is zero.
    pub size: u64,
    /// Where its bytes come from.
    pub source: Source,
}

/// Where a segment's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum Source {
    /// The unpacked kernel.
    Kernel {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// All of the initrd.
    Initrd {
        /// Number of bytes.
        len: u64,
    },
    /// Made by the plan.
    Bytes {
        /// The bytes; printed as their number.
        #[serde(serialize_with = "as_len", rename = "len")]
        bytes: Vec<u8>,
    },
}

fn as_len<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(bytes.len() as u64)
}

impl Source {
    /// Number of bytes that the source gives.
    pub fn len(&self) -> u64 {
        match self {
            Source::Kernel { len, .. } | Source::Initrd { len } => *len,
            Source::Bytes { bytes } => bytes.len() as u64,
        }
    }

    /// Whether the source gives nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

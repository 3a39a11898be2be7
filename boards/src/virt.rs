//! Board virt: aarch64 with a GIC, PSCI, an FDT and a PL011.

use std::borrow::Cow;

use triarch_arch::Isa;
use triarch_arch::aarch64::fdt::{self, FdtSpec, Gic, Pci, Peripheral};
use triarch_arch::aarch64::image::Header;
use triarch_arch::aarch64::{self, PSTATE_EL1H_MASKED, Register, VcpuState, reg};
use triarch_arch::hv::{self, CpuModel, HostCaps, IrqRoute, Irqchip, IsaCaps};
use triarch_arch::image::Format;
use triarch_devices::{Pl011, Pl031};

use crate::memory;
use crate::virtio::PciRoom;
use crate::{
    Attachment, Board, DeviceKind, DeviceSlot, Error, MachinePlan, MachineSpec, RamRange, Segment, Source,
    Transport,
};

/// The memory map below RAM. 0 to 128 MiB is left free for firmware's flash.
mod map {
    use triarch_devices::Pvpanic;

    use crate::virtio::{MmioRoom, PciRoom};

    pub const DISTRIBUTOR: (u64, u64) = (0x0800_0000, 0x1_0000);
    pub const CPU_INTERFACE: (u64, u64) = (0x0801_0000, 0x2000);
    pub const ITS: (u64, u64) = (0x0808_0000, 0x2_0000);
    pub const SERIAL: u64 = 0x0900_0000;
    pub const RTC: u64 = 0x0901_0000;
    pub const PVPANIC: (u64, u64) = (0x0902_0000, Pvpanic::SIZE as u64);
    /// Virtio devices behind memory-mapped registers, and their interrupts. There is room up to 0x1000_0000.
    pub const VIRTIO: MmioRoom = MmioRoom { base: 0x0a00_0000, pin: 16, devices: 32 };
    /// The PCI bus: its configuration space lies right below RAM.
    pub const PCI: PciRoom = PciRoom { ecam: 0x3f00_0000, pin: 3 };
    /// Room for those of [`super::MAX_CPUS_GICV3`].
    pub const REDISTRIBUTORS: u64 = 0x1000_0000;
    pub const RAM: u64 = 0x4000_0000;
}

/// Bytes of one vCPU's redistributor.
const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
/// Where the windows of redistributors end, and so the most vCPUs.
const MAX_CPUS_GICV3: u32 = 512;
/// A GICv2 has 8 CPU interfaces.
const MAX_CPUS_GICV2: u32 = 8;

/// The serial port's shared interrupt. The clock has none, as its alarm never rings: a kernel that is told of one believes in the
/// alarm, and waits for it.
const SERIAL_SPI: u32 = 1;
/// The power key's shared interrupt.
const POWER_KEY_SPI: u32 = 2;
/// Interrupt ids: 32 private ones and 224 shared ones, room for every device that the board can have.
const IRQS: u32 = 256;

/// The least RAM: a stock kernel's image takes some 40 MiB, and it needs as much again to get to its init.
const MIN_MEMORY: u64 = 64 << 20;

/// The longest command line that Linux takes: COMMAND_LINE_SIZE, less the terminating NUL.
const MAX_CMDLINE: usize = 2047;

/// The kernel's base is 2 MiB aligned; so are the FDT and the initrd, each in blocks of its own.
const BLOCK: u64 = 2 << 20;
/// The kernel and its initrd lie within 32 GiB, which every kernel's linear map covers (booting.rst).
const INITRD_WINDOW: u64 = 32 << 30;

/// Plans a virt machine.
pub(crate) fn plan(spec: &MachineSpec, host: &HostCaps) -> Result<MachinePlan, Error> {
    let IsaCaps::Aarch64(caps) = &host.isa else {
        return Err(Error::Host { board: spec.board, what: "it is no aarch64 host".to_owned() });
    };
    let irqchip = irqchip(spec, caps)?;
    let is_pci = is_pci(spec, caps)?;
    let devices = if is_pci { PciRoom::WINDOW } else { 0 };
    let max = RamRange::MAX.min((1u64 << caps.address_bits).saturating_sub(map::RAM + devices));
    if spec.memory < MIN_MEMORY || spec.memory > max {
        return Err(Error::Memory { board: spec.board, memory: spec.memory, min: MIN_MEMORY, max });
    }
    let serial = Peripheral { base: map::SERIAL, size: Pl011::SIZE, spi: Some(SERIAL_SPI) };
    let rtc = Peripheral { base: map::RTC, size: Pl031::SIZE, spi: None };
    let ram = vec![RamRange { base: map::RAM, size: spec.memory }];
    let device_memory = memory::behind(spec, &ram, 1 << caps.address_bits)?;
    let virtio = if is_pci {
        map::PCI.slots(spec, &memory::all(&ram, &device_memory), 1 << caps.address_bits)?
    } else {
        PciRoom::check_absent(spec)?;
        map::VIRTIO.slots(spec)?
    };
    let (segments, boot_vcpu) = match &spec.kernel {
        None => (Vec::new(), None),
        Some(kernel) => {
            let Format::Arm64(header) = &kernel.format else {
                return Err(Error::Kernel { board: spec.board, what: "it is no arm64 Image".to_owned() });
            };
            let layout = Layout::new(spec, header)?;
            let fdt = fdt_bytes(spec, caps, &irqchip, (serial, rtc, &virtio), &layout)?;
            let boot = boot_vcpu(&layout);
            (layout.segments(kernel.len, fdt), Some(boot))
        }
    };
    let slot = |name, kind, device: Peripheral| DeviceSlot {
        name: Cow::Borrowed(name),
        kind,
        at: Attachment::Mmio { base: device.base, size: device.size },
        irq: device.spi.map(|pin| IrqRoute::Pin { pin }),
    };
    let mut slots = vec![slot("serial0", DeviceKind::Pl011, serial), slot("rtc0", DeviceKind::Pl031, rtc)];
    slots.push(DeviceSlot {
        name: Cow::Borrowed("power-key"),
        kind: DeviceKind::PowerKey,
        at: Attachment::Line,
        irq: Some(IrqRoute::Pin { pin: POWER_KEY_SPI }),
    });
    if let Some((base, size)) = pvpanic(spec) {
        slots.push(slot("pvpanic", DeviceKind::Pvpanic, Peripheral { base, size, spi: None }));
    }
    slots.extend(virtio);
    Ok(MachinePlan {
        isa: Isa::Aarch64,
        board: Board::Virt,
        cpus: spec.cpus,
        cpu_model: CpuModel::Aarch64(caps.cpu),
        ram,
        device_memory,
        irqchip,
        slots,
        segments,
        boot_vcpu,
    })
}

/// Whether there is a PCI bus. Its devices interrupt by messages, which only an ITS takes, and have registers above 4 GiB.
fn is_pci(spec: &MachineSpec, caps: &aarch64::HostCaps) -> Result<bool, Error> {
    let takes_messages = caps.gic_v3 && caps.its;
    let has_room = 1 << caps.address_bits >= PciRoom::WINDOW_BASE + PciRoom::WINDOW;
    let default = if takes_messages && has_room { Transport::Pci } else { Transport::Mmio };
    let is_used = PciRoom::is_used(spec, default);
    if is_used && !takes_messages {
        let what = "its KVM has no interrupt translation service for PCI's messages; use --transport mmio";
        return Err(Error::Host { board: spec.board, what: what.to_owned() });
    }
    Ok(is_used)
}

/// The best interrupt controller that the host has.
fn irqchip(spec: &MachineSpec, caps: &aarch64::HostCaps) -> Result<Irqchip, Error> {
    let (irqchip, max) = if caps.gic_v3 {
        let its = caps.its.then_some(map::ITS.0);
        let (distributor, redistributors) = (map::DISTRIBUTOR.0, map::REDISTRIBUTORS);
        (Irqchip::GicV3 { distributor, redistributors, its, irqs: IRQS }, MAX_CPUS_GICV3)
    } else if caps.gic_v2 {
        let (distributor, cpu_interface) = (map::DISTRIBUTOR.0, map::CPU_INTERFACE.0);
        (Irqchip::GicV2 { distributor, cpu_interface, irqs: IRQS }, MAX_CPUS_GICV2)
    } else {
        let what = "its KVM offers neither a GICv3 nor a GICv2".to_owned();
        return Err(Error::Host { board: spec.board, what });
    };
    if spec.cpus > max {
        return Err(Error::Cpus { cpus: spec.cpus, max });
    }
    Ok(irqchip)
}

/// Where things are in RAM: kernel, then FDT, then initrd, each from a block's start on.
struct Layout {
    kernel: u64,
    /// Bytes from the kernel on that it takes, its zeroed part included.
    kernel_size: u64,
    fdt: u64,
    initrd: Option<(u64, u64)>,
}

impl Layout {
    fn new(spec: &MachineSpec, header: &Header) -> Result<Self, Error> {
        if spec.cmdline.len() > MAX_CMDLINE {
            return Err(Error::CmdlineTooLong { len: spec.cmdline.len(), max: MAX_CMDLINE });
        }
        let end = map::RAM + spec.memory;
        let too_large = |what, size, room| Error::DoesNotFit { what, size, room, memory: spec.memory };
        let kernel = map::RAM + header.text_offset;
        let fdt = (kernel + header.image_size).next_multiple_of(BLOCK);
        let initrd = fdt + fdt::MAX_SIZE;
        if initrd > end {
            let room = end.saturating_sub(kernel + fdt::MAX_SIZE);
            return Err(too_large("kernel", header.image_size, room));
        }
        let initrd = match spec.initrd {
            None => None,
            Some(size) => {
                let room = end.min(map::RAM + INITRD_WINDOW).saturating_sub(initrd);
                if size > room {
                    return Err(too_large("initrd", size, room));
                }
                Some((initrd, size))
            }
        };
        Ok(Layout { kernel, kernel_size: header.image_size, fdt, initrd })
    }

    fn segments(&self, kernel_len: u64, fdt: Vec<u8>) -> Vec<Segment> {
        let kernel = Source::Kernel { offset: 0, len: kernel_len };
        let mut segments = vec![
            Segment { name: "kernel", address: self.kernel, size: self.kernel_size, source: kernel },
            Segment {
                name: "fdt",
                address: self.fdt,
                size: fdt.len() as u64,
                source: Source::Bytes { bytes: fdt },
            },
        ];
        segments.extend(self.initrd.map(|(address, len)| Segment {
            name: "initrd",
            address,
            size: len,
            source: Source::Initrd { len },
        }));
        segments
    }
}

fn fdt_bytes(
    spec: &MachineSpec,
    caps: &aarch64::HostCaps,
    irqchip: &Irqchip,
    (serial, rtc, virtio): (Peripheral, Peripheral, &[DeviceSlot]),
    layout: &Layout,
) -> Result<Vec<u8>, Error> {
    let gic = match irqchip {
        Irqchip::GicV2 { .. } => Gic::V2 { distributor: map::DISTRIBUTOR, cpu_interface: map::CPU_INTERFACE },
        _ => Gic::V3 {
            distributor: map::DISTRIBUTOR,
            redistributors: (map::REDISTRIBUTORS, u64::from(spec.cpus) * REDISTRIBUTOR_SIZE),
            its: caps.its.then_some(map::ITS),
        },
    };
    let tree = FdtSpec {
        cpus: spec.cpus,
        ram: vec![(map::RAM, spec.memory)],
        gic,
        pmu: caps.cpu.pmu,
        serial,
        rtc,
        power_key: POWER_KEY_SPI,
        pvpanic: pvpanic(spec),
        virtio: virtio.iter().filter_map(peripheral).collect(),
        pci: PciRoom::window(virtio).map(|memory| Pci {
            ecam: (map::PCI.ecam, PciRoom::ECAM_SIZE),
            memory,
            intx: map::PCI.pins(),
        }),
        cmdline: spec.cmdline.clone(),
        initrd: layout.initrd,
        seed: spec.seed,
    };
    let broken = |what: String| Error::Kernel { board: spec.board, what };
    let bytes = fdt::build(&tree).map_err(|error| broken(format!("no device tree can be made: {error}")))?;
    if bytes.len() as u64 > fdt::MAX_SIZE {
        return Err(broken(format!(
            "its device tree is {} bytes, and it takes at most {}",
            bytes.len(),
            fdt::MAX_SIZE
        )));
    }
    Ok(bytes)
}

/// The window of pvpanic's register: address and size.
fn pvpanic(spec: &MachineSpec) -> Option<(u64, u64)> {
    spec.pvpanic.unwrap_or(true).then_some(map::PVPANIC)
}

/// A device with registers and an interrupt as the tree tells of it.
fn peripheral(slot: &DeviceSlot) -> Option<Peripheral> {
    match (slot.at, slot.irq) {
        (Attachment::Mmio { base, size }, Some(IrqRoute::Pin { pin })) => {
            Some(Peripheral { base, size, spi: Some(pin) })
        }
        _ => None,
    }
}

/// Registers at the kernel's entry (booting.rst, "Call the kernel image"); the others are as after reset.
fn boot_vcpu(layout: &Layout) -> hv::VcpuState {
    let registers = vec![
        Register::u64(reg::x(0), layout.fdt),
        Register::u64(reg::PC, layout.kernel),
        Register::u64(reg::PSTATE, PSTATE_EL1H_MASKED),
    ];
    hv::VcpuState::Aarch64(Box::new(VcpuState { registers, ..VcpuState::default() }))
}

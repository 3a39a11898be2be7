//! Board microvm: an x86_64 machine without legacy. [`layout`] says what is where.

mod boot;
mod layout;

use triarch_arch::Isa;
use triarch_arch::hv::{CpuModel, HostCaps, IrqRoute, Irqchip, IsaCaps};
use triarch_arch::x86_64::{self, cpuid};
use triarch_devices::{AcpiEvents, AcpiPower, Pvpanic};

use crate::memory;
use crate::virtio::PciRoom;
use crate::{
    Attachment, Board, DeviceKind, DeviceSlot, Error, IrqchipChoice, MachinePlan, MachineSpec, RamRange,
    Transport,
};

/// The most vCPUs: ACPI's tables, with about 50 bytes a vCPU, must lie between 0xe_0000 and 1 MiB.
const MAX_CPUS: u32 = 2048;

/// How virtio devices are reached unless it is said.
const TRANSPORT: Transport = Transport::Pci;

/// Plans a microvm machine.
pub(crate) fn plan(spec: &MachineSpec, host: &HostCaps) -> Result<MachinePlan, Error> {
    let IsaCaps::X86_64(caps) = &host.isa else {
        return Err(Error::Host { board: spec.board, what: "it is no x86_64 host".to_owned() });
    };
    check_cpus(spec, caps)?;
    let ram = ram(spec, caps)?;
    let irqchip = irqchip(spec, caps)?;
    let cpu_model = x86_64::CpuModel { cpuid: cpuid::model(&caps.cpuid, spec.cpus) };
    let device_memory = memory::behind(spec, &ram, 1 << caps.physical_address_bits())?;
    let slots = slots(spec, caps, irqchip, &memory::all(&ram, &device_memory))?;
    let boot = match &spec.kernel {
        Some(kernel) => Some(boot::boot(spec, kernel, &ram, &slots)?),
        None => None,
    };
    let (segments, boot_vcpu) = boot.map_or((Vec::new(), None), |boot| (boot.segments, Some(boot.vcpu)));
    Ok(MachinePlan {
        isa: Isa::X86_64,
        board: Board::Microvm,
        cpus: spec.cpus,
        cpu_model: CpuModel::X86_64(cpu_model),
        ram,
        device_memory,
        irqchip,
        slots,
        segments,
        boot_vcpu,
    })
}

fn check_cpus(spec: &MachineSpec, caps: &x86_64::HostCaps) -> Result<(), Error> {
    let max = if caps.x2apic_ids { MAX_CPUS } else { cpuid::MAX_XAPIC_CPUS };
    if spec.cpus > max {
        return Err(Error::Cpus { cpus: spec.cpus, max });
    }
    if spec.cpus > cpuid::MAX_XAPIC_CPUS && spec.irqchip == IrqchipChoice::Kernel {
        return Err(Error::Conflict(format!(
            "--irqchip kernel takes at most {} vCPUs, as its IOAPIC reaches no more: use --irqchip split",
            cpuid::MAX_XAPIC_CPUS
        )));
    }
    Ok(())
}

fn ram(spec: &MachineSpec, caps: &x86_64::HostCaps) -> Result<Vec<RamRange>, Error> {
    let MachineSpec { board, memory, .. } = *spec;
    let address_space = 1u64 << caps.physical_address_bits();
    let devices = if PciRoom::is_used(spec, TRANSPORT) { PciRoom::WINDOW } else { 0 };
    let high = address_space.saturating_sub(layout::HOLE_END + devices).min(RamRange::MAX);
    let (min, max) = (layout::MIN_MEMORY, layout::HOLE + high);
    if memory < min || memory > max {
        return Err(Error::Memory { board, memory, min, max });
    }
    if let Some(base) = boot::base_of_small_ram(spec) {
        let first = RamRange { base: 0, size: layout::HIGH_MEMORY };
        return Ok(vec![first, RamRange { base, size: memory - first.size }]);
    }
    let low = RamRange { base: 0, size: memory.min(layout::HOLE) };
    let high = RamRange { base: layout::HOLE_END, size: memory - low.size };
    Ok([low, high].into_iter().filter(|range| range.size > 0).collect())
}

fn irqchip(spec: &MachineSpec, caps: &x86_64::HostCaps) -> Result<Irqchip, Error> {
    match spec.irqchip {
        IrqchipChoice::Kernel => Ok(Irqchip::X86Kernel { pit: spec.pit }),
        IrqchipChoice::Split if spec.pit => Err(Error::Conflict(
            "--pit needs --irqchip kernel: the kernel's i8254 is wired to the kernel's interrupt controllers"
                .to_owned(),
        )),
        IrqchipChoice::Split if caps.split_irqchip => Ok(Irqchip::X86Split { pins: layout::IOAPIC_PINS }),
        IrqchipChoice::Split => Err(Error::Host {
            board: spec.board,
            what: "its KVM has no split irqchip (KVM_CAP_SPLIT_IRQCHIP); use --irqchip kernel".to_owned(),
        }),
    }
}

fn slots(
    spec: &MachineSpec,
    caps: &x86_64::HostCaps,
    irqchip: Irqchip,
    memory: &[RamRange],
) -> Result<Vec<DeviceSlot>, Error> {
    let mut slots = vec![
        DeviceSlot {
            name: "serial0".into(),
            kind: DeviceKind::Uart16550,
            at: Attachment::Pio { base: layout::SERIAL, size: layout::SERIAL_PORTS },
            irq: Some(IrqRoute::Pin { pin: layout::SERIAL_PIN }),
        },
        DeviceSlot {
            name: "i8042".into(),
            kind: DeviceKind::I8042,
            at: Attachment::Pio { base: layout::I8042, size: layout::I8042_PORTS },
            irq: None,
        },
        DeviceSlot {
            name: "power".into(),
            kind: DeviceKind::AcpiPower,
            at: Attachment::Pio { base: layout::POWER, size: AcpiPower::SIZE },
            irq: None,
        },
        DeviceSlot {
            name: "events".into(),
            kind: DeviceKind::AcpiEvents,
            at: Attachment::Pio { base: layout::EVENTS, size: AcpiEvents::SIZE },
            irq: Some(IrqRoute::Pin { pin: layout::EVENTS_PIN }),
        },
    ];
    if spec.pvpanic.unwrap_or(true) {
        slots.push(DeviceSlot {
            name: "pvpanic".into(),
            kind: DeviceKind::Pvpanic,
            at: Attachment::Pio { base: layout::PVPANIC, size: Pvpanic::SIZE },
            irq: None,
        });
    }
    if let Irqchip::X86Split { .. } = irqchip {
        slots.push(DeviceSlot {
            name: "ioapic".into(),
            kind: DeviceKind::Ioapic,
            at: Attachment::Mmio { base: layout::IOAPIC.into(), size: layout::IOAPIC_SIZE },
            irq: None,
        });
    }
    let is_pci = PciRoom::is_used(spec, TRANSPORT);
    slots.extend(if is_pci {
        layout::PCI.slots(spec, memory, 1 << caps.physical_address_bits())?
    } else {
        PciRoom::check_absent(spec)?;
        layout::VIRTIO.slots(spec)?
    });
    Ok(slots)
}

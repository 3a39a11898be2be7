//! What is in RAM at the start, and where vCPU 0 begins.

use triarch_arch::hv::{IrqRoute, VcpuState};
use triarch_arch::image::{Format, Kernel};
use triarch_arch::x86_64::acpi::{
    self, AcpiEventRegister, AcpiPci, AcpiPowerRegisters, AcpiSerial, AcpiSpec, AcpiVirtio,
};
use triarch_arch::x86_64::boot::{
    E820Entry, E820Kind, enable_x2apic, gdt, long_mode_entry, page_tables, protected_mode_entry,
};
use triarch_arch::x86_64::{bzimage, cpuid, pvh};
use triarch_devices::{AcpiEvents, AcpiPower};

use super::layout;
use crate::virtio::PciRoom;
use crate::{Attachment, DeviceKind, DeviceSlot, Error, MachineSpec, RamRange, Segment, Source};

/// Alignment of the initrd.
const PAGE: u64 = 4096;

/// Alignment of RAM.
const GRANULE: u64 = 1 << 20;

/// What a boot takes.
pub struct Boot {
    /// By ascending address.
    pub segments: Vec<Segment>,
    /// Registers of vCPU 0.
    pub vcpu: VcpuState,
}

/// Where RAM goes on after the first MiB when there is too little to reach from there over the kernel to the initrd's end: at the
/// kernel. `None` when there is enough, or when that would not help.
///
/// Linux runs at 16 MiB at the lowest and takes some 50 MiB there, so this is what a stock kernel in 64 MiB takes.
pub fn base_of_small_ram(spec: &MachineSpec) -> Option<u64> {
    let (start, end) = match &spec.kernel.as_ref()?.format {
        Format::BzImage(header) => (header.pref_address, header.pref_address.checked_add(footprint(header))?),
        Format::Pvh(image) => {
            let end = image.segments.iter().map(|part| part.address + part.memory_size).max()?;
            (image.segments.first()?.address, end)
        }
        Format::Arm64(_) | Format::S390x(_) => return None,
    };
    let end = end.checked_add(spec.initrd.unwrap_or(0))?.checked_next_multiple_of(PAGE)?;
    let base = start & !(GRANULE - 1);
    let moved = base.checked_add(spec.memory - layout::HIGH_MEMORY)?;
    let small = spec.memory < layout::SMALL_MEMORY;
    let helps =
        small && spec.memory < end && end <= moved && base >= layout::HIGH_MEMORY && moved <= layout::HOLE;
    helps.then_some(base)
}

/// Bytes of RAM that a bzImage takes from where it is loaded.
fn footprint(header: &bzimage::Header) -> u64 {
    header.image_size.max(header.init_size.into())
}

/// Plans the boot of `kernel`. `ram` has one or two ranges below 4 GiB, the first from 0 on, and perhaps one above; `slots` are what
/// ACPI tells of.
pub fn boot(
    spec: &MachineSpec,
    kernel: &Kernel,
    ram: &[RamRange],
    slots: &[DeviceSlot],
) -> Result<Boot, Error> {
    let mut planner = Planner { spec, slots, ram, segments: Vec::new() };
    planner.cmdline_and_acpi();
    let mut vcpu = match &kernel.format {
        Format::BzImage(header) => planner.bzimage(header)?,
        Format::Pvh(image) => planner.pvh(image)?,
        Format::Arm64(_) | Format::S390x(_) => {
            return Err(planner.refused("it is not for x86_64".to_owned()));
        }
    };
    let segments = planner.finish()?;
    if spec.cpus > cpuid::MAX_XAPIC_CPUS {
        vcpu.sregs.iter_mut().for_each(enable_x2apic);
    }
    Ok(Boot { segments, vcpu: VcpuState::X86_64(Box::new(vcpu)) })
}

/// What a PC's firmware has at the reset vector: here, a reset, by ACPI's register.
///
/// Linux on hardware-reduced ACPI resets by EFI, and without EFI by a jump to here (`arch/x86/kernel/reboot.c`); it never tries ACPI's
/// register itself.
const RESET_CODE: [u8; 9] = {
    let [low, high] = (layout::POWER + AcpiPower::RESET).to_le_bytes();
    // mov dx, port; mov al, value; out dx, al; hlt; jmp to the hlt
    [0xba, low, high, 0xb0, AcpiPower::RESET_VALUE, 0xee, 0xf4, 0xeb, 0xfd]
};

/// What ACPI's tables tell of the board's devices.
fn acpi_spec(cpus: u32, slots: &[DeviceSlot]) -> AcpiSpec {
    AcpiSpec {
        cpus,
        lapic: layout::LAPIC,
        ioapic: layout::IOAPIC,
        serials: vec![AcpiSerial { port: layout::SERIAL, gsi: layout::SERIAL_PIN }],
        virtio: slots.iter().filter_map(acpi_virtio).collect(),
        pci: PciRoom::window(slots).map(acpi_pci),
        events: AcpiEventRegister {
            port: layout::EVENTS,
            gsi: layout::EVENTS_PIN,
            power_button: AcpiEvents::POWER_BUTTON,
        },
        pvpanic: slots.iter().any(|slot| slot.kind == DeviceKind::Pvpanic).then_some(layout::PVPANIC),
        power: AcpiPowerRegisters {
            sleep_control: layout::POWER + AcpiPower::SLEEP_CONTROL,
            sleep_status: layout::POWER + AcpiPower::SLEEP_STATUS,
            sleep_type_s5: AcpiPower::SLEEP_TYPE_S5,
            reset: layout::POWER + AcpiPower::RESET,
            reset_value: AcpiPower::RESET_VALUE,
        },
    }
}

/// A virtio device as ACPI's tables tell of it.
fn acpi_virtio(slot: &DeviceSlot) -> Option<AcpiVirtio> {
    match (slot.kind, slot.at, slot.irq) {
        (DeviceKind::Virtio(_), Attachment::Mmio { base, size }, Some(IrqRoute::Pin { pin })) => {
            // Below 4 GiB, as all of the board's windows.
            Some(AcpiVirtio { base: u32::try_from(base).ok()?, size: u32::try_from(size).ok()?, gsi: pin })
        }
        _ => None,
    }
}

/// The bus as ACPI's tables tell of it.
fn acpi_pci(memory: (u64, u64)) -> AcpiPci {
    AcpiPci { ecam: layout::PCI_ECAM, memory, intx: layout::PCI.pins() }
}

struct Planner<'a> {
    spec: &'a MachineSpec,
    slots: &'a [DeviceSlot],
    ram: &'a [RamRange],
    segments: Vec<Segment>,
}

impl Planner<'_> {
    fn refused(&self, what: String) -> Error {
        Error::Kernel { board: self.spec.board, what }
    }

    fn does_not_fit(&self, what: &'static str, size: u64, room: u64) -> Error {
        Error::DoesNotFit { what, size, room, memory: self.spec.memory }
    }

    /// End of RAM below 4 GiB.
    fn low_end(&self) -> u64 {
        let low = self.ram.iter().filter(|range| range.base < layout::HOLE);
        low.map(|range| range.base + range.size).max().unwrap_or(0)
    }

    fn add(&mut self, name: &'static str, address: u64, source: Source) {
        let size = source.len();
        self.segments.push(Segment { name, address, size, source });
    }

    fn add_bytes(&mut self, name: &'static str, address: u64, bytes: Vec<u8>) {
        self.add(name, address, Source::Bytes { bytes });
    }

    fn cmdline_and_acpi(&mut self) {
        let mut cmdline = self.spec.cmdline.clone().into_bytes();
        cmdline.push(0);
        self.add_bytes("cmdline", layout::CMDLINE, cmdline);
        self.add_bytes(
            "acpi",
            layout::ACPI,
            acpi::build(&acpi_spec(self.spec.cpus, self.slots), layout::ACPI),
        );
        self.add_bytes("reset-vector", layout::RESET_VECTOR, RESET_CODE.to_vec());
    }

    /// Checks the command line's length, without its NUL.
    fn check_cmdline(&self, max: usize) -> Result<(), Error> {
        let len = self.spec.cmdline.len();
        let room = usize::try_from(layout::CMDLINE_ROOM - 1).unwrap_or(usize::MAX);
        let max = max.min(room);
        if len > max { Err(Error::CmdlineTooLong { len, max }) } else { Ok(()) }
    }

    fn memory_map(&self) -> Vec<E820Entry> {
        let entry = |base, end, kind| E820Entry { base, size: end - base, kind };
        let mut map = vec![
            entry(0, layout::LOW_RAM_END, E820Kind::Ram),
            entry(layout::LOW_RAM_END, layout::HIGH_MEMORY, E820Kind::Reserved),
        ];
        let above = self.ram.iter().map(|r| (r.base.max(layout::HIGH_MEMORY), r.base + r.size));
        map.extend(above.filter(|(base, end)| base < end).map(|(base, end)| entry(base, end, E820Kind::Ram)));
        map
    }

    /// Puts the initrd as high as `limit` allows, above `kernel_end`; where it may be above 4 GiB, and only fits there, at the end
    /// of RAM.
    fn initrd(&mut self, kernel_end: u64, limit: u64, above_4g: bool) -> Result<Option<(u64, u64)>, Error> {
        let Some(len) = self.spec.initrd.filter(|len| *len > 0) else { return Ok(None) };
        let below = |end: u64| end.checked_sub(len).map(|address| address & !(PAGE - 1));
        let low_end = self.low_end().min(limit);
        let low = below(low_end).filter(|address| *address >= kernel_end);
        let high = || {
            let range = self.ram.iter().find(|range| above_4g && range.base >= layout::HOLE_END)?;
            below(range.base + range.size).filter(|address| *address >= range.base)
        };
        let address = low
            .or_else(high)
            .ok_or_else(|| self.does_not_fit("initrd", len, low_end.saturating_sub(kernel_end)))?;
        self.add("initrd", address, Source::Initrd { len });
        Ok(Some((address, len)))
    }

    /// The 64-bit boot protocol.
    fn bzimage(&mut self, header: &bzimage::Header) -> Result<triarch_arch::x86_64::VcpuState, Error> {
        if !header.has_64_bit_entry() {
            let (major, minor) = (header.version >> 8, header.version & 0xff);
            return Err(self.refused(format!(
                "it has no 64-bit entry (boot protocol {major}.{minor:02}, xloadflags {:#x}); 2.12 with XLF_KERNEL_64 is needed",
                header.xloadflags
            )));
        }
        self.check_cmdline(usize::try_from(header.cmdline_size).unwrap_or(usize::MAX))?;
        // A relocatable kernel never runs below pref_address, wherever it is loaded, so there is no better place.
        let address = header.pref_address;
        if address < layout::HIGH_MEMORY {
            return Err(self.refused(format!("it wants to be loaded at {address:#x}, below 1 MiB")));
        }
        let size = footprint(header);
        let end = address.saturating_add(size);
        if end > self.low_end() {
            let room = self.low_end().saturating_sub(address);
            return Err(self.does_not_fit("kernel", size, room));
        }
        let source = Source::Kernel { offset: header.setup_size, len: header.image_size };
        self.segments.push(Segment { name: "kernel", address, size, source });
        let limit = u64::from(header.initrd_addr_max) + 1;
        let initrd = self.initrd(end, limit, header.takes_initrd_above_4g())?;
        let params = bzimage::BootParams {
            kernel: address,
            cmdline: layout::CMDLINE,
            initrd,
            rsdp: layout::ACPI,
            setup_data: layout::SETUP_DATA,
            e820: &self.memory_map(),
        };
        let zero_page = bzimage::zero_page(header, &params);
        self.add_bytes("zero-page", layout::ZERO_PAGE, zero_page);
        self.add_bytes("rng-seed", layout::SETUP_DATA, bzimage::rng_seed(&self.spec.seed));
        self.add_bytes("gdt", layout::GDT, gdt());
        self.add_bytes("page-tables", layout::PAGE_TABLES, page_tables(layout::PAGE_TABLES));
        let entry = address + bzimage::ENTRY_64;
        Ok(long_mode_entry(entry, layout::ZERO_PAGE, layout::GDT, layout::PAGE_TABLES))
    }

    /// PVH.
    fn pvh(&mut self, image: &pvh::Image) -> Result<triarch_arch::x86_64::VcpuState, Error> {
        self.check_cmdline(pvh::CMDLINE_MAX)?;
        let mut end = layout::HIGH_MEMORY;
        for part in &image.segments {
            let pvh::LoadSegment { address, memory_size, offset, file_size } = *part;
            if address < layout::HIGH_MEMORY {
                return Err(self.refused(format!("it wants to be loaded at {address:#x}, below 1 MiB")));
            }
            // Sizes were checked against overflow when the file was looked at.
            let part_end = address + memory_size;
            if part_end > self.low_end() {
                let room = self.low_end().saturating_sub(address);
                return Err(self.does_not_fit("kernel", memory_size, room));
            }
            let source = Source::Kernel { offset, len: file_size };
            self.segments.push(Segment { name: "kernel", address, size: memory_size, source });
            end = end.max(part_end);
        }
        let initrd = self.initrd(end, layout::HOLE, false)?;
        let memory = self.memory_map();
        let params =
            pvh::StartParams { cmdline: layout::CMDLINE, initrd, rsdp: layout::ACPI, memory: &memory };
        let start_info = pvh::start_info(layout::START_INFO, &params);
        self.add_bytes("start-info", layout::START_INFO, start_info);
        Ok(protected_mode_entry(image.entry.into(), layout::START_INFO))
    }

    /// The segments by ascending address. That ours do not overlap is by [`layout`]; a kernel's own may.
    fn finish(mut self) -> Result<Vec<Segment>, Error> {
        self.segments.sort_by_key(|segment| segment.address);
        for pair in self.segments.windows(2) {
            if let [first, second] = pair
                && first.address + first.size > second.address
            {
                return Err(self.refused(format!(
                    "its parts overlap: {} at {:#x} and {} at {:#x}",
                    first.name, first.address, second.name, second.address
                )));
            }
        }
        Ok(self.segments)
    }
}

//! Board ccw: s390x with an SCLP. RAM begins at 0, and there is nothing else in the address space.

use triarch_arch::Isa;
use triarch_arch::hv::{self, CpuModel, HostCaps, IrqRoute, Irqchip, IsaCaps};
use triarch_arch::image::{Format, Kernel};
use triarch_arch::s390x::image::{self, Header, parameters};
use triarch_arch::s390x::{MpState, Psw, VcpuState};
use triarch_devices::Sclp;

use crate::{
    Attachment, Board, DeviceKind, DeviceSlot, Error, MachinePlan, MachineSpec, RamRange, Segment, Source,
    virtio,
};

/// The least RAM: a stock kernel's image, its decompressor's heap and what it unpacks take some 48 MiB at once.
const MIN_MEMORY: u64 = 64 << 20;

/// Behind the image the decompressor has its variables and stack: less than this. Its heap and what it unpacks follow, but
/// before it uses them it moves an initrd out of the way.
const DECOMPRESSOR_ROOM: u64 = 1 << 20;
/// The initrd begins at a multiple of this, as with other loaders; a page would do.
const INITRD_ALIGN: u64 = 1 << 20;

/// Plans a ccw machine.
pub(crate) fn plan(spec: &MachineSpec, host: &HostCaps) -> Result<MachinePlan, Error> {
    let IsaCaps::S390x(caps) = &host.isa else {
        return Err(Error::Host { board: spec.board, what: "it is no s390x host".to_owned() });
    };
    if spec.cpus > Sclp::MAX_CPUS {
        return Err(Error::Cpus { cpus: spec.cpus, max: Sclp::MAX_CPUS });
    }
    if spec.transport.is_some() {
        let what = format!("--transport is for x86_64 and aarch64: board {} has channel I/O", spec.board);
        return Err(Error::Conflict(what));
    }
    if let Some(kind) = spec.virtio.iter().find(|kind| kind.memory().is_some()) {
        let what = format!(
            "--{} is for x86_64 and aarch64: Linux on s390x has no driver for it (before 6.13, and Debian's kernels), \
             and board {} has no addresses behind RAM",
            kind.name(),
            spec.board
        );
        return Err(Error::Conflict(what));
    }
    if spec.pvpanic == Some(true) {
        let what =
            "--pvpanic is for x86_64 and aarch64: a kernel for s390x that panics stops in a disabled wait";
        return Err(Error::Conflict(what.to_owned()));
    }
    let max = caps.max_memory.min(RamRange::MAX);
    if spec.memory < MIN_MEMORY || spec.memory > max {
        return Err(Error::Memory { board: spec.board, memory: spec.memory, min: MIN_MEMORY, max });
    }
    let (segments, boot_vcpu) = match &spec.kernel {
        None => (Vec::new(), None),
        Some(kernel) => {
            let Format::S390x(header) = &kernel.format else {
                return Err(Error::Kernel { board: spec.board, what: "it is no s390x image".to_owned() });
            };
            (segments(spec, kernel, header)?, Some(boot_vcpu()))
        }
    };
    let sclp = DeviceSlot {
        name: "sclp0".into(),
        kind: DeviceKind::Sclp,
        at: Attachment::ServiceCall,
        irq: Some(IrqRoute::ServiceSignal),
    };
    Ok(MachinePlan {
        isa: Isa::S390x,
        board: Board::Ccw,
        cpus: spec.cpus,
        cpu_model: CpuModel::S390x(caps.cpu_model()),
        ram: vec![RamRange { base: 0, size: spec.memory }],
        device_memory: Vec::new(),
        irqchip: Irqchip::Flic,
        slots: [vec![sclp], watchdog(spec), virtio::subchannels(spec)?].concat(),
        segments,
        boot_vcpu,
    })
}

/// The watchdog, if there is to be one.
fn watchdog(spec: &MachineSpec) -> Vec<DeviceSlot> {
    let slot = || DeviceSlot {
        name: "watchdog0".into(),
        kind: DeviceKind::Diag288,
        at: Attachment::Diagnose { function: 0x288 },
        irq: None,
    };
    spec.watchdog.then(slot).into_iter().collect()
}

/// The kernel flat at 0, but for what we tell it in its parameter area, and the initrd behind it.
fn segments(spec: &MachineSpec, kernel: &Kernel, header: &Header) -> Result<Vec<Segment>, Error> {
    let memory = spec.memory;
    if kernel.len + DECOMPRESSOR_ROOM > memory {
        let room = memory.saturating_sub(DECOMPRESSOR_ROOM);
        return Err(Error::DoesNotFit { what: "kernel", size: kernel.len, room, memory });
    }
    let initrd = match spec.initrd {
        None => None,
        Some(size) => {
            let address = (kernel.len + DECOMPRESSOR_ROOM).next_multiple_of(INITRD_ALIGN);
            let room = memory.saturating_sub(address);
            if size > room {
                return Err(Error::DoesNotFit { what: "initrd", size, room, memory });
            }
            Some((address, size))
        }
    };
    let cmdline = cmdline(spec, header)?;
    let cmdline_end = parameters::CMDLINE + header.cmdline_size;
    let bytes = |name, address, size, bytes| Segment { name, address, size, source: Source::Bytes { bytes } };
    // RAM and image have the same addresses.
    let image = |start: u64, end: u64| Segment {
        name: "kernel",
        address: start,
        size: end - start,
        source: Source::Kernel { offset: start, len: end - start },
    };
    let fields = fields(initrd);
    let mut segments = vec![
        image(0, parameters::FIELDS),
        bytes("parameters", parameters::FIELDS, parameters::FIELDS_END - parameters::FIELDS, fields),
        image(parameters::FIELDS_END, parameters::CMDLINE),
        bytes("cmdline", parameters::CMDLINE, header.cmdline_size, cmdline),
        image(cmdline_end, kernel.len.max(cmdline_end)),
    ];
    segments.retain(|segment| segment.size > 0);
    segments.extend(initrd.map(|(address, len)| Segment {
        name: "initrd",
        address,
        size: len,
        source: Source::Initrd { len },
    }));
    Ok(segments)
}

/// The doublewords of the parameter area that are a loader's: where the initrd is. The others say that there is no device
/// that the kernel was loaded from, and no crashed kernel.
fn fields(initrd: Option<(u64, u64)>) -> Vec<u8> {
    let (start, size) = initrd.unwrap_or((0, 0));
    let value = |field| match field {
        parameters::INITRD_START => start,
        parameters::INITRD_SIZE => size,
        _ => 0,
    };
    (0..parameters::FIELDS_COUNT).flat_map(|field| value(field).to_be_bytes()).collect()
}

/// The command line with a NUL at its end.
fn cmdline(spec: &MachineSpec, header: &Header) -> Result<Vec<u8>, Error> {
    let cmdline = &spec.cmdline;
    let max = usize::try_from(header.cmdline_size.saturating_sub(1)).unwrap_or(usize::MAX);
    if cmdline.len() > max {
        return Err(Error::CmdlineTooLong { len: cmdline.len(), max });
    }
    // The kernel takes a line with any byte above 0x7f for EBCDIC, and converts all of it.
    if !cmdline.is_ascii() {
        let what = "--append holds characters that are not ASCII, which it would take for EBCDIC".to_owned();
        return Err(Error::Kernel { board: spec.board, what });
    }
    Ok(cmdline.bytes().chain([0]).collect())
}

/// The boot vCPU at the kernel's entry. All else is as an initial reset leaves it.
fn boot_vcpu() -> hv::VcpuState {
    let psw = Psw { mask: Psw::ADDRESSING_64, addr: image::ENTRY };
    hv::VcpuState::S390x(Box::new(VcpuState {
        psw: Some(psw),
        mp_state: Some(MpState::Operating),
        ..VcpuState::default()
    }))
}

//! Where virtio devices sit.
//!
//! Golden files: `TRIARCH_BLESS=1 cargo test -p triarch-boards --test transports` writes them anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails is what it is for")]

mod common;

use triarch_arch::Isa;
use triarch_arch::aarch64::HostCaps as ArmCaps;
use triarch_arch::aarch64::image::{Header, PageSize};
use triarch_arch::hv::{HostCaps, IrqRoute, IsaCaps};
use triarch_arch::image::{Format, Kernel, Packing};
use triarch_arch::x86_64::pvh;
use triarch_boards::{
    Attachment, Board, DeviceKind, DeviceSlot, Error, MachinePlan, MachineSpec, Source, Transport,
    VirtioKind, plan,
};

const GIB: u64 = 1 << 30;

fn spec(board: Board, devices: usize) -> MachineSpec {
    MachineSpec { virtio: vec![VirtioKind::Rng; devices], ..common::spec(board) }
}

fn typical(spec: &MachineSpec) -> Result<MachinePlan, Error> {
    plan(spec, &HostCaps::typical(spec.board.isa()))
}

fn over(transport: Transport, spec: MachineSpec) -> MachineSpec {
    MachineSpec { transport: Some(transport), ..spec }
}

fn arm(change: fn(&mut ArmCaps)) -> HostCaps {
    let mut caps = ArmCaps::typical();
    change(&mut caps);
    HostCaps { max_vcpus: 8, isa: IsaCaps::Aarch64(caps) }
}

/// The slots of virtio devices and their bus.
fn devices(plan: &MachinePlan) -> Vec<&DeviceSlot> {
    let is_one = |slot: &&DeviceSlot| matches!(slot.kind, DeviceKind::Virtio(_) | DeviceKind::PciHost);
    plan.slots.iter().filter(is_one).collect()
}

fn is_mmio(plan: &MachinePlan) -> bool {
    devices(plan).iter().all(|slot| matches!(slot.at, Attachment::Mmio { .. }))
}

#[test]
fn plans_are_golden() {
    for board in [Board::Microvm, Board::Virt] {
        common::golden(&format!("{board}-pci"), &typical(&spec(board, 2)).unwrap());
        common::golden(&format!("{board}-mmio"), &typical(&over(Transport::Mmio, spec(board, 2))).unwrap());
    }
}

#[test]
fn memory_of_devices_lies_behind_ram_and_registers_behind_that() {
    let mem = |size| VirtioKind::Mem { size };
    for board in [Board::Microvm, Board::Virt] {
        let virtio = vec![VirtioKind::Rng, mem(GIB + (2 << 20)), VirtioKind::Pmem { size: 3 << 20 }];
        let spec = MachineSpec { memory: 5 * GIB, virtio, ..common::spec(board) };
        let plan = typical(&spec).unwrap();
        common::golden(&format!("{board}-mem"), &plan);
        let found: Vec<_> =
            plan.device_memory.iter().map(|memory| (&*memory.device, memory.base, memory.size)).collect();
        assert_eq!(found, [("virtio1", 6 * GIB, GIB + (2 << 20)), ("virtio2", 8 * GIB, 3 << 20)]);
        let Attachment::HostBridge { memory, .. } = devices(&plan)[0].at else { panic!("{plan:?}") };
        assert_eq!(memory, 8 * GIB + (3 << 20));
        assert_eq!(typical(&over(Transport::Mmio, spec.clone())).unwrap().device_memory, plan.device_memory);
        let small = typical(&MachineSpec { memory: 64 << 20, ..spec.clone() }).unwrap();
        assert_eq!(small.device_memory[0].base, 4 * GIB);
        for size in [0, 1, (1 << 20) + 4096, 1 << 43, !0xf_ffff] {
            let refused = typical(&MachineSpec { virtio: vec![mem(size)], ..spec.clone() }).unwrap_err();
            assert!(matches!(&refused, Error::Conflict(what) if what.contains("--mem")), "{refused}");
        }
    }
}

#[test]
fn memory_of_devices_that_addresses_do_not_reach_is_refused() {
    let caps = arm(|caps| caps.address_bits = 36);
    let refused = |virtio| plan(&MachineSpec { virtio, ..common::spec(Board::Virt) }, &caps).unwrap_err();
    let error = refused(vec![VirtioKind::Mem { size: 61 * GIB }]).to_string();
    assert!(error.contains("its addresses end before those of --mem"), "{error}");
    let error = refused(vec![VirtioKind::Mem { size: 60 * GIB }]).to_string();
    assert!(error.contains("its addresses end before those of PCI devices"), "{error}");
    let error = plan(
        &MachineSpec { virtio: vec![VirtioKind::Mem { size: GIB }], ..common::spec(Board::Ccw) },
        &HostCaps::typical(Isa::S390x),
    );
    assert!(error.unwrap_err().to_string().contains("--mem is for x86_64 and aarch64"));
}

#[test]
fn a_machine_without_devices_has_no_bus() {
    for board in [Board::Microvm, Board::Virt] {
        let without = typical(&spec(board, 0)).unwrap();
        assert_eq!(devices(&without), [] as [&DeviceSlot; 0]);
        assert_eq!(typical(&over(Transport::Pci, spec(board, 0))).unwrap(), without);
    }
}

#[test]
fn there_are_as_many_places_as_the_transport_has() {
    for (board, transport, max) in [
        (Board::Microvm, Transport::Pci, 31),
        (Board::Microvm, Transport::Mmio, 19),
        (Board::Virt, Transport::Pci, 31),
        (Board::Virt, Transport::Mmio, 32),
    ] {
        let all = typical(&over(transport, spec(board, max))).unwrap();
        let mut windows: Vec<_> = devices(&all)
            .iter()
            .map(|slot| match slot.at {
                Attachment::Mmio { base, size } => (base, size),
                Attachment::Pci { bar, .. } => (bar, 0x8000),
                Attachment::HostBridge { ecam, .. } => (ecam, 0x10_0000),
                other => panic!("{other:?}"),
            })
            .collect();
        windows.sort_unstable();
        assert!(windows.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{windows:x?}");
        let more = typical(&over(transport, spec(board, max + 1)));
        let refused = Error::Devices { board, devices: max + 1, max: u32::try_from(max).unwrap() };
        assert_eq!(more.unwrap_err(), refused);
    }
}

#[test]
fn registers_lie_behind_ram_and_above_4_gib() {
    for (board, memory, behind) in [
        (Board::Microvm, 32 << 20, 4 * GIB),
        (Board::Microvm, 3 * GIB, 4 * GIB),
        (Board::Microvm, 5 * GIB, 6 * GIB),
        (Board::Virt, 64 << 20, 4 * GIB),
        (Board::Virt, 3 * GIB, 4 * GIB),
        (Board::Virt, 5 * GIB, 6 * GIB),
    ] {
        let plan = typical(&MachineSpec { memory, ..spec(board, 31) }).unwrap();
        let slots = devices(&plan);
        let Attachment::HostBridge { memory, size, .. } = slots[0].at else { panic!("{slots:?}") };
        assert_eq!((memory, size), (behind, GIB), "{board}");
        for (number, slot) in (1..).zip(&slots[1..]) {
            let Attachment::Pci { device, bar } = slot.at else { panic!("{slot:?}") };
            assert_eq!((device, slot.irq), (number, None));
            assert!(bar >= memory && bar + 0x8000 <= memory + size && bar % 0x8000 == 0, "{bar:#x}");
        }
    }
}

#[test]
fn registers_take_of_the_addresses_that_ram_could_have() {
    let most = |spec: &MachineSpec, caps: &HostCaps| {
        let Err(Error::Memory { max, .. }) = plan(&MachineSpec { memory: 1 << 42, ..spec.clone() }, caps)
        else {
            panic!("it is more than there can be");
        };
        assert!(plan(&MachineSpec { memory: max, ..spec.clone() }, caps).is_ok());
        max
    };
    let mut pc = HostCaps::typical(Isa::X86_64);
    let IsaCaps::X86_64(x86) = &mut pc.isa else { panic!("typical of x86_64") };
    x86.cpuid.iter_mut().filter(|leaf| leaf.function == 0x8000_0008).for_each(|leaf| leaf.eax = 36);
    for (board, caps) in [(Board::Microvm, pc), (Board::Virt, arm(|caps| caps.address_bits = 36))] {
        let without = most(&spec(board, 0), &caps);
        assert_eq!(most(&spec(board, 1), &caps), without - GIB);
        assert_eq!(most(&over(Transport::Mmio, spec(board, 1)), &caps), without);
    }
}

#[test]
fn a_host_without_a_taker_of_messages_has_mmio() {
    let no_its = arm(|caps| caps.its = false);
    let gic_v2 = arm(|caps| (caps.gic_v2, caps.gic_v3) = (true, false));
    for caps in [no_its, gic_v2] {
        assert!(is_mmio(&plan(&spec(Board::Virt, 3), &caps).unwrap()));
        let refused = plan(&over(Transport::Pci, spec(Board::Virt, 3)), &caps).unwrap_err().to_string();
        assert!(refused.contains("use --transport mmio"), "{refused}");
        assert!(plan(&over(Transport::Pci, spec(Board::Virt, 0)), &caps).is_ok(), "nothing is asked for");
    }
}

#[test]
fn a_host_without_addresses_above_4_gib_has_mmio() {
    let small = arm(|caps| caps.address_bits = 32);
    assert!(is_mmio(&plan(&spec(Board::Virt, 3), &small).unwrap()));
    let refused = plan(&over(Transport::Pci, spec(Board::Virt, 3)), &small).unwrap_err().to_string();
    assert!(refused.contains("use --transport mmio"), "{refused}");
}

#[test]
fn channel_io_is_no_choice() {
    for transport in [Transport::Mmio, Transport::Pci] {
        let refused = typical(&over(transport, spec(Board::Ccw, 1))).unwrap_err();
        assert!(matches!(&refused, Error::Conflict(what) if what.contains("--transport")), "{refused}");
    }
}

/// The bytes that a kernel is told of its machine by.
fn tables(spec: &MachineSpec, name: &str) -> Vec<u8> {
    let plan = typical(spec).unwrap();
    match plan.segments.into_iter().find(|segment| segment.name == name).unwrap().source {
        Source::Bytes { bytes } => bytes,
        other => panic!("{other:?}"),
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn kernels_are_told_of_the_transport_that_there_is() {
    let part = pvh::LoadSegment { address: 16 << 20, memory_size: 0x1000, offset: 0, file_size: 1 };
    let vmlinux = Format::Pvh(pvh::Image { entry: 16 << 20, segments: vec![part] });
    let image = Format::Arm64(Header { text_offset: 0, image_size: 0x1000, page_size: PageSize::Size4K });
    for (board, format, table, [pci, mmio]) in [
        (Board::Microvm, vmlinux, "acpi", [&b"MCFG"[..], b"LNRO0005"]),
        (Board::Virt, image, "fdt", [b"pci-host-ecam-generic", b"virtio,mmio"]),
    ] {
        let kernel = Some(Kernel { packing: Packing::Plain, format, len: 1 });
        let told = |devices, transport| {
            let spec = MachineSpec { kernel: kernel.clone(), transport, ..spec(board, devices) };
            let bytes = tables(&spec, table);
            [has(&bytes, pci), has(&bytes, mmio)]
        };
        assert_eq!(told(0, None), [false, false]);
        assert_eq!(told(1, None), [true, false]);
        assert_eq!(told(1, Some(Transport::Mmio)), [false, true]);
    }
}

#[test]
fn the_bridges_lines_are_no_other_devices() {
    for board in [Board::Microvm, Board::Virt] {
        let plan = typical(&spec(board, 1)).unwrap();
        let pin = |slot: &DeviceSlot| match slot.irq {
            Some(IrqRoute::Pin { pin }) => Some(pin),
            _ => None,
        };
        let bridge = pin(devices(&plan)[0]).unwrap();
        let others = plan.slots.iter().filter(|slot| slot.kind != DeviceKind::PciHost).filter_map(pin);
        assert!(others.into_iter().all(|pin| !(bridge..bridge + 4).contains(&pin)));
    }
}

#[test]
fn a_watchdog_is_where_its_isa_has_one() {
    let with = |board| MachineSpec { watchdog: true, ..spec(board, 2) };
    for board in [Board::Microvm, Board::Virt] {
        let slots = typical(&with(board)).unwrap().slots;
        let last = slots.last().unwrap();
        assert_eq!((last.kind, &*last.name), (DeviceKind::I6300esb, "watchdog0"));
        assert!(matches!(last.at, Attachment::Pci { device: 3, .. }), "{:?}", last.at);
        // It is reason enough for a bus, and takes a place on it.
        let alone = typical(&MachineSpec { virtio: Vec::new(), ..with(board) }).unwrap().slots;
        assert!(alone.iter().any(|slot| slot.kind == DeviceKind::PciHost));
        assert!(typical(&MachineSpec { watchdog: true, ..spec(board, 30) }).is_ok());
        let many = typical(&MachineSpec { watchdog: true, ..spec(board, 31) });
        assert!(matches!(many, Err(Error::Devices { max: 30, .. })));
        let refused = typical(&over(Transport::Mmio, with(board))).unwrap_err().to_string();
        assert!(refused.contains("--watchdog is a PCI device"), "{refused}");
    }
    let slots = typical(&with(Board::Ccw)).unwrap().slots;
    let found = slots.iter().find(|slot| slot.kind == DeviceKind::Diag288).unwrap();
    assert_eq!((found.at, found.irq), (Attachment::Diagnose { function: 0x288 }, None));
}

#[test]
fn a_panic_can_be_told_unless_that_is_off() {
    let has = |board, pvpanic| {
        let plan = typical(&MachineSpec { pvpanic, ..spec(board, 0) })?;
        Ok::<_, Error>(plan.slots.iter().any(|slot| slot.kind == DeviceKind::Pvpanic))
    };
    for board in [Board::Microvm, Board::Virt] {
        assert_eq!(
            [None, Some(true), Some(false)].map(|pvpanic| has(board, pvpanic).unwrap()),
            [true, true, false]
        );
    }
    assert_eq!((has(Board::Ccw, None), has(Board::Ccw, Some(false))), (Ok(false), Ok(false)));
    assert!(has(Board::Ccw, Some(true)).unwrap_err().to_string().contains("--pvpanic"));
}

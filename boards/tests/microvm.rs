//! Plans of board microvm, whole, and what it refuses.
//!
//! Golden files: `TRIARCH_BLESS=1 cargo test -p triarch-boards --test microvm` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

mod common;

use triarch_arch::Isa;
use triarch_arch::hv::{HostCaps, Irqchip, IsaCaps, VcpuState};
use triarch_arch::image::{Format, Kernel, Packing};
use triarch_arch::x86_64::{bzimage, pvh};
use triarch_boards::{
    Board, Error, IrqchipChoice, MachinePlan, MachineSpec, RamRange, Segment, Source, plan,
};

const MIB: u64 = 1 << 20;

fn spec() -> MachineSpec {
    common::spec(Board::Microvm)
}

fn kernel(format: Format) -> Option<Kernel> {
    Some(Kernel { packing: Packing::Plain, format, len: 0x10_0000 })
}

/// A bzImage like Debian's of Linux 6.12: 39 setup sectors, 64 KiB of kernel, 0x37ef000 bytes from 16 MiB on; with changes.
fn bzimage(changes: &[(usize, &[u8])]) -> Option<Kernel> {
    let mut file = vec![0; 0x5000 + 0x1_0000];
    let fields: [(usize, &[u8]); 14] = [
        (0x1f1, &[39]),
        (0x1f4, &[0x00, 0x10, 0, 0]),
        (0x1fe, &[0x55, 0xaa, 0xeb, 0x6a]),
        (0x202, b"HdrS"),
        (0x206, &[0x0f, 0x02]),
        (0x211, &[0x01]),
        (0x22c, &[0xff, 0xff, 0xff, 0x7f]),
        (0x230, &[0, 0, 0x20, 0, 1]),
        (0x236, &[0x7f, 0]),
        (0x238, &[0xff, 0x07, 0, 0]),
        (0x258, &[0, 0, 0, 1, 0, 0, 0, 0]),
        (0x260, &[0, 0xf0, 0x7e, 0x03]),
        (0x264, &[0; 8]),
        (0x5000, &[0xf4]),
    ];
    for (at, bytes) in fields.iter().chain(changes) {
        file[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    kernel(Format::BzImage(bzimage::recognise(&file.as_slice()).unwrap().unwrap()))
}

fn pvh(parts: &[(u64, u64)]) -> Option<Kernel> {
    let segment = |(address, memory_size): &(u64, u64)| pvh::LoadSegment {
        address: *address,
        memory_size: *memory_size,
        offset: 0x20_0000,
        file_size: *memory_size / 2,
    };
    kernel(Format::Pvh(pvh::Image { entry: 0x100_0b20, segments: parts.iter().map(segment).collect() }))
}

fn vmlinux() -> Option<Kernel> {
    pvh(&[(0x100_0000, 0x1b8_c510), (0x2c0_0000, 0x71_a000), (0x335_3000, 0xea_d000)])
}

fn typical(spec: &MachineSpec) -> Result<MachinePlan, Error> {
    plan(spec, &HostCaps::typical(Isa::X86_64))
}

fn with_caps(
    spec: &MachineSpec,
    change: fn(&mut triarch_arch::x86_64::HostCaps),
) -> Result<MachinePlan, Error> {
    let mut caps = HostCaps::typical(Isa::X86_64);
    let IsaCaps::X86_64(x86) = &mut caps.isa else { panic!("typical of x86_64") };
    change(x86);
    plan(spec, &caps)
}

fn golden(name: &str, spec: &MachineSpec) {
    common::golden(&format!("microvm-{name}"), &typical(spec).unwrap());
}

#[test]
fn plans_are_golden() {
    golden("bare", &spec());
    golden("bzimage", &MachineSpec { kernel: bzimage(&[]), initrd: Some(0x12_3456), ..spec() });
    golden(
        "bzimage-64m",
        &MachineSpec { kernel: bzimage(&[]), initrd: Some(MIB), memory: 64 * MIB, ..spec() },
    );
    golden(
        "pvh-8-kernel-pit",
        &MachineSpec {
            kernel: vmlinux(),
            initrd: Some(0x12_3456),
            cpus: 8,
            memory: 5 << 30,
            irqchip: IrqchipChoice::Kernel,
            pit: true,
            ..spec()
        },
    );
}

/// What must hold of every plan.
fn check(plan: &MachinePlan) {
    let ends =
        |segments: &[Segment]| segments.iter().map(|s| (s.address, s.address + s.size)).collect::<Vec<_>>();
    let spans = ends(&plan.segments);
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:x?}");
    for (segment, (start, end)) in plan.segments.iter().zip(spans) {
        assert!(segment.source.len() <= segment.size, "{segment:?}");
        let within = |r: &RamRange| start >= r.base && end <= r.base + r.size;
        assert!(plan.ram.iter().any(within), "{segment:?} is not in RAM");
    }
}

fn segment<'a>(plan: &'a MachinePlan, name: &str) -> &'a Segment {
    plan.segments.iter().find(|segment| segment.name == name).unwrap()
}

#[test]
fn ram_is_all_there_whatever_its_size() {
    for memory in [32, 63, 64, 72, 73, 3071, 3072, 3073, 4096, 1 << 20, 1 << 22].map(|m| m * MIB) {
        let plan = typical(&MachineSpec { memory, ..spec() }).unwrap();
        assert_eq!(plan.ram.iter().map(|range| range.size).sum::<u64>(), memory);
        for range in &plan.ram {
            let end = range.base + range.size;
            assert!(end <= 0xc000_0000 || range.base >= 1 << 32, "{range:x?} reaches into the hole");
        }
    }
    for (memory, bits) in [(31, 46), ((1 << 16) - 1023, 36), (1 << 40, 52)] {
        let spec = MachineSpec { memory: memory * MIB, ..spec() };
        let mut caps = HostCaps::typical(Isa::X86_64);
        let IsaCaps::X86_64(x86) = &mut caps.isa else { panic!("typical of x86_64") };
        x86.cpuid.iter_mut().filter(|l| l.function == 0x8000_0008).for_each(|l| l.eax = bits);
        assert!(matches!(plan(&spec, &caps), Err(Error::Memory { .. })), "{memory} MiB, {bits} bits");
    }
}

#[test]
fn a_stock_kernel_fits_in_64_mib() {
    for kernel in [bzimage(&[]), vmlinux()] {
        let initrd = Some(2 * MIB);
        let small =
            typical(&MachineSpec { kernel: kernel.clone(), initrd, memory: 64 * MIB, ..spec() }).unwrap();
        check(&small);
        assert_eq!(small.ram[1], RamRange { base: 16 * MIB, size: 63 * MIB });
        let tiny = typical(&MachineSpec { kernel: kernel.clone(), initrd, memory: 48 * MIB, ..spec() });
        assert!(matches!(tiny, Err(Error::DoesNotFit { what: "kernel", .. })), "{tiny:?}");
        let enough = typical(&MachineSpec { kernel, initrd, memory: 80 * MIB, ..spec() }).unwrap();
        check(&enough);
        assert_eq!(enough.ram, [RamRange { base: 0, size: 80 * MIB }]);
    }
}

#[test]
fn the_initrd_lies_as_high_as_the_kernel_allows() {
    let address = |kernel: &Option<Kernel>, memory: u64, initrd: u64| {
        let spec = MachineSpec { kernel: kernel.clone(), memory, initrd: Some(initrd), ..spec() };
        typical(&spec).map(|plan| {
            check(&plan);
            assert_eq!(segment(&plan, "initrd").source, Source::Initrd { len: initrd });
            segment(&plan, "initrd").address
        })
    };
    let big = bzimage(&[]);
    assert_eq!(address(&big, 256 * MIB, 0x1001), Ok(0xfff_e000));
    assert_eq!(address(&big, 8192 * MIB, 0x1000), Ok(0x7fff_f000), "initrd_addr_max");
    let low = bzimage(&[(0x22c, &[0xff, 0xff, 0xff, 0x37])]);
    assert_eq!(address(&low, 8192 * MIB, 0x1000), Ok(0x37ff_f000));
    // Where it does not fit below, the kernel may take it above 4 GiB, or not.
    assert_eq!(address(&big, 8192 * MIB, 3 << 30), Ok(0x1_8000_0000));
    let never_above = bzimage(&[(0x236, &[0x01])]);
    for kernel in [&never_above, &vmlinux()] {
        let refused = address(kernel, 8192 * MIB, 3 << 30);
        assert!(matches!(refused, Err(Error::DoesNotFit { what: "initrd", .. })), "{refused:?}");
    }
    let refused = address(&big, 128 * MIB, 57 * MIB);
    let room = 128 * MIB - (0x100_0000 + 0x37e_f000);
    let want = Error::DoesNotFit { what: "initrd", size: 57 * MIB, room, memory: 128 * MIB };
    assert_eq!(refused, Err(want));
    assert!(address(&big, 128 * MIB, u64::MAX).unwrap_err().to_string().contains("initrd"));
    // An empty one is none.
    let none = typical(&MachineSpec { kernel: big, initrd: Some(0), ..spec() }).unwrap();
    assert!(none.segments.iter().all(|segment| segment.name != "initrd"));
}

#[test]
fn kernels_that_can_not_be_booted_are_refused() {
    let refused = |kernel: Option<Kernel>| {
        let error = typical(&MachineSpec { kernel, memory: 1024 * MIB, ..spec() }).unwrap_err();
        error.to_string()
    };
    assert!(refused(bzimage(&[(0x206, &[0x0b, 0x02])])).contains("boot protocol 2.11"));
    assert!(refused(bzimage(&[(0x236, &[0x7e])])).contains("XLF_KERNEL_64"));
    assert!(refused(bzimage(&[(0x258, &[0, 0, 0x01, 0])])).contains("below 1 MiB"));
    assert!(refused(bzimage(&[(0x258, &[0, 0, 0, 0x40])])).contains("does not fit"));
    assert!(refused(bzimage(&[(0x258, &[0xff; 8])])).contains("does not fit"));
    assert!(refused(bzimage(&[(0x260, &[0xff; 4])])).contains("does not fit"));
    assert!(refused(pvh(&[(0x1000, 0x1000)])).contains("below 1 MiB"));
    assert!(refused(pvh(&[(0x100_0000, 1 << 40)])).contains("does not fit"));
    assert!(refused(pvh(&[(0x100_0000, 0x2000), (0x100_1000, 0x1000)])).contains("overlap"));
}

#[test]
fn command_lines_are_as_long_as_the_kernel_takes() {
    let long = |kernel: &Option<Kernel>, len: usize| {
        let spec = MachineSpec { kernel: kernel.clone(), cmdline: "x".repeat(len), ..spec() };
        typical(&spec).map(|plan| {
            check(&plan);
            segment(&plan, "cmdline").source.len()
        })
    };
    for kernel in [bzimage(&[]), vmlinux()] {
        assert_eq!(long(&kernel, 2047), Ok(2048));
        assert_eq!(long(&kernel, 2048), Err(Error::CmdlineTooLong { len: 2048, max: 2047 }));
    }
    let unlimited = bzimage(&[(0x238, &[0xff; 4])]);
    assert_eq!(long(&unlimited, 65535), Ok(65536));
    assert_eq!(long(&unlimited, 65536), Err(Error::CmdlineTooLong { len: 65536, max: 65535 }));
}

#[test]
fn apic_ids_that_need_it_come_with_x2apic_mode() {
    for kernel in [vmlinux(), bzimage(&[])] {
        for (cpus, apic_base) in [(255, 0xfee0_0900), (256, 0xfee0_0d00)] {
            let plan = typical(&MachineSpec { cpus, kernel: kernel.clone(), ..spec() }).unwrap();
            let Some(VcpuState::X86_64(state)) = plan.boot_vcpu else { panic!("an x86_64 state") };
            assert_eq!(state.sregs.unwrap().apic_base, apic_base, "{cpus}");
        }
    }
}

#[test]
fn vcpus_are_limited_by_their_apic_ids() {
    let cpus = |cpus, irqchip, change: fn(&mut triarch_arch::x86_64::HostCaps)| {
        with_caps(&MachineSpec { cpus, irqchip, kernel: vmlinux(), ..spec() }, change)
    };
    check(&cpus(1024, IrqchipChoice::Split, |_| {}).unwrap());
    check(&cpus(255, IrqchipChoice::Kernel, |caps| caps.x2apic_ids = false).unwrap());
    let few = cpus(256, IrqchipChoice::Split, |caps| caps.x2apic_ids = false);
    assert_eq!(few, Err(Error::Cpus { cpus: 256, max: 255 }));
    assert!(matches!(cpus(256, IrqchipChoice::Kernel, |_| {}), Err(Error::Conflict(_))));
    // As many as the board takes, whatever the host says.
    let mut caps = HostCaps::typical(Isa::X86_64);
    caps.max_vcpus = u32::MAX;
    check(&plan(&MachineSpec { cpus: 2048, kernel: vmlinux(), ..spec() }, &caps).unwrap());
    let many = plan(&MachineSpec { cpus: 2049, ..spec() }, &caps);
    assert_eq!(many, Err(Error::Cpus { cpus: 2049, max: 2048 }));
}

#[test]
fn irqchips_follow_the_host() {
    let chip = |irqchip, pit| typical(&MachineSpec { irqchip, pit, ..spec() }).map(|plan| plan.irqchip);
    assert_eq!(chip(IrqchipChoice::Split, false), Ok(Irqchip::X86Split { pins: 24 }));
    assert_eq!(chip(IrqchipChoice::Kernel, false), Ok(Irqchip::X86Kernel { pit: false }));
    assert_eq!(chip(IrqchipChoice::Kernel, true), Ok(Irqchip::X86Kernel { pit: true }));
    assert!(matches!(chip(IrqchipChoice::Split, true), Err(Error::Conflict(_))));
    let old = with_caps(&spec(), |caps| caps.split_irqchip = false);
    assert!(old.unwrap_err().to_string().contains("--irqchip kernel"));
}

#[test]
fn registers_are_those_of_the_protocol() {
    let registers = |kernel| {
        let plan = typical(&MachineSpec { kernel, ..spec() }).unwrap();
        let Some(VcpuState::X86_64(state)) = plan.boot_vcpu else { panic!("registers of x86_64") };
        (state.regs.unwrap(), state.sregs.unwrap())
    };
    let (regs, sregs) = registers(bzimage(&[]));
    assert_eq!((regs.rip, regs.rsi, regs.rflags), (0x100_0200, 0x7000, 2));
    assert_eq!((sregs.cs.selector, sregs.ss.selector, sregs.cs.l), (0x10, 0x18, true));
    let (regs, sregs) = registers(vmlinux());
    assert_eq!((regs.rip, regs.rbx, regs.rflags), (0x100_0b20, 0x6000, 2));
    assert_eq!((sregs.cr0, sregs.cr4, sregs.efer, sregs.cs.db), (0x11, 0, 0, true));
}

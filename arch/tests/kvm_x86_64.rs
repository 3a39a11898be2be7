//! Guests of a few bytes on this host's KVM: exits, interrupts, pausing, and moving to a second VM.
//!
//! Real mode code, as the smallest there is. Skipped, loudly, where there is no KVM; with CI=true that is a failure, unless
//! TRIARCH_KVM_TESTS=off says that none is expected.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

mod common;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use common::{run, run_until_kicked};
use triarch_arch::hv::{
    CpuModel, Doorbell, Exit, HostCaps, Interrupt, IrqRoute, Irqchip, IsaCaps, SystemEvent, VcpuState,
};
use triarch_arch::kvm::{Error, Host, Interrupts, Vcpu, Vm, VmConfig};
use triarch_arch::x86_64::{self, MpState, Msr, XSTATE_BV, cpuid};
use triarch_arch::{GuestRam, ram};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestRegionMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const RAM: usize = 0x8000;
const CODE: u64 = 0x1000;
/// Beyond RAM, and yet within reach of real mode.
const MMIO: u64 = 0x9000;
const SPLIT: Irqchip = Irqchip::X86Split { pins: 24 };
const KERNEL: Irqchip = Irqchip::X86Kernel { pit: false };

fn host() -> Option<Host> {
    let host = common::host()?;
    // KVM patches the scheduler when the first VM comes and when the last one goes. QEMU, emulating a host in the lab, has a
    // race there; so one stays for as long as the tests run.
    static STAYS: OnceLock<Vm> = OnceLock::new();
    STAYS.get_or_init(|| host.create_vm(config(&host, SPLIT, 1)).unwrap());
    Some(host)
}

fn x86_caps(caps: &HostCaps) -> &x86_64::HostCaps {
    let IsaCaps::X86_64(caps) = &caps.isa else { panic!("an x86_64 host") };
    caps
}

fn config(host: &Host, irqchip: Irqchip, cpus: u32) -> VmConfig {
    let caps = host.caps().unwrap();
    let model = x86_64::CpuModel { cpuid: cpuid::model(&x86_caps(&caps).cpuid, cpus) };
    VmConfig { irqchip, cpu_model: CpuModel::X86_64(model), cpus, address_limit: 1 << 32, huge_pages: false }
}

struct Guest {
    vm: Vm,
    vcpus: Vec<Vcpu>,
    ram: GuestRam,
}

impl Guest {
    fn new(host: &Host, irqchip: Irqchip, cpus: u32, code: &[u8]) -> Self {
        let mut vm = host.create_vm(config(host, irqchip, cpus)).unwrap();
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
        ram.write_slice(code, GuestAddress(CODE)).unwrap();
        vm.set_ram(&ram).unwrap();
        let vcpus = (0..cpus).map(|index| vm.create_vcpu(index).unwrap()).collect();
        vm.finish().unwrap();
        Guest { vm, vcpus, ram }
    }

    /// Puts vCPU 0 at the start of the code.
    fn boot(mut self, rflags: u64) -> Self {
        let mut state = save(&mut self.vcpus[0]);
        state.regs = Some(x86_64::Regs { rip: CODE, rflags, rsp: 0x7000, ..Default::default() });
        let sregs = state.sregs.as_mut().unwrap();
        (sregs.cs.base, sregs.cs.selector) = (0, 0);
        let sparse = x86_64::VcpuState { regs: state.regs, sregs: state.sregs, ..Default::default() };
        self.vcpus[0].restore(&VcpuState::X86_64(Box::new(sparse))).unwrap();
        self
    }
}

fn save(vcpu: &mut Vcpu) -> x86_64::VcpuState {
    match vcpu.save().unwrap() {
        VcpuState::X86_64(state) => *state,
        other => panic!("not an x86_64 state: {other:?}"),
    }
}

/// Runs until the state is as `enough` says.
fn run_until(vcpu: Vcpu, enough: impl Fn(&x86_64::VcpuState) -> bool) -> (Vcpu, x86_64::VcpuState) {
    let mut vcpu =
        common::run_until(vcpu, |state| matches!(state, VcpuState::X86_64(state) if enough(state)));
    let state = save(&mut vcpu);
    (vcpu, state)
}

#[test]
fn port_and_memory_accesses_come_with_their_sizes_and_data() {
    let Some(host) = host() else { return };
    let code = [
        0xb0, 0x5a, 0xe6, 0x80, // mov al,0x5a; out 0x80,al
        0xb8, 0x34, 0x12, 0xe7, 0x84, // mov ax,0x1234; out 0x84,ax
        0x66, 0xe5, 0x88, // in eax,0x88
        0x66, 0xa3, 0x00, 0x90, // mov [0x9000],eax
        0xa0, 0x03, 0x90, // mov al,[0x9003]
        0xe6, 0x80, // out 0x80,al
        0xbe, 0x00, 0x10, 0xb9, 0x04, 0x00, 0xba, 0x81, 0x00, // mov si,0x1000; mov cx,4; mov dx,0x81
        0xf3, 0x6e, // rep outsb
        0x0f, 0x0b, // ud2
    ];
    for irqchip in [SPLIT, KERNEL] {
        let mut guest = Guest::new(&host, irqchip, 1, &code).boot(2);
        let vcpu = &mut guest.vcpus[0];
        let exit = run!(vcpu);
        assert!(matches!(exit, Exit::PioWrite { port: 0x80, size: 1, data: [0x5a] }), "{exit:?}");
        let exit = run!(vcpu);
        assert!(matches!(exit, Exit::PioWrite { port: 0x84, size: 2, data: [0x34, 0x12] }), "{exit:?}");
        match run!(vcpu) {
            Exit::PioRead { port: 0x88, size: 4, data } => data.copy_from_slice(&[1, 2, 3, 4]),
            exit => panic!("{exit:?}"),
        }
        let exit = run!(vcpu);
        assert!(matches!(exit, Exit::MmioWrite { address: MMIO, data: [1, 2, 3, 4] }), "{exit:?}");
        match run!(vcpu) {
            Exit::MmioRead { address: 0x9003, data: data @ [_] } => data[0] = 0xa5,
            exit => panic!("{exit:?}"),
        }
        let exit = run!(vcpu);
        assert!(matches!(exit, Exit::PioWrite { port: 0x80, size: 1, data: [0xa5] }), "{exit:?}");
        // KVM may give a string in one exit or in several.
        let mut string = Vec::new();
        while string.len() < 4 {
            match run!(vcpu) {
                Exit::PioWrite { port: 0x81, size: 1, data } => string.extend_from_slice(data),
                exit => panic!("{exit:?}"),
            }
        }
        assert_eq!(string, code[..4]);
    }
}

/// Checks that what was saved is the same a moment later in another VM, and that the TSC, which counts on, is not behind.
#[test]
fn memory_that_can_only_be_read_is_read_without_an_exit() {
    let Some(host) = host() else { return };
    let code = [
        0xa0, 0x05, 0xa0, // mov al,[0xa005]
        0xe6, 0x80, // out 0x80,al
        0xa2, 0x05, 0xa0, // mov [0xa005],al
        0xa0, 0x05, 0xa0, // mov al,[0xa005]
        0xe6, 0x80, // out 0x80,al
    ];
    let file = vmm_sys_util::tempfile::TempFile::new().unwrap().into_file();
    file.set_len(0x1000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0x77], 5).unwrap();
    let mapping = ram::map_read_only(&FileOffset::new(file, 0), 0x1000).unwrap();
    let region = Arc::new(GuestRegionMmap::new(mapping, GuestAddress(0xa000)).unwrap());

    let mut vm = host.create_vm(config(&host, SPLIT, 1)).unwrap();
    let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
    ram.write_slice(&code, GuestAddress(CODE)).unwrap();
    vm.set_ram(&ram).unwrap();
    vm.add_read_only(region).unwrap();
    let vcpus = vec![vm.create_vcpu(0).unwrap()];
    vm.finish().unwrap();
    let mut guest = Guest { vm, vcpus, ram }.boot(2);
    let vcpu = &mut guest.vcpus[0];
    let exit = run!(vcpu);
    assert!(matches!(exit, Exit::PioWrite { port: 0x80, size: 1, data: [0x77] }), "{exit:?}");
    let exit = run!(vcpu);
    assert!(matches!(exit, Exit::MmioWrite { address: 0xa005, data: [0x77] }), "{exit:?}");
    let exit = run!(vcpu);
    assert!(matches!(exit, Exit::PioWrite { port: 0x80, size: 1, data: [0x77] }), "{exit:?}");
}

fn assert_same(now: &x86_64::VcpuState, saved: &x86_64::VcpuState) {
    const TSC: u32 = 0x10;
    let tsc = |state: &x86_64::VcpuState| {
        let msrs = state.msrs.as_ref().unwrap();
        msrs.iter().position(|msr| msr.index == TSC).map(|at| (at, msrs[at].value)).unwrap()
    };
    let ((at, later), (_, before)) = (tsc(now), tsc(saved));
    assert!(later >= before, "the TSC went from {before:#x} back to {later:#x}");
    let mut now = now.clone();
    now.msrs.as_mut().unwrap()[at].value = before;
    let differences = x86_64::differences(&now, saved);
    assert!(differences.is_empty(), "now and as saved:\n{}", differences.join("\n"));
    now.xsave.as_mut().unwrap()[XSTATE_BV].copy_from_slice(&saved.xsave.as_ref().unwrap()[XSTATE_BV]);
    assert!(now == *saved, "a difference that is not named");
    assert!(saved.msrs.as_ref().unwrap().len() > 10, "{:x?}", saved.msrs);
}

#[test]
fn a_running_guest_goes_on_in_a_second_vm() {
    let Some(host) = host() else { return };
    let code = [
        0x66, 0x43, // inc ebx
        0x66, 0x89, 0x1e, 0x00, 0x05, // mov [0x500],ebx
        0xeb, 0xf7, // jmp back
    ];
    for irqchip in [SPLIT, KERNEL] {
        let mut first = Guest::new(&host, irqchip, 1, &code).boot(2);
        let mut state = save(&mut first.vcpus[0]);
        // Something to be moved in every group.
        let debug = state.debug.as_mut().unwrap();
        debug.db = [0x11, 0x22, 0x33, 0x44];
        let xsave = state.xsave.as_mut().unwrap();
        xsave[160..176].copy_from_slice(b"sixteen of xmm0.");
        xsave[512] |= 3; // XSTATE_BV: x87 and SSE are not in their first state
        let lapic = state.lapic.as_mut().unwrap();
        lapic[0xf0..0xf2].copy_from_slice(&[0xff, 0x01]); // spurious vector 0xff, enabled
        const STAR: u32 = 0xc000_0081;
        let star = state.msrs.as_mut().unwrap().iter_mut().find(|m| m.index == STAR).unwrap();
        star.value = 0x0023_0010_0000_0000;
        first.vcpus[0].restore(&VcpuState::X86_64(Box::new(state.clone()))).unwrap();

        let vcpu = first.vcpus.remove(0);
        let rounds = |state: &x86_64::VcpuState| state.regs.unwrap().rbx;
        let (vcpu, paused) = run_until(vcpu, |state| rounds(state) > 10);
        let count = rounds(&paused);
        assert_eq!(paused.debug, state.debug);
        assert_eq!(paused.xsave.as_ref().unwrap()[160..176], *b"sixteen of xmm0.");
        assert_eq!(paused.lapic, state.lapic);
        assert!(paused.msrs.as_ref().unwrap().contains(&Msr { index: STAR, value: 0x0023_0010_0000_0000 }));
        assert_eq!(paused.mp_state, Some(MpState::Runnable));
        let mut memory = vec![0; RAM];
        first.ram.read_slice(&mut memory, GuestAddress(0)).unwrap();
        drop((first, vcpu));

        let mut second = Guest::new(&host, irqchip, 1, &[]);
        second.ram.write_slice(&memory, GuestAddress(0)).unwrap();
        let mut vcpu = second.vcpus.remove(0);
        vcpu.restore(&VcpuState::X86_64(Box::new(paused.clone()))).unwrap();
        assert_same(&save(&mut vcpu), &paused);
        let (_vcpu, later) = run_until(vcpu, |state| rounds(state) > count);
        let later = rounds(&later);
        let stored: u32 = second.ram.read_obj(GuestAddress(0x500)).unwrap();
        assert!(later - u64::from(stored) <= 1, "{later} but {stored} in memory");
    }
}

#[test]
fn an_exit_that_waits_for_data_is_completed_before_the_state_is_read() {
    let Some(host) = host() else { return };
    let code = [0xe4, 0x88, 0xe6, 0x80]; // in al,0x88; out 0x80,al
    let mut guest = Guest::new(&host, SPLIT, 1, &code).boot(2);
    match run!(guest.vcpus[0]) {
        Exit::PioRead { port: 0x88, size: 1, data } => data[0] = 0x77,
        exit => panic!("{exit:?}"),
    }
    let state = save(&mut guest.vcpus[0]);
    let regs = state.regs.unwrap();
    assert_eq!((regs.rax & 0xff, regs.rip), (0x77, CODE + 2));

    let mut second = Guest::new(&host, SPLIT, 1, &code);
    second.vcpus[0].restore(&VcpuState::X86_64(Box::new(state))).unwrap();
    let exit = run!(second.vcpus[0]);
    assert!(matches!(exit, Exit::PioWrite { port: 0x80, size: 1, data: [0x77] }), "{exit:?}");
}

/// `sti; hlt; jmp back`, and a handler of vector 0x40 that writes to port 0x81.
const WAITER: [u8; 10] = [0xfb, 0xf4, 0xeb, 0xfd, 0, 0, 0, 0, 0, 0];
const HANDLER: [u8; 5] = [0xb0, 0x40, 0xe6, 0x81, 0xcf]; // mov al,0x40; out 0x81,al; iret

fn waiter(host: &Host, irqchip: Irqchip) -> Guest {
    let mut guest = Guest::new(host, irqchip, 1, &WAITER).boot(2);
    guest.ram.write_slice(&HANDLER, GuestAddress(0x2000)).unwrap();
    guest.ram.write_slice(&[0x00, 0x20, 0, 0], GuestAddress(0x40 * 4)).unwrap();
    let mut lapic = save(&mut guest.vcpus[0]).lapic.unwrap();
    lapic[0xf0..0xf2].copy_from_slice(&[0xff, 0x01]);
    let enabled = x86_64::VcpuState { lapic: Some(lapic), ..Default::default() };
    guest.vcpus[0].restore(&VcpuState::X86_64(Box::new(enabled))).unwrap();
    guest
}

/// Runs until the handler's port is written; a wake-up comes from another thread.
fn expect_interrupt(vcpu: &mut Vcpu, interrupts: Interrupts, send: Interrupt) {
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        interrupts.send(send).unwrap();
    });
    let exit = run!(vcpu);
    assert!(matches!(exit, Exit::PioWrite { port: 0x81, size: 1, data: [0x40] }), "{exit:?}");
    sender.join().unwrap();
}

#[test]
fn a_halted_vcpu_can_be_moved_and_wakes_by_a_message() {
    let Some(host) = host() else { return };
    let message = Interrupt::Msi { address: 0xfee0_0000, data: 0x40, requester: 0 };
    for irqchip in [SPLIT, KERNEL] {
        let mut guest = waiter(&host, irqchip);
        let vcpu = guest.vcpus.remove(0);
        let (_vcpu, state) = run_until(vcpu, |state| state.mp_state == Some(MpState::Halted));
        let mut second = waiter(&host, irqchip);
        second.vcpus[0].restore(&VcpuState::X86_64(Box::new(state))).unwrap();
        let interrupts = second.vm.interrupts();
        expect_interrupt(&mut second.vcpus[0], interrupts, message);
    }
}

#[test]
fn application_processors_wait_and_their_state_can_be_moved() {
    let Some(host) = host() else { return };
    let mut first = Guest::new(&host, SPLIT, 2, &[]);
    assert_eq!(save(&mut first.vcpus[0]).mp_state, Some(MpState::Runnable));
    let state = save(&mut first.vcpus[1]);
    assert_eq!(state.mp_state, Some(MpState::Uninitialized));
    let mut second = Guest::new(&host, SPLIT, 2, &[]);
    second.vcpus[1].restore(&VcpuState::X86_64(Box::new(state.clone()))).unwrap();
    assert_same(&save(&mut second.vcpus[1]), &state);
    // One that waits can be kicked out, too.
    let vcpu = second.vcpus.remove(1);
    let started = Instant::now();
    run_until_kicked(vcpu, Duration::from_millis(20));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_end_of_a_level_triggered_interrupt_is_told_for_what_is_routed() {
    let Some(host) = host() else { return };
    // mov ecx,0x80b; xor eax,eax; cdq; wrmsr (x2APIC's EOI); iret
    const END: [u8; 14] = [0x66, 0xb9, 0x0b, 0x08, 0, 0, 0x66, 0x31, 0xc0, 0x66, 0x99, 0x0f, 0x30, 0xcf];
    // sti; jmp to itself. No hlt: a KVM that emulates the guest does not leave it before it is awake again.
    const SPIN: [u8; 3] = [0xfb, 0xeb, 0xfe];
    let mut guest = waiter(&host, SPLIT);
    guest.ram.write_slice(&END, GuestAddress(0x2000)).unwrap();
    guest.ram.write_slice(&SPIN, GuestAddress(CODE)).unwrap();
    let mut state = save(&mut guest.vcpus[0]);
    state.sregs.as_mut().unwrap().apic_base |= 0xc00;
    let x2apic = x86_64::VcpuState { sregs: state.sregs, ..Default::default() };
    guest.vcpus[0].restore(&VcpuState::X86_64(Box::new(x2apic))).unwrap();

    let interrupts = guest.vm.interrupts();
    let (address, data, requester) = (0xfee0_0000, 0xc040, 0);
    interrupts.set_routes(&[None, Some(IrqRoute::Msi { address, data, requester })]).unwrap();
    for _ in 0..2 {
        interrupts.send(Interrupt::Msi { address, data, requester }).unwrap();
        let exit = run!(guest.vcpus[0]);
        assert!(matches!(exit, Exit::IoapicEoi { vector: 0x40 }), "{exit:?}");
    }
    // Without the route nothing is told.
    interrupts.set_routes(&[]).unwrap();
    interrupts.send(Interrupt::Msi { address, data, requester }).unwrap();
    run_until_kicked(guest.vcpus.remove(0), Duration::from_millis(50));
}

/// Beyond what eight bits of an APIC id, a message or an interrupt command can name. All start in x2APIC mode.
#[test]
fn the_three_hundredth_vcpu_starts_and_takes_a_message() {
    let Some(host) = host() else { return };
    let cpus = 300;
    let caps = host.caps().unwrap();
    if caps.max_vcpus < cpus || !x86_caps(&caps).x2apic_ids {
        eprintln!("SKIPPED: this host has at most {} vCPUs", caps.max_vcpus);
        return;
    }
    let starter = [
        0x66, 0xb9, 0x30, 0x08, 0, 0, // mov ecx,0x830 (interrupt command)
        0x66, 0xba, 0x2b, 0x01, 0, 0, // mov edx,299
        0x66, 0xb8, 0x00, 0x45, 0, 0, 0x0f, 0x30, // mov eax,0x4500; wrmsr (INIT)
        0x66, 0xb8, 0x03, 0x46, 0, 0, 0x0f, 0x30, // mov eax,0x4603; wrmsr (start-up at 0x3000)
        0xe6, 0x80, // out 0x80,al
    ];
    let started = [
        0x66, 0xb9, 0x0f, 0x08, 0, 0, 0x66, 0xb8, 0xff, 0x01, 0, 0, // mov ecx,0x80f; mov eax,0x1ff
        0x66, 0x31, 0xd2, 0x0f, 0x30, // xor edx,edx; wrmsr (LAPIC on)
        0x66, 0xb9, 0x02, 0x08, 0, 0, 0x0f, 0x32, // mov ecx,0x802; rdmsr (APIC id)
        0x66, 0xe7, 0x84, // out 0x84,eax
        0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00,
        0x70, // xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7000
        0xfb, 0xeb, 0xfe, // sti; jmp to itself
    ];
    let mut guest = Guest::new(&host, SPLIT, cpus, &starter).boot(2);
    guest.ram.write_slice(&started, GuestAddress(0x3000)).unwrap();
    guest.ram.write_slice(&HANDLER, GuestAddress(0x2000)).unwrap();
    guest.ram.write_slice(&[0x00, 0x20, 0, 0], GuestAddress(0x40 * 4)).unwrap();
    let exit = run!(guest.vcpus[0]);
    assert!(matches!(exit, Exit::PioWrite { port: 0x80, .. }), "{exit:?}");
    let exit = run!(guest.vcpus[299]);
    assert!(matches!(exit, Exit::PioWrite { port: 0x84, size: 4, data: [0x2b, 1, 0, 0] }), "{exit:?}");
    // Bits 14 to 8 of the destination are bits 11 to 5 of the address.
    let address = 0xfee0_0000 | 0x2b << 12 | 0x01 << 5;
    guest.vm.interrupts().send(Interrupt::Msi { address, data: 0x40, requester: 0 }).unwrap();
    let exit = run!(guest.vcpus[299]);
    assert!(matches!(exit, Exit::PioWrite { port: 0x81, size: 1, data: [0x40] }), "{exit:?}");
}

#[test]
fn crashes_say_where() {
    let Some(host) = host() else { return };
    // ud2 in protected mode, without any interrupt table.
    let mut guest = Guest::new(&host, SPLIT, 1, &[0x0f, 0x0b]).boot(2);
    let mut state = save(&mut guest.vcpus[0]);
    let sregs = state.sregs.as_mut().unwrap();
    (sregs.idt.limit, sregs.cr0) = (0, sregs.cr0 | 1);
    let flat = x86_64::Segment {
        limit: 0xffff_ffff,
        selector: 8,
        kind: 0xb,
        present: true,
        db: true,
        s: true,
        g: true,
        ..Default::default()
    };
    (sregs.cs, sregs.ss) = (flat, x86_64::Segment { kind: 3, selector: 16, ..flat });
    let sparse = x86_64::VcpuState { sregs: state.sregs, ..Default::default() };
    guest.vcpus[0].restore(&VcpuState::X86_64(Box::new(sparse))).unwrap();
    match run!(guest.vcpus[0]) {
        Exit::System(SystemEvent::Crash { reason }) => {
            // AMD's processors do not tell where.
            let svm = Path::new("/sys/module/kvm_amd").exists();
            let wanted = if svm { "triple fault; where is not known" } else { "triple fault at rip 0x1000 " };
            assert!(reason.starts_with(wanted), "{reason}");
        }
        exit => panic!("{exit:?}"),
    }
    // jmp to where no memory is: there are no bytes to emulate.
    let mut guest = Guest::new(&host, SPLIT, 1, &[0xe9, 0xfd, 0x7f]).boot(2);
    match run!(guest.vcpus[0]) {
        Exit::System(SystemEvent::Crash { reason }) => {
            assert!(reason.starts_with("an instruction that KVM can't emulate"), "{reason}");
            assert!(reason.contains("at rip 0x9000"), "{reason}");
        }
        exit => panic!("{exit:?}"),
    }
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let Some(host) = host() else { return };
    let mut guest = Guest::new(&host, SPLIT, 1, &[]);
    let interrupts = guest.vm.interrupts();
    let line = Interrupt::Line { pin: 4, asserted: true };
    assert!(matches!(interrupts.send(line), Err(Error::Missing(_))));
    assert!(matches!(interrupts.send(Interrupt::Service { parameter: 0 }), Err(Error::WrongIsa(_))));
    assert!(matches!(interrupts.set_routes(&[Some(IrqRoute::Pin { pin: 4 })]), Err(Error::Missing(_))));
    let route = IrqRoute::Msi { address: 0xfee0_0000, data: 0x8040, requester: 0 };
    interrupts.set_routes(&[None, Some(route)]).unwrap();

    let kernel = Guest::new(&host, KERNEL, 1, &[]);
    kernel.vm.interrupts().send(line).unwrap();
    kernel.vm.interrupts().set_routes(&[Some(IrqRoute::Pin { pin: 4 }), Some(route), None]).unwrap();

    let vcpu = &mut guest.vcpus[0];
    let state = save(vcpu);
    let with = |change: fn(&mut x86_64::VcpuState)| {
        let mut state = state.clone();
        change(&mut state);
        VcpuState::X86_64(Box::new(state))
    };
    for bad in [
        with(|s| s.lapic.as_mut().unwrap().truncate(1023)),
        with(|s| s.xsave.as_mut().unwrap().truncate(4095)),
        with(|s| s.xsave.as_mut().unwrap().extend([0; 4000].iter().chain(&[1; 4]))),
        with(|s| s.xcrs = Some(vec![x86_64::Xcr { index: 0, value: 1 }; 17])),
    ] {
        assert!(matches!(vcpu.restore(&bad), Err(Error::BadState(_))));
    }
    let unknown = with(|s| s.msrs = Some(vec![Msr { index: 0xdead_0000, value: 1 }]));
    let refused = vcpu.restore(&unknown);
    assert!(matches!(refused, Err(Error::Register { id: 0xdead_0000, value: 1 })), "{refused:?}");
    vcpu.restore(&VcpuState::X86_64(Box::new(state))).unwrap();
}

#[test]
fn a_message_that_no_lapic_takes_is_the_guests_affair() {
    let Some(host) = host() else { return };
    for irqchip in [SPLIT, KERNEL] {
        let guest = Guest::new(&host, irqchip, 1, &[]);
        // Fixed, lowest priority and to a LAPIC that is not there; a vector that none takes; no delivery mode at all.
        for (address, data) in [
            (0xfee5_5000, 0x40),
            (0xfee5_5008, 0x140),
            (0xfee5_5004, 0x40),
            (0xfee0_0000, 0),
            (0, 0x340),
            (u64::MAX, u32::MAX),
        ] {
            let message = Interrupt::Msi { address, data, requester: 0 };
            let sent = guest.vm.interrupts().send(message);
            assert!(sent.is_ok(), "{irqchip:?}, {message:x?}: {sent:?}");
        }
    }
}

#[test]
fn a_doorbell_of_any_size_stays_in_the_kernel_while_it_is_watched() {
    let Some(host) = host() else { return };
    let code = [
        0xa2, 0x00, 0x90, // mov [0x9000],al
        0xa3, 0x00, 0x90, // mov [0x9000],ax
        0x66, 0xa3, 0x00, 0x90, // mov [0x9000],eax
        0xe6, 0x80, // out 0x80,al
        0xeb, 0xf2, // jmp back
    ];
    let mut guest = Guest::new(&host, SPLIT, 1, &code).boot(2);
    let event = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
    let watch = guest.vm.doorbells().watch(Doorbell::Address { address: MMIO }, event.clone()).unwrap();
    let again = guest.vm.watch(Doorbell::Address { address: MMIO }, event.clone());
    assert!(matches!(again, Err(Error::Ioctl { .. })), "{again:?}");
    let exit = run!(guest.vcpus[0]);
    assert!(matches!(exit, Exit::PioWrite { port: 0x80, .. }), "{exit:?}");
    assert_eq!(event.read().unwrap(), 3);
    drop(watch);
    let exit = run!(guest.vcpus[0]);
    assert!(matches!(exit, Exit::MmioWrite { address: MMIO, data: [_] }), "{exit:?}");
    assert!(event.read().is_err());
}

#[test]
fn an_eventfd_sends_the_message_of_its_route() {
    let Some(host) = host() else { return };
    for irqchip in [SPLIT, KERNEL] {
        let mut guest = waiter(&host, irqchip);
        let interrupts = guest.vm.interrupts();
        let route = |data| Some(IrqRoute::Msi { address: 0xfee0_0000, data, requester: 0 });
        // A vector that no LAPIC takes at first; then another message takes its place.
        interrupts.set_routes(&[None, route(0)]).unwrap();
        let event = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        let _interrupt = interrupts.by_event(event.clone(), 1).unwrap();
        event.write(1).unwrap();
        interrupts.set_routes(&[None, route(0x40)]).unwrap();
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            event.write(1).unwrap();
        });
        let exit = run!(guest.vcpus[0]);
        assert!(matches!(exit, Exit::PioWrite { port: 0x81, size: 1, data: [0x40] }), "{exit:?}");
        sender.join().unwrap();
    }
}

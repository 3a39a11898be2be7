//! Guests of a few instructions on this host's KVM: exits, PSCI, interrupts, pausing, and moving to a second VM.
//!
//! Skipped, loudly, where there is no KVM; with CI=true that is a failure, unless TRIARCH_KVM_TESTS=off says that none is
//! expected.
#![cfg(target_arch = "aarch64")]
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

mod common;

use std::arch::global_asm;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{PATIENCE, host};
use triarch_arch::GuestRam;
use triarch_arch::aarch64::{MpState, PSTATE_EL1H_MASKED, Register, VcpuState, reg};
use triarch_arch::hv::{self, CpuModel, Exit, Interrupt, Irqchip, IsaCaps};
use triarch_arch::kvm::{Host, Kicker, Vcpu, Vm, VmConfig, install_kick_handler};
use vm_memory::{Bytes, GuestAddress};

const RAM: u64 = 0x4000_0000;
const RAM_SIZE: usize = 2 << 20;
/// Where nothing is: accesses come to us.
const MMIO: u64 = 0x0900_0000;
const DISTRIBUTOR: u64 = 0x0800_0000;
// Position-independent guests. Each starts with x0 = MMIO; PSCI's functions are those of Arm's DEN0022.
global_asm!(
    ".pushsection .rodata",
    ".globl guests, guests_end, accesses, reset, idle, pair, smp, count, gic_v2, gic_v3",
    ".balign 2048",
    "guests:",
    // Exception vectors, so that they are aligned; the one for synchronous exceptions of the current EL tells ESR_EL1.
    ".org guests + 0x200",
    "mrs x1, esr_el1",
    "str x1, [x0]",
    "b off",
    ".org guests + 0x800",
    "accesses:",
    "mov x1, #0x1234",
    "movk x1, #0x5678, lsl #48",
    "strb w1, [x0]",
    "strh w1, [x0, #2]",
    "str w1, [x0, #4]",
    "str x1, [x0, #8]",
    "ldrb w2, [x0, #0x11]",
    "str x2, [x0, #0x18]",
    "ldr x2, [x0, #0x20]",
    "str x2, [x0, #0x28]",
    "off:",
    "mov w0, #0x84000000",
    "add w0, w0, #8",
    "hvc #0",
    "reset:",
    "mov w0, #0x84000000",
    "add w0, w0, #9",
    "hvc #0",
    "idle:",
    "str x0, [x0]",
    "1: wfi",
    "b 1b",
    "pair:",
    "adr x1, guests",
    "msr vbar_el1, x1",
    "isb",
    "ldp x1, x2, [x0]",
    "b off",
    // CPU_ON (0xc4000003) of the vCPU whose affinity is in x1, at `second`, with x0 as its context; then waits.
    "smp:",
    "mov x3, x0",
    "mov x19, x0", // The call changes x0 to x3.,
    "mov x0, #3",
    "movk x0, #0xc400, lsl #16",
    "adr x2, second",
    "hvc #0",
    "str x0, [x19]",
    "adr x1, told",
    "str w19, [x1]",
    "1: wfi",
    "b 1b",
    // It powers off, which stops the first vCPU, once that has told how its call ended.
    "second:",
    "mrs x1, mpidr_el1",
    "str x1, [x0, #8]",
    "adr x2, told",
    "1: ldr w1, [x2]",
    "cbz w1, 1b",
    "b off",
    "told: .word 0",
    // Counts in x19 and v0 for as long as the device says 0; tells both.
    "count:",
    "mov x1, #(3 << 20)", // CPACR_EL1.FPEN: no traps.
    "msr cpacr_el1, x1",
    "isb",
    "mov x19, #0",
    "fmov d0, #1.0",
    "fmov d1, #1.0",
    "1: add x19, x19, #1",
    "fadd d0, d0, d1",
    "ldr w1, [x0]",
    "cbz w1, 1b",
    "str x19, [x0, #8]",
    "fmov x2, d0",
    "str x2, [x0, #8]",
    "mrs x2, tpidr_el1",
    "str x2, [x0, #8]",
    "b off",
    // Waits for interrupts 32 to 63 with all of them masked, takes them and tells their ids. x1 is the distributor.
    "gic_v3:",
    "mov w2, #0x12", // GICD_CTLR: group 1 enabled, affinity routing.
    "str w2, [x1]",
    "str wzr, [x1, #0xc08]", // GICD_ICFGR2 and 3: level-sensitive.
    "str wzr, [x1, #0xc0c]",
    "mov w2, #-1",
    "str w2, [x1, #0x84]",  // GICD_IGROUPR1
    "str w2, [x1, #0x104]", // GICD_ISENABLER1
    "mov x2, #0xff",
    "msr S3_0_C4_C6_0, x2", // ICC_PMR_EL1
    "mov x2, #1",
    "msr S3_0_C12_C12_7, x2", // ICC_IGRPEN1_EL1
    "isb",
    "str x0, [x0]",
    "1: wfi",
    "mrs x2, S3_0_C12_C12_0", // ICC_IAR1_EL1
    "str x2, [x0, #8]",
    "msr S3_0_C12_C12_1, x2", // ICC_EOIR1_EL1
    "b 1b",
    // The same with a GICv2, whose CPU interface is 64 KiB after the distributor.
    "gic_v2:",
    "mov w2, #1",
    "str w2, [x1]",          // GICD_CTLR: enabled.
    "str wzr, [x1, #0xc08]", // GICD_ICFGR2 and 3: level-sensitive.
    "str wzr, [x1, #0xc0c]",
    "mov w2, #-1",
    "str w2, [x1, #0x104]", // GICD_ISENABLER1
    "mov w2, #0x01010101",
    "add x3, x1, #0x820", // GICD_ITARGETSR8 to 15: the first CPU.
    "add x4, x3, #0x20",
    "1: str w2, [x3]",
    "add x3, x3, #4",
    "cmp x3, x4",
    "b.ne 1b",
    "add x1, x1, #0x10, lsl #12",
    "mov w2, #0xff",
    "str w2, [x1, #4]", // GICC_PMR
    "mov w2, #1",
    "str w2, [x1]", // GICC_CTLR
    "str x0, [x0]",
    "1: wfi",
    "ldr w2, [x1, #0xc]", // GICC_IAR
    "str x2, [x0, #8]",
    "str w2, [x1, #0x10]", // GICC_EOIR
    "b 1b",
    "guests_end:",
    ".popsection",
);

/// Labels of the code above.
mod code {
    unsafe extern "C" {
        pub static guests: u8;
        pub static guests_end: u8;
        pub static accesses: u8;
        pub static reset: u8;
        pub static idle: u8;
        pub static pair: u8;
        pub static smp: u8;
        pub static count: u8;
        pub static gic_v2: u8;
        pub static gic_v3: u8;
    }
}

/// What goes to the begin of RAM: all guests.
fn payload() -> &'static [u8] {
    let (start, end) = (&raw const code::guests, &raw const code::guests_end);
    // SAFETY: what lies between both labels is read-only data of this program.
    unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
}

fn config(host: &Host, cpus: u32) -> VmConfig {
    let IsaCaps::Aarch64(caps) = host.caps().unwrap().isa else { panic!("not an aarch64 host") };
    eprintln!("{caps:?}");
    let irqchip = if caps.gic_v3 {
        let its = caps.its.then_some(0x0808_0000);
        Irqchip::GicV3 { distributor: DISTRIBUTOR, redistributors: 0x0810_0000, its, irqs: 128 }
    } else {
        Irqchip::GicV2 { distributor: DISTRIBUTOR, cpu_interface: 0x0801_0000, irqs: 128 }
    };
    let cpu_model = CpuModel::Aarch64(caps.cpu);
    VmConfig { irqchip, cpu_model, cpus, address_limit: RAM + RAM_SIZE as u64, huge_pages: false }
}

struct Machine {
    vm: Vm,
    vcpus: Vec<Vcpu>,
    ram: GuestRam,
}

impl Machine {
    fn new(host: &Host, cpus: u32) -> Self {
        let ram = GuestRam::from_ranges(&[(GuestAddress(RAM), RAM_SIZE)]).unwrap();
        ram.write_slice(payload(), GuestAddress(RAM)).unwrap();
        let mut vm = host.create_vm(config(host, cpus)).unwrap();
        vm.set_ram(&ram).unwrap();
        let vcpus = (0..cpus).map(|index| vm.create_vcpu(index).unwrap()).collect();
        vm.finish().unwrap();
        Machine { vm, vcpus, ram }
    }

    /// With vCPU 0 at the start of a guest, `x1` in its register x1.
    fn boot(host: &Host, cpus: u32, guest: *const u8, x1: u64) -> Self {
        let mut machine = Machine::new(host, cpus);
        let offset = guest as u64 - &raw const code::guests as u64;
        let registers = vec![
            Register::u64(reg::PC, RAM + offset),
            Register::u64(reg::PSTATE, PSTATE_EL1H_MASKED),
            Register::u64(reg::x(0), MMIO),
            Register::u64(reg::x(1), x1),
        ];
        let state = VcpuState { registers, ..VcpuState::default() };
        machine.vcpus[0].restore(&hv::VcpuState::Aarch64(Box::new(state))).unwrap();
        machine
    }
}

/// The exit in words, with reads answered by `answer`.
fn step(vcpu: &mut Vcpu, answer: &[u8]) -> String {
    match vcpu.run().unwrap() {
        Exit::MmioRead { address, data } => {
            let len = data.len();
            data.copy_from_slice(&answer[..len]);
            format!("read {:#x} {len}", address - MMIO)
        }
        Exit::MmioWrite { address, data } => format!("write {:#x} {data:02x?}", address - MMIO),
        Exit::System(event) => format!("{event:?}"),
        other => format!("{other:?}"),
    }
}

/// A written u64.
fn written(vcpu: &mut Vcpu) -> u64 {
    loop {
        match vcpu.run().unwrap() {
            Exit::MmioWrite { data, .. } => return u64::from_le_bytes(data.try_into().unwrap()),
            Exit::Resume => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn accesses_come_out_and_answers_go_in() {
    let Some(host) = host() else { return };
    let mut machine = Machine::boot(&host, 1, &raw const code::accesses, 0);
    let vcpu = &mut machine.vcpus[0];
    let answer = [0x81, 2, 3, 4, 5, 6, 7, 8];
    let mut seen = Vec::new();
    while seen.len() < 9 {
        seen.push(step(vcpu, &answer));
    }
    let expected = [
        "write 0x0 [34]",
        "write 0x2 [34, 12]",
        "write 0x4 [34, 12, 00, 00]",
        "write 0x8 [34, 12, 00, 00, 00, 00, 78, 56]",
        "read 0x11 1",
        "write 0x18 [81, 00, 00, 00, 00, 00, 00, 00]",
        "read 0x20 8",
        "write 0x28 [81, 02, 03, 04, 05, 06, 07, 08]",
        "PowerOff",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_guest_can_ask_for_a_reset() {
    let Some(host) = host() else { return };
    let mut machine = Machine::boot(&host, 1, &raw const code::reset, 0);
    assert_eq!(step(&mut machine.vcpus[0], &[]), "Reset");
}

#[test]
fn an_access_that_can_not_be_decoded_aborts_in_the_guest() {
    let Some(host) = host() else { return };
    let mut machine = Machine::boot(&host, 1, &raw const code::pair, 0);
    // Exception class 0x25: a data abort at the same EL. Fault status 0x10: a synchronous external abort.
    let esr = written(&mut machine.vcpus[0]);
    assert_eq!((esr >> 26, esr & 0x3f), (0x25, 0x10), "{esr:#x}");
    assert_eq!(step(&mut machine.vcpus[0], &[]), "PowerOff");
}

/// Lets a vCPU run in a thread of its own until it comes back, with what it came back with.
fn run_apart(mut vcpu: Vcpu) -> (Kicker, Receiver<String>, JoinHandle<Vcpu>) {
    let (kicker_to, kicker_from) = mpsc::channel();
    let (exits, seen) = mpsc::channel();
    let handle = thread::spawn(move || {
        kicker_to.send(vcpu.bind_thread()).unwrap();
        loop {
            let exit = step(&mut vcpu, &[0; 8]);
            let end = exit == "Interrupted" || exit == "PowerOff";
            exits.send(exit).unwrap();
            if end {
                return vcpu;
            }
        }
    });
    (kicker_from.recv().unwrap(), seen, handle)
}

#[test]
fn a_kick_ends_a_wait() {
    let Some(host) = host() else { return };
    install_kick_handler().unwrap();
    let mut machine = Machine::boot(&host, 1, &raw const code::idle, 0);
    let (kicker, seen, handle) = run_apart(machine.vcpus.remove(0));
    assert!(seen.recv_timeout(PATIENCE).unwrap().starts_with("write 0x0"));
    // Most likely it waits by then; if not, the kick must end the wait all the same.
    thread::sleep(Duration::from_millis(50));
    kicker.kick();
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), "Interrupted");
    let mut vcpu = handle.join().unwrap();
    // A kick that comes between two runs is not lost either, and the next run is not affected by it.
    let kicker = vcpu.bind_thread();
    kicker.kick();
    assert_eq!(step(&mut vcpu, &[]), "Interrupted");
}

#[test]
fn psci_starts_the_second_vcpu() {
    let Some(host) = host() else { return };
    install_kick_handler().unwrap();
    let mut machine = Machine::boot(&host, 2, &raw const code::smp, 1);
    assert_eq!(save(&mut machine.vcpus[1]).mp_state, Some(MpState::Stopped));
    let (_, second_seen, second) = run_apart(machine.vcpus.remove(1));
    let (first_kicker, first_seen, first) = run_apart(machine.vcpus.remove(0));
    assert_eq!(first_seen.recv_timeout(PATIENCE).unwrap(), format!("write 0x0 {:02x?}", [0; 8]));
    // MPIDR_EL1: bit 31 is always one.
    let mpidr = format!("write 0x8 {:02x?}", 0x8000_0001u64.to_le_bytes());
    assert_eq!(second_seen.recv_timeout(PATIENCE).unwrap(), mpidr);
    assert_eq!(second_seen.recv_timeout(PATIENCE).unwrap(), "PowerOff");
    second.join().unwrap();
    // SYSTEM_OFF stops all vCPUs of the machine, in the kernel's eyes.
    first_kicker.kick();
    assert_eq!(first_seen.recv_timeout(PATIENCE).unwrap(), "Interrupted");
    first.join().unwrap();
}

/// Waits until the guest tells nothing but 1023, "no interrupt", for a while.
fn expect_quiet(seen: &Receiver<String>) {
    let deadline = Instant::now() + PATIENCE;
    let none = format!("write 0x8 {:02x?}", 1023u64.to_le_bytes());
    while let Ok(told) = seen.recv_timeout(Duration::from_millis(200)) {
        assert!(told == none || Instant::now() < deadline, "it does not end: {told}");
    }
}

#[test]
fn a_line_interrupts_for_as_long_as_it_is_asserted() {
    let Some(host) = host() else { return };
    install_kick_handler().unwrap();
    let guest = match config(&host, 1).irqchip {
        Irqchip::GicV3 { .. } => &raw const code::gic_v3,
        _ => &raw const code::gic_v2,
    };
    let mut machine = Machine::boot(&host, 1, guest, DISTRIBUTOR);
    let interrupts = machine.vm.interrupts();
    let (kicker, seen, handle) = run_apart(machine.vcpus.remove(0));
    assert!(seen.recv_timeout(PATIENCE).unwrap().starts_with("write 0x0"));
    for pin in [1, 31, 7] {
        interrupts.send(Interrupt::Line { pin, asserted: true }).unwrap();
        let id = format!("write 0x8 {:02x?}", u64::from(32 + pin).to_le_bytes());
        // Twice: what has not been lowered comes again.
        for _ in 0..2 {
            assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), id);
        }
        interrupts.send(Interrupt::Line { pin, asserted: false }).unwrap();
        expect_quiet(&seen);
    }
    // A message to where no translation service is, is lost without harm.
    let lost = Interrupt::Msi { address: 0xdead_0000, data: 1, requester: 0 };
    interrupts.send(lost).unwrap();
    kicker.kick();
    while seen.recv_timeout(PATIENCE).unwrap() != "Interrupted" {}
    handle.join().unwrap();
}

/// Registers that are not the same in both states, as text; without the counters, which go on by themselves.
fn differences(now: &VcpuState, saved: &VcpuState) -> Vec<String> {
    // KVM_REG_ARM_TIMER_CNT and KVM_REG_ARM_PTIMER_CNT.
    const COUNTERS: [u64; 2] = [0x6030_0000_0013_df1a, 0x6030_0000_0013_df01];
    let ids = |state: &VcpuState| state.registers.iter().map(|register| register.id).collect::<Vec<_>>();
    assert_eq!(ids(now), ids(saved));
    let pairs = now.registers.iter().zip(&saved.registers);
    let differ = pairs.filter(|(now, saved)| now != saved && !COUNTERS.contains(&now.id));
    differ.map(|(now, saved)| format!("{:#x} {:02x?}, was {:02x?}", now.id, now.value, saved.value)).collect()
}

/// A vCPU's state.
fn save(vcpu: &mut Vcpu) -> VcpuState {
    match vcpu.save().unwrap() {
        hv::VcpuState::Aarch64(state) => *state,
        other => panic!("state of another ISA: {other:?}"),
    }
}

#[test]
fn a_running_guest_moves_to_a_second_vm() {
    let Some(host) = host() else { return };
    let mut first = Machine::boot(&host, 1, &raw const code::count, 0);
    let tpidr_el1 = 0x6030_0000_0013_c684;
    let mark = VcpuState { registers: vec![Register::u64(tpidr_el1, 0x1122_3344)], ..VcpuState::default() };
    first.vcpus[0].restore(&hv::VcpuState::Aarch64(Box::new(mark))).unwrap();
    for _ in 0..1000 {
        assert_eq!(step(&mut first.vcpus[0], &[0; 4]), "read 0x0 4");
    }
    // The last answer ends the guest's loop; it has not reached the guest yet.
    assert_eq!(step(&mut first.vcpus[0], &[1, 0, 0, 0]), "read 0x0 4");
    let saved = save(&mut first.vcpus[0]);
    eprintln!("{} registers", saved.registers.len());
    assert!(saved.registers.len() > 200);
    assert_eq!(saved.get(reg::x(1)), Some([1, 0, 0, 0, 0, 0, 0, 0].as_slice()), "the answer is in the state");
    assert_eq!(saved.mp_state, Some(MpState::Runnable));

    let mut second = Machine::new(&host, 1);
    let mut bytes = vec![0; RAM_SIZE];
    first.ram.read_slice(&mut bytes, GuestAddress(RAM)).unwrap();
    second.ram.write_slice(&bytes, GuestAddress(RAM)).unwrap();
    drop(first);
    second.vcpus[0].restore(&hv::VcpuState::Aarch64(Box::new(saved.clone()))).unwrap();
    let now = save(&mut second.vcpus[0]);
    assert_eq!(differences(&now, &saved), Vec::<String>::new());
    assert_eq!((now.mp_state, now.events), (saved.mp_state, saved.events));
    assert_eq!(written(&mut second.vcpus[0]), 1001);
    assert_eq!(f64::from_bits(written(&mut second.vcpus[0])), 1002.0);
    assert_eq!(written(&mut second.vcpus[0]), 0x1122_3344);
    assert_eq!(step(&mut second.vcpus[0], &[]), "PowerOff");
}

#[test]
fn what_the_vcpu_does_not_have_is_refused_by_name() {
    let Some(host) = host() else { return };
    let mut machine = Machine::new(&host, 1);
    for register in [
        Register::u64(0x6030_0000_0013_ffff, 0),
        Register { id: reg::PC, value: vec![0; 4] },
        Register { id: u64::MAX, value: vec![] },
    ] {
        let id = format!("{:#x}", register.id);
        let state = VcpuState { registers: vec![register], ..VcpuState::default() };
        let error = machine.vcpus[0].restore(&hv::VcpuState::Aarch64(Box::new(state))).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(&id), "{source}");
    }
}

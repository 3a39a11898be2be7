//! Guests of a few instructions on this host's KVM: exits, interruptions, signals between vCPUs, and moving to a second VM.
//!
//! Skipped, loudly, where there is no KVM; with CI=true that is a failure, unless TRIARCH_KVM_TESTS=off says that none is
//! expected.
#![cfg(target_arch = "s390x")]
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

mod common;
#[path = "common/s390x.rs"]
mod guest;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{host, run};
use guest::*;
use triarch_arch::hv::{Exit, Interrupt, IrqRoute, SubsystemReset, SystemEvent, VcpuState};
use triarch_arch::kvm::{Error, Host, Vcpu, install_kick_handler};
use triarch_arch::s390x::{self, Answer, MpState, Psw, Timers};
use vm_memory::{Bytes, GuestAddress};

/// Runs until the state is as `enough` says.
fn run_until(vcpu: Vcpu, enough: impl Fn(&s390x::VcpuState) -> bool) -> Vcpu {
    common::run_until(vcpu, |state| matches!(state, VcpuState::S390x(state) if enough(state)))
}

/// `lghi %r3,0; sigp %r0,%r3,5`: stops itself.
const STOP: [u8; 8] = [0xa7, 0x39, 0x00, 0x00, 0xae, 0x03, 0x00, 0x05];

#[test]
fn the_host_has_all_that_is_required() {
    let Some(host) = host() else { return };
    for feature in host.features() {
        assert!(feature.present || !feature.required, "{feature:?}");
    }
    let caps = host.caps().unwrap();
    assert!(caps.max_vcpus >= 64, "{}", caps.max_vcpus);
    let caps = s390x_caps(&caps);
    assert!(caps.max_memory >= 1 << 31, "{:#x}", caps.max_memory);
    // z/Architecture is there and active, and so are long displacements, which every Linux needs.
    let facilities = caps.cpu_model().facilities;
    assert!([1, 2, 18].into_iter().all(|number| facilities.has(number)), "{facilities:?}");
}

#[test]
fn service_calls_come_out_and_answers_take_effect() {
    let Some(host) = host() else { return };
    let code = [
        &SERVC[..],
        &[0xb2, 0x22, 0x00, 0x50], // ipm %r5
        &[0xb2, 0x20, 0x00, 0x24], // servc %r2,%r4
        &STOP,
    ]
    .concat();
    let mut guest = Guest::new(&host, 1, &code).boot();
    let vcpu = &mut guest.vcpus[0];
    match run!(vcpu) {
        Exit::S390x { call, answer } => {
            assert_eq!(call, SERVC_CALL);
            *answer = Answer { gprs: vec![(7, 0x1234_5678_9abc_def0)], ..Answer::cc(2) };
        }
        exit => panic!("{exit:?}"),
    }
    match run!(vcpu) {
        Exit::S390x { call, answer } => {
            assert_eq!(call, SERVC_CALL);
            *answer = Answer::cc(1);
        }
        exit => panic!("{exit:?}"),
    }
    // An answer that the vCPU waits for is part of its state.
    let state = save(vcpu);
    let gprs = state.gprs.unwrap();
    assert_eq!((gprs[5], gprs[7]), (2 << 28, 0x1234_5678_9abc_def0));
    assert_eq!(state.psw.unwrap(), Psw { mask: MASK | 1 << 44, addr: CODE + 22 });
    let exit = run!(vcpu);
    assert!(matches!(exit, Exit::System(SystemEvent::PowerOff)), "{exit:?}");
    assert_eq!(save(vcpu).mp_state, Some(MpState::Stopped));
}

#[test]
fn a_disabled_wait_is_a_crash_that_says_where() {
    let Some(host) = host() else { return };
    let mut guest = Guest::new(&host, 1, &[0xb2, 0xb2, 0x05, 0x00]).boot(); // lpswe 0x500
    guest.write_psw(0x500, Psw { mask: MASK | Psw::WAIT, addr: 0xdead });
    match run!(guest.vcpus[0]) {
        Exit::System(SystemEvent::Crash { reason }) => {
            assert!(reason.contains("disabled wait"), "{reason}");
            assert!(reason.contains("0002000180000000 000000000000dead"), "{reason}");
        }
        exit => panic!("{exit:?}"),
    }
}

#[test]
fn what_does_not_exist_is_a_program_interruption() {
    let Some(host) = host() else { return };
    const SPECIFICATION: u16 = 6;
    const OPERATION: u16 = 1;
    // diag %r2,%r3,0x123, and an instruction that no machine has.
    for (code, expected) in [([0x83, 0x23, 0x01, 0x23], SPECIFICATION), ([0xb9, 0xfe, 0, 0], OPERATION)] {
        let mut guest = Guest::new(&host, 1, &code).boot();
        guest.write_psw(PROGRAM_NEW, Psw { mask: MASK | Psw::WAIT, addr: 0x1111 });
        let exit = run!(guest.vcpus[0]);
        assert!(
            matches!(&exit, Exit::System(SystemEvent::Crash { reason }) if reason.contains("1111")),
            "{exit:?}"
        );
        let [length, code_high, code_low] = guest.read(0x8d);
        assert_eq!((length, u16::from_be_bytes([code_high, code_low])), (4, expected));
        assert_eq!(guest.read_u64(0x158), CODE + 4, "the old PSW is behind the instruction");
    }
}

#[test]
fn an_operand_without_memory_is_a_program_interruption() {
    let Some(host) = host() else { return };
    let mut guest = Guest::new(&host, 1, &SERVC).boot();
    guest.write_psw(PROGRAM_NEW, Psw { mask: MASK | Psw::WAIT, addr: 0x2222 });
    match run!(guest.vcpus[0]) {
        Exit::S390x { answer, .. } => {
            let store = s390x::Store { address: 2 * RAM as u64, access_register: 0, bytes: vec![1] };
            *answer = Answer { store: Some(store), gprs: vec![(9, 1)], ..Answer::cc(3) };
        }
        exit => panic!("{exit:?}"),
    }
    let exit = run!(guest.vcpus[0]);
    assert!(
        matches!(&exit, Exit::System(SystemEvent::Crash { reason }) if reason.contains("2222")),
        "{exit:?}"
    );
    assert_eq!(guest.read(0x8e), [0, 5], "addressing exception");
    assert_eq!(save(&mut guest.vcpus[0]).gprs.unwrap()[9], 0, "nothing else of the answer counts");
}

#[test]
fn a_reload_is_a_reset() {
    let Some(host) = host() else { return };
    // lghi %r3,3; diag %r2,%r3,0x308
    let mut guest = Guest::new(&host, 1, &[0xa7, 0x39, 0, 3, 0x83, 0x23, 0x03, 0x08]).boot();
    let exit = run!(guest.vcpus[0]);
    assert!(matches!(exit, Exit::System(SystemEvent::Reset)), "{exit:?}");
}

#[test]
fn after_a_subsystem_reset_the_vcpu_that_asked_goes_on() {
    /// What control register 0 gets: service signals are let in.
    const CR0: u64 = 0x3000;
    let Some(host) = host() else { return };
    for (subcode, reset) in [(0, SubsystemReset::Clear), (1, SubsystemReset::LoadNormal)] {
        // lghi %r1,subcode; lghi %r5,55; diag %r0,%r1,0x308
        let code = [0xa7, 0x19, 0x00, subcode, 0xa7, 0x59, 0x00, 0x37, 0x83, 0x01, 0x03, 0x08];
        let mut guest = Guest::new(&host, 2, &code).boot();
        // lctlg %c0,%c0,CR0; lghi %r1,3; diag %r0,%r1,0x308
        let then = [0xeb, 0, 0, 0, 0x03, 0x2f, 0xa7, 0x19, 0, 3, 0x83, 0x01, 0x03, 0x08];
        guest.ram.write_slice(&then, GuestAddress(CODE_1)).unwrap();
        guest.ram.write_slice(&0x200u64.to_be_bytes(), GuestAddress(CR0)).unwrap();
        guest.write_psw(EXTERNAL_NEW, Psw { mask: Psw::WAIT | MASK, addr: 0xbad });
        // 31-bit addresses, external interruptions enabled.
        guest.ram.write_slice(&(0x0108_0000_8000_0000 | CODE_1).to_be_bytes(), GuestAddress(0)).unwrap();
        let running = MpState::Operating;
        let other = s390x::VcpuState { gprs: Some([7; 16]), mp_state: Some(running), ..Default::default() };
        restore(&mut guest.vcpus[1], other);
        guest.vm.interrupts().send(Interrupt::Service { parameter: 0x4000 }).unwrap();

        let exit = run!(guest.vcpus[0]);
        assert!(
            matches!(exit, Exit::System(SystemEvent::SubsystemReset(found)) if found == reset),
            "{exit:?}"
        );
        guest.vm.reset().unwrap();
        for (index, vcpu) in (0..).zip(&mut guest.vcpus) {
            vcpu.reset(reset, index == 0).unwrap();
        }

        let (asked, other) = (save(&mut guest.vcpus[0]), save(&mut guest.vcpus[1]));
        let kept = |value| if reset == SubsystemReset::LoadNormal { value } else { 0 };
        assert_eq!(asked.psw, Some(Psw { mask: 0x0100_0000_8000_0000, addr: CODE_1 }));
        assert_eq!((asked.mp_state, asked.gprs.unwrap()[5]), (Some(running), kept(55)));
        assert_eq!((other.mp_state, other.gprs), (Some(MpState::Stopped), Some([kept(7); 16])));
        let exit = run!(guest.vcpus[0]);
        assert!(matches!(exit, Exit::System(SystemEvent::Reset)), "the service signal is gone: {exit:?}");
    }
}

#[test]
fn stsi_has_our_names() {
    let Some(host) = host() else { return };
    let code = [
        &[0xc0, 0x0f, 0x30, 0x00, 0x00, 0x02][..], // llilf %r0,0x30000002
        &[0xa7, 0x19, 0x00, 0x02, 0xa7, 0x69, 0x40, 0x00], // lghi %r1,2; lghi %r6,0x4000
        &[0xb2, 0x7d, 0x60, 0x00],                 // stsi 0(%r6)
        &SERVC,
    ]
    .concat();
    let mut guest = Guest::new(&host, 1, &code).boot();
    let exit = run!(guest.vcpus[0]);
    assert!(matches!(exit, Exit::S390x { .. }), "{exit:?}");
    let name: [u8; 8] = guest.read(SCCB + 44);
    assert_eq!(name, [0xe3, 0xd9, 0xc9, 0xc1, 0xd9, 0xc3, 0xc8, 0x40], "TRIARCH in EBCDIC");
}

/// A guest that counts in register 2 and at 0x600, for ever: `aghi %r2,1; stg %r2,0x600; j back`.
const COUNTER: [u8; 14] =
    [0xa7, 0x2b, 0x00, 0x01, 0xe3, 0x20, 0x06, 0x00, 0x00, 0x24, 0xa7, 0xf4, 0xff, 0xfb];

/// All of a state that must be the same a moment later in another VM: not what time changes.
fn timeless(mut state: s390x::VcpuState) -> s390x::VcpuState {
    let timers = state.timers.unwrap();
    state.timers = Some(Timers { cpu_timer: 0, ..timers });
    state
}

#[test]
fn a_running_guest_goes_on_in_a_second_vm() {
    let Some(host) = host() else { return };
    let mut first = Guest::new(&host, 1, &COUNTER).boot();
    let mut state = save(&mut first.vcpus[0]);
    // Something to be moved in every group that every host has.
    state.acrs.as_mut().unwrap()[3] = 0x1357_9bdf;
    state.crs.as_mut().unwrap()[9] = 0x0246_8ace;
    match (&mut state.vrs, &mut state.fprs) {
        (Some(vrs), None) => vrs[2] = 0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00,
        (None, Some(fprs)) => fprs[2] = 0x1122_3344_5566_7788,
        both => panic!("{both:?}"),
    }
    state.fpc = Some(0x0080_0000);
    state.prefix = Some(0x6000);
    let timers = state.timers.as_mut().unwrap();
    timers.todpr = 0x4321;
    timers.cpu_timer = 1 << 60;
    timers.clock_comparator = u64::MAX - 0xffff;
    timers.epoch = 0x0123_4567_89ab_0000;
    state.gbea = Some(0x7770);
    state.pp = Some(0x5555_aaaa);
    restore(&mut first.vcpus[0], state.clone());
    assert_eq!(save(&mut first.vcpus[0]), state, "before it ever ran");

    let vcpu = first.vcpus.remove(0);
    let rounds = |state: &s390x::VcpuState| state.gprs.unwrap()[2];
    let mut vcpu = run_until(vcpu, |state| rounds(state) > 10);
    let paused = save(&mut vcpu);
    let count = rounds(&paused);
    let moved = s390x::VcpuState {
        psw: paused.psw,
        gprs: paused.gprs,
        gbea: paused.gbea,
        timers: paused.timers,
        ..state.clone()
    };
    assert_eq!(paused, moved, "what the guest did not touch is as it was set");
    let (before, after) = (state.timers.unwrap(), paused.timers.unwrap());
    assert!(after.cpu_timer < before.cpu_timer, "the CPU timer has run: {after:x?}");
    assert_eq!(Timers { cpu_timer: 0, ..after }, Timers { cpu_timer: 0, ..before });
    let mut memory = vec![0; RAM];
    first.ram.read_slice(&mut memory, GuestAddress(0)).unwrap();
    drop((first, vcpu));

    let mut second = Guest::new(&host, 1, &[]);
    second.ram.write_slice(&memory, GuestAddress(0)).unwrap();
    let mut vcpu = second.vcpus.remove(0);
    restore(&mut vcpu, paused.clone());
    assert_eq!(timeless(save(&mut vcpu)), timeless(paused));
    let mut vcpu = run_until(vcpu, |state| rounds(state) > count);
    let later = rounds(&save(&mut vcpu));
    // The guest's real address 0x600 is in its prefix area.
    let stored = second.read_u64(0x6600);
    assert!(later - stored <= 1, "{later} but {stored} in memory");
}

/// Where the guest of [`waiter`] waits.
const WAITING: u64 = 0x3333;

/// A guest that waits for a service signal, and makes a service call when it comes.
///
/// `lctlg %c0,%c0,0x608; lpswe 0x610`.
fn waiter(host: &Host) -> Guest {
    let mut guest = Guest::new(host, 1, &[0xeb, 0, 0x06, 0x08, 0, 0x2f, 0xb2, 0xb2, 0x06, 0x10]).boot();
    // Control register 0: the service signal's subclass.
    guest.ram.write_slice(&0x200u64.to_be_bytes(), GuestAddress(0x608)).unwrap();
    guest.write_psw(0x610, Psw { mask: MASK | Psw::WAIT | Psw::EXTERNAL, addr: WAITING });
    guest.write_psw(EXTERNAL_NEW, at(CODE_1));
    guest.ram.write_slice(&SERVC, GuestAddress(CODE_1)).unwrap();
    let vcpu = guest.vcpus.remove(0);
    guest.vcpus.push(run_until(vcpu, |state| state.psw.unwrap().addr == WAITING));
    guest
}

#[test]
fn a_waiting_vcpu_can_be_moved_and_wakes_by_a_service_signal() {
    let Some(host) = host() else { return };
    let mut first = waiter(&host);
    let state = save(&mut first.vcpus[0]);
    assert_eq!(state.psw.unwrap().addr, WAITING);
    assert_eq!(state.crs.unwrap()[0], 0x200);
    let mut memory = vec![0; RAM];
    first.ram.read_slice(&mut memory, GuestAddress(0)).unwrap();
    drop(first);

    let mut second = Guest::new(&host, 1, &[]);
    second.ram.write_slice(&memory, GuestAddress(0)).unwrap();
    restore(&mut second.vcpus[0], state);
    let interrupts = second.vm.interrupts();
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        interrupts.send(Interrupt::Service { parameter: 0x4000 }).unwrap();
    });
    let exit = run!(second.vcpus[0]);
    assert!(matches!(&exit, Exit::S390x { call, .. } if *call == SERVC_CALL), "{exit:?}");
    sender.join().unwrap();
    assert_eq!(second.read(0x80), [0, 0, 0x40, 0], "the parameter");
    assert_eq!(second.read(0x86), [0x24, 0x01], "the code");
}

#[test]
fn pending_interruptions_are_part_of_the_state() {
    let Some(host) = host() else { return };
    let mut first = Guest::new(&host, 1, &SERVC).boot();
    match run!(first.vcpus[0]) {
        Exit::S390x { answer, .. } => *answer = Answer::program(6),
        exit => panic!("{exit:?}"),
    }
    let state = save(&mut first.vcpus[0]);
    assert_eq!(state.irqs.as_ref().unwrap().len(), 72);
    let mut second = Guest::new(&host, 1, &SERVC);
    second.write_psw(PROGRAM_NEW, Psw { mask: MASK | Psw::WAIT, addr: 0x4444 });
    // Twice: what is pending is replaced.
    restore(&mut second.vcpus[0], state.clone());
    restore(&mut second.vcpus[0], state.clone());
    assert_eq!(save(&mut second.vcpus[0]).irqs, state.irqs);
    let exit = run!(second.vcpus[0]);
    assert!(
        matches!(&exit, Exit::System(SystemEvent::Crash { reason }) if reason.contains("4444")),
        "{exit:?}"
    );
    assert_eq!(second.read(0x8c), [0, 4, 0, 6], "length and code");
}

/// vCPU 0 resets vCPU 1, has it restart, waits until it has stopped, and makes a service call.
const BOSS: [u8; 50] = [
    0xa7, 0x39, 0x00, 0x01, // lghi %r3,1
    0xae, 0x03, 0x00, 0x0b, // sigp %r0,%r3,0x0b: initial CPU reset
    0xa7, 0x24, 0xff, 0xfe, // brc 2,back: busy
    0xae, 0x03, 0x00, 0x06, // sigp %r0,%r3,6: restart
    0xa7, 0x24, 0xff, 0xfe, // brc 2,back
    0x95, 0x01, 0x07, 0x07, // cli 0x707,1
    0xa7, 0x74, 0xff, 0xfe, // jne back
    0xae, 0x03, 0x00, 0x01, // sigp %r0,%r3,1: sense
    0xa7, 0xa4, 0xff, 0xfe, // brc 10,back: not stopped, or busy
    0xc0, 0x2f, 0x00, 0x12, 0x00, 0x01, 0xa7, 0x49, 0x40, 0x00, 0xb2, 0x20, 0x00, 0x24, // as SERVC
];
/// vCPU 1 says that it is there, and stops itself: `mvi 0x707,1; lghi %r3,1; sigp %r0,%r3,5`.
const WORKER: [u8; 12] = [0x92, 0x01, 0x07, 0x07, 0xa7, 0x39, 0x00, 0x01, 0xae, 0x03, 0x00, 0x05];

#[test]
fn vcpus_reset_and_restart_each_other() {
    let Some(host) = host() else { return };
    install_kick_handler().unwrap();
    let code = [&BOSS[..], &STOP].concat();
    let mut guest = Guest::new(&host, 2, &code).boot();
    guest.write_psw(RESTART_NEW, at(CODE_1));
    guest.ram.write_slice(&WORKER, GuestAddress(CODE_1)).unwrap();
    let mut worker = guest.vcpus.remove(1);
    assert_eq!(save(&mut worker).mp_state, Some(MpState::Stopped));
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        send.send(worker.bind_thread()).unwrap();
        let exit = run!(worker);
        assert!(matches!(exit, Exit::Interrupted), "{exit:?}");
        worker
    });
    let kicker = receive.recv().unwrap();
    let boss = &mut guest.vcpus[0];
    // Twice: the second time, it has been at work.
    for round in 0..2 {
        let exit = run!(boss);
        assert!(matches!(exit, Exit::S390x { .. }), "{exit:?}");
        if round == 0 {
            guest.ram.write_slice(&[0], GuestAddress(0x707)).unwrap();
            save(boss);
            restore(boss, s390x::VcpuState { psw: Some(at(CODE)), ..Default::default() });
        }
    }
    // When it has stopped too, no vCPU operates any more.
    let exit = run!(boss);
    assert!(matches!(exit, Exit::System(SystemEvent::PowerOff)), "{exit:?}");
    kicker.kick();
    let mut worker = thread.join().unwrap();
    let state = save(&mut worker);
    assert_eq!(state.mp_state, Some(MpState::Stopped));
    assert_eq!(state.psw.unwrap(), at(CODE_1 + 12));
    assert_eq!(state.gprs.unwrap()[3], 1);
}

#[test]
fn a_stopped_vcpu_is_moved_with_the_orders_that_it_got() {
    let Some(host) = host() else { return };
    // sigp restart, then a service call.
    let code = [&BOSS[..4], &BOSS[12..20], &SERVC].concat();
    let mut first = Guest::new(&host, 2, &code).boot();
    let exit = run!(first.vcpus[0]);
    assert!(matches!(exit, Exit::S390x { .. }), "{exit:?}");
    let state = save(&mut first.vcpus[1]);
    assert_eq!(state.mp_state, Some(MpState::Operating));
    assert_eq!(state.irqs.as_ref().unwrap().len(), 72, "the restart interruption");
    let mut second = Guest::new(&host, 2, &[]);
    second.write_psw(RESTART_NEW, at(CODE_1));
    second.ram.write_slice(&SERVC, GuestAddress(CODE_1)).unwrap();
    restore(&mut second.vcpus[1], state);
    let exit = run!(second.vcpus[1]);
    assert!(matches!(exit, Exit::S390x { .. }), "{exit:?}");
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let Some(host) = host() else { return };
    let mut guest = Guest::new(&host, 1, &[]);
    let interrupts = guest.vm.interrupts();
    let line = Interrupt::Line { pin: 4, asserted: true };
    assert!(matches!(interrupts.send(line), Err(Error::WrongIsa(_))));
    assert!(matches!(interrupts.set_routes(&[Some(IrqRoute::Pin { pin: 4 })]), Err(Error::WrongIsa(_))));
    interrupts.set_routes(&[None, Some(IrqRoute::ServiceSignal)]).unwrap();
    let vcpu = &mut guest.vcpus[0];
    let state = save(vcpu);
    let with = |change: fn(&mut s390x::VcpuState)| {
        let mut state = state.clone();
        change(&mut state);
        VcpuState::S390x(Box::new(state))
    };
    for bad in [
        with(|s| s.irqs = Some(vec![0; 71])),
        with(|s| s.irqs = Some(vec![0; 72 * 288])),
        with(|s| (s.vrs, s.fprs) = (Some([0; 32]), Some([0; 16]))),
        with(|s| s.riccb = Some(vec![0; 63])),
    ] {
        let refused = vcpu.restore(&bad);
        assert!(matches!(refused, Err(Error::BadState(_))), "{refused:?}");
    }
    restore(vcpu, state);
}

//! I/O instructions, interruptions and notifications on this host's KVM.
//!
//! Skipped as the others are.
#![cfg(target_arch = "s390x")]
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

mod common;
#[path = "common/s390x.rs"]
mod guest;

use std::sync::Arc;

use common::{host, run};
use guest::{CODE, Guest, PROGRAM_NEW, SERVC, SERVC_CALL, at, restore, save};
use triarch_arch::hv::{Doorbell, Exit, Interrupt, IrqRoute};
use triarch_arch::kvm::{Host, Vcpu};
use triarch_arch::s390x::{self, Answer, Call, IoCall, IoInstruction, Store};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Subsystem-identification word of subchannel 7, and an interruption of it in subclass 3.
const SUBCHANNEL: u32 = 0x0001_0007;
const IO: Interrupt = Interrupt::Io { id: SUBCHANNEL, parameter: 0x1122_3344, word: 3 << 27 };
/// `lctlg %c6,%c6,0x600; llilf %r1,0x00010007`: all subclasses are enabled.
const IO_SETUP: [u8; 12] = [0xeb, 0x66, 0x06, 0, 0, 0x2f, 0xc0, 0x1f, 0x00, 0x01, 0x00, 0x07];
/// `tsch 0x400`
const TSCH: [u8; 4] = [0xb2, 0x35, 0x04, 0x00];
/// `tpi 0; ipm %r5`: what is taken is stored at 0xb8.
const TPI: [u8; 8] = [0xb2, 0x36, 0x00, 0x00, 0xb2, 0x22, 0x00, 0x50];

/// A guest whose code begins with [`IO_SETUP`].
fn io_guest(host: &Host, code: &[&[u8]]) -> Guest {
    let guest = Guest::new(host, 1, &[&IO_SETUP, &code.concat()[..], &SERVC].concat()).boot();
    guest.ram.write_slice(&0xff00_0000u64.to_be_bytes(), GuestAddress(0x600)).unwrap();
    guest
}

/// Runs to an instruction of the channel subsystem, and answers it.
fn serve_io(vcpu: &mut Vcpu, expected: IoInstruction, given: Answer) -> IoCall {
    match run!(vcpu) {
        Exit::S390x { call: Call::Io(call), answer } => {
            assert_eq!(call.instruction, expected);
            *answer = given;
            call
        }
        exit => panic!("{exit:?}"),
    }
}

/// Runs to the service call, and gives the condition code of the instruction before.
fn end_of_io(vcpu: &mut Vcpu) -> u64 {
    let exit = run!(vcpu);
    assert!(matches!(exit, Exit::S390x { call: SERVC_CALL, .. }), "{exit:?}");
    save(vcpu).gprs.unwrap()[5] >> 28 & 3
}

#[test]
fn instructions_of_the_channel_subsystem_come_with_their_operands() {
    let Some(host) = host() else { return };
    // ssch 0x500; stsch 0x400
    let mut guest = io_guest(&host, &[&[0xb2, 0x33, 0x05, 0x00], &[0xb2, 0x34, 0x04, 0x00], &TPI]);
    guest.ram.write_slice(b"twelve bytes", GuestAddress(0x500)).unwrap();
    let vcpu = &mut guest.vcpus[0];
    let call = serve_io(vcpu, IoInstruction::StartSubchannel, Answer::cc(0));
    assert_eq!((call.register1, &call.block[..]), (SUBCHANNEL.into(), &b"twelve bytes"[..]));
    let store = Some(Store { address: 0x400, access_register: 0, bytes: b"stored".to_vec() });
    let call = serve_io(vcpu, IoInstruction::StoreSubchannel, Answer { store, ..Answer::cc(0) });
    assert_eq!(call.operand.address, 0x400);
    assert_eq!(end_of_io(vcpu), 0, "no interruption is pending");
    assert_eq!(guest.read(0x400), *b"stored");
}

#[test]
fn test_subchannel_takes_the_interruption_unless_it_fails() {
    let Some(host) = host() else { return };
    for (answer, pending) in [(Answer::cc(0), 0), (Answer::program(0x15), 1)] {
        let mut guest = io_guest(&host, &[&TSCH, &TPI]);
        guest.write_psw(PROGRAM_NEW, at(CODE + 16));
        guest.vm.interrupts().send(IO).unwrap();
        serve_io(&mut guest.vcpus[0], IoInstruction::TestSubchannel, answer);
        assert_eq!(end_of_io(&mut guest.vcpus[0]), pending);
        let taken = [0, 1, 0, 7, 0x11, 0x22, 0x33, 0x44, 0x18, 0, 0, 0];
        assert_eq!(guest.read(0xb8), if pending == 1 { taken } else { [0; 12] });
    }
    let mut guest = io_guest(&host, &[&TPI]);
    guest.vm.interrupts().send(IO).unwrap();
    guest.vm.interrupts().send(Interrupt::WithdrawIo { id: SUBCHANNEL }).unwrap();
    assert_eq!(end_of_io(&mut guest.vcpus[0]), 0, "it was taken back");
    // tsch 0(%r6), where there is no memory: the interruption stays.
    let mut guest = io_guest(&host, &[&[0xc0, 0x6f, 0x40, 0, 0, 0], &[0xb2, 0x35, 0x60, 0], &TPI]);
    guest.write_psw(PROGRAM_NEW, at(CODE + 22));
    guest.vm.interrupts().send(IO).unwrap();
    assert_eq!(end_of_io(&mut guest.vcpus[0]), 1);
}

#[test]
fn a_notification_stays_in_the_kernel_if_it_is_watched() {
    let Some(host) = host() else { return };
    // lghi %r1,3; llilf %r2,0x00010007; lghi %r3,5; diag %r2,%r4,0x500
    let notify = [0xa7, 0x19, 0, 3, 0xc0, 0x2f, 0, 1, 0, 7, 0xa7, 0x39, 0, 5, 0x83, 0x24, 0x05, 0x00];
    let mut guest = Guest::new(&host, 1, &[&notify[..], &SERVC].concat()).boot();
    let event = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
    let watch = |queue| guest.vm.watch(Doorbell::Ccw { id: SUBCHANNEL, queue }, event.clone()).unwrap();
    let (watched, _other) = (watch(5), watch(6));
    assert_eq!(end_of_io(&mut guest.vcpus[0]), 0);
    assert_eq!(event.read().unwrap(), 1);
    drop(watched);
    restore(&mut guest.vcpus[0], s390x::VcpuState { psw: Some(at(CODE)), ..Default::default() });
    match run!(guest.vcpus[0]) {
        Exit::S390x { call, .. } => assert_eq!(call, Call::Notify { id: SUBCHANNEL, queue: 5 }),
        exit => panic!("{exit:?}"),
    }
}

#[test]
fn an_adapter_interrupts_by_an_eventfd() {
    let Some(host) = host() else { return };
    let mut guest = io_guest(&host, &[&TPI]);
    let interrupts = guest.vm.interrupts();
    let route = IrqRoute::Adapter { indicator: 0x900b, bit: 3, summary: 0x9013, isc: 5 };
    interrupts.set_routes(&[None, Some(route)]).unwrap();
    let event = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
    let interrupt = interrupts.by_event(event.clone(), 1).unwrap();
    event.write(1).unwrap();
    // What was written is carried out before it ends.
    drop(interrupt);
    assert_eq!((guest.read(0x900a), guest.read(0x9013)), ([0, 0x10, 0], [1]));
    event.write(1).unwrap();
    assert_eq!(end_of_io(&mut guest.vcpus[0]), 1);
    assert_eq!(guest.read(0xb8), [0, 0, 0, 0, 0, 0, 0, 0, 0xa8, 0, 0, 0]);
}

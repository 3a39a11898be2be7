//! DIAGNOSE: what a guest asks of its hypervisor (Linux, Documentation/virt/kvm/s390/s390-diag.rst).
//!
//! The code of the function is the second operand's address. A function that is not there ends in a specification exception;
//! guests probe for functions that way: 204 (partitions), 260 (memory), 288 (watchdog), 318 (control program code).

use super::{Action, Instruction};
use crate::hv::SubsystemReset;
use crate::s390x::call::{Call, IplAccess, program};

/// DIAGNOSE 288: the watchdog.
const WATCHDOG: u64 = 0x288;
/// DIAGNOSE 308: initial program load.
const IPL: u64 = 0x308;
/// DIAGNOSE 500: KVM's own hypercalls.
const KVM: u64 = 0x500;

/// Says what a DIAGNOSE comes to.
pub(super) fn decode(instruction: &Instruction<'_>) -> Action {
    /// The function's code: bits 48 to 63 of the address.
    const FUNCTION: u64 = 0xffff;
    let (r1, r3, address) = instruction.rs();
    match address & FUNCTION {
        WATCHDOG => watchdog(instruction, r1, r3),
        IPL => ipl(instruction, r1, r3),
        KVM => kvm(instruction),
        _ => Action::program(program::SPECIFICATION),
    }
}

/// DIAGNOSE 308: R3 has the subcode, R1 the address of a parameter block, R1 + 1 gets the response (QEMU, target/s390x/diag.c).
///
/// KVM carries out the loads, 3 and 4, as far as it tells us that there is one.
fn ipl(instruction: &Instruction<'_>, r1: u8, r3: u8) -> Action {
    const CLEAR_RESET: u64 = 0;
    const LOAD_NORMAL_RESET: u64 = 1;
    const LOAD_CLEAR: u64 = 3;
    const LOAD_NORMAL: u64 = 4;
    const SET: u64 = 5;
    const STORE: u64 = 6;
    const BLOCK_ALIGNMENT: u64 = 4096;
    let access = match instruction.gpr(r3) {
        CLEAR_RESET => return Action::SubsystemReset(SubsystemReset::Clear),
        LOAD_NORMAL_RESET => return Action::SubsystemReset(SubsystemReset::LoadNormal),
        LOAD_CLEAR | LOAD_NORMAL => return Action::Reset,
        SET => IplAccess::Set,
        STORE => IplAccess::Store,
        _ => return Action::program(program::SPECIFICATION),
    };
    let address = instruction.gpr(r1);
    if r1 % 2 == 1 || !address.is_multiple_of(BLOCK_ALIGNMENT) {
        return Action::program(program::SPECIFICATION);
    }
    Action::Call(Call::IplBlock { access, address, response: r1 + 1 })
}

/// DIAGNOSE 288: R1 has the function, R1 + 1 the time in seconds, R3 the action (Linux, drivers/watchdog/diag288_wdt.c).
fn watchdog(instruction: &Instruction<'_>, r1: u8, r3: u8) -> Action {
    if r1 % 2 == 1 {
        return Action::program(program::SPECIFICATION);
    }
    let (function, timeout) = (instruction.gpr(r1), instruction.gpr(r1 + 1));
    Action::Call(Call::Watchdog { function, timeout, action: instruction.gpr(r3) })
}

/// DIAGNOSE 500: general register 1 has the subcode, 2 gets the result.
fn kvm(instruction: &Instruction<'_>) -> Action {
    /// A virtio-ccw device is notified (VIRTIO 1.2, 4.3.3.2). KVM serves the queues that it watches.
    const CCW_NOTIFY: u64 = 3;
    match instruction.gpr(1) {
        CCW_NOTIFY => Action::Call(Call::Notify { id: instruction.gpr32(2), queue: instruction.gpr(3) }),
        _ => Action::program(program::SPECIFICATION),
    }
}

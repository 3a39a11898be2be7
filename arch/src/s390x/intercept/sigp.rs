//! SIGNAL PROCESSOR, as far as KVM leaves it to the VMM (PoP, "CPU Signaling and Response").

use super::{Action, Instruction};
use crate::s390x::call::Answer;

/// A signal to a vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sigp {
    /// What the vCPU is to do.
    pub order: Order,
    /// Its address, which is its index.
    pub cpu: u16,
    /// The register that gets status bits (PoP, "Status Bits") when the order can't be carried out.
    pub status_register: u8,
}

/// Orders that change what a vCPU does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It leaves the stopped state.
    Start,
    /// It enters the stopped state.
    Stop,
    /// It leaves the stopped state if it is in it, and takes a restart interruption.
    Restart,
    /// It enters the stopped state after storing its status at absolute address 0.
    StopAndStoreStatus,
    /// An initial CPU reset: as a CPU reset, and PSW, prefix, timers and control registers as at first.
    InitialCpuReset,
    /// A CPU reset: it enters the stopped state, and its pending interruptions are gone.
    CpuReset,
}

/// Status bit: the order does not exist.
const INVALID_ORDER: u64 = 1 << (63 - 62);
/// Status bit: the parameter is not as the order wants it.
const INVALID_PARAMETER: u64 = 1 << (63 - 55);

impl Sigp {
    /// The answer when the order has been accepted.
    pub fn accepted(&self) -> Answer {
        Answer::cc(0)
    }

    /// The answer when the vCPU is busy with an order; the guest tries again.
    pub fn busy(&self) -> Answer {
        Answer::cc(2)
    }

    /// The answer when there is no such vCPU.
    pub fn not_operational(&self) -> Answer {
        Answer::cc(3)
    }
}

/// Says what a SIGP comes to: R1 gets the status, R3 has the CPU's address, the second operand's address is the order.
pub(super) fn decode(instruction: &Instruction<'_>) -> Action {
    const SET_ARCHITECTURE: u8 = 0x12;
    let (r1, r3, address) = instruction.rs();
    let [order, ..] = address.to_le_bytes();
    let [cpu_low, cpu_high, ..] = instruction.gpr(r3).to_le_bytes();
    let order = match order {
        0x04 => Order::Start,
        0x05 => Order::Stop,
        0x06 => Order::Restart,
        0x09 => Order::StopAndStoreStatus,
        0x0b => Order::InitialCpuReset,
        0x0c => Order::CpuReset,
        // A machine that is in z/Architecture mode from the start (facility 138) has no other mode to go to.
        SET_ARCHITECTURE => return status(instruction, r1, INVALID_PARAMETER),
        _ => return status(instruction, r1, INVALID_ORDER),
    };
    Action::Sigp(Sigp { order, cpu: u16::from_le_bytes([cpu_low, cpu_high]), status_register: r1 })
}

/// Condition code 1: status is stored in the right half of a register.
fn status(instruction: &Instruction<'_>, register: u8, bits: u64) -> Action {
    let value = instruction.gpr(register) & !u64::from(u32::MAX) | bits;
    Action::Complete(Answer { cc: Some(1), gprs: vec![(register, value)], ..Answer::default() })
}

//! Interceptions: what KVM leaves to the VMM when it ends a vCPU's run (KVM_EXIT_S390_SIEIC).
//!
//! KVM carries out most privileged instructions itself. What it does not know it hands out with the instruction's text, and with
//! the PSW already behind the instruction. [`decode`] says what is to be done; it touches neither registers nor memory.
//!
//! "PoP" below is IBM's z/Architecture Principles of Operation, SA22-7832.

use super::call::{Answer, Call, IoCall, Operand, program};
use super::state::Psw;
use crate::hv::SubsystemReset;

mod diag;
mod operands;
mod sigp;

pub use operands::Instruction;
pub use sigp::{Order, Sigp};

/// Interception codes, as KVM passes them on from the SIE control block.
mod code {
    pub(super) const INSTRUCTION: u8 = 0x04;
    pub(super) const PROGRAM_INTERRUPTION: u8 = 0x08;
    pub(super) const EXTERNAL_INTERRUPTION: u8 = 0x14;
    pub(super) const WAIT: u8 = 0x1c;
    pub(super) const STOP: u8 = 0x28;
    pub(super) const OPERATION_EXCEPTION: u8 = 0x2c;
}

/// Address of the disabled wait by which an operating system says that it has shut down, as it was asked to by signal quiesce.
const QUIESCED: u64 = 0xfff;

/// An interception with the registers that matter to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intercept {
    /// The interception code.
    pub code: u8,
    /// The instruction's first two bytes.
    pub ipa: u16,
    /// The four bytes that follow; zero where the instruction is shorter.
    pub ipb: u32,
    /// The PSW; it points behind the instruction.
    pub psw: Psw,
    /// General registers.
    pub gprs: [u64; 16],
    /// Address of the vCPU's prefix area.
    pub prefix: u32,
}

/// What an interception comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The machine has to answer.
    Call(Call),
    /// The instruction completes thus.
    Complete(Answer),
    /// The vCPU enters the stopped state. When no vCPU operates any more, the guest has powered itself off.
    Stop,
    /// Another vCPU is signalled.
    Sigp(Sigp),
    /// The machine is reset and loads its kernel again.
    Reset,
    /// The machine is reset but for its RAM, and this vCPU goes on.
    SubsystemReset(SubsystemReset),
    /// The guest can't go on.
    Crash {
        /// In plain words, with the PSW.
        reason: String,
    },
}

impl Action {
    /// A program interruption.
    fn program(code: u16) -> Self {
        Action::Complete(Answer::program(code))
    }

    /// Completion with a condition code.
    fn cc(cc: u8) -> Self {
        Action::Complete(Answer::cc(cc))
    }
}

/// Says what an interception comes to.
pub fn decode(intercept: &Intercept) -> Action {
    let psw = intercept.psw;
    let crash = |what: &str| Action::Crash { reason: format!("{what} (PSW {psw})") };
    match intercept.code {
        code::INSTRUCTION => instruction(&Instruction::new(intercept)),
        // KVM waits by itself as long as an interruption can end the wait.
        code::WAIT if psw.addr == QUIESCED => Action::Stop,
        code::WAIT => crash("disabled wait"),
        code::STOP => Action::Stop,
        // KVM injects these interruptions by itself unless their new PSWs lead straight back to them.
        code::PROGRAM_INTERRUPTION => crash("endless loop of program interruptions"),
        code::EXTERNAL_INTERRUPTION => crash("endless loop of external interruptions"),
        code::OPERATION_EXCEPTION => crash("endless loop of operation exceptions"),
        other => crash(&format!("interception {other:#04x}, which KVM does not hand out")),
    }
}

/// Says what an instruction comes to.
///
/// Every instruction that is known here is privileged, and one that is not known does not exist.
fn instruction(instruction: &Instruction<'_>) -> Action {
    let known = match instruction.opcode() {
        (0x83, _) => diag::decode,
        (0xae, _) => sigp::decode,
        (0xb2, 0x20) => service_call,
        (0xb2, 0x30..=0x3c | 0x5f | 0x74 | 0x76) => channel,
        (0xb9, 0xa2) => perform_topology_function,
        _ => return Action::program(program::OPERATION),
    };
    if instruction.intercept().psw.is_problem_state() {
        return Action::program(program::PRIVILEGED_OPERATION);
    }
    known(instruction)
}

/// SERVC: the command is in R1, the control block's address in R2.
///
/// The boundary checks that concern the block's length are the SCLP's: it answers them with response codes.
fn service_call(instruction: &Instruction<'_>) -> Action {
    /// Bits that an address of a multiple of 8 below 2 GiB can have.
    const SCCB: u64 = 0x7fff_fff8;
    /// A prefix area's size: low-core addresses up to here are swapped with those of the prefix area.
    const PREFIX_AREA: u64 = 0x2000;
    let (r1, r2) = instruction.rre();
    let command = instruction.gpr32(r1);
    let sccb = instruction.gpr(r2);
    let area = sccb & !(PREFIX_AREA - 1);
    if sccb & !SCCB != 0 || area == 0 || area == u64::from(instruction.intercept().prefix) {
        return Action::program(program::SPECIFICATION);
    }
    Action::Call(Call::ServiceCall { command, sccb })
}

/// I/O instructions (PoP, chapter 14). KVM hands them out, TEST SUBCHANNEL by an exit of its own, if the machine has a channel
/// subsystem; else it answers that there is nothing.
fn channel(instruction: &Instruction<'_>) -> Action {
    use super::IoInstruction as Io;
    let io = match instruction.opcode().1 {
        0x30 => Io::ClearSubchannel,
        0x31 => Io::HaltSubchannel,
        0x32 => Io::ModifySubchannel,
        0x33 => Io::StartSubchannel,
        0x34 => Io::StoreSubchannel,
        0x35 => Io::TestSubchannel,
        0x37 => Io::SetAddressLimit,
        0x38 => Io::ResumeSubchannel,
        0x39 => Io::StoreChannelReportWord,
        0x3a => Io::StoreChannelPathStatus,
        0x3b => Io::ResetChannelPath,
        0x3c => Io::SetChannelMonitor,
        0x5f => Io::ChannelSubsystemCall,
        0x76 => Io::CancelSubchannel,
        // TEST PENDING INTERRUPTION, which KVM carries out: none is pending.
        0x36 => return Action::cc(0),
        // SIGNAL ADAPTER: not operational.
        _ => return Action::cc(3),
    };
    let (address, access_register) = match io {
        Io::ChannelSubsystemCall => {
            let (r1, _) = instruction.rre();
            (instruction.gpr(r1) & instruction.intercept().psw.address_mask(), r1)
        }
        _ => instruction.s(),
    };
    if !address.is_multiple_of(io.alignment()) {
        return Action::program(program::SPECIFICATION);
    }
    Action::Call(Call::Io(IoCall {
        instruction: io,
        register1: instruction.gpr(1),
        register2: instruction.gpr(2),
        operand: Operand { address, access_register },
        block: Vec::new(),
    }))
}

/// PTF (PoP, "PERFORM TOPOLOGY FUNCTION"). Every CPU is its own and all are alike, so the topology is horizontal and stays so.
fn perform_topology_function(instruction: &Instruction<'_>) -> Action {
    /// The machine has the polarization that is asked for.
    const ALREADY: u64 = 0x01 << 8;
    /// The machine does not say why it refuses.
    const NO_REASON: u64 = 0;
    let (r1, _) = instruction.rre();
    let function = instruction.gpr(r1);
    let rejected = |reason| {
        Action::Complete(Answer { cc: Some(2), gprs: vec![(r1, function | reason)], ..Answer::default() })
    };
    match function {
        0 => rejected(ALREADY),
        1 => rejected(NO_REASON),
        // Check for a change: none is pending.
        2 => Action::cc(0),
        _ => Action::program(program::SPECIFICATION),
    }
}

#[cfg(test)]
mod tests;

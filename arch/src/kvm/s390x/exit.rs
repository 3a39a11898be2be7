//! Running a vCPU, and what it comes back with.

use std::sync::atomic::{AtomicU8, Ordering};

use super::bindings::{
    KVM_S390_MEMOP_F_CHECK_ONLY, KVM_S390_MEMOP_F_INJECT_EXCEPTION, KVM_S390_MEMOP_LOGICAL_READ,
    KVM_S390_MEMOP_LOGICAL_WRITE, KVM_S390_PROGRAM_INT, KVM_SYNC_GPRS, kvm_s390_irq, kvm_s390_mem_op,
    kvm_s390_pgm_info,
};
use super::ioctls::VcpuExit;
use super::sys::VcpuFd;
use crate::hv::{Exit, Interrupt, SystemEvent};
use crate::kvm::{Result, Vcpu, failed};
use crate::s390x::intercept::{self, Action, Intercept, Sigp};
use crate::s390x::stsi::{self, Selector};
use crate::s390x::{Access, Answer, Call, Operand, Psw, Store};

/// STSI's function code for the topology.
const STSI_TOPOLOGY: u8 = 15;

/// What a vCPU has besides its fd.
#[derive(Debug, Default)]
pub struct VcpuExtra {
    /// How the instruction completes that the vCPU came back with.
    answer: Option<Answer>,
    /// The interruption that KVM has taken back for TEST SUBCHANNEL. It becomes pending again if that ends in a program interruption.
    dequeued: Option<Interrupt>,
}

/// Interception code and operation code of TEST SUBCHANNEL, which has an exit of its own.
const TEST_SUBCHANNEL: (u8, u16) = (0x04, 0xb235);

pub fn run(vcpu: &mut Vcpu) -> Result<Exit<'_>> {
    complete(vcpu)?;
    if vcpu.shared.machine.cpus.is_stopped(vcpu.index) {
        vcpu.shared.machine.cpus.wait(vcpu.index, immediate_exit(&mut vcpu.fd))?;
        return Ok(interrupted_or_resume(vcpu));
    }
    match vcpu.fd.run() {
        Ok(VcpuExit::S390Sieic { icptcode, ipa, ipb }) => intercepted(vcpu, icptcode, ipa, ipb),
        Ok(VcpuExit::S390Tsch { subchannel_id, subchannel_nr, io_int_parm, io_int_word, ipb, dequeued }) => {
            let id = u32::from(subchannel_id) << 16 | u32::from(subchannel_nr);
            let interrupt = Interrupt::Io { id, parameter: io_int_parm, word: io_int_word };
            vcpu.extra.dequeued = dequeued.then_some(interrupt);
            let (code, ipa) = TEST_SUBCHANNEL;
            intercepted(vcpu, code, ipa, ipb)
        }
        Ok(VcpuExit::S390Reset(_)) => Ok(Exit::System(SystemEvent::Reset)),
        // KVM leaves the topology all to us. There is none to tell of.
        Ok(VcpuExit::S390Stsi { fc: STSI_TOPOLOGY, .. }) => {
            apply(vcpu, &Answer::cc(3))?;
            Ok(Exit::Resume)
        }
        Ok(VcpuExit::S390Stsi { addr, ar, fc, sel1, sel2 }) => {
            let selector = Selector { function: fc, selector1: sel1, selector2: sel2 };
            name_machine(&vcpu.fd, selector, addr, ar)?;
            Ok(Exit::Resume)
        }
        Ok(VcpuExit::Intr) => Ok(interrupted(vcpu)),
        Ok(exit) => Ok(crash(vcpu, &format!("unexpected exit {exit:?}"))),
        Err(error) if error.errno() == libc::EINTR => Ok(interrupted(vcpu)),
        Err(error) => Err(failed("run a vCPU")(error)),
    }
}

/// Completes the instruction that the vCPU came back with, if it waits for that.
pub fn complete(vcpu: &mut Vcpu) -> Result<()> {
    match vcpu.extra.answer.take() {
        Some(answer) => apply(vcpu, &answer),
        None => Ok(()),
    }
}

/// The byte that a kick's signal handler stores to.
fn immediate_exit(fd: &mut VcpuFd) -> &AtomicU8 {
    // SAFETY: the byte is in the vCPU's mapping, which lives as long as `fd`; all others that store to it do so atomically.
    unsafe { AtomicU8::from_ptr(&mut fd.get_kvm_run().immediate_exit) }
}

fn interrupted(vcpu: &mut Vcpu) -> Exit<'static> {
    immediate_exit(&mut vcpu.fd).store(0, Ordering::Relaxed);
    Exit::Interrupted
}

fn interrupted_or_resume(vcpu: &mut Vcpu) -> Exit<'static> {
    match immediate_exit(&mut vcpu.fd).swap(0, Ordering::Relaxed) {
        0 => Exit::Resume,
        _ => Exit::Interrupted,
    }
}

fn psw(vcpu: &mut Vcpu) -> Psw {
    let run = vcpu.fd.get_kvm_run();
    Psw { mask: run.psw_mask, addr: run.psw_addr }
}

fn crash(vcpu: &mut Vcpu, reason: &str) -> Exit<'static> {
    let psw = psw(vcpu);
    Exit::System(SystemEvent::Crash { reason: format!("{reason} (PSW {psw})") })
}

fn intercepted(vcpu: &mut Vcpu, code: u8, ipa: u16, ipb: u32) -> Result<Exit<'_>> {
    let psw = psw(vcpu);
    let regs = vcpu.fd.sync_regs();
    let prefix = u32::try_from(regs.prefix).unwrap_or(0);
    match intercept::decode(&Intercept { code, ipa, ipb, psw, gprs: regs.gprs, prefix }) {
        Action::Call(call) => match with_operand(&vcpu.fd, call)? {
            Some(call) => Ok(Exit::S390x { call, answer: vcpu.extra.answer.insert(Answer::default()) }),
            None => {
                requeue(vcpu)?;
                Ok(Exit::Resume)
            }
        },
        Action::Complete(answer) => {
            apply(vcpu, &answer)?;
            Ok(Exit::Resume)
        }
        Action::Stop => stop(vcpu),
        Action::Sigp(sigp) => signal(vcpu, &sigp),
        Action::Reset => Ok(Exit::System(SystemEvent::Reset)),
        Action::SubsystemReset(reset) => Ok(Exit::System(SystemEvent::SubsystemReset(reset))),
        Action::Crash { reason } => Ok(Exit::System(SystemEvent::Crash { reason })),
    }
}

/// The vCPU enters the stopped state: KVM has left that to us.
fn stop(vcpu: &mut Vcpu) -> Result<Exit<'_>> {
    let others_operate = vcpu.shared.machine.cpus.stop(vcpu.index)?;
    Ok(if others_operate { Exit::Resume } else { Exit::System(SystemEvent::PowerOff) })
}

fn signal(vcpu: &mut Vcpu, sigp: &Sigp) -> Result<Exit<'static>> {
    let answer = vcpu.shared.machine.cpus.signal(sigp)?;
    apply(vcpu, &answer)?;
    Ok(Exit::Resume)
}

/// Completes the instruction that the vCPU came back with.
fn apply(vcpu: &mut Vcpu, answer: &Answer) -> Result<()> {
    if let Some(code) = answer.program {
        requeue(vcpu)?;
        return program_interruption(vcpu, code);
    }
    vcpu.extra.dequeued = None;
    if let Some(store) = &answer.store
        && !write_logical(&vcpu.fd, store)?
    {
        return Ok(());
    }
    for (number, value) in &answer.gprs {
        if let Some(gpr) = vcpu.fd.sync_regs_mut().gprs.get_mut(usize::from(*number)) {
            *gpr = *value;
        }
    }
    let run = vcpu.fd.get_kvm_run();
    run.kvm_dirty_regs |= u64::from(KVM_SYNC_GPRS);
    if let Some(cc) = answer.cc {
        let mut psw = Psw { mask: run.psw_mask, addr: run.psw_addr };
        psw.set_condition_code(cc);
        run.psw_mask = psw.mask;
    }
    Ok(())
}

/// Makes the interruption pending again that TEST SUBCHANNEL, which can't be carried out, should have taken.
fn requeue(vcpu: &mut Vcpu) -> Result<()> {
    match vcpu.extra.dequeued.take() {
        Some(interrupt) => vcpu.shared.machine.interrupt(&vcpu.shared.fd, interrupt),
        None => Ok(()),
    }
}

/// Reads the operand of a call, or finds out whether it can be stored to. `None` when it can't be accessed: then the guest gets
/// the program interruption for it, and nothing has happened yet.
fn with_operand(fd: &VcpuFd, mut call: Call) -> Result<Option<Call>> {
    let Call::Io(io) = &mut call else { return Ok(Some(call)) };
    let Operand { address, access_register } = io.operand;
    let accessible = match io.instruction.access() {
        Access::None => true,
        Access::Read(len) => {
            io.block = vec![0; len];
            access(fd, (KVM_S390_MEMOP_LOGICAL_READ, address, access_register), &mut io.block)?
        }
        Access::Store(len) => {
            // Nothing is written, as it is only checked.
            let operation = (KVM_S390_MEMOP_LOGICAL_WRITE, address, access_register);
            memory_operation(fd, operation, KVM_S390_MEMOP_F_CHECK_ONLY, &mut vec![0; len])?
        }
    };
    Ok(accessible.then_some(call))
}

/// Puts our names into the block that KVM has stored for STSI.
fn name_machine(fd: &VcpuFd, selector: Selector, address: u64, access_register: u8) -> Result<()> {
    let mut block = [0; stsi::BLOCK_SIZE];
    let read = (KVM_S390_MEMOP_LOGICAL_READ, address, access_register);
    if access(fd, read, &mut block)? && stsi::amend(selector, &mut block) {
        let write = (KVM_S390_MEMOP_LOGICAL_WRITE, address, access_register);
        access(fd, write, &mut block)?;
    }
    Ok(())
}

/// Makes a program interruption pending. KVM knows the instruction's length.
fn program_interruption(vcpu: &Vcpu, code: u16) -> Result<()> {
    let mut irq = kvm_s390_irq { type_: KVM_S390_PROGRAM_INT.into(), ..Default::default() };
    irq.u.pgm = kvm_s390_pgm_info { code, ..Default::default() };
    vcpu.fd.s390_irq(&irq).map_err(failed("interrupt a vCPU's program"))
}

/// Writes to the guest's memory as the vCPU would. `false` when it can't: then the guest gets the program interruption for it.
fn write_logical(fd: &VcpuFd, store: &Store) -> Result<bool> {
    let mut bytes = store.bytes.clone();
    let operation = (KVM_S390_MEMOP_LOGICAL_WRITE, store.address, store.access_register);
    access(fd, operation, &mut bytes)
}

/// Reads or writes the guest's memory as the vCPU would: the operation, the logical address, and the access register that goes
/// with it.
fn access(fd: &VcpuFd, what: (u32, u64, u8), bytes: &mut [u8]) -> Result<bool> {
    memory_operation(fd, what, 0, bytes)
}

fn memory_operation(
    fd: &VcpuFd,
    (operation, address, access_register): (u32, u64, u8),
    flags: u32,
    bytes: &mut [u8],
) -> Result<bool> {
    const WHAT: &str = "reach a guest's memory";
    let Ok(size) = u32::try_from(bytes.len()) else {
        return Err(failed(WHAT)(std::io::Error::from(std::io::ErrorKind::InvalidInput)));
    };
    if size == 0 {
        return Ok(true);
    }
    let mut op = kvm_s390_mem_op {
        gaddr: address,
        flags: (KVM_S390_MEMOP_F_INJECT_EXCEPTION | flags).into(),
        size,
        op: operation,
        buf: bytes.as_mut_ptr() as u64,
        ..Default::default()
    };
    op.__bindgen_anon_1.__bindgen_anon_1.ar = access_register;
    // SAFETY: the buffer is ours to write to, and as long as it says.
    let exception = unsafe { fd.s390_mem_op(&op) }.map_err(failed(WHAT))?;
    Ok(exception == 0)
}

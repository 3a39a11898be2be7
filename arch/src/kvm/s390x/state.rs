//! Reading and setting a vCPU's state.
//!
//! Most of it is in the page that the vCPU shares with the kernel: KVM_RUN reads and writes it (Documentation/virt/kvm/api.rst,
//! KVM_CAP_SYNC_REGS), and resets do.

use super::bindings::{
    KVM_MP_STATE_CHECK_STOP, KVM_MP_STATE_LOAD, KVM_MP_STATE_OPERATING, KVM_MP_STATE_STOPPED,
    KVM_REG_SIZE_U64, KVM_SYNC_ACRS, KVM_SYNC_ARCH0, KVM_SYNC_BPBC, KVM_SYNC_CRS, KVM_SYNC_DIAG318,
    KVM_SYNC_ETOKEN, KVM_SYNC_FPRS, KVM_SYNC_GPRS, KVM_SYNC_GSCB, KVM_SYNC_PFAULT, KVM_SYNC_PREFIX,
    KVM_SYNC_RICCB, KVM_SYNC_VRS, kvm_mp_state, kvm_s390_irq, kvm_sync_regs,
};
use super::sys::VcpuFd;
use crate::kvm::{Error, Result, failed};
use crate::s390x::{Etoken, MpState, PageFault, Psw, Timers, VcpuState};

/// KVM_REG_S390_EPOCHDIFF, which bindgen can't make a number of: KVM_REG_S390 | KVM_REG_SIZE_U64 | 2.
const REG_EPOCHDIFF: u64 = 0x5000_0000_0000_0000 | KVM_REG_SIZE_U64 | 2;

/// The bit of the shared page's `bpbc` that is the bit field of that name.
const BPBC: u8 = 1 << 7;

/// The most interruptions that can be pending for a vCPU: one from each vCPU that there can be, and 32 of its own (Linux,
/// arch/s390/kvm/kvm-s390.c, VCPU_IRQS_MAX_BUF).
const MAX_IRQS: usize = 255 + 32;

pub fn save(fd: &mut VcpuFd) -> Result<VcpuState> {
    let run = fd.get_kvm_run();
    let psw = Psw { mask: run.psw_mask, addr: run.psw_addr };
    let valid = run.kvm_valid_regs;
    let has = |group: u32| valid & u64::from(group) != 0;
    let epoch = get_epoch(fd)?;
    let irqs = get_irqs(fd)?;
    let mp_state = get_mp_state(fd)?;
    let regs = fd.sync_regs();
    Ok(VcpuState {
        psw: Some(psw),
        gprs: Some(regs.gprs),
        acrs: Some(regs.acrs),
        crs: Some(regs.crs),
        fprs: (!has(KVM_SYNC_VRS)).then(|| fprs(regs)),
        vrs: has(KVM_SYNC_VRS).then(|| vrs(regs)),
        fpc: Some(regs.fpc),
        prefix: Some(u32::try_from(regs.prefix).map_err(|_| Error::BadState("a prefix beyond 2 GiB"))?),
        timers: Some(Timers {
            todpr: u32::try_from(regs.todpr).map_err(|_| Error::BadState("a TOD register of 64 bits"))?,
            cpu_timer: regs.cputm,
            clock_comparator: regs.ckc,
            epoch,
        }),
        page_fault: has(KVM_SYNC_PFAULT).then_some(PageFault {
            token: regs.pft,
            select: regs.pfs,
            compare: regs.pfc,
        }),
        gbea: Some(regs.gbea),
        pp: Some(regs.pp),
        bpbc: has(KVM_SYNC_BPBC).then_some(regs.bpbc & BPBC != 0),
        etoken: has(KVM_SYNC_ETOKEN).then(|| etoken(regs)),
        diag318: has(KVM_SYNC_DIAG318).then_some(regs.diag318),
        riccb: has(KVM_SYNC_RICCB).then(|| regs.riccb.to_vec()),
        gscb: has(KVM_SYNC_GSCB).then(|| gscb(regs)),
        mp_state: Some(mp_state),
        irqs: Some(irqs),
    })
}

fn fprs(regs: &kvm_sync_regs) -> [u64; 16] {
    // SAFETY: any bytes are integers.
    unsafe { regs.__bindgen_anon_1.fprs }
}

fn vrs(regs: &kvm_sync_regs) -> [u128; 32] {
    // SAFETY: any bytes are integers.
    let vrs = unsafe { regs.__bindgen_anon_1.vrs };
    vrs.map(|[high, low]| u128::from(high) << 64 | u128::from(low))
}

fn etoken(regs: &kvm_sync_regs) -> Etoken {
    // SAFETY: any bytes are integers.
    let regs = unsafe { regs.__bindgen_anon_2.__bindgen_anon_1 };
    Etoken { value: regs.etoken, extension: regs.etoken_extension }
}

fn gscb(regs: &kvm_sync_regs) -> [u64; 4] {
    // SAFETY: any bytes are integers.
    unsafe { regs.__bindgen_anon_2.__bindgen_anon_1.gscb }
}

fn get_epoch(fd: &VcpuFd) -> Result<u64> {
    let mut epoch = [0; 8];
    fd.get_one_reg(REG_EPOCHDIFF, &mut epoch).map_err(failed("read a vCPU's clock"))?;
    Ok(u64::from_be_bytes(epoch))
}

fn get_irqs(fd: &VcpuFd) -> Result<Vec<u8>> {
    let mut irqs = vec![0; MAX_IRQS * size_of::<kvm_s390_irq>()];
    let len = fd.s390_get_irq_state(&mut irqs).map_err(failed("read a vCPU's interruptions"))?;
    irqs.truncate(len);
    irqs.shrink_to_fit();
    Ok(irqs)
}

fn get_mp_state(fd: &VcpuFd) -> Result<MpState> {
    let state = fd.get_mp_state().map_err(failed("read whether a vCPU runs"))?;
    match state.mp_state {
        KVM_MP_STATE_STOPPED => Ok(MpState::Stopped),
        KVM_MP_STATE_CHECK_STOP => Ok(MpState::CheckStop),
        KVM_MP_STATE_OPERATING => Ok(MpState::Operating),
        KVM_MP_STATE_LOAD => Ok(MpState::Load),
        _ => Err(Error::BadState("a run state that is not known")),
    }
}

/// Sets the groups that are in `state`.
///
/// Interruptions come after what a reset would change, as setting them takes one; the run state comes last.
pub fn restore(fd: &mut VcpuFd, state: &VcpuState) -> Result<()> {
    let dirty = check(fd, state)?;
    if let Some(irqs) = &state.irqs {
        set_irqs(fd, irqs)?;
    }
    set_regs(fd.sync_regs_mut(), state);
    let run = fd.get_kvm_run();
    run.kvm_dirty_regs |= u64::from(dirty);
    if let Some(psw) = state.psw {
        (run.psw_mask, run.psw_addr) = (psw.mask, psw.addr);
    }
    if let Some(timers) = state.timers {
        let epoch = timers.epoch.to_be_bytes();
        fd.set_one_reg(REG_EPOCHDIFF, &epoch).map_err(failed("set a vCPU's clock"))?;
    }
    if let Some(mp_state) = state.mp_state {
        set_mp_state(fd, mp_state)?;
    }
    Ok(())
}

/// The groups that will have changed.
///
/// # Errors
/// The host's vCPUs don't have a group, or it can't be.
fn check(fd: &mut VcpuFd, state: &VcpuState) -> Result<u32> {
    let groups = [
        (state.gprs.is_some(), KVM_SYNC_GPRS, "general registers"),
        (state.acrs.is_some(), KVM_SYNC_ACRS, "access registers"),
        (state.crs.is_some(), KVM_SYNC_CRS, "control registers"),
        (state.prefix.is_some(), KVM_SYNC_PREFIX, "a prefix"),
        (state.timers.is_some() || state.pp.is_some() || state.gbea.is_some(), KVM_SYNC_ARCH0, "timers"),
        (state.page_fault.is_some(), KVM_SYNC_PFAULT, "pseudo page faults, which this host does not have"),
        (state.vrs.is_some(), KVM_SYNC_VRS, "vector registers, which this host does not have"),
        (state.fprs.is_some(), KVM_SYNC_FPRS, "no vector registers, which this host has"),
        (state.riccb.is_some(), KVM_SYNC_RICCB, "runtime instrumentation, which this host does not have"),
        (state.gscb.is_some(), KVM_SYNC_GSCB, "guarded storage, which this host does not have"),
        (state.bpbc.is_some(), KVM_SYNC_BPBC, "control of branch prediction, which this host does not have"),
        (state.etoken.is_some(), KVM_SYNC_ETOKEN, "an etoken, which this host does not have"),
        (state.diag318.is_some(), KVM_SYNC_DIAG318, "a control program code, which this host does not have"),
    ];
    let valid = fd.get_kvm_run().kvm_valid_regs;
    let mut dirty = 0;
    for (_, group, name) in groups.into_iter().filter(|(present, ..)| *present) {
        if valid & u64::from(group) == 0 {
            return Err(Error::BadState(name));
        }
        dirty |= group;
    }
    if state.riccb.as_ref().is_some_and(|riccb| riccb.len() != fd.sync_regs().riccb.len()) {
        return Err(Error::BadState("a runtime-instrumentation control block of the wrong size"));
    }
    const IRQ: usize = size_of::<kvm_s390_irq>();
    if state.irqs.as_ref().is_some_and(|irqs| irqs.len() % IRQ != 0 || irqs.len() > MAX_IRQS * IRQ) {
        return Err(Error::BadState("pending interruptions of the wrong size"));
    }
    Ok(dirty)
}

/// Replaces the interruptions that are pending.
fn set_irqs(fd: &mut VcpuFd, irqs: &[u8]) -> Result<()> {
    // KVM only takes them when there are none. What ends them, a CPU reset, changes two more groups, which are set again.
    let riccb = fd.sync_regs().riccb;
    fd.s390_normal_reset().map_err(failed("clear a vCPU's interruptions"))?;
    fd.sync_regs_mut().riccb = riccb;
    let run = fd.get_kvm_run();
    run.kvm_dirty_regs |= run.kvm_valid_regs & u64::from(KVM_SYNC_RICCB | KVM_SYNC_PFAULT);
    if irqs.is_empty() {
        return Ok(());
    }
    fd.s390_set_irq_state(irqs).map_err(failed("set a vCPU's interruptions"))
}

fn set_regs(regs: &mut kvm_sync_regs, state: &VcpuState) {
    fn set<T: Clone>(register: &mut T, value: &Option<T>) {
        if let Some(value) = value {
            register.clone_from(value);
        }
    }
    set(&mut regs.gprs, &state.gprs);
    set(&mut regs.acrs, &state.acrs);
    set(&mut regs.crs, &state.crs);
    set(&mut regs.fpc, &state.fpc);
    set(&mut regs.prefix, &state.prefix.map(u64::from));
    set(&mut regs.gbea, &state.gbea);
    set(&mut regs.pp, &state.pp);
    set(&mut regs.diag318, &state.diag318);
    if let Some(fprs) = state.fprs {
        regs.__bindgen_anon_1.fprs = fprs;
    }
    if let Some(vrs) = state.vrs {
        #[allow(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
        let halves = vrs.map(|vr| [(vr >> 64) as u64, vr as u64]);
        regs.__bindgen_anon_1.vrs = halves;
    }
    if let Some(timers) = state.timers {
        regs.todpr = timers.todpr.into();
        regs.cputm = timers.cpu_timer;
        regs.ckc = timers.clock_comparator;
    }
    if let Some(PageFault { token, select, compare }) = state.page_fault {
        (regs.pft, regs.pfs, regs.pfc) = (token, select, compare);
    }
    if let Some(bpbc) = state.bpbc {
        regs.bpbc = if bpbc { BPBC } else { 0 };
    }
    if let Some(Etoken { value, extension }) = state.etoken {
        regs.__bindgen_anon_2.__bindgen_anon_1.etoken = value;
        regs.__bindgen_anon_2.__bindgen_anon_1.etoken_extension = extension;
    }
    if let Some(gscb) = state.gscb {
        regs.__bindgen_anon_2.__bindgen_anon_1.gscb = gscb;
    }
    if let Some(riccb) = &state.riccb {
        // As long as it should be: `check` has looked.
        regs.riccb.iter_mut().zip(riccb).for_each(|(to, from)| *to = *from);
    }
}

fn set_mp_state(fd: &VcpuFd, state: MpState) -> Result<()> {
    let mp_state = match state {
        MpState::Stopped => KVM_MP_STATE_STOPPED,
        MpState::CheckStop => KVM_MP_STATE_CHECK_STOP,
        MpState::Operating => KVM_MP_STATE_OPERATING,
        MpState::Load => KVM_MP_STATE_LOAD,
    };
    fd.set_mp_state(kvm_mp_state { mp_state }).map_err(failed("set whether a vCPU runs"))
}

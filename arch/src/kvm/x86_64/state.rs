//! Reading and setting a vCPU's state.

use kvm_bindings::{
    KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_SIPI_RECEIVED,
    KVM_MP_STATE_UNINITIALIZED, KVM_VCPUEVENT_VALID_NMI_PENDING, KVM_VCPUEVENT_VALID_PAYLOAD,
    KVM_VCPUEVENT_VALID_SHADOW, KVM_VCPUEVENT_VALID_SIPI_VECTOR, KVM_VCPUEVENT_VALID_SMM,
    KVM_VCPUEVENT_VALID_TRIPLE_FAULT, Msrs, Xsave, kvm_debugregs, kvm_dtable, kvm_lapic_state, kvm_mp_state,
    kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs, kvm_vcpu_events, kvm_xcr, kvm_xcrs, kvm_xsave,
};

use super::sys::VcpuFd;
use crate::kvm::{Error, Result, failed};
use crate::x86_64::{
    DebugRegs, Events, ExceptionEvent, InterruptEvent, LAPIC_SIZE, MpState, Msr, NmiEvent, Regs, Segment,
    SmiEvent, Sregs, TableRegister, VcpuState, Xcr, boot,
};

/// What of the VM and the vCPU the state's shape depends on.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Numbers of the MSRs that are state.
    pub msrs: &'a [u32],
    /// Bytes of the XSAVE area.
    pub xsave: usize,
    /// Whether a triple fault on its way is state (KVM_CAP_X86_TRIPLE_FAULT_EVENT).
    pub triple_fault: bool,
}

/// MSRs that one ioctl takes: the kernel refuses 256 (`MAX_IO_MSRS`).
const MSRS_AT_ONCE: usize = 128;

/// Reads every group.
pub fn save(fd: &VcpuFd, shape: Shape<'_>) -> Result<VcpuState> {
    // First, because KVM carries out a pending INIT or start-up message here, which changes the other groups.
    let mp_state = fd.get_mp_state().map_err(failed("read a vCPU's run state"))?;
    Ok(VcpuState {
        regs: Some(from_regs(fd.get_regs().map_err(failed("read a vCPU's registers"))?)),
        sregs: Some(from_sregs(&fd.get_sregs().map_err(failed("read a vCPU's system registers"))?)),
        debug: Some(from_debug(&fd.get_debug_regs().map_err(failed("read a vCPU's debug registers"))?)),
        xcrs: Some(from_xcrs(&fd.get_xcrs().map_err(failed("read a vCPU's XCRs"))?)),
        xsave: Some(get_xsave(fd, shape.xsave)?.into()),
        lapic: Some(get_lapic(fd)?.into()),
        msrs: Some(get_msrs(fd, shape.msrs)?),
        mp_state: Some(from_mp_state(mp_state)?),
        events: Some(from_events(&fd.get_vcpu_events().map_err(failed("read a vCPU's events"))?)),
        // A host without a stable TSC has no frequency to tell.
        tsc_khz: fd.get_tsc_khz().ok().filter(|khz| *khz != 0),
    })
}

/// Puts a vCPU's LAPIC into x2APIC mode.
pub fn enable_x2apic(fd: &VcpuFd) -> Result<()> {
    let mut sregs = from_sregs(&fd.get_sregs().map_err(failed("read a vCPU's system registers"))?);
    boot::enable_x2apic(&mut sregs);
    fd.set_sregs(&to_sregs(&sregs)).map_err(failed("enable a vCPU's x2APIC"))
}

/// Sets the groups that are there, in the order in which they depend on each other: the TSC's frequency before its value; CR4,
/// EFER and the APIC's base before the MSRs and the LAPIC's page, whose layout depends on them; the page before the MSRs, as
/// the TSC-deadline timer is armed by an MSR but its mode is in the page; the events, which refer to all that, last.
pub fn restore(fd: &VcpuFd, state: &VcpuState, shape: Shape<'_>) -> Result<()> {
    if let Some(khz) = state.tsc_khz
        && fd.get_tsc_khz().ok() != Some(khz)
    {
        fd.set_tsc_khz(khz).map_err(failed("give a vCPU another TSC frequency than the host's"))?;
    }
    if let Some(sregs) = &state.sregs {
        fd.set_sregs(&to_sregs(sregs)).map_err(failed("set a vCPU's system registers"))?;
    }
    if let Some(regs) = &state.regs {
        fd.set_regs(&to_regs(*regs)).map_err(failed("set a vCPU's registers"))?;
    }
    if let Some(xcrs) = &state.xcrs {
        fd.set_xcrs(&to_xcrs(xcrs)?).map_err(failed("set a vCPU's XCRs"))?;
    }
    if let Some(xsave) = &state.xsave {
        set_xsave(fd, xsave, shape.xsave)?;
    }
    if let Some(lapic) = &state.lapic {
        set_lapic(fd, lapic)?;
    }
    if let Some(msrs) = &state.msrs {
        set_msrs(fd, msrs)?;
    }
    if let Some(debug) = &state.debug {
        fd.set_debug_regs(&to_debug(*debug)).map_err(failed("set a vCPU's debug registers"))?;
    }
    if let Some(mp_state) = state.mp_state {
        fd.set_mp_state(to_mp_state(mp_state)).map_err(failed("set a vCPU's run state"))?;
    }
    if let Some(events) = &state.events {
        let events = to_events(events, shape.triple_fault);
        fd.set_vcpu_events(&events).map_err(failed("set a vCPU's events"))?;
    }
    Ok(())
}

/// Copies fields of the same name from one struct into a new one of another.
macro_rules! same {
    ($from:expr => $to:ident { $($field:ident)* } $($rest:tt)*) => {
        $to { $($field: $from.$field,)* $($rest)* }
    };
}

fn from_regs(r: kvm_regs) -> Regs {
    same!(r => Regs { rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags })
}

fn to_regs(r: Regs) -> kvm_regs {
    same!(r => kvm_regs { rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags })
}

fn from_segment(s: &kvm_segment) -> Segment {
    same!(s => Segment { base limit selector dpl }
        kind: s.type_,
        present: s.present != 0,
        db: s.db != 0,
        s: s.s != 0,
        l: s.l != 0,
        g: s.g != 0,
        avl: s.avl != 0,
        unusable: s.unusable != 0,
    )
}

fn to_segment(s: &Segment) -> kvm_segment {
    same!(s => kvm_segment { base limit selector dpl }
        type_: s.kind,
        present: s.present.into(),
        db: s.db.into(),
        s: s.s.into(),
        l: s.l.into(),
        g: s.g.into(),
        avl: s.avl.into(),
        unusable: s.unusable.into(),
        padding: 0,
    )
}

fn from_table(t: &kvm_dtable) -> TableRegister {
    same!(t => TableRegister { base limit })
}

fn to_table(t: &TableRegister) -> kvm_dtable {
    same!(t => kvm_dtable { base limit } padding: [0; 3])
}

fn from_sregs(s: &kvm_sregs) -> Sregs {
    same!(s => Sregs { cr0 cr2 cr3 cr4 cr8 efer apic_base interrupt_bitmap }
        cs: from_segment(&s.cs),
        ds: from_segment(&s.ds),
        es: from_segment(&s.es),
        fs: from_segment(&s.fs),
        gs: from_segment(&s.gs),
        ss: from_segment(&s.ss),
        tr: from_segment(&s.tr),
        ldt: from_segment(&s.ldt),
        gdt: from_table(&s.gdt),
        idt: from_table(&s.idt),
    )
}

fn to_sregs(s: &Sregs) -> kvm_sregs {
    same!(s => kvm_sregs { cr0 cr2 cr3 cr4 cr8 efer apic_base interrupt_bitmap }
        cs: to_segment(&s.cs),
        ds: to_segment(&s.ds),
        es: to_segment(&s.es),
        fs: to_segment(&s.fs),
        gs: to_segment(&s.gs),
        ss: to_segment(&s.ss),
        tr: to_segment(&s.tr),
        ldt: to_segment(&s.ldt),
        gdt: to_table(&s.gdt),
        idt: to_table(&s.idt),
    )
}

fn from_debug(d: &kvm_debugregs) -> DebugRegs {
    same!(d => DebugRegs { db dr6 dr7 })
}

fn to_debug(d: DebugRegs) -> kvm_debugregs {
    same!(d => kvm_debugregs { db dr6 dr7 } flags: 0, reserved: [0; 9])
}

fn from_xcrs(x: &kvm_xcrs) -> Vec<Xcr> {
    let xcrs = x.xcrs.iter().take(x.nr_xcrs as usize);
    xcrs.map(|xcr| Xcr { index: xcr.xcr, value: xcr.value }).collect()
}

fn to_xcrs(xcrs: &[Xcr]) -> Result<kvm_xcrs> {
    let mut out = kvm_xcrs::default();
    if xcrs.len() > out.xcrs.len() {
        return Err(Error::BadState("more XCRs than there can be"));
    }
    for (slot, xcr) in out.xcrs.iter_mut().zip(xcrs) {
        *slot = kvm_xcr { xcr: xcr.index, reserved: 0, value: xcr.value };
        out.nr_xcrs += 1;
    }
    Ok(out)
}

fn from_mp_state(state: kvm_mp_state) -> Result<MpState> {
    match state.mp_state {
        KVM_MP_STATE_RUNNABLE => Ok(MpState::Runnable),
        KVM_MP_STATE_UNINITIALIZED => Ok(MpState::Uninitialized),
        KVM_MP_STATE_INIT_RECEIVED => Ok(MpState::InitReceived),
        KVM_MP_STATE_HALTED => Ok(MpState::Halted),
        KVM_MP_STATE_SIPI_RECEIVED => Ok(MpState::SipiReceived),
        _ => Err(Error::BadState("a run state that x86_64 vCPUs do not have")),
    }
}

fn to_mp_state(state: MpState) -> kvm_mp_state {
    let mp_state = match state {
        MpState::Runnable => KVM_MP_STATE_RUNNABLE,
        MpState::Uninitialized => KVM_MP_STATE_UNINITIALIZED,
        MpState::InitReceived => KVM_MP_STATE_INIT_RECEIVED,
        MpState::Halted => KVM_MP_STATE_HALTED,
        MpState::SipiReceived => KVM_MP_STATE_SIPI_RECEIVED,
    };
    kvm_mp_state { mp_state }
}

fn from_events(e: &kvm_vcpu_events) -> Events {
    let valid = |flag| e.flags & flag != 0;
    Events {
        exception: ExceptionEvent {
            injected: e.exception.injected != 0,
            // Without the payload capability, an exception that is pending reads as injected, and this byte is meaningless.
            pending: valid(KVM_VCPUEVENT_VALID_PAYLOAD) && e.exception.pending != 0,
            vector: e.exception.nr,
            error_code: (e.exception.has_error_code != 0).then_some(e.exception.error_code),
            payload: (valid(KVM_VCPUEVENT_VALID_PAYLOAD) && e.exception_has_payload != 0)
                .then_some(e.exception_payload),
        },
        interrupt: InterruptEvent {
            injected: e.interrupt.injected != 0,
            vector: e.interrupt.nr,
            soft: e.interrupt.soft != 0,
            shadow: e.interrupt.shadow,
        },
        nmi: NmiEvent { injected: e.nmi.injected != 0, pending: e.nmi.pending, masked: e.nmi.masked != 0 },
        smi: SmiEvent {
            active: e.smi.smm != 0,
            pending: e.smi.pending != 0,
            inside_nmi: e.smi.smm_inside_nmi != 0,
            latched_init: e.smi.latched_init != 0,
        },
        sipi_vector: e.sipi_vector,
        triple_fault: valid(KVM_VCPUEVENT_VALID_TRIPLE_FAULT) && e.triple_fault.pending != 0,
    }
}

fn to_events(e: &Events, triple_fault: bool) -> kvm_vcpu_events {
    let flags =
        KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SIPI_VECTOR;
    let mut out = kvm_vcpu_events { flags, sipi_vector: e.sipi_vector, ..Default::default() };
    out.exception.injected = e.exception.injected.into();
    out.exception.nr = e.exception.vector;
    out.exception.has_error_code = e.exception.error_code.is_some().into();
    out.exception.error_code = e.exception.error_code.unwrap_or(0);
    if e.exception.pending || e.exception.payload.is_some() {
        out.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
        out.exception.pending = e.exception.pending.into();
        out.exception_has_payload = e.exception.payload.is_some().into();
        out.exception_payload = e.exception.payload.unwrap_or(0);
    }
    out.interrupt.injected = e.interrupt.injected.into();
    out.interrupt.nr = e.interrupt.vector;
    out.interrupt.soft = e.interrupt.soft.into();
    out.interrupt.shadow = e.interrupt.shadow;
    out.nmi.injected = e.nmi.injected.into();
    out.nmi.pending = e.nmi.pending;
    out.nmi.masked = e.nmi.masked.into();
    // Set only where there is something to set: a kernel built without SMM refuses the flag (CONFIG_KVM_SMM).
    if e.smi != SmiEvent::default() {
        out.flags |= KVM_VCPUEVENT_VALID_SMM;
        out.smi.smm = e.smi.active.into();
        out.smi.pending = e.smi.pending.into();
        out.smi.smm_inside_nmi = e.smi.inside_nmi.into();
        out.smi.latched_init = e.smi.latched_init.into();
    }
    if triple_fault {
        out.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
        out.triple_fault.pending = e.triple_fault.into();
    }
    out
}

/// Bytes of the area that every KVM has.
const XSAVE_MIN: usize = size_of::<kvm_xsave>();

/// An area of `size` bytes, all zero.
fn new_xsave(size: usize) -> Result<Xsave> {
    let extra = size.saturating_sub(XSAVE_MIN).div_ceil(size_of::<u32>());
    Xsave::new(extra).map_err(|_| Error::BadState("an XSAVE area too large to allocate"))
}

fn get_xsave(fd: &VcpuFd, size: usize) -> Result<Vec<u8>> {
    let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    if size <= XSAVE_MIN {
        let area = fd.get_xsave().map_err(failed("read a vCPU's XSAVE area"))?;
        return Ok(bytes(&area.region));
    }
    let mut xsave = new_xsave(size)?;
    // SAFETY: the area has the size that KVM_CAP_XSAVE2 gave for this VM, and nothing in this process enables a dynamic
    // feature after that.
    unsafe { fd.get_xsave2(&mut xsave) }.map_err(failed("read a vCPU's XSAVE area"))?;
    let mut area = bytes(&xsave.as_fam_struct_ref().xsave.region);
    area.extend(bytes(xsave.as_slice()));
    Ok(area)
}

fn set_xsave(fd: &VcpuFd, bytes: &[u8], size: usize) -> Result<()> {
    let mut xsave = new_xsave(size)?;
    let (words, rest) = bytes.as_chunks::<4>();
    let room = XSAVE_MIN / 4 + xsave.as_slice().len();
    // What lies beyond this host's area can be left out only if it is empty.
    if !rest.is_empty() || words.len() * 4 < XSAVE_MIN || words.iter().skip(room).any(|w| *w != [0; 4]) {
        return Err(Error::BadState("an XSAVE area that does not fit this host's"));
    }
    let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
    // SAFETY: only the contents are changed; the length of the flexible array stays.
    let area = unsafe { &mut xsave.as_mut_fam_struct().xsave };
    for (slot, word) in area.region.iter_mut().zip(&mut words) {
        *slot = word;
    }
    for (slot, word) in xsave.as_mut_slice().iter_mut().zip(words) {
        *slot = word;
    }
    // SAFETY: the area has the size that KVM_CAP_XSAVE2 gave for this VM, which is what KVM reads.
    unsafe { fd.set_xsave2(&xsave) }.map_err(failed("set a vCPU's XSAVE area"))
}

fn get_lapic(fd: &VcpuFd) -> Result<Vec<u8>> {
    let lapic = fd.get_lapic().map_err(failed("read a vCPU's LAPIC"))?;
    Ok(lapic.regs.iter().map(|byte| byte.cast_unsigned()).collect())
}

fn set_lapic(fd: &VcpuFd, bytes: &[u8]) -> Result<()> {
    if bytes.len() != LAPIC_SIZE {
        return Err(Error::BadState("a LAPIC page of a wrong size"));
    }
    let mut lapic = kvm_lapic_state::default();
    for (slot, byte) in lapic.regs.iter_mut().zip(bytes) {
        *slot = byte.cast_signed();
    }
    fd.set_lapic(&lapic).map_err(failed("set a vCPU's LAPIC"))
}

/// Reads MSRs; those that the vCPU does not have are left out.
pub fn get_msrs(fd: &VcpuFd, indices: &[u32]) -> Result<Vec<Msr>> {
    let mut found = Vec::with_capacity(indices.len());
    let mut left = indices;
    while !left.is_empty() {
        let chunk = &left[..left.len().min(MSRS_AT_ONCE)];
        let entries: Vec<_> =
            chunk.iter().map(|index| kvm_msr_entry { index: *index, ..Default::default() }).collect();
        let mut msrs = Msrs::from_entries(&entries).map_err(|_| Error::BadState("too many MSRs at once"))?;
        let read = fd.get_msrs(&mut msrs).map_err(failed("read a vCPU's MSRs"))?;
        found.extend(msrs.as_slice()[..read].iter().map(|m| Msr { index: m.index, value: m.data }));
        // KVM stops at an MSR that this vCPU's CPUID does not give it; that one is no state, so go on behind it.
        let done = if read < chunk.len() { read + 1 } else { read };
        left = &left[done..];
    }
    Ok(found)
}

/// Sets MSRs. KVM's own list has a few that can be read but only be set to what they are: those are passed over.
pub fn set_msrs(fd: &VcpuFd, msrs: &[Msr]) -> Result<()> {
    let mut left = msrs;
    while !left.is_empty() {
        let chunk = &left[..left.len().min(MSRS_AT_ONCE)];
        let entries: Vec<_> = chunk
            .iter()
            .map(|m| kvm_msr_entry { index: m.index, data: m.value, ..Default::default() })
            .collect();
        let entries = Msrs::from_entries(&entries).map_err(|_| Error::BadState("too many MSRs at once"))?;
        let set = fd.set_msrs(&entries).map_err(failed("set a vCPU's MSRs"))?;
        left = &left[set..];
        if set < chunk.len()
            && let [refused, rest @ ..] = left
        {
            let now = get_msrs(fd, &[refused.index])?;
            if now.as_slice() != [*refused] {
                return Err(Error::Register { id: u64::from(refused.index), value: refused.value });
            }
            left = rest;
        }
    }
    Ok(())
}

//! State of an x86_64 vCPU, as plain data.

use serde::Serialize;

use crate::ByteGroup;

/// Bytes of a LAPIC's register page that hold registers.
pub const LAPIC_SIZE: usize = 1024;

/// State of a vCPU. A group that is `None` is left as it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct VcpuState {
    /// General registers, instruction pointer and flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regs: Option<Regs>,
    /// Segments, descriptor tables, control registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sregs: Option<Sregs>,
    /// Breakpoint registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<DebugRegs>,
    /// Extended control registers, by ascending number; only XCR0 exists so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xcrs: Option<Vec<Xcr>>,
    /// The XSAVE area in the standard format (SDM volume 1, 13.4), as the host lays it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xsave: Option<ByteGroup>,
    /// The local APIC's register page ([`LAPIC_SIZE`] bytes, SDM volume 3, 11.4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lapic: Option<ByteGroup>,
    /// Model-specific registers, in the order in which they are set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msrs: Option<Vec<Msr>>,
    /// Whether it runs, waits, or was never started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mp_state: Option<MpState>,
    /// Exceptions and interrupts that are on their way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// Frequency of its time-stamp counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsc_khz: Option<u32>,
}

/// General registers, instruction pointer and flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "the names are the registers'")]
pub struct Regs {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}

/// A segment register with its hidden part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Segment {
    /// Linear address of its first byte.
    pub base: u64,
    /// Last offset, with the granularity already applied.
    pub limit: u32,
    /// The visible part.
    pub selector: u16,
    /// The descriptor's type field (4 bits).
    #[serde(rename = "type")]
    pub kind: u8,
    /// P: present.
    pub present: bool,
    /// Descriptor privilege level.
    pub dpl: u8,
    /// D/B: 32-bit default operand size.
    pub db: bool,
    /// S: code or data, not system.
    pub s: bool,
    /// L: 64-bit code.
    pub l: bool,
    /// G: the descriptor's limit counts 4 KiB pages.
    pub g: bool,
    /// AVL: for software.
    pub avl: bool,
    /// Loaded with a null selector.
    pub unusable: bool,
}

/// GDTR or IDTR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct TableRegister {
    /// Linear address.
    pub base: u64,
    /// Last byte's offset.
    pub limit: u16,
}

/// Segments, descriptor tables, control registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "the names are the registers'")]
pub struct Sregs {
    pub cs: Segment,
    pub ds: Segment,
    pub es: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ss: Segment,
    pub tr: Segment,
    pub ldt: Segment,
    pub gdt: TableRegister,
    pub idt: TableRegister,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
    /// IA32_APIC_BASE.
    pub apic_base: u64,
    /// Vectors of external interrupts that were accepted but not yet injected.
    pub interrupt_bitmap: [u64; 4],
}

/// Breakpoint registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "the names are the registers'")]
pub struct DebugRegs {
    /// DR0 to DR3.
    pub db: [u64; 4],
    pub dr6: u64,
    pub dr7: u64,
}

/// An extended control register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Xcr {
    /// Its number.
    pub index: u32,
    /// Its value.
    pub value: u64,
}

/// A model-specific register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Msr {
    /// Its number.
    pub index: u32,
    /// Its value.
    pub value: u64,
}

/// What a vCPU is doing, as multi-processor start-up sees it (SDM volume 3, 9.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MpState {
    /// Running.
    Runnable,
    /// An application processor that got no INIT yet.
    Uninitialized,
    /// Got an INIT, waits for a start-up message.
    InitReceived,
    /// In HLT.
    Halted,
    /// Got a start-up message.
    SipiReceived,
}

/// Exceptions and interrupts that are on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Events {
    /// The exception, if any.
    pub exception: ExceptionEvent,
    /// The interrupt, if any.
    pub interrupt: InterruptEvent,
    /// Non-maskable interrupts.
    pub nmi: NmiEvent,
    /// System management mode.
    pub smi: SmiEvent,
    /// Page number at which a start-up message has the vCPU begin.
    pub sipi_vector: u32,
    /// A triple fault not yet told to the VMM.
    pub triple_fault: bool,
}

/// An exception on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ExceptionEvent {
    /// Its delivery began.
    pub injected: bool,
    /// It was raised, its delivery did not begin.
    pub pending: bool,
    /// Vector.
    pub vector: u8,
    /// The error code, for exceptions that have one.
    pub error_code: Option<u32>,
    /// What goes to CR2 or DR6 when it is delivered.
    pub payload: Option<u64>,
}

/// An interrupt on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct InterruptEvent {
    /// Its delivery began.
    pub injected: bool,
    /// Vector.
    pub vector: u8,
    /// By an INT instruction.
    pub soft: bool,
    /// Interrupts are held off for one instruction: bit 0 by STI, bit 1 by MOV SS.
    pub shadow: u8,
}

/// Non-maskable interrupts on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct NmiEvent {
    /// Its delivery began.
    pub injected: bool,
    /// How many wait.
    pub pending: u8,
    /// Held off until IRET.
    pub masked: bool,
}

/// State of system management mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SmiEvent {
    /// In it.
    pub active: bool,
    /// About to enter it.
    pub pending: bool,
    /// NMIs were held off when it was entered.
    pub inside_nmi: bool,
    /// An INIT waits for its end.
    pub latched_init: bool,
}

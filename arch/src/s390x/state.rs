//! The state of a vCPU, in the groups in which KVM has it.

use serde::{Serialize, Serializer};

/// The program-status word, which says where a CPU is and in which mode (z/Architecture Principles of Operation,
/// "Program-Status-Word Format").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Psw {
    /// Bits 0 to 63: masks, key, state and addressing mode.
    #[serde(serialize_with = "hex")]
    pub mask: u64,
    /// Bits 64 to 127: the instruction address.
    #[serde(serialize_with = "hex")]
    pub addr: u64,
}

impl Psw {
    /// Mask bit 6: I/O interruptions are enabled.
    pub const IO: u64 = 1 << (63 - 6);
    /// Mask bit 7: external interruptions are enabled.
    pub const EXTERNAL: u64 = 1 << (63 - 7);
    /// Mask bit 13: machine checks are enabled.
    pub const MACHINE_CHECK: u64 = 1 << (63 - 13);
    /// Mask bit 14: the CPU waits.
    pub const WAIT: u64 = 1 << (63 - 14);
    /// Mask bit 15: the problem state, in which privileged instructions are refused.
    pub const PROBLEM: u64 = 1 << (63 - 15);
    /// Mask bits 31 and 32: addresses have 64 bits.
    pub const ADDRESSING_64: u64 = 3 << (63 - 32);

    /// The PSW of a doubleword in the short format (PoP, "Short PSW Format"), in which an initial program load and what is like
    /// it find theirs. Bit 12 must be one there; if it is not, the PSW is invalid in the long format too.
    pub const fn from_short(short: u64) -> Self {
        /// Bits 33 to 63, of the instruction address.
        const ADDRESS: u64 = 0x7fff_ffff;
        /// Bit 12: one in the short format, zero in the long one.
        const SHORT: u64 = 1 << (63 - 12);
        Psw { mask: (short & !ADDRESS) ^ SHORT, addr: short & ADDRESS }
    }

    /// Whether the CPU is in the problem state.
    pub const fn is_problem_state(&self) -> bool {
        self.mask & Psw::PROBLEM != 0
    }

    /// The bits that count in an address: 24, 31 or 64 by the addressing mode.
    pub const fn address_mask(&self) -> u64 {
        match (self.mask & Psw::ADDRESSING_64) >> 31 {
            0 => 0xff_ffff,
            1 => 0x7fff_ffff,
            _ => u64::MAX,
        }
    }

    /// Sets the condition code, bits 18 and 19, to one of 0 to 3.
    pub const fn set_condition_code(&mut self, cc: u8) {
        const SHIFT: u32 = 63 - 19;
        self.mask = (self.mask & !(3 << SHIFT)) | ((cc as u64 & 3) << SHIFT);
    }
}

impl std::fmt::Display for Psw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x} {:016x}", self.mask, self.addr)
    }
}

/// State of a vCPU. Groups that are absent are left as the vCPU has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VcpuState {
    /// Program-status word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psw: Option<Psw>,
    /// General registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gprs: Option<[u64; 16]>,
    /// Access registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acrs: Option<[u32; 16]>,
    /// Control registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crs: Option<[u64; 16]>,
    /// Floating-point registers, of a host without vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fprs: Option<[u64; 16]>,
    /// Vector registers; the left halves of the first 16 are the floating-point registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrs: Option<[u128; 32]>,
    /// Floating-point control register.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fpc: Option<u32>,
    /// Address of the vCPU's own prefix area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u32>,
    /// Timers and their like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timers: Option<Timers>,
    /// Pseudo page faults: how KVM tells the guest of pages that it has to wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_fault: Option<PageFault>,
    /// Breaking-event address: where the last branch was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gbea: Option<u64>,
    /// Program parameter of the measurement facilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pp: Option<u64>,
    /// Whether branch prediction is blocked (PPA 12 and 13).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpbc: Option<bool>,
    /// Token by which the guest tells speculation domains apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etoken: Option<Etoken>,
    /// What the guest said of itself by DIAGNOSE 318.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diag318: Option<u64>,
    /// Runtime-instrumentation control block, 64 bytes as the guest has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub riccb: Option<Vec<u8>>,
    /// Guarded-storage control block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gscb: Option<[u64; 4]>,
    /// What the vCPU does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mp_state: Option<MpState>,
    /// Interruptions that are pending for this vCPU alone, as KVM_S390_GET_IRQ_STATE gives them: big-endian
    /// `struct kvm_s390_irq`s of 72 bytes each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irqs: Option<Vec<u8>>,
}

/// Timers of a vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Timers {
    /// TOD programmable register.
    pub todpr: u32,
    /// CPU timer.
    pub cpu_timer: u64,
    /// Clock comparator.
    pub clock_comparator: u64,
    /// Offset of the guest's TOD clock to the host's.
    pub epoch: u64,
}

/// The pseudo page fault handshake of a vCPU (DIAGNOSE 258).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PageFault {
    /// Token that the guest chose; all ones when it takes none.
    pub token: u64,
    /// Mask of PSW bits that are compared.
    pub select: u64,
    /// What they must be.
    pub compare: u64,
}

/// Etoken facility of a vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Etoken {
    /// The token.
    pub value: u64,
    /// Its extension.
    pub extension: u64,
}

/// What a vCPU does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MpState {
    /// It waits to be started by another (SIGP).
    Stopped,
    /// A machine check has stopped it for good.
    CheckStop,
    /// It runs, or waits for an interruption.
    Operating,
    /// It loads.
    Load,
}

fn hex<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_entry_psw_has_64_bit_addresses() {
        let psw = Psw { mask: 0x0000_0001_8000_0000, addr: 0x10000 };
        assert_eq!(psw.mask, Psw::ADDRESSING_64);
        assert_eq!(psw.address_mask(), u64::MAX);
        assert_eq!(Psw { mask: 0x8000_0000, addr: 0 }.address_mask(), 0x7fff_ffff);
        assert_eq!(Psw::default().address_mask(), 0xff_ffff);
    }

    #[test]
    fn a_short_psw_is_as_good_as_a_long_one() {
        // What Linux begins a kernel by that it has put into memory.
        let psw = Psw::from_short(0x0008_0000_8001_0010);
        assert_eq!(psw, Psw { mask: 0x0000_0000_8000_0000, addr: 0x1_0010 });
        assert_eq!(psw.address_mask(), 0x7fff_ffff);
        let invalid = Psw::from_short(0x0000_0000_8001_0010);
        assert_eq!(invalid.mask, 0x0008_0000_8000_0000, "an invalid PSW stays one");
    }

    #[test]
    fn the_condition_code_is_in_bits_18_and_19() {
        let mut psw = Psw { mask: 0x0705_2001_8000_0000, addr: 0 };
        assert!(psw.is_problem_state());
        psw.set_condition_code(3);
        assert_eq!(psw.mask, 0x0705_3001_8000_0000);
        psw.set_condition_code(0);
        assert_eq!(psw.mask, 0x0705_0001_8000_0000);
    }

    #[test]
    fn only_what_is_set_is_printed() {
        let psw = Psw { mask: 0x1_8000_0000, addr: 0x10000 };
        let state = VcpuState { psw: Some(psw), mp_state: Some(MpState::Operating), ..VcpuState::default() };
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(text, r#"{"psw":{"mask":"0x180000000","addr":"0x10000"},"mp_state":"operating"}"#);
    }
}

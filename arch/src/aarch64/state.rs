//! The state of a vCPU: KVM's register identifiers with their values.

use serde::{Serialize, Serializer};

/// PSTATE at a kernel's entry: EL1 with its own stack pointer (EL1h), and debug, SError, IRQ and FIQ masked
/// (Linux, Documentation/arch/arm64/booting.rst: "All forms of interrupts must be masked in PSTATE.DAIF").
pub const PSTATE_EL1H_MASKED: u64 = 0x3c5;

/// State of a vCPU. Groups that are absent, and registers that are not listed, are left as the vCPU has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VcpuState {
    /// Registers. The order does not matter.
    #[serde(serialize_with = "by_name")]
    pub registers: Vec<Register>,
    /// Whether the vCPU runs.
    pub mp_state: Option<MpState>,
    /// Exceptions that wait for it.
    pub events: Option<Events>,
}

impl VcpuState {
    /// The value of a register, if it is listed.
    pub fn get(&self, id: u64) -> Option<&[u8]> {
        self.registers.iter().find(|register| register.id == id).map(|register| register.value.as_slice())
    }
}

/// A register of a vCPU, by KVM's identifier, which holds its size too (Linux, Documentation/virt/kvm/api.rst,
/// "KVM_SET_ONE_REG"). Identifiers are the same on all hosts, and never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// The identifier; [`reg`] has those that plans use.
    pub id: u64,
    /// The value, little-endian, as many bytes as the identifier says.
    pub value: Vec<u8>,
}

impl Register {
    /// A register of 64 bits.
    pub fn u64(id: u64, value: u64) -> Self {
        Register { id, value: value.to_le_bytes().to_vec() }
    }

    /// Bytes that the value of register `id` has.
    pub const fn size(id: u64) -> usize {
        1 << ((id >> 52) & 0xf)
    }
}

/// Whether a vCPU runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MpState {
    /// It runs, or waits for an interrupt.
    Runnable,
    /// It is off until another vCPU starts it (PSCI CPU_ON).
    Stopped,
    /// It is suspended until an interrupt wakes it (PSCI SYSTEM_SUSPEND).
    Suspended,
}

/// Exceptions that wait for a vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Events {
    /// A system error is pending.
    pub serror_pending: bool,
    /// Its syndrome, where it has one.
    pub serror_syndrome: Option<u64>,
}

/// Identifiers of registers.
pub mod reg {
    /// `KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE`: what the general registers' identifiers begin with; they go on
    /// with the offset in `struct user_pt_regs` in words of 4 bytes.
    const CORE: u64 = 0x6030_0000_0010_0000;

    /// Program counter.
    pub const PC: u64 = CORE + 0x40;
    /// Processor state.
    pub const PSTATE: u64 = CORE + 0x42;
    /// The stack pointer of EL0.
    pub const SP: u64 = CORE + 0x3e;
    /// The stack pointer of EL1.
    pub const SP_EL1: u64 = CORE + 0x44;
    /// The vector lengths that the guest can use (`KVM_REG_ARM64_SVE_VLS`).
    pub const SVE_VLS: u64 = 0x6060_0000_0015_ffff;

    /// PMINTENCLR_EL1, PMCNTENCLR_EL0 and PMOVSCLR_EL0: each reads as the register that sets the same bits, and clears the bits
    /// that are written.
    pub const CLEARING: [u64; 3] = [0x6030_0000_0013_c4f2, 0x6030_0000_0013_dce2, 0x6030_0000_0013_dce3];

    /// General register `n`, 0 to 30.
    pub const fn x(n: u8) -> u64 {
        CORE + 2 * n as u64
    }

    /// A register's name, where it has a common one.
    pub(super) fn name(id: u64) -> String {
        match id {
            PC => "pc".to_owned(),
            PSTATE => "pstate".to_owned(),
            SP => "sp".to_owned(),
            SP_EL1 => "sp_el1".to_owned(),
            CORE..SP => format!("x{}", (id - CORE) / 2),
            _ => format!("{id:#x}"),
        }
    }
}

/// A map of names to values in hexadecimal, which is what a person can read.
fn by_name<S: Serializer>(registers: &[Register], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(registers.iter().map(|register| {
        let digits: String = register.value.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        let digits = digits.trim_start_matches('0');
        (reg::name(register.id), format!("0x{}", if digits.is_empty() { "0" } else { digits }))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_those_of_the_kernels_documentation() {
        // Documentation/virt/kvm/api.rst, table "arm64 core registers".
        assert_eq!(reg::x(0), 0x6030_0000_0010_0000);
        assert_eq!(reg::x(30), 0x6030_0000_0010_003c);
        assert_eq!(reg::SP, 0x6030_0000_0010_003e);
        assert_eq!(reg::PC, 0x6030_0000_0010_0040);
        assert_eq!(reg::PSTATE, 0x6030_0000_0010_0042);
        assert_eq!(reg::SP_EL1, 0x6030_0000_0010_0044);
        assert_eq!(Register::size(reg::PC), 8);
        assert_eq!(Register::size(reg::SVE_VLS), 64);
    }

    #[test]
    fn state_is_printed_by_name() {
        let registers = vec![
            Register::u64(reg::PC, 0x4020_0000),
            Register::u64(reg::x(0), 0),
            Register { id: 0x6020_0000_0010_00d4, value: vec![1, 2, 3, 4] },
        ];
        let state = VcpuState { registers, mp_state: Some(MpState::Runnable), events: None };
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(
            text,
            r#"{"registers":{"pc":"0x40200000","x0":"0x0","0x60200000001000d4":"0x4030201"},"mp_state":"runnable","events":null}"#
        );
    }
}

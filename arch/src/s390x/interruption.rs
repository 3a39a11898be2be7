//! Interruptions that the channel subsystem makes pending, as KVM takes them (PoP, chapter 11 and 16).

/// Bit of the I/O-interruption-identification word: an adapter interrupts.
pub const ADAPTER: u32 = 0x8000_0000;

/// The machine-check subclass of channel reports, as control register 14 has it.
pub const REPORT_SUBCLASS: u32 = 1 << 28;

/// The machine-check-interruption code of a channel report: nothing is damaged, and all that is stored is valid. KVM takes the bits
/// back of what it does not store.
pub const REPORT_CODE: u64 = bit(9) | VALID;

/// PSW: mask and key, program mask and condition code, instruction address, and further validity bits: general, floating-point,
/// control, access and vector registers, guarded storage, logout, TOD programmable register, floating-point control, CPU timer,
/// clock comparator.
const VALID: u64 = bit(20)
    | bit(21)
    | bit(22)
    | bit(23)
    | bit(25)
    | bit(27)
    | bit(28)
    | bit(29)
    | bit(31)
    | bit(33)
    | bit(36)
    | bit(42)
    | bit(43)
    | bit(46)
    | bit(47);

/// A bit, counted from the left as the architecture does.
const fn bit(number: u32) -> u64 {
    1 << (63 - number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_report_is_a_valid_machine_check() {
        assert_eq!(REPORT_CODE, 0x0040_0f5d_4833_0000);
    }
}

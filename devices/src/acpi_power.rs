//! Sleep and reset registers of hardware-reduced ACPI.

use crate::saved::{self, Save, Saved, state};
use crate::{Device, Effect, byte_offsets};

/// The registers that a hardware-reduced FADT names (ACPI 6.5, 4.8.3.7 and 4.8.3.6), one byte each, in one window.
#[derive(Debug, Default)]
pub struct AcpiPower {
    control: u8,
}

/// SLP_EN of the sleep control register.
const SLEEP_ENABLE: u8 = 1 << 5;

impl AcpiPower {
    /// Size of the window in bytes.
    pub const SIZE: u16 = 4;
    /// Offset of the sleep control register.
    pub const SLEEP_CONTROL: u16 = 0;
    /// Offset of the sleep status register.
    pub const SLEEP_STATUS: u16 = 1;
    /// Offset of the reset register.
    pub const RESET: u16 = 2;
    /// What is written to the reset register for a reset.
    pub const RESET_VALUE: u8 = 1;
    /// SLP_TYP of S5, for the DSDT's `_S5`.
    pub const SLEEP_TYPE_S5: u8 = 5;

    /// The registers.
    pub fn new() -> Self {
        Self::default()
    }

    fn write_byte(&mut self, at: u64, byte: u8) -> Effect {
        match u16::try_from(at) {
            Ok(Self::SLEEP_CONTROL) => {
                // SLP_EN is write-only.
                self.control = byte & !SLEEP_ENABLE;
                let wanted = SLEEP_ENABLE | Self::SLEEP_TYPE_S5 << 2;
                if byte & (SLEEP_ENABLE | 7 << 2) == wanted { Effect::PowerOff } else { Effect::None }
            }
            Ok(Self::RESET) if byte == Self::RESET_VALUE => Effect::Reset,
            // The status register's one bit is cleared by writing it, and never set: nobody wakes from S5.
            _ => Effect::None,
        }
    }
}

impl Device for AcpiPower {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        for (at, byte) in byte_offsets(offset).zip(data) {
            *byte = match u16::try_from(at) {
                Ok(Self::SLEEP_CONTROL) => self.control,
                _ => 0,
            };
        }
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        for (at, byte) in byte_offsets(offset).zip(data) {
            let effect = self.write_byte(at, *byte);
            if effect != Effect::None {
                return effect;
            }
        }
        Effect::None
    }
}

state! {
    struct AcpiPowerState: "acpi-pwr", 1 {
        /// The sleep control register.
        control: u8,
    }
}

impl Save for AcpiPower {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::of(&AcpiPowerState { control: self.control }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let AcpiPowerState { control } = saved.get()?;
        saved.check(control & SLEEP_ENABLE == 0, "a bit that is write-only")?;
        self.control = control;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s5_powers_off_and_other_states_do_nothing() {
        let mut power = AcpiPower::new();
        assert_eq!(power.write(0, &[0x14]), Effect::None, "no SLP_EN");
        assert_eq!(power.write(0, &[0x24]), Effect::None, "S1");
        assert_eq!(power.write(0, &[0x34]), Effect::PowerOff);
        let mut control = [0];
        let _ = power.read(0, &mut control);
        assert_eq!(control, [0x14]);
    }

    #[test]
    fn reset_takes_its_value() {
        let mut power = AcpiPower::new();
        assert_eq!(power.write(2, &[0]), Effect::None);
        assert_eq!(power.write(2, &[1]), Effect::Reset);
        assert_eq!(power.write(1, &[0x80, 1]), Effect::Reset, "a wide access writes each register");
        assert_eq!(power.write(3, &[1]), Effect::None);
        assert_eq!(power.write(u64::MAX, &[0x34]), Effect::None);
    }
}

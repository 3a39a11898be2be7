//! Arm's PL031 real-time clock (ARM DDI 0224), by vm-superio. Its alarm does not interrupt.

use vm_superio::rtc_pl031::NoEvents;
use vm_superio::{Rtc, RtcState};

use crate::saved::{self, Save, Saved, state};
use crate::{Device, Effect};

/// A PL031 that shows the host's time until the guest sets it.
pub struct Pl031 {
    chip: Rtc<NoEvents>,
}

impl Pl031 {
    /// Size of the register window in bytes.
    pub const SIZE: u64 = 0x1000;

    /// A clock.
    pub fn new() -> Self {
        Pl031 { chip: Rtc::new() }
    }
}

impl Default for Pl031 {
    fn default() -> Self {
        Self::new()
    }
}

impl Device for Pl031 {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        let mut value = [0; 4];
        if let Ok(offset) = u16::try_from(offset) {
            self.chip.read(offset, &mut value);
        }
        data.fill(0);
        for (byte, value) in data.iter_mut().zip(value) {
            *byte = value;
        }
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        // Registers are 32 bits wide and take no narrower writes.
        if let (Ok(offset), Ok(value)) = (u16::try_from(offset), data.try_into()) {
            self.chip.write(offset, value);
        }
        Effect::None
    }
}

state! {
    struct Pl031State: "pl031", 1 {
        load: u32,
        /// Seconds from the host's time to the guest's.
        offset: i64,
        alarm: u32,
        mask: u32,
        raw: u32,
    }
}

/// Time goes on while a machine is not there: what is saved is its distance from the host's time.
impl Save for Pl031 {
    fn save(&mut self) -> saved::Result<Saved> {
        let RtcState { lr: load, offset, mr: alarm, imsc: mask, ris: raw } = self.chip.state();
        Ok(Saved::of(&Pl031State { load, offset, alarm, mask, raw }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let Pl031State { load: lr, offset, alarm: mr, mask: imsc, raw: ris } = saved.get()?;
        saved.check(offset.unsigned_abs() <= u64::from(u32::MAX), "the distance from the host's time")?;
        saved.check(imsc <= 1 && ris == 0, "an interrupt")?;
        self.chip = Rtc::from_state(&RtcState { lr, offset, mr, imsc, ris }, NoEvents);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(clock: &mut Pl031, offset: u64) -> u32 {
        let mut value = [0xff; 4];
        assert_eq!(clock.read(offset, &mut value), Effect::None);
        u32::from_le_bytes(value)
    }

    #[test]
    fn it_is_found_by_its_identity() {
        let mut clock = Pl031::new();
        let ids: Vec<u32> = (0..8).map(|n| read(&mut clock, 0xfe0 + 4 * n)).collect();
        assert_eq!(ids, [0x31, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1]);
    }

    #[test]
    fn it_shows_the_time_that_was_loaded() {
        let mut clock = Pl031::new();
        assert!(read(&mut clock, 0) > 1_700_000_000, "the host's time");
        let _ = clock.write(8, &1_000_000u32.to_le_bytes());
        assert!((1_000_000..1_000_010).contains(&read(&mut clock, 0)));
    }

    #[test]
    fn odd_accesses_do_nothing() {
        let mut clock = Pl031::new();
        for data in [&[1u8][..], &[1; 2], &[1; 8]] {
            let _ = clock.write(8, data);
            let _ = clock.write(u64::MAX, data);
        }
        let mut eight = [0xff; 8];
        let _ = clock.read(u64::MAX, &mut eight);
        assert_eq!(eight, [0; 8]);
        assert!(read(&mut clock, 0) > 1_700_000_000);
    }
}

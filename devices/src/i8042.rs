//! The i8042 keyboard controller, as far as a reset needs it, by vm-superio.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vm_superio::{I8042Device, Trigger};

use crate::{Device, Effect, byte_offsets, nothing_to_save};

/// A keyboard controller without keyboard. Command 0xfe at port 0x64 (offset 4) resets the machine.
pub struct I8042 {
    chip: I8042Device<Asked>,
}

/// Whether a reset was asked for.
struct Asked(Arc<AtomicBool>);

impl Trigger for Asked {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl I8042 {
    /// A controller.
    pub fn new() -> Self {
        I8042 { chip: I8042Device::new(Asked(Arc::default())) }
    }
}

impl Default for I8042 {
    fn default() -> Self {
        Self::new()
    }
}

impl Device for I8042 {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        for (at, byte) in byte_offsets(offset).zip(data) {
            *byte = u8::try_from(at).map_or(0xff, |at| self.chip.read(at));
        }
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        // The registers are 8 bits wide; a wider access writes its first byte.
        if let (Ok(at), Some(&byte)) = (u8::try_from(offset), data.first()) {
            let Ok(()) = self.chip.write(at, byte);
        }
        match self.chip.reset_evt().0.swap(false, Ordering::Relaxed) {
            true => Effect::Reset,
            false => Effect::None,
        }
    }
}

// Commands end at once, and nothing waits to be read.
nothing_to_save!(I8042, "i8042");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_reset_command_resets() {
        let mut chip = I8042::new();
        assert_eq!(chip.write(4, &[0xfe]), Effect::Reset);
        assert_eq!(chip.write(4, &[0xd1]), Effect::None);
        assert_eq!(chip.write(0, &[0xfe]), Effect::None);
        assert_eq!(chip.write(u64::MAX, &[0xfe]), Effect::None);
        let mut status = [0xaa];
        assert_eq!(chip.read(4, &mut status), Effect::None);
        assert_eq!(status, [0], "no output waits, no input is pending");
    }
}

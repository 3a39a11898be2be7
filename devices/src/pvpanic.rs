//! pvpanic: a register by which a guest's kernel tells that it has panicked (QEMU, docs/specs/pvpanic).

use crate::{Device, Effect, byte_offsets, nothing_to_save};

/// The register, of one byte.
#[derive(Debug, Default)]
pub struct Pvpanic;

/// The kernel has panicked, and can't go on.
const PANICKED: u8 = 1 << 0;

/// The kernel has panicked, and another one goes on to write a dump.
const CRASH_LOADED: u8 = 1 << 1;

impl Pvpanic {
    /// Size of the window in bytes.
    pub const SIZE: u16 = 1;

    /// The register.
    pub const fn new() -> Self {
        Pvpanic
    }
}

impl Device for Pvpanic {
    /// Reads which events it takes.
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        for (at, byte) in byte_offsets(offset).zip(data) {
            *byte = if at == 0 { PANICKED | CRASH_LOADED } else { 0 };
        }
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        match (offset, data) {
            (0, [events, ..]) if events & PANICKED != 0 => Effect::Crash("its kernel has panicked"),
            // A dump's kernel ends by itself, and tells no more than this.
            _ => Effect::None,
        }
    }
}

nothing_to_save!(Pvpanic, "pvpanic");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_crash_unless_it_is_dumped() {
        let mut device = Pvpanic::new();
        let mut events = [0xa5; 2];
        assert_eq!((device.read(0, &mut events), events), (Effect::None, [3, 0]));
        assert_eq!(device.write(0, &[1]), Effect::Crash("its kernel has panicked"));
        assert_eq!(device.write(0, &[3, 0, 0, 0]), Effect::Crash("its kernel has panicked"));
        for harmless in [0, 2, 4, 0xfe] {
            assert_eq!(device.write(0, &[harmless]), Effect::None);
        }
        assert_eq!(device.write(1, &[1]), Effect::None);
    }
}

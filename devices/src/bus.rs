//! A bus: windows of an address space, each with a device behind it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{Device, Effect};

/// A range of addresses on a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First address.
    pub base: u64,
    /// Size in bytes, not 0.
    pub size: u64,
}

impl Window {
    /// Last address of the window.
    const fn last(&self) -> u64 {
        self.base + (self.size - 1)
    }
}

/// Why a device can't be put on a bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The window is empty or leaves the address space.
    #[error("window at {base:#x} of {size:#x} bytes is empty or leaves the address space")]
    BadWindow {
        /// First address.
        base: u64,
        /// Size in bytes.
        size: u64,
    },
    /// The window overlaps another device's.
    #[error("window at {base:#x} of {size:#x} bytes overlaps the one at {other:#x}")]
    Overlap {
        /// First address.
        base: u64,
        /// Size in bytes.
        size: u64,
        /// First address of the window that is there already.
        other: u64,
    },
}

/// A bus. It is built once, then shared by the vCPU threads; each device has a lock of its own.
#[derive(Default)]
pub struct Bus {
    /// Sorted by base address; windows do not overlap.
    devices: Vec<(Window, Arc<Mutex<dyn Device>>)>,
}

impl Bus {
    /// Puts a device on the bus.
    pub fn insert(&mut self, window: Window, device: Arc<Mutex<dyn Device>>) -> Result<(), BusError> {
        let Window { base, size } = window;
        if size == 0 || base.checked_add(size - 1).is_none() {
            return Err(BusError::BadWindow { base, size });
        }
        let at = self.devices.partition_point(|(other, _)| other.base < base);
        let before = at.checked_sub(1).and_then(|i| self.devices.get(i)).filter(|(w, _)| w.last() >= base);
        let after = self.devices.get(at).filter(|(w, _)| w.base <= window.last());
        if let Some((other, _)) = before.or(after) {
            return Err(BusError::Overlap { base, size, other: other.base });
        }
        self.devices.insert(at, (window, device));
        Ok(())
    }

    /// Reads from the device at `address`. Where there is none, or the access crosses its end, all ones are read, as from a
    /// bus that nobody drives.
    pub fn read(&self, address: u64, data: &mut [u8]) -> Effect {
        match self.find(address, data.len()) {
            Some((offset, device)) => {
                device.lock().unwrap_or_else(PoisonError::into_inner).read(offset, data)
            }
            None => {
                data.fill(0xff);
                Effect::None
            }
        }
    }

    /// Writes to the device at `address`. Where there is none, or the access crosses its end, nothing happens.
    pub fn write(&self, address: u64, data: &[u8]) -> Effect {
        match self.find(address, data.len()) {
            Some((offset, device)) => {
                device.lock().unwrap_or_else(PoisonError::into_inner).write(offset, data)
            }
            None => Effect::None,
        }
    }

    fn find(&self, address: u64, len: usize) -> Option<(u64, &Mutex<dyn Device>)> {
        let at = self.devices.partition_point(|(window, _)| window.base <= address).checked_sub(1)?;
        let (window, device) = self.devices.get(at)?;
        let offset = address - window.base;
        let end = offset.checked_add(u64::try_from(len).ok()?)?;
        (end <= window.size).then_some((offset, device.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nothing_to_save;

    /// Reads as the offset; remembers what was last written.
    struct Probe(Vec<(u64, Vec<u8>)>);

    nothing_to_save!(Probe, "probe");

    impl Device for Probe {
        fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
            data.fill(u8::try_from(offset).unwrap());
            Effect::None
        }

        fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
            self.0.push((offset, data.to_vec()));
            Effect::Reset
        }
    }

    fn probe() -> Arc<Mutex<Probe>> {
        Arc::new(Mutex::new(Probe(Vec::new())))
    }

    #[test]
    fn an_access_reaches_the_device_whose_window_holds_all_of_it() {
        let mut bus = Bus::default();
        let device = probe();
        bus.insert(Window { base: 0x100, size: 8 }, device.clone()).unwrap();
        bus.insert(Window { base: 0x108, size: 8 }, probe()).unwrap();
        let mut data = [0; 4];
        assert_eq!(bus.read(0x104, &mut data), Effect::None);
        assert_eq!(data, [4; 4]);
        assert_eq!(bus.write(0x101, &[1, 2]), Effect::Reset);
        assert_eq!(device.lock().unwrap().0, [(1, vec![1, 2])]);
    }

    #[test]
    fn an_access_to_nothing_or_across_an_end_reads_ones() {
        let mut bus = Bus::default();
        let device = probe();
        bus.insert(Window { base: 0x100, size: 8 }, device.clone()).unwrap();
        for address in [0, 0xfe, 0x106, 0x108, u64::MAX - 1] {
            let mut data = [0; 4];
            assert_eq!(bus.read(address, &mut data), Effect::None);
            assert_eq!(data, [0xff; 4], "{address:#x}");
            assert_eq!(bus.write(address, &data), Effect::None);
        }
        assert!(device.lock().unwrap().0.is_empty());
    }

    #[test]
    fn overlapping_and_impossible_windows_are_refused() {
        let mut bus = Bus::default();
        bus.insert(Window { base: 0x100, size: 0x10 }, probe()).unwrap();
        for (base, size) in [(0xf8, 9), (0x10f, 1), (0x104, 4), (0, 0x1000)] {
            let overlap = BusError::Overlap { base, size, other: 0x100 };
            assert_eq!(bus.insert(Window { base, size }, probe()), Err(overlap));
        }
        for (base, size) in [(0x200, 0), (u64::MAX, 2)] {
            let refused = bus.insert(Window { base, size }, probe());
            assert_eq!(refused, Err(BusError::BadWindow { base, size }));
        }
        bus.insert(Window { base: u64::MAX, size: 1 }, probe()).unwrap();
    }
}

//! Where memory lies that virtio devices bring into the guest's address space.

use crate::{DeviceMemory, Error, MachineSpec, RamRange};

/// What each device's memory begins at a multiple of. Guests take memory in blocks of their own size, up to this (Linux: 128 MiB to
/// 2 GiB on x86_64, but more than 128 MiB only from 64 GiB of RAM on; 128 MiB or 512 MiB on aarch64), and hosts map it by pages of
/// up to this.
const ALIGNMENT: u64 = 1 << 30;

/// The lowest address: below, guests look for RAM that they are told of in other ways, and for devices.
const LOWEST: u64 = 1 << 32;

/// Ranges for the devices that bring memory, behind `ram`, in the devices' order. `address_space` is the size of the guest-physical one.
pub(crate) fn behind(
    spec: &MachineSpec,
    ram: &[RamRange],
    address_space: u64,
) -> Result<Vec<DeviceMemory>, Error> {
    let mut end = ram.iter().map(|range| range.base + range.size).max().unwrap_or(0).max(LOWEST);
    let mut found = Vec::new();
    for (index, kind) in spec.virtio.iter().enumerate() {
        let Some(size) = kind.memory() else { continue };
        if size == 0 || !size.is_multiple_of(MachineSpec::MEMORY_GRANULE) || size > RamRange::MAX {
            let (name, max) = (kind.name(), RamRange::MAX);
            return Err(Error::Conflict(format!(
                "--{name} takes multiples of 1 MiB up to {}M ({size} bytes is not one)",
                max >> 20
            )));
        }
        let base = end.next_multiple_of(ALIGNMENT);
        end = base + size;
        if end > address_space {
            let what = format!("its addresses end before those of --{}, {base:#x}..{end:#x}", kind.name());
            return Err(Error::Host { board: spec.board, what });
        }
        found.push(DeviceMemory { device: format!("virtio{index}").into(), base, size });
    }
    Ok(found)
}

/// RAM, and what lies behind it.
pub(crate) fn all(ram: &[RamRange], memory: &[DeviceMemory]) -> Vec<RamRange> {
    ram.iter().copied().chain(memory.iter().map(DeviceMemory::range)).collect()
}

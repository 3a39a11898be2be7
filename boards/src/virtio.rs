//! Where virtio devices sit.

use triarch_arch::hv::IrqRoute;
use triarch_devices::virtio::VirtioMmio;

use crate::{Attachment, DeviceKind, DeviceSlot, Error, MachineSpec};

/// Bytes from one device's registers to the next's: a page, though the registers take less.
const STEP: u64 = 0x1000;

const _: () = assert!(VirtioMmio::SIZE <= STEP);

/// The most devices behind subchannels: more than any machine has, and few enough for their eventfds.
const MAX_SUBCHANNELS: u16 = 256;

/// Slots behind subchannels for the devices asked for, in their order. The drivers say how they interrupt.
pub(crate) fn subchannels(spec: &MachineSpec) -> Result<Vec<DeviceSlot>, Error> {
    let max = MAX_SUBCHANNELS;
    if spec.virtio.len() > max.into() {
        return Err(Error::Devices { board: spec.board, devices: spec.virtio.len(), max: max.into() });
    }
    let slot = |(number, kind): (u16, _)| DeviceSlot {
        name: format!("virtio{number}").into(),
        kind: DeviceKind::Virtio(kind),
        at: Attachment::Subchannel { number, device: number },
        irq: None,
    };
    Ok((0..).zip(spec.virtio.iter().copied()).map(slot).collect())
}

/// Room for devices behind memory-mapped registers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MmioRoom {
    /// Guest-physical address of the first.
    pub base: u64,
    /// Pin of the first; the others follow.
    pub pin: u32,
    /// How many there can be.
    pub devices: u32,
}

impl MmioRoom {
    /// Slots for the devices asked for, in their order.
    pub(crate) fn slots(self, spec: &MachineSpec) -> Result<Vec<DeviceSlot>, Error> {
        if spec.virtio.len() > self.devices as usize {
            return Err(Error::Devices { board: spec.board, devices: spec.virtio.len(), max: self.devices });
        }
        let slot = |(index, kind): (u32, _)| DeviceSlot {
            name: format!("virtio{index}").into(),
            kind: DeviceKind::Virtio(kind),
            at: Attachment::Mmio { base: self.base + u64::from(index) * STEP, size: VirtioMmio::SIZE },
            irq: Some(IrqRoute::Pin { pin: self.pin + index }),
        };
        Ok((0..).zip(spec.virtio.iter().copied()).map(slot).collect())
    }
}

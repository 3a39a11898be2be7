//! Where virtio devices sit.

use triarch_arch::hv::IrqRoute;
use triarch_devices::pci::PciHost;
use triarch_devices::virtio::{VirtioMmio, VirtioPci};

use crate::{Attachment, DeviceKind, DeviceSlot, Error, MachineSpec, RamRange, Transport};

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

/// Room for devices on a PCI bus.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PciRoom {
    /// Guest-physical address of configuration space.
    pub ecam: u64,
    /// Pin of the first of the bridge's four lines; the others follow.
    pub pin: u32,
}

impl PciRoom {
    /// Bytes of configuration space.
    pub(crate) const ECAM_SIZE: u64 = PciHost::ECAM_SIZE;
    /// Bytes of the window that devices' registers lie in, behind all memory and above 4 GiB. A guest that moves them has room to do so.
    pub(crate) const WINDOW: u64 = 1 << 30;
    /// Where the window can begin: low addresses are for what can't be higher.
    pub(crate) const WINDOW_BASE: u64 = 1 << 32;
    /// The bridge itself is device 0.
    const DEVICES: u8 = 31;

    /// Whether a machine has a bus: without devices it has none.
    pub(crate) fn is_used(spec: &MachineSpec, default: Transport) -> bool {
        (spec.watchdog || !spec.virtio.is_empty()) && spec.transport.unwrap_or(default) == Transport::Pci
    }

    /// Checks that a machine that has no bus needs none.
    pub(crate) fn check_absent(spec: &MachineSpec) -> Result<(), Error> {
        match spec.watchdog {
            true => Err(Error::Conflict(format!(
                "board {}'s --watchdog is a PCI device, and there is no PCI bus",
                spec.board
            ))),
            false => Ok(()),
        }
    }

    /// The bridge, and slots for the devices asked for, in their order. The drivers say how they interrupt.
    /// `memory` is RAM and what devices bring; `address_space` is the size of the guest-physical one.
    pub(crate) fn slots(
        self,
        spec: &MachineSpec,
        memory: &[RamRange],
        address_space: u64,
    ) -> Result<Vec<DeviceSlot>, Error> {
        let max = Self::DEVICES - u8::from(spec.watchdog);
        if spec.virtio.len() > max.into() {
            return Err(Error::Devices { board: spec.board, devices: spec.virtio.len(), max: max.into() });
        }
        let memory_end = memory.iter().map(|range| range.base + range.size).max().unwrap_or(0);
        let memory = memory_end.max(Self::WINDOW_BASE);
        if memory + Self::WINDOW > address_space {
            let what = "its addresses end before those of PCI devices; use --transport mmio".to_owned();
            return Err(Error::Host { board: spec.board, what });
        }
        let bridge = DeviceSlot {
            name: "pci0".into(),
            kind: DeviceKind::PciHost,
            at: Attachment::HostBridge { ecam: self.ecam, memory, size: Self::WINDOW },
            irq: Some(IrqRoute::Pin { pin: self.pin }),
        };
        let at = |index: u8| Attachment::Pci {
            device: index + 1,
            bar: memory + u64::from(index) * VirtioPci::BAR_SIZE,
        };
        let slot = |(index, kind): (u8, _)| DeviceSlot {
            name: format!("virtio{index}").into(),
            kind: DeviceKind::Virtio(kind),
            at: at(index),
            irq: None,
        };
        // Behind the virtio devices, which so have the same places with and without it.
        let last = u8::try_from(spec.virtio.len()).unwrap_or(max);
        let watchdog = spec.watchdog.then(|| DeviceSlot {
            name: "watchdog0".into(),
            kind: DeviceKind::I6300esb,
            at: at(last),
            irq: None,
        });
        let virtio = (0..).zip(spec.virtio.iter().copied()).map(slot);
        Ok([bridge].into_iter().chain(virtio).chain(watchdog).collect())
    }

    /// The pins of all four lines.
    pub(crate) const fn pins(self) -> [u32; 4] {
        [self.pin, self.pin + 1, self.pin + 2, self.pin + 3]
    }

    /// The window of a machine's bus, if it has one: address and size.
    pub(crate) fn window(slots: &[DeviceSlot]) -> Option<(u64, u64)> {
        slots.iter().find_map(|slot| match slot.at {
            Attachment::HostBridge { memory, size, .. } => Some((memory, size)),
            _ => None,
        })
    }
}

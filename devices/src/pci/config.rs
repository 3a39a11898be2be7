//! The configuration space of a function (PCI Local Bus 3.0, 6).

use crate::saved::state;
use crate::{MsiMessage, Window};

/// Bytes of configuration space. There are no extended capabilities behind it.
const SIZE: usize = 256;

/// Offsets of registers (6.1, 6.2).
mod reg {
    pub const VENDOR: u16 = 0x00;
    pub const DEVICE: u16 = 0x02;
    pub const COMMAND: u16 = 0x04;
    pub const STATUS: u16 = 0x06;
    pub const REVISION: u16 = 0x08;
    pub const BAR0: u16 = 0x10;
    pub const SUBSYSTEM_VENDOR: u16 = 0x2c;
    pub const SUBSYSTEM: u16 = 0x2e;
    pub const CAPABILITIES: u16 = 0x34;
    pub const INTERRUPT_LINE: u16 = 0x3c;
    pub const INTERRUPT_PIN: u16 = 0x3d;
    /// The first capability.
    pub const FIRST: u16 = 0x40;
}

/// The function answers accesses to its BAR.
const COMMAND_MEMORY: u16 = 1 << 1;
/// The function may write to memory.
const COMMAND_MASTER: u16 = 1 << 2;
/// The function must not assert its interrupt pin.
const COMMAND_INTX_OFF: u16 = 1 << 10;
/// The function's interrupt pin would be asserted.
const STATUS_INTERRUPT: u16 = 1 << 3;
/// There is a list of capabilities.
const STATUS_CAPABILITIES: u16 = 1 << 4;

/// A BAR of 64 bits in memory, that is not to be prefetched (6.2.5.1).
const BAR_MEMORY_64: u64 = 1 << 2;

/// MSI-X (6.8.2).
const CAPABILITY_MSIX: u8 = 0x11;
const MSIX_ENABLE: u16 = 1 << 15;
const MSIX_MASK: u16 = 1 << 14;
const MSIX_CONTROL: u16 = MSIX_ENABLE | MSIX_MASK;

/// What a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Revision.
    pub revision: u8,
    /// Base class, sub-class and programming interface, from the highest byte of three on.
    pub class: u32,
    /// Subsystem's vendor id and id.
    pub subsystem: (u16, u16),
}

state! {
    /// What drivers write to the registers that every function has.
    pub struct ConfigState {
        command: u16,
        bar: u64,
        interrupt_line: u8,
        msix_control: u16,
    }
}

/// Configuration space: bytes, and which of their bits the driver can write.
#[derive(Debug, Clone)]
pub struct ConfigSpace {
    bytes: [u8; SIZE],
    writable: [u8; SIZE],
    /// Where the next capability goes, and the link that will point to it.
    end: u16,
    link: u16,
    /// Of BAR 0: its size, and where it may lie.
    bar: Option<(u64, Window)>,
    msix: Option<u16>,
}

impl ConfigSpace {
    /// Of a function without BAR, capabilities and interrupts.
    pub fn new(identity: &Identity) -> Self {
        let mut space = ConfigSpace {
            bytes: [0; SIZE],
            writable: [0; SIZE],
            end: reg::FIRST,
            link: reg::CAPABILITIES,
            bar: None,
            msix: None,
        };
        let (subsystem_vendor, subsystem) = identity.subsystem;
        let [interface, sub_class, base_class, _] = identity.class.to_le_bytes();
        space.set(reg::VENDOR, &identity.vendor.to_le_bytes());
        space.set(reg::DEVICE, &identity.device.to_le_bytes());
        space.set(reg::REVISION, &[identity.revision, interface, sub_class, base_class]);
        space.set(reg::SUBSYSTEM_VENDOR, &subsystem_vendor.to_le_bytes());
        space.set(reg::SUBSYSTEM, &subsystem.to_le_bytes());
        space
    }

    /// Gives the function BAR 0, of `size` bytes, a power of 2 from 16 on. It is at `address` first, and is only decoded where all
    /// of it lies in `within`.
    pub fn add_bar(&mut self, size: u64, address: u64, within: Window) {
        let command = (COMMAND_MEMORY | COMMAND_MASTER).to_le_bytes();
        self.allow(reg::COMMAND, &command);
        self.set(reg::BAR0, &(address | BAR_MEMORY_64).to_le_bytes());
        self.allow(reg::BAR0, &(!(size - 1)).to_le_bytes());
        self.bar = Some((size, within));
    }

    /// Gives the function interrupt pin A.
    pub fn add_interrupt_pin(&mut self) {
        self.set(reg::INTERRUPT_PIN, &[1]);
        self.allow(reg::INTERRUPT_LINE, &[0xff]);
        self.allow(reg::COMMAND, &COMMAND_INTX_OFF.to_le_bytes());
    }

    /// Adds a capability of vendor or standard `id`: `body` follows its two bytes of header, and of it `writable` bits can be
    /// written. Returns its offset.
    pub fn add_capability(&mut self, id: u8, body: &[u8], writable: &[u8]) -> u16 {
        let at = self.end;
        let [low, _] = at.to_le_bytes();
        self.set(self.link, &[low]);
        self.set(at, &[id, 0]);
        self.set(at + 2, body);
        self.allow(at + 2, writable);
        self.set(reg::STATUS, &STATUS_CAPABILITIES.to_le_bytes());
        self.link = at + 1;
        // All capabilities of a function together are some hundred bytes.
        self.end = (at + 2).saturating_add(u16::try_from(body.len()).unwrap_or(u16::MAX)).next_multiple_of(4);
        at
    }

    /// Adds the MSI-X capability: so many vectors (1 to 2048), whose table and pending bits are at these offsets of BAR 0,
    /// multiples of 8.
    pub fn add_msix(&mut self, vectors: u16, table: u32, pending: u32) {
        let [a, b] = vectors.saturating_sub(1).to_le_bytes();
        let [table, pending] = [table, pending].map(u32::to_le_bytes);
        let body = [&[a, b], &table[..], &pending[..]].concat();
        self.msix = Some(self.add_capability(CAPABILITY_MSIX, &body, &MSIX_CONTROL.to_le_bytes()));
    }

    /// Reads; there are zeroes behind the end.
    pub fn read(&self, offset: u16, data: &mut [u8]) {
        data.fill(0);
        let bytes = self.bytes.iter().skip(offset.into());
        data.iter_mut().zip(bytes).for_each(|(data, byte)| *data = *byte);
    }

    /// The driver writes: bits that can't be written stay.
    pub fn write(&mut self, offset: u16, data: &[u8]) {
        let bytes = self.bytes.iter_mut().zip(&self.writable).skip(offset.into());
        data.iter().zip(bytes).for_each(|(data, (byte, mask))| *byte = *byte & !mask | data & mask);
    }

    /// Sets bytes, whether or not they can be written.
    pub fn set(&mut self, offset: u16, data: &[u8]) {
        let bytes = self.bytes.iter_mut().skip(offset.into());
        data.iter().zip(bytes).for_each(|(data, byte)| *byte = *data);
    }

    /// Lets the driver write the bits that are set in `mask`.
    fn allow(&mut self, offset: u16, mask: &[u8]) {
        let bytes = self.writable.iter_mut().skip(offset.into());
        mask.iter().zip(bytes).for_each(|(mask, byte)| *byte |= *mask);
    }

    fn array<const N: usize>(&self, offset: u16) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(offset, &mut bytes);
        bytes
    }

    /// A word of 32 bits.
    pub fn word(&self, offset: u16) -> u32 {
        u32::from_le_bytes(self.array(offset))
    }

    fn command(&self) -> u16 {
        u16::from_le_bytes(self.array(reg::COMMAND))
    }

    /// Where BAR 0 is decoded, if it is: the driver may turn it off, or put it where nothing can be.
    pub fn window(&self) -> Option<Window> {
        let (size, within) = self.bar?;
        let base = u64::from_le_bytes(self.array(reg::BAR0)) & !(size - 1);
        let offset = base.checked_sub(within.base)?;
        let fits = offset.checked_add(size)? <= within.size;
        (fits && self.command() & COMMAND_MEMORY != 0).then_some(Window { base, size })
    }

    /// Whether MSI-X is enabled, and whether all of its vectors are masked.
    pub fn msix(&self) -> (bool, bool) {
        let Some(at) = self.msix else { return (false, false) };
        let control = u16::from_le_bytes(self.array(at + 2));
        // A function that may not write to memory sends no messages.
        let may_send = self.command() & COMMAND_MASTER != 0;
        (control & MSIX_ENABLE != 0, control & MSIX_MASK != 0 || !may_send)
    }

    /// What the driver has written.
    pub fn state(&self) -> ConfigState {
        let [interrupt_line] = self.array(reg::INTERRUPT_LINE);
        ConfigState {
            command: self.command(),
            bar: u64::from_le_bytes(self.array(reg::BAR0)) & self.mask64(reg::BAR0),
            interrupt_line,
            msix_control: self.msix.map_or(0, |at| u16::from_le_bytes(self.array(at + 2)) & MSIX_CONTROL),
        }
    }

    /// Has what a driver has written. `None` if it can't have done so.
    pub fn restore(&mut self, state: &ConfigState) -> Option<()> {
        let ConfigState { command, bar, interrupt_line, msix_control } = *state;
        let fits = u64::from(command) & !self.mask64(reg::COMMAND) == 0
            && bar & !self.mask64(reg::BAR0) == 0
            && u64::from(interrupt_line) & !self.mask64(reg::INTERRUPT_LINE) == 0
            && msix_control & !MSIX_CONTROL == 0;
        if !fits || self.msix.is_none() && msix_control != 0 {
            return None;
        }
        self.write(reg::COMMAND, &command.to_le_bytes());
        self.write(reg::BAR0, &bar.to_le_bytes());
        self.write(reg::INTERRUPT_LINE, &[interrupt_line]);
        if let Some(at) = self.msix {
            self.write(at + 2, &msix_control.to_le_bytes());
        }
        Some(())
    }

    /// Which bits the driver can write, of 64.
    fn mask64(&self, offset: u16) -> u64 {
        let mask = self.writable.iter().skip(offset.into()).take(8);
        (0..).zip(mask).fold(0, |mask, (byte, bits)| mask | u64::from(*bits) << (8 * byte))
    }

    /// Whether the driver lets the function assert its pin.
    pub fn allows_intx(&self) -> bool {
        self.command() & COMMAND_INTX_OFF == 0
    }

    /// Shows whether the function's interrupt is pending, whether or not it may assert its pin.
    pub fn show_interrupt(&mut self, pending: bool) {
        let status = if pending { STATUS_CAPABILITIES | STATUS_INTERRUPT } else { STATUS_CAPABILITIES };
        self.set(reg::STATUS, &status.to_le_bytes());
    }
}

impl MsiMessage {
    /// The message before a driver writes one.
    pub(super) const NONE: Self = MsiMessage { address: 0, data: 0 };
}

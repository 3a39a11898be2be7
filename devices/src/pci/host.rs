//! The host bridge: where vCPUs' accesses become accesses to functions.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ConfigSpace, Identity};
use crate::saved::{self, Save, Saved, state};
use crate::{Device, Effect, Window, nothing_to_save};

/// Devices of a bus.
const DEVICES: usize = 32;

/// What the bridge itself is: the generic host bridge of an ECAM (Red Hat's id for it), that drivers pass over.
const BRIDGE: Identity =
    Identity { vendor: 0x1b36, device: 0x0008, revision: 0, class: 0x06_0000, subsystem: (0x1af4, 0x1100) };

/// A function of a device. Its state is saved within that of the bridge.
pub trait Function: Any + Save + Send {
    /// Reads configuration space; `data` has 1, 2, 4 or 8 bytes.
    fn read_config(&mut self, offset: u16, data: &mut [u8]);

    /// Writes configuration space.
    fn write_config(&mut self, offset: u16, data: &[u8]);

    /// Where its BAR is decoded now, if it is.
    fn window(&self) -> Option<Window>;

    /// Reads from its BAR.
    fn read_bar(&mut self, offset: u64, data: &mut [u8]);

    /// Writes to its BAR.
    fn write_bar(&mut self, offset: u64, data: &[u8]);
}

/// The function of the bridge itself.
struct Bridge(ConfigSpace);

// No bit of its configuration space can be written.
nothing_to_save!(Bridge, "pci-brdg");

impl Function for Bridge {
    fn read_config(&mut self, offset: u16, data: &mut [u8]) {
        self.0.read(offset, data);
    }

    fn write_config(&mut self, offset: u16, data: &[u8]) {
        self.0.write(offset, data);
    }

    fn window(&self) -> Option<Window> {
        None
    }

    fn read_bar(&mut self, _: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write_bar(&mut self, _: u64, _: &[u8]) {}
}

/// Why a device can't be on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PciError {
    /// A bus has devices 0 to 31.
    #[error("there is no device {0} on a bus")]
    NoSuchDevice(
        /// The device's number.
        u8,
    ),
    /// The bridge is device 0; others can be there once.
    #[error("device {0} is taken")]
    Taken(
        /// The device's number.
        u8,
    ),
}

/// A host bridge with bus 0: the bridge as device 0, up to 31 others, each with function 0.
pub struct PciHost {
    memory: Window,
    functions: [Option<Box<dyn Function>>; DEVICES],
}

impl PciHost {
    /// Bytes of configuration space of a bus: 4 KiB for each function.
    pub const ECAM_SIZE: u64 = 1 << 20;

    /// A bridge whose devices' BARs may lie in `memory`.
    pub fn new(memory: Window) -> Self {
        let mut functions = [const { None }; DEVICES];
        functions[0] = Some(Box::new(Bridge(ConfigSpace::new(&BRIDGE))) as Box<dyn Function>);
        PciHost { memory, functions }
    }

    /// Guest-physical addresses that BARs may have.
    pub const fn memory(&self) -> Window {
        self.memory
    }

    /// Puts a device on the bus.
    ///
    /// # Errors
    /// There is no such place, or another device has it.
    pub fn add(&mut self, device: u8, function: Box<dyn Function>) -> Result<(), PciError> {
        let place = self.functions.get_mut(usize::from(device)).ok_or(PciError::NoSuchDevice(device))?;
        if place.is_some() {
            return Err(PciError::Taken(device));
        }
        *place = Some(function);
        Ok(())
    }

    /// A device's function, for who put it there.
    pub fn function(&mut self, device: u8) -> Option<&mut dyn Function> {
        self.functions.get_mut(usize::from(device))?.as_deref_mut()
    }

    /// Reads configuration space. Where there is no function, all ones are read.
    pub fn read_config(&mut self, offset: u64, data: &mut [u8]) {
        match self.configured(offset, data.len()) {
            Some((function, register)) => function.read_config(register, data),
            None => data.fill(0xff),
        }
    }

    /// Writes configuration space.
    pub fn write_config(&mut self, offset: u64, data: &[u8]) {
        if let Some((function, register)) = self.configured(offset, data.len()) {
            function.write_config(register, data);
        }
    }

    /// Reads at an offset from the start of [`PciHost::memory`]. Where there is no BAR, all ones are read.
    pub fn read_memory(&mut self, offset: u64, data: &mut [u8]) {
        match self.decoding(offset, data.len()) {
            Some((function, offset)) => function.read_bar(offset, data),
            None => data.fill(0xff),
        }
    }

    /// Writes at an offset from the start of [`PciHost::memory`].
    pub fn write_memory(&mut self, offset: u64, data: &[u8]) {
        if let Some((function, offset)) = self.decoding(offset, data.len()) {
            function.write_bar(offset, data);
        }
    }

    /// The function at an offset in configuration space, and the offset in its own: bus, device, function and register have 8, 5,
    /// 3 and 12 bits. `None` if there is no such function, or the access reaches beyond it.
    fn configured(&mut self, offset: u64, len: usize) -> Option<(&mut dyn Function, u16)> {
        let register = u16::try_from(offset & 0xfff).ok()?;
        let is_within = usize::from(register) + len <= 0x1000;
        let function =
            usize::try_from(offset >> 12).ok().filter(|function| is_within && function % 8 == 0)?;
        Some((self.functions.get_mut(function / 8)?.as_deref_mut()?, register))
    }

    /// The function whose BAR has all of an access at an offset from the window's start, and the offset in its BAR.
    fn decoding(&mut self, offset: u64, len: usize) -> Option<(&mut dyn Function, u64)> {
        let address = self.memory.base.checked_add(offset)?;
        let len = u64::try_from(len).ok()?;
        self.functions.iter_mut().flatten().find_map(|function| {
            let window = function.window()?;
            let offset = address.checked_sub(window.base)?;
            (offset.checked_add(len)? <= window.size).then_some((function.as_mut(), offset))
        })
    }
}

/// The window of configuration space, of [`PciHost::ECAM_SIZE`] bytes.
pub struct Ecam(pub Arc<Mutex<PciHost>>);

impl Device for Ecam {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        lock(&self.0).read_config(offset, data);
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        lock(&self.0).write_config(offset, data);
        Effect::None
    }
}

/// The bridge's state is that of this window.
impl Save for Ecam {
    fn save(&mut self) -> saved::Result<Saved> {
        lock(&self.0).save()
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        lock(&self.0).restore(saved)
    }
}

/// The window of BARs: all of [`PciHost::memory`].
pub struct Memory(pub Arc<Mutex<PciHost>>);

nothing_to_save!(Memory, "pci-mem");

impl Device for Memory {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        lock(&self.0).read_memory(offset, data);
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        lock(&self.0).write_memory(offset, data);
        Effect::None
    }
}

state! {
    /// By their numbers, in order.
    struct HostState: "pci-host", 1 {
        functions: Vec<(u8, Saved)>,
    }
}

/// With all functions. The same ones have to be there when it is restored.
impl Save for PciHost {
    fn save(&mut self) -> saved::Result<Saved> {
        let functions =
            (0..).zip(&mut self.functions).filter_map(|(number, it)| Some((number, it.as_mut()?)));
        let functions = functions.map(|(number, function)| Ok((number, function.save()?)));
        Ok(Saved::of(&HostState { functions: functions.collect::<saved::Result<_>>()? }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let HostState { functions } = saved.get()?;
        let numbers = (0u8..).zip(&self.functions).filter_map(|(number, it)| it.as_ref().map(|_| number));
        let has_all = functions.iter().map(|(number, _)| *number).eq(numbers);
        saved.check(has_all, "other devices than there are")?;
        let there = self.functions.iter_mut().flatten();
        there.zip(&functions).try_for_each(|(function, (_, saved))| function.restore(saved))
    }
}

fn lock(host: &Mutex<PciHost>) -> MutexGuard<'_, PciHost> {
    host.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Virtio over channel I/O (VIRTIO 1.2, 4.3), revisions 1 and 2: a control unit whose commands drive the state machine.
//!
//! Numbers in the blocks that commands bring are big-endian; queues, configuration space and feature bits are little-endian as
//! everywhere.

mod indicators;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

pub use indicators::{AdapterRoute, AdapterRoutes};

use super::core::Core;
use super::{VirtioDevice, Worker};
use crate::GuestRam;
use crate::css::{Attention, ControlUnit, Data, Floating, Identity, Refusal};
use crate::saved::{self, Error, Save, Saved, state};
use indicators::{CLASSIC_BITS, CcwNotifier, IndicatorState, Unfit};

/// Commands (4.3.1.1).
mod command {
    pub(super) const WRITE_FEAT: u8 = 0x11;
    pub(super) const READ_FEAT: u8 = 0x12;
    pub(super) const SET_VQ: u8 = 0x13;
    pub(super) const WRITE_CONF: u8 = 0x21;
    pub(super) const READ_CONF: u8 = 0x22;
    pub(super) const WRITE_STATUS: u8 = 0x31;
    pub(super) const READ_VQ_CONF: u8 = 0x32;
    pub(super) const VDEV_RESET: u8 = 0x33;
    pub(super) const SET_IND: u8 = 0x43;
    pub(super) const SET_CONF_IND: u8 = 0x53;
    pub(super) const READ_STATUS: u8 = 0x72;
    pub(super) const SET_IND_ADAPTER: u8 = 0x73;
    pub(super) const SET_VIRTIO_REV: u8 = 0x83;
}

/// The most bytes of configuration space that a command transfers: no device has more.
const CONFIG_SIZE: usize = 256;
/// The first revision with READ_STATUS.
const REVISION_WITH_STATUS: u16 = 2;

/// What a virtio device behind a subchannel needs besides the device.
pub struct CcwWiring {
    /// The end of its subchannel.
    pub attention: Arc<Attention>,
    /// Takes the adapter's interrupts.
    pub floating: Arc<dyn Floating>,
    /// May set the adapter's indicators.
    pub routes: Box<dyn AdapterRoutes>,
}

/// A virtio device as a control unit.
pub struct VirtioCcw {
    core: Core,
    notifier: Arc<CcwNotifier>,
    /// As the driver has set it since the subchannel was enabled.
    revision: Option<u16>,
}

impl VirtioCcw {
    /// A device that tells its driver by `wiring`.
    ///
    /// # Errors
    /// As of [`Core::new`].
    pub fn new(
        device: Box<dyn VirtioDevice>,
        worker: Box<dyn Worker>,
        ram: GuestRam,
        wiring: CcwWiring,
    ) -> io::Result<Self> {
        let CcwWiring { attention, floating, routes } = wiring;
        let notifier = Arc::new(CcwNotifier::new(ram.clone(), attention, floating, routes));
        let core = Core::new(device, worker, ram, notifier.clone())?;
        Ok(VirtioCcw { core, notifier, revision: None })
    }

    /// The device behind the commands.
    pub const fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Takes the device back to its beginning, and its indicators away. The revision stays.
    fn reset_device(&mut self) {
        self.core.reset();
        self.notifier.reset();
    }

    /// 4.3.2.1
    fn set_revision(&mut self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let [a, b, length @ ..]: [u8; 4] = take(data)?;
        let revision = u16::from_be_bytes([a, b]);
        let is_known = is_revision(revision) && length == [0, 0];
        if self.revision.is_some() || !is_known {
            return Err(Refusal::COMMAND_REJECT);
        }
        self.revision = Some(revision);
        Ok(())
    }

    /// The driver asks in the block's first half, and is answered in the second (4.3.2.2).
    fn read_queue(&self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let index = u16::from_be_bytes(take(data)?);
        let queue = self.core.queue(index.into());
        Ok(data.put(&queue.max_size.to_be_bytes())?)
    }

    fn set_queue(&mut self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let block: [u8; 32] = take(data)?;
        let long = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| block[at + byte]));
        let index = u32::from(u16::from_be_bytes([block[12], block[13]]));
        let size = u16::from_be_bytes([block[14], block[15]]);
        let [descriptors, available, used] = [long(0), long(16), long(24)];
        if index >= u32::from(self.core.queue_count()) {
            return Err(Refusal::COMMAND_REJECT);
        }
        self.core.enable_queue(index, false);
        // So a driver gives a queue up.
        if (descriptors, size) == (0, 0) {
            return Ok(());
        }
        self.core.set_up_queue(index, |queue| {
            queue.size = size;
            queue.descriptors = descriptors;
            queue.available = available;
            queue.used = used;
        });
        self.core.enable_queue(index, true);
        Ok(())
    }

    /// 4.3.2.4
    fn read_features(&self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let [.., half]: [u8; 5] = take(data)?;
        let [a, b, c, d, e, f, g, h] = self.core.features().to_le_bytes();
        let bits = match half {
            0 => [a, b, c, d],
            1 => [e, f, g, h],
            _ => [0; 4],
        };
        data.rewind();
        Ok(data.put(&bits)?)
    }

    fn write_features(&mut self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let [a, b, c, d, half]: [u8; 5] = take(data)?;
        self.core.set_driver_features(half.into(), u32::from_le_bytes([a, b, c, d]));
        Ok(())
    }

    /// 4.3.2.3
    fn write_status(&mut self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let [value]: [u8; 1] = take(data)?;
        if value == 0 {
            self.reset_device();
            return Ok(());
        }
        if !self.core.accepts(value) {
            return Err(Refusal::COMMAND_REJECT);
        }
        self.core.set_status(value);
        Ok(())
    }

    /// 4.3.2.5. The driver has to transfer all of it, but may stop where it knows no more.
    fn read_config(&self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let mut bytes = [0; CONFIG_SIZE];
        let bytes = &mut bytes[..data.remaining().min(CONFIG_SIZE)];
        self.core.read_config(0, bytes);
        Ok(data.put(bytes)?)
    }

    fn write_config(&mut self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let mut bytes = [0; CONFIG_SIZE];
        let bytes = &mut bytes[..data.remaining().min(CONFIG_SIZE)];
        data.take(bytes)?;
        self.core.write_config(0, bytes);
        Ok(())
    }

    /// 4.3.2.6.1
    fn set_indicators(&self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let address = u64::from_be_bytes(take(data)?);
        if self.core.queue_count() > CLASSIC_BITS {
            return Err(Refusal::COMMAND_REJECT);
        }
        Ok(self.notifier.set_classic(present(address))?)
    }

    /// 4.3.2.6.2
    fn set_config_indicators(&self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let address = u64::from_be_bytes(take(data)?);
        Ok(self.notifier.set_config(present(address))?)
    }

    /// 4.3.2.6.3
    fn set_adapter_indicators(&self, data: &mut Data<'_>) -> Result<(), Refusal> {
        let block: [u8; 25] = take(data)?;
        let long = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| block[at + byte]));
        let [summary, indicators, first_bit] = [long(0), long(8), long(16)];
        let isc = block[24];
        if isc > 7 {
            return Err(Refusal::COMMAND_REJECT);
        }
        if indicators == 0 {
            return Ok(self.notifier.set_adapter(None)?);
        }
        let queues = (0..u64::from(self.core.queue_count())).map(|queue| {
            let bit = first_bit.checked_add(queue)?;
            Some((indicators.checked_add(bit / 8)?, (bit % 8).to_le_bytes()[0]))
        });
        let queues = queues.collect::<Option<_>>().ok_or(Refusal::COMMAND_REJECT)?;
        Ok(self.notifier.set_adapter(Some(AdapterRoute { summary, queues, isc }))?)
    }
}

impl From<Unfit> for Refusal {
    fn from(_: Unfit) -> Self {
        Refusal::COMMAND_REJECT
    }
}

const fn is_revision(number: u16) -> bool {
    matches!(number, 1..=REVISION_WITH_STATUS)
}

/// The block that a command brings. A longer one is a matter of its length.
fn take<const N: usize>(data: &mut Data<'_>) -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    data.take(&mut bytes)?;
    Ok(bytes)
}

/// An address, of which 0 is none: by that, drivers take indicators away.
fn present(address: u64) -> Option<u64> {
    (address != 0).then_some(address)
}

state! {
    struct CcwState: "vio-ccw", 1 {
        revision: Option<u16>,
        indicators: IndicatorState,
        core: Saved,
    }
}

impl Save for VirtioCcw {
    fn save(&mut self) -> saved::Result<Saved> {
        let core = self.core.save()?;
        Ok(Saved::of(&CcwState { revision: self.revision, indicators: self.notifier.state(), core }))
    }

    /// A host that sets indicators by itself is told of them.
    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let CcwState { revision, indicators, core } = saved.get()?;
        saved.check(revision.is_none_or(is_revision), "a revision")?;
        self.core.restore(&core)?;
        let unfit = |Unfit| Error::Invalid { kind: saved.kind, what: "indicators" };
        self.notifier.restore(indicators, self.core.queue_count()).map_err(unfit)?;
        self.revision = revision;
        Ok(())
    }
}

impl ControlUnit for VirtioCcw {
    fn identity(&self) -> Identity {
        // The types of devices are small numbers.
        let unit_model = u8::try_from(self.core.device_type() as u32).unwrap_or_default();
        Identity { unit_type: 0x3832, unit_model, device_type: 0, device_model: 0 }
    }

    fn execute(&mut self, command: u8, data: &mut Data<'_>) -> Result<(), Refusal> {
        if command == command::SET_VIRTIO_REV {
            return self.set_revision(data);
        }
        // A device without a legacy interface waits for the revision.
        let revision = self.revision.ok_or(Refusal::COMMAND_REJECT)?;
        match command {
            command::VDEV_RESET => {
                self.reset_device();
                Ok(())
            }
            command::SET_VQ => self.set_queue(data),
            command::READ_VQ_CONF => self.read_queue(data),
            command::READ_FEAT => self.read_features(data),
            command::WRITE_FEAT => self.write_features(data),
            command::READ_CONF => self.read_config(data),
            command::WRITE_CONF => self.write_config(data),
            command::WRITE_STATUS => self.write_status(data),
            command::READ_STATUS if revision >= REVISION_WITH_STATUS => Ok(data.put(&[self.core.status()])?),
            command::SET_IND => self.set_indicators(data),
            command::SET_CONF_IND => self.set_config_indicators(data),
            command::SET_IND_ADAPTER => self.set_adapter_indicators(data),
            _ => Err(Refusal::COMMAND_REJECT),
        }
    }

    fn set_enabled(&mut self, _: bool) {
        self.revision = None;
    }

    fn reset(&mut self) {
        self.reset_device();
        self.revision = None;
    }
}

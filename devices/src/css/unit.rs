//! What a subchannel leads to.

use std::any::Any;

use super::data::Data;
use super::program::Refusal;
use crate::Save;

/// Bytes of sense data.
pub const SENSE_SIZE: usize = 32;
/// Bit of the first byte of sense data: the device can't do that.
pub const COMMAND_REJECT: u8 = 0x80;

/// What a device and its control unit are (SA22-7204, "Sense ID").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Type of the control unit.
    pub unit_type: u16,
    /// Its model.
    pub unit_model: u8,
    /// Type of the device; 0 for none.
    pub device_type: u16,
    /// Its model.
    pub device_model: u8,
}

impl Identity {
    /// The answer to Sense ID.
    pub(super) const fn sense_id(&self) -> [u8; 7] {
        let [type_high, type_low] = self.unit_type.to_be_bytes();
        let [device_high, device_low] = self.device_type.to_be_bytes();
        [0xff, type_high, type_low, self.unit_model, device_high, device_low, self.device_model]
    }
}

/// A device with its control unit.
///
/// It is called under the channel subsystem's lock, by vCPU threads. Its state is saved within that of the channel subsystem.
pub trait ControlUnit: Any + Save + Send {
    /// What it is.
    fn identity(&self) -> Identity;

    /// Carries out a command; the common ones don't get here. When it returns, the command has ended.
    ///
    /// # Errors
    /// It is not carried out.
    fn execute(&mut self, command: u8, data: &mut Data<'_>) -> Result<(), Refusal>;

    /// The program has enabled or disabled the subchannel.
    fn set_enabled(&mut self, enabled: bool);

    /// The channel subsystem is reset.
    fn reset(&mut self);
}

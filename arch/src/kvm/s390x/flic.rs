//! The floating interrupt controller: interruptions that any vCPU may take, and adapters that KVM interrupts for.

use std::sync::{Mutex, PoisonError};

use super::bindings::{
    KVM_DEV_FLIC_ADAPTER_REGISTER, KVM_DEV_FLIC_CLEAR_IO_IRQ, KVM_DEV_FLIC_CLEAR_IRQS,
    KVM_S390_INT_IO_AI_MASK, KVM_S390_INT_SERVICE, KVM_S390_MCHK, kvm_create_device, kvm_device_attr,
    kvm_device_type_KVM_DEV_TYPE_FLIC, kvm_s390_interrupt, kvm_s390_io_adapter,
};
use super::{ioctls, sys};
use crate::hv::Interrupt;
use crate::kvm::{Error, Result, failed};
use crate::s390x::interruption;

/// Interruption subclasses, and so adapters: each has one, with its number.
const SUBCLASSES: usize = 8;

/// The controller of a VM.
#[derive(Debug)]
pub struct Flic {
    device: ioctls::DeviceFd,
    /// Whether there is an adapter of a subclass.
    adapters: Mutex<[bool; SUBCLASSES]>,
}

impl Flic {
    pub fn new(vm: &sys::VmFd) -> Result<Self> {
        let mut flic = kvm_create_device { type_: kvm_device_type_KVM_DEV_TYPE_FLIC, ..Default::default() };
        let device =
            vm.create_device(&mut flic).map_err(failed("create the floating interrupt controller"))?;
        Ok(Flic { device, adapters: Mutex::default() })
    }

    pub fn interrupt(&self, vm: &sys::VmFd, interrupt: Interrupt) -> Result<()> {
        let send = |type_, parm, parm64, what| {
            vm.s390_interrupt(&kvm_s390_interrupt { type_, parm, parm64 }).map_err(failed(what))
        };
        match interrupt {
            Interrupt::Service { parameter } => {
                send(KVM_S390_INT_SERVICE, parameter, 0, "send a service signal")
            }
            Interrupt::Io { id, parameter, word } => {
                let is_adapter = word & interruption::ADAPTER != 0;
                let type_ = if is_adapter { KVM_S390_INT_IO_AI_MASK } else { id & 0xffff };
                let parm64 = u64::from(parameter) << 32 | u64::from(word);
                send(type_, id, parm64, "send an I/O interruption")
            }
            Interrupt::WithdrawIo { id } => self.withdraw(id),
            Interrupt::ChannelReport => {
                let (subclass, code) = (interruption::REPORT_SUBCLASS, interruption::REPORT_CODE);
                send(KVM_S390_MCHK, subclass, code, "send a machine check")
            }
            Interrupt::Line { .. } | Interrupt::Msi { .. } => Err(Error::WrongIsa("this interrupt")),
        }
    }

    /// Clears all interruptions that are pending.
    pub fn reset(&self) -> Result<()> {
        let clear = kvm_device_attr { group: KVM_DEV_FLIC_CLEAR_IRQS, ..Default::default() };
        // SAFETY: the attribute has no data.
        unsafe { self.device.set_device_attr(&clear) }.map_err(failed("clear pending interruptions"))
    }

    fn withdraw(&self, id: u32) -> Result<()> {
        let attribute = kvm_device_attr {
            group: KVM_DEV_FLIC_CLEAR_IO_IRQ,
            attr: size_of::<u32>() as u64,
            addr: &raw const id as u64,
            ..Default::default()
        };
        // SAFETY: the attribute is a word, and so is `id`.
        unsafe { self.device.set_device_attr(&attribute) }.map_err(failed("take an I/O interruption back"))
    }

    /// The adapter of an interruption subclass, which is made if there is none yet.
    pub fn adapter(&self, isc: u8) -> Result<u32> {
        let mut adapters = self.adapters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(exists) = adapters.get_mut(usize::from(isc)) else {
            return Err(Error::WrongIsa("this interruption subclass"));
        };
        if !*exists {
            // Indicators are counted from the left. Nothing masks it.
            let adapter = kvm_s390_io_adapter { id: isc.into(), isc, swap: 1, ..Default::default() };
            let attribute = kvm_device_attr {
                group: KVM_DEV_FLIC_ADAPTER_REGISTER,
                addr: &raw const adapter as u64,
                ..Default::default()
            };
            // SAFETY: the attribute is such a structure.
            unsafe { self.device.set_device_attr(&attribute) }.map_err(failed("make an adapter"))?;
            *exists = true;
        }
        Ok(isc.into())
    }
}

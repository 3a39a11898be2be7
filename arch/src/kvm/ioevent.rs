//! Doorbells on the ISAs that kvm-ioctls is for; part of their glue.

use kvm_ioctls::{IoEventAddress, NoDatamatch};
use vmm_sys_util::eventfd::EventFd;

use super::super::{Error, Result, failed};
use super::sys::VmFd;
use crate::hv::Doorbell;

pub fn watch(vm: &VmFd, doorbell: Doorbell, event: &EventFd) -> Result<()> {
    match doorbell {
        // A 32-bit value stands for 32-bit accesses, none for those of any size.
        Doorbell::Mmio { address, value } => {
            vm.register_ioevent(event, &IoEventAddress::Mmio(address), value)
        }
        Doorbell::Address { address } => {
            vm.register_ioevent(event, &IoEventAddress::Mmio(address), NoDatamatch)
        }
        Doorbell::Ccw { .. } => return Err(Error::WrongIsa("a doorbell of a subchannel")),
    }
    .map_err(failed("watch a doorbell"))
}

pub fn unwatch(vm: &VmFd, doorbell: Doorbell, event: &EventFd) -> Result<()> {
    match doorbell {
        Doorbell::Mmio { address, value } => {
            vm.unregister_ioevent(event, &IoEventAddress::Mmio(address), value)
        }
        Doorbell::Address { address } => {
            vm.unregister_ioevent(event, &IoEventAddress::Mmio(address), NoDatamatch)
        }
        Doorbell::Ccw { .. } => return Err(Error::WrongIsa("a doorbell of a subchannel")),
    }
    .map_err(failed("give a doorbell up"))
}

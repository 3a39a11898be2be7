//! Doorbells on the ISAs that kvm-ioctls is for; part of their glue.

use kvm_ioctls::IoEventAddress;
use vmm_sys_util::eventfd::EventFd;

use super::super::{Error, Result, failed};
use super::sys::VmFd;
use crate::hv::Doorbell;

/// Where KVM looks for a doorbell, and which value rings it. A 32-bit value stands for 32-bit accesses.
const fn place(doorbell: Doorbell) -> Result<(IoEventAddress, u32)> {
    match doorbell {
        Doorbell::Mmio { address, value } => Ok((IoEventAddress::Mmio(address), value)),
        Doorbell::Ccw { .. } => Err(Error::WrongIsa("a doorbell of a subchannel")),
    }
}

pub fn watch(vm: &VmFd, doorbell: Doorbell, event: &EventFd) -> Result<()> {
    let (address, value) = place(doorbell)?;
    vm.register_ioevent(event, &address, value).map_err(failed("watch a doorbell"))
}

pub fn unwatch(vm: &VmFd, doorbell: Doorbell, event: &EventFd) -> Result<()> {
    let (address, value) = place(doorbell)?;
    vm.unregister_ioevent(event, &address, value).map_err(failed("give a doorbell up"))
}

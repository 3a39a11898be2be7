//! The glue of aarch64 hosts.

mod caps;
mod gic;
#[path = "../ioevent.rs"]
mod ioevent;
mod vcpu;

use std::io;

use kvm_bindings::{
    KVM_CAP_ARM_NISV_TO_USER, KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_MSI_VALID_DEVID,
    KvmIrqRouting, kvm_enable_cap, kvm_irq_routing_entry, kvm_irq_routing_msi, kvm_msi,
};

use super::{Error, Result, Vcpu, VmConfig, failed, uninterrupted};
use crate::hv::{Interrupt, IrqRoute, SubsystemReset};

pub use caps::{features, host_caps};
pub use ioevent::{unwatch, watch};
pub use vcpu::{VcpuExtra, init_vcpu, restore, run, save};

/// kvm-ioctls, with the one binding that the shared code names.
pub mod sys {
    pub use kvm_bindings::kvm_userspace_memory_region as MemoryRegion;
    pub use kvm_ioctls::{Kvm, VcpuFd, VmFd};
}

/// The least address bits that KVM takes (Linux, Documentation/virt/kvm/api.rst, "KVM_CREATE_VM").
const MIN_ADDRESS_BITS: u32 = 32;

/// The address bits of a VM on a kernel without KVM_CAP_ARM_VM_IPA_SIZE.
const LEGACY_ADDRESS_BITS: u8 = 40;

/// What the VM has besides its fd.
#[derive(Debug)]
pub struct Machine {
    gic: gic::Gic,
}

pub fn create_vm(kvm: &sys::Kvm, config: &VmConfig) -> Result<sys::VmFd> {
    // No more bits than needed: stage 2 translation then has fewer levels to walk.
    let needed = u64::BITS - config.address_limit.saturating_sub(1).leading_zeros();
    let vm = match u32::try_from(kvm.get_host_ipa_limit()) {
        Ok(limit) if limit >= MIN_ADDRESS_BITS => {
            if needed > limit {
                return Err(Error::Missing("the guest-physical address bits that this much memory takes"));
            }
            uninterrupted(|| kvm.create_vm_with_ipa_size(needed.max(MIN_ADDRESS_BITS)))
        }
        _ if needed > LEGACY_ADDRESS_BITS.into() => {
            return Err(Error::Missing("guest-physical addresses of more than 40 bits"));
        }
        _ => uninterrupted(|| kvm.create_vm()),
    };
    let vm = vm.map_err(failed("create a virtual machine"))?;
    if vm.check_extension_raw(KVM_CAP_ARM_NISV_TO_USER.into()) > 0 {
        // Without it, KVM_RUN fails when a guest reaches for a device with an instruction that can't be decoded.
        let cap = kvm_enable_cap { cap: KVM_CAP_ARM_NISV_TO_USER, ..Default::default() };
        vm.enable_cap(&cap).map_err(failed("be told of accesses without syndrome"))?;
    }
    Ok(vm)
}

impl Machine {
    pub fn new(_kvm: &sys::Kvm, vm: &sys::VmFd, config: &VmConfig) -> Result<Self> {
        Ok(Machine { gic: gic::Gic::new(vm, config)? })
    }

    pub fn finish(&self, _vm: &sys::VmFd, _config: &VmConfig) -> Result<()> {
        self.gic.init()
    }

    pub fn reset(&self) -> Result<()> {
        Err(Error::WrongIsa("a reset that leaves RAM as it is"))
    }

    pub fn interrupt(&self, vm: &sys::VmFd, interrupt: Interrupt) -> Result<()> {
        match interrupt {
            Interrupt::Line { pin, asserted } => vm
                .set_irq_line(gic::spi_line(pin), asserted)
                .map_err(failed("change the level of an interrupt")),
            Interrupt::Msi { address, data, requester } => {
                let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
                let msi = kvm_msi {
                    address_lo: u32::from_le_bytes([a, b, c, d]),
                    address_hi: u32::from_le_bytes([e, f, g, h]),
                    data,
                    flags: KVM_MSI_VALID_DEVID,
                    devid: requester,
                    ..Default::default()
                };
                match vm.signal_msi(msi).map_err(io::Error::from) {
                    // An address without ITS, or an ITS that is not set up, is the guest's own doing: the message is lost.
                    Err(error)
                        if !matches!(
                            error.raw_os_error(),
                            Some(libc::EINVAL | libc::ENODEV | libc::EBUSY)
                        ) =>
                    {
                        Err(failed("send a message-signalled interrupt")(error))
                    }
                    _ => Ok(()),
                }
            }
            Interrupt::Service { .. } => Err(Error::WrongIsa("the service signal")),
            Interrupt::Io { .. } | Interrupt::WithdrawIo { .. } | Interrupt::ChannelReport => {
                Err(Error::WrongIsa("a channel subsystem's interrupt"))
            }
        }
    }

    pub fn set_routes(&self, vm: &sys::VmFd, routes: &[Option<IrqRoute>]) -> Result<()> {
        let mut entries = Vec::with_capacity(routes.len());
        for (gsi, route) in (0..).zip(routes) {
            let mut entry = kvm_irq_routing_entry { gsi, ..Default::default() };
            match *route {
                None => continue,
                Some(IrqRoute::Pin { pin }) => {
                    entry.type_ = KVM_IRQ_ROUTING_IRQCHIP;
                    entry.u.irqchip.pin = pin;
                }
                Some(IrqRoute::Msi { address, data, requester }) => {
                    entry.type_ = KVM_IRQ_ROUTING_MSI;
                    entry.flags = KVM_MSI_VALID_DEVID;
                    let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
                    entry.u.msi = kvm_irq_routing_msi {
                        address_lo: u32::from_le_bytes([a, b, c, d]),
                        address_hi: u32::from_le_bytes([e, f, g, h]),
                        data,
                        ..Default::default()
                    };
                    entry.u.msi.__bindgen_anon_1.devid = requester;
                }
                Some(IrqRoute::ServiceSignal) => return Err(Error::WrongIsa("the service signal")),
                Some(IrqRoute::Adapter { .. }) => return Err(Error::WrongIsa("an adapter's interrupt")),
            }
            entries.push(entry);
        }
        let routing = KvmIrqRouting::from_entries(&entries)
            .map_err(|_| Error::Missing("room for so many interrupt routes"))?;
        vm.set_gsi_routing(&routing).map_err(failed("route interrupts"))
    }
}

pub fn reset(_vcpu: &mut Vcpu, _reset: SubsystemReset, _goes_on: bool) -> Result<()> {
    Err(Error::WrongIsa("a reset that leaves RAM as it is"))
}

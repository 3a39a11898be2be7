//! The interrupt controller (Linux, Documentation/virt/kvm/devices/arm-vgic.rst, arm-vgic-v3.rst and arm-vgic-its.rst).

use std::ptr;

use kvm_bindings::{
    KVM_ARM_IRQ_TYPE_SHIFT, KVM_ARM_IRQ_TYPE_SPI, KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR,
    KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, KVM_VGIC_ITS_ADDR_TYPE,
    KVM_VGIC_V2_ADDR_TYPE_CPU, KVM_VGIC_V2_ADDR_TYPE_DIST, KVM_VGIC_V3_ADDR_TYPE_DIST,
    KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION, kvm_create_device, kvm_device_attr,
    kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2,
    kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3,
};
use kvm_ioctls::DeviceFd;

use super::super::{Error, Result, VmConfig, failed};
use super::sys;
use crate::hv::Irqchip;

/// The first shared peripheral interrupt's id: those below are each vCPU's own.
const FIRST_SPI: u32 = 32;

/// Where a redistributor region's attribute has the number of redistributors.
const REDIST_COUNT_SHIFT: u32 = 52;

/// A GIC and, maybe, its interrupt translation service. The devices live as long as the VM; these are handles to them.
#[derive(Debug)]
pub struct Gic {
    gic: DeviceFd,
    its: Option<DeviceFd>,
}

impl Gic {
    /// Creates the controller and says where its registers lie.
    pub fn new(vm: &sys::VmFd, config: &VmConfig) -> Result<Self> {
        match config.irqchip {
            Irqchip::GicV2 { distributor, cpu_interface, irqs } => {
                let gic = create(vm, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2, "create a GICv2")?;
                set_address(&gic, KVM_VGIC_V2_ADDR_TYPE_DIST, distributor, "place the GIC's distributor")?;
                set_address(&gic, KVM_VGIC_V2_ADDR_TYPE_CPU, cpu_interface, "place the GIC's CPU interface")?;
                set_irqs(&gic, irqs)?;
                Ok(Gic { gic, its: None })
            }
            Irqchip::GicV3 { distributor, redistributors, its, irqs } => {
                let gic = create(vm, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3, "create a GICv3")?;
                set_address(&gic, KVM_VGIC_V3_ADDR_TYPE_DIST, distributor, "place the GIC's distributor")?;
                // The number of redistributors, their base, and 0 for flags and index in one word.
                let region = u64::from(config.cpus) << REDIST_COUNT_SHIFT | redistributors;
                set_address(
                    &gic,
                    KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION,
                    region,
                    "place the GIC's redistributors",
                )?;
                set_irqs(&gic, irqs)?;
                let its = its.map(|base| its_at(vm, base)).transpose()?;
                Ok(Gic { gic, its })
            }
            _ => Err(Error::WrongIsa("this interrupt controller")),
        }
    }

    /// Initialises what has been configured. Every vCPU must exist by now.
    pub fn init(&self) -> Result<()> {
        for device in [&self.gic].into_iter().chain(&self.its) {
            let init = kvm_device_attr {
                group: KVM_DEV_ARM_VGIC_GRP_CTRL,
                attr: KVM_DEV_ARM_VGIC_CTRL_INIT.into(),
                ..Default::default()
            };
            device.set_device_attr(&init).map_err(failed("initialise the GIC"))?;
        }
        Ok(())
    }
}

fn its_at(vm: &sys::VmFd, base: u64) -> Result<DeviceFd> {
    let its = create(vm, kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS, "create the GIC's ITS")?;
    set_address(&its, KVM_VGIC_ITS_ADDR_TYPE, base, "place the GIC's ITS")?;
    Ok(its)
}

fn create(vm: &sys::VmFd, type_: u32, what: &'static str) -> Result<DeviceFd> {
    let mut device = kvm_create_device { type_, fd: 0, flags: 0 };
    vm.create_device(&mut device).map_err(failed(what))
}

fn set_address(device: &DeviceFd, kind: u32, address: u64, what: &'static str) -> Result<()> {
    let attr = kvm_device_attr {
        group: KVM_DEV_ARM_VGIC_GRP_ADDR,
        attr: kind.into(),
        addr: ptr::from_ref(&address) as u64,
        flags: 0,
    };
    device.set_device_attr(&attr).map_err(failed(what))
}

fn set_irqs(device: &DeviceFd, irqs: u32) -> Result<()> {
    let attr = kvm_device_attr {
        group: KVM_DEV_ARM_VGIC_GRP_NR_IRQS,
        attr: 0,
        addr: ptr::from_ref(&irqs) as u64,
        flags: 0,
    };
    device.set_device_attr(&attr).map_err(failed("set the number of the GIC's interrupts"))
}

/// KVM_IRQ_LINE's number of a shared peripheral interrupt, which is counted from 0.
pub fn spi_line(spi: u32) -> u32 {
    KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT | (FIRST_SPI + spi)
}

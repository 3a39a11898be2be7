//! The glue of s390x hosts.

#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    reason = "generated"
)]
mod bindings;
mod features;
#[allow(dead_code, reason = "the glue that uses all of it is on its way")]
mod ioctls;

use super::{Error, Result, Vcpu, VmConfig, failed};
use crate::hv::{CpuModel, Exit, HostCaps, Interrupt, IrqRoute, Irqchip, IsaCaps, SystemEvent, VcpuState};
use crate::s390x;
use bindings::{
    KVM_CAP_S390_CPU_TOPOLOGY, KVM_CAP_S390_IRQCHIP, KVM_MP_STATE_OPERATING, KVM_MP_STATE_STOPPED,
    KVM_S390_INT_SERVICE, KVM_S390_VM_MEM_CTRL, KVM_S390_VM_MEM_LIMIT_SIZE, kvm_create_device,
    kvm_device_attr, kvm_device_type_KVM_DEV_TYPE_FLIC, kvm_enable_cap, kvm_mp_state, kvm_s390_interrupt,
};
use ioctls::VcpuExit;

pub use features::features;

/// Our own layer in the image of kvm-ioctls, with the one binding that the shared code names.
pub mod sys {
    pub use super::bindings::kvm_userspace_memory_region as MemoryRegion;
    pub use super::ioctls::{Kvm, VcpuFd, VmFd};
}

/// What the VM has besides its fd.
#[derive(Debug)]
pub struct Machine {
    /// The floating interrupt controller.
    _flic: ioctls::DeviceFd,
}

/// What a vCPU has besides its fd.
#[derive(Debug, Default)]
pub struct VcpuExtra {}

pub fn host_caps(kvm: &sys::Kvm) -> Result<HostCaps> {
    let max_vcpus = u32::try_from(kvm.get_max_vcpus()).unwrap_or(u32::MAX);
    Ok(HostCaps { max_vcpus, isa: IsaCaps::S390x(s390x::HostCaps {}) })
}

fn enable(vm: &sys::VmFd, cap: u32, what: &'static str) -> Result<()> {
    vm.enable_cap(&kvm_enable_cap { cap, ..Default::default() }).map_err(failed(what))
}

/// Creates a VM, and tells what is wrong when that fails for the reason that is hard to guess.
fn new_vm(kvm: &sys::Kvm) -> Result<sys::VmFd> {
    kvm.create_vm().map_err(|error| match error.errno() {
        // The kernel wants page tables with room for the guest's, which it gives to programs that ask for it.
        libc::EINVAL => Error::Missing(
            "page tables for guests in this program (link it with -Wl,--s390-pgste, or set the sysctl vm.allocate_pgste to 1)",
        ),
        _ => failed("create a VM")(error),
    })
}

pub fn create_vm(kvm: &sys::Kvm, config: &VmConfig) -> Result<sys::VmFd> {
    if config.irqchip != Irqchip::Flic {
        return Err(Error::WrongIsa("this interrupt controller"));
    }
    let vm = new_vm(kvm)?;
    // Page tables are as deep as the limit asks for, which the kernel rounds up.
    let limit = config.address_limit;
    let attr = kvm_device_attr {
        group: KVM_S390_VM_MEM_CTRL,
        attr: KVM_S390_VM_MEM_LIMIT_SIZE.into(),
        addr: &raw const limit as u64,
        flags: 0,
    };
    // SAFETY: this attribute is a u64, which `limit` is.
    unsafe { vm.set_device_attr(&attr) }.map_err(failed("limit a VM's memory"))?;
    enable(&vm, KVM_CAP_S390_IRQCHIP, "route interrupts in the kernel")?;
    vm.create_irq_chip().map_err(failed("create the interrupt controllers"))?;
    // Without it, a guest that sees the host's configuration-topology facility takes a program check when it uses that.
    if vm.check_extension_raw(KVM_CAP_S390_CPU_TOPOLOGY.into()) > 0 {
        enable(&vm, KVM_CAP_S390_CPU_TOPOLOGY, "tell guests of their topology")?;
    }
    Ok(vm)
}

impl Machine {
    pub fn new(_kvm: &sys::Kvm, vm: &sys::VmFd, _config: &VmConfig) -> Result<Self> {
        let mut flic = kvm_create_device { type_: kvm_device_type_KVM_DEV_TYPE_FLIC, ..Default::default() };
        let flic = vm.create_device(&mut flic).map_err(failed("create the floating interrupt controller"))?;
        Ok(Machine { _flic: flic })
    }

    pub fn finish(&self, _vm: &sys::VmFd, _config: &VmConfig) -> Result<()> {
        Ok(())
    }

    pub fn interrupt(&self, vm: &sys::VmFd, interrupt: Interrupt) -> Result<()> {
        match interrupt {
            Interrupt::Service { parameter } => {
                let service = kvm_s390_interrupt { type_: KVM_S390_INT_SERVICE, parm: parameter, parm64: 0 };
                vm.s390_interrupt(&service).map_err(failed("send a service signal"))
            }
            Interrupt::Line { .. } | Interrupt::Msi { .. } => Err(Error::WrongIsa("this interrupt")),
        }
    }

    pub fn set_routes(&self, _vm: &sys::VmFd, routes: &[Option<IrqRoute>]) -> Result<()> {
        // A service signal is sent by a system call; there is nothing that it could be routed to.
        match routes.iter().flatten().all(|route| *route == IrqRoute::ServiceSignal) {
            true => Ok(()),
            false => Err(Error::WrongIsa("this interrupt route")),
        }
    }
}

pub fn init_vcpu(vcpu: &mut Vcpu) -> Result<()> {
    let CpuModel::S390x(_) = &vcpu.shared.config.cpu_model else {
        return Err(Error::WrongIsa("this CPU model"));
    };
    vcpu.fd.s390_initial_reset().map_err(failed("reset a vCPU"))?;
    let mp_state = if vcpu.index == 0 { KVM_MP_STATE_OPERATING } else { KVM_MP_STATE_STOPPED };
    vcpu.fd.set_mp_state(kvm_mp_state { mp_state }).map_err(failed("set whether a vCPU runs"))
}

pub fn run(vcpu: &mut Vcpu) -> Result<Exit<'_>> {
    match vcpu.fd.run() {
        Ok(VcpuExit::Intr) => Ok(Exit::Interrupted),
        Ok(exit) => Ok(Exit::System(SystemEvent::Crash { reason: format!("unexpected exit {exit:?}") })),
        Err(error) if error.errno() == libc::EINTR => {
            vcpu.fd.set_kvm_immediate_exit(0);
            Ok(Exit::Interrupted)
        }
        Err(error) => Err(failed("run a vCPU")(error)),
    }
}

pub fn save(_vcpu: &mut Vcpu) -> Result<VcpuState> {
    Err(Error::WrongIsa("saving"))
}

pub fn restore(_vcpu: &mut Vcpu, _state: &VcpuState) -> Result<()> {
    Err(Error::WrongIsa("restoring"))
}

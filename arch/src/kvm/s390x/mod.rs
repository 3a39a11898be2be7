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
mod cpus;
mod exit;
mod features;
mod flic;
#[allow(dead_code, reason = "a layer to be used whole; the glue does not take all of it")]
mod ioctls;
mod model;
mod park;
mod state;

use super::{Error, Result, Vcpu, VmConfig, failed};
use crate::hv::{CpuModel, Doorbell, Interrupt, IrqRoute, Irqchip, SubsystemReset, VcpuState};
use crate::s390x::{MpState, Psw};
use bindings::{
    KVM_CAP_S390_CSS_SUPPORT, KVM_CAP_S390_HPAGE_1M, KVM_CAP_S390_IRQCHIP, KVM_IRQ_ROUTING_S390_ADAPTER,
    KVM_MP_STATE_OPERATING, KVM_MP_STATE_STOPPED, kvm_enable_cap, kvm_irq_routing_entry,
    kvm_irq_routing_s390_adapter, kvm_mp_state,
};
use cpus::Cpus;
use flic::Flic;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

pub use exit::{VcpuExtra, run};
pub use features::features;
pub use model::host_caps;

/// Our own layer in the image of kvm-ioctls, with the one binding that the shared code names.
pub mod sys {
    pub use super::bindings::kvm_userspace_memory_region as MemoryRegion;
    pub use super::ioctls::{Kvm, VcpuFd, VmFd};
}

/// What the VM has besides its fd.
#[derive(Debug)]
pub struct Machine {
    cpus: Cpus,
    flic: Flic,
}

pub fn create_vm(kvm: &sys::Kvm, config: &VmConfig) -> Result<sys::VmFd> {
    if config.irqchip != Irqchip::Flic {
        return Err(Error::WrongIsa("this interrupt controller"));
    }
    let CpuModel::S390x(model) = &config.cpu_model else {
        return Err(Error::WrongIsa("this CPU model"));
    };
    let vm = model::new_vm(kvm)?;
    model::set_cpu_model(&vm, model)?;
    model::set_memory_limit(&vm, config.address_limit)?;
    if config.huge_pages {
        let huge = kvm_enable_cap { cap: KVM_CAP_S390_HPAGE_1M, ..Default::default() };
        vm.enable_cap(&huge)
            .map_err(failed("use huge pages (KVM must have been loaded for it: modprobe kvm hpage=1)"))?;
    }
    let irqchip = kvm_enable_cap { cap: KVM_CAP_S390_IRQCHIP, ..Default::default() };
    vm.enable_cap(&irqchip).map_err(failed("route interrupts in the kernel"))?;
    vm.create_irq_chip().map_err(failed("create the interrupt controllers"))?;
    Ok(vm)
}

impl Machine {
    pub fn new(_kvm: &sys::Kvm, vm: &sys::VmFd, _config: &VmConfig) -> Result<Self> {
        Ok(Machine { cpus: Cpus::new(), flic: Flic::new(vm)? })
    }

    pub fn finish(&self, _vm: &sys::VmFd, _config: &VmConfig) -> Result<()> {
        Ok(())
    }

    pub fn reset(&self) -> Result<()> {
        self.flic.reset()
    }

    pub fn interrupt(&self, vm: &sys::VmFd, interrupt: Interrupt) -> Result<()> {
        self.flic.interrupt(vm, interrupt)
    }

    pub fn set_routes(&self, vm: &sys::VmFd, routes: &[Option<IrqRoute>]) -> Result<()> {
        let mut entries = Vec::with_capacity(routes.len());
        for (gsi, route) in (0..).zip(routes) {
            match *route {
                // A service signal is sent by a system call; there is nothing that it could be routed to.
                None | Some(IrqRoute::ServiceSignal) => {}
                Some(IrqRoute::Adapter { indicator, bit, summary, isc }) => {
                    let mut entry = kvm_irq_routing_entry {
                        gsi,
                        type_: KVM_IRQ_ROUTING_S390_ADAPTER,
                        ..Default::default()
                    };
                    entry.u.adapter = kvm_irq_routing_s390_adapter {
                        ind_addr: indicator,
                        summary_addr: summary,
                        // KVM does not look whether it is still in the byte's page.
                        ind_offset: u64::from(bit % 8),
                        summary_offset: 7,
                        adapter_id: self.flic.adapter(isc)?,
                    };
                    entries.push(entry);
                }
                Some(IrqRoute::Pin { .. } | IrqRoute::Msi { .. }) => {
                    return Err(Error::WrongIsa("this interrupt route"));
                }
            }
        }
        vm.set_gsi_routing(&entries).map_err(failed("route interrupts"))
    }
}

pub fn watch(vm: &sys::VmFd, doorbell: Doorbell, event: &EventFd) -> Result<()> {
    let (id, queue) = place(doorbell)?;
    vm.register_ccw_notify(event, id, queue).map_err(failed("watch a doorbell"))
}

pub fn unwatch(vm: &sys::VmFd, doorbell: Doorbell, event: &EventFd) -> Result<()> {
    let (id, queue) = place(doorbell)?;
    vm.unregister_ccw_notify(event, id, queue).map_err(failed("give a doorbell up"))
}

const fn place(doorbell: Doorbell) -> Result<(u32, u32)> {
    match doorbell {
        Doorbell::Ccw { id, queue } => Ok((id, queue)),
        Doorbell::Mmio { .. } | Doorbell::Address { .. } => Err(Error::WrongIsa("a memory-mapped doorbell")),
    }
}

pub fn init_vcpu(vcpu: &mut Vcpu) -> Result<()> {
    // KVM leaves it to us from the first such call on which vCPUs are stopped. All but the first wait for the guest.
    let operates = vcpu.index == 0;
    let mp_state = if operates { KVM_MP_STATE_OPERATING } else { KVM_MP_STATE_STOPPED };
    vcpu.fd.set_mp_state(kvm_mp_state { mp_state }).map_err(failed("set whether a vCPU runs"))?;
    vcpu.fd.s390_clear_reset().map_err(failed("reset a vCPU"))?;
    // Of the VM, but by a vCPU. KVM hands I/O instructions out from then on.
    let css = kvm_enable_cap { cap: KVM_CAP_S390_CSS_SUPPORT, ..Default::default() };
    vcpu.fd.enable_cap(&css).map_err(failed("leave I/O instructions to the machine"))?;
    let fd = vcpu.fd.try_clone_file().map_err(failed("make a vCPU known to others"))?;
    vcpu.shared.machine.cpus.add(fd, operates).map_err(failed("make a vCPU known to others"))
}

pub fn save(vcpu: &mut Vcpu) -> Result<VcpuState> {
    exit::complete(vcpu)?;
    Ok(VcpuState::S390x(Box::new(state::save(&mut vcpu.fd)?)))
}

pub fn restore(vcpu: &mut Vcpu, state: &VcpuState) -> Result<()> {
    let VcpuState::S390x(state) = state else {
        return Err(Error::WrongIsa("this vCPU state"));
    };
    state::restore(&mut vcpu.fd, state)?;
    vcpu.extra = VcpuExtra::default();
    if let Some(mp_state) = state.mp_state {
        vcpu.shared.machine.cpus.set(vcpu.index, mp_state == MpState::Operating);
    }
    Ok(())
}

pub fn reset(vcpu: &mut Vcpu, reset: SubsystemReset, goes_on: bool) -> Result<()> {
    vcpu.extra = VcpuExtra::default();
    let reset = match (reset, goes_on) {
        (SubsystemReset::Clear, _) => vcpu.fd.s390_clear_reset(),
        (SubsystemReset::LoadNormal, true) => vcpu.fd.s390_initial_reset(),
        (SubsystemReset::LoadNormal, false) => vcpu.fd.s390_normal_reset(),
    };
    reset.map_err(failed("reset a vCPU"))?;
    if goes_on {
        let psw = initial_psw(vcpu)?;
        let run = vcpu.fd.get_kvm_run();
        (run.psw_mask, run.psw_addr) = (psw.mask, psw.addr);
    }
    vcpu.shared.machine.cpus.set_operates(vcpu.index, goes_on)
}

/// The PSW at absolute address 0.
fn initial_psw(vcpu: &Vcpu) -> Result<Psw> {
    let mut short = [0; 8];
    match vcpu.ram.as_ref().map(|ram| ram.read_slice(&mut short, GuestAddress(0))) {
        Some(Ok(())) => Ok(Psw::from_short(u64::from_be_bytes(short))),
        _ => Err(Error::BadState("no RAM to take a PSW from")),
    }
}

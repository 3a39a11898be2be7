//! The glue of x86_64 hosts.

mod exit;
mod features;
#[path = "../ioevent.rs"]
mod ioevent;
mod state;

use std::ops::RangeInclusive;

use kvm_bindings::{
    CpuId, KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API,
    KVM_CAP_X86_TRIPLE_FAULT_EVENT, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_IRQ_ROUTING_IRQCHIP,
    KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KVM_MAX_CPUID_ENTRIES, KVM_PIT_SPEAKER_DUMMY, KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
    KVM_X2APIC_API_USE_32BIT_IDS, KvmIrqRouting, kvm_cpuid_entry2, kvm_enable_cap, kvm_irq_routing_entry,
    kvm_irq_routing_irqchip, kvm_irq_routing_msi, kvm_msi, kvm_pit_config,
};
use kvm_ioctls::Cap;

use super::{Error, Result, Vcpu, VmConfig, failed, uninterrupted};
use crate::hv::{CpuModel, HostCaps, Interrupt, IrqRoute, Irqchip, IsaCaps, SubsystemReset, VcpuState};
use crate::x86_64::{self, CpuidLeaf, Msr, cpuid};

pub use exit::run;
pub use features::features;
pub use ioevent::{unwatch, watch};

/// kvm-ioctls, with the one binding that the shared code names.
pub mod sys {
    pub use kvm_bindings::kvm_userspace_memory_region as MemoryRegion;
    pub use kvm_ioctls::{Kvm, VcpuFd, VmFd};
}

/// Where KVM may put one page of its own on Intel hosts without unrestricted guests: below the reset vector, where no board has
/// RAM (Documentation/virt/kvm/api.rst, KVM_SET_IDENTITY_MAP_ADDR).
const IDENTITY_MAP_ADDRESS: u64 = 0xfffb_c000;

/// Three more pages of the same kind (KVM_SET_TSS_ADDR).
const TSS_ADDRESS: u32 = 0xfffb_d000;

/// Pins of each 8259 of the in-kernel interrupt controller.
const PIC_PINS: u32 = 8;

/// IA32_MISC_ENABLE.
const MSR_MISC_ENABLE: u32 = 0x1a0;
/// Its bit for fast string instructions, without which Linux does not use `rep movsb` to copy.
const MISC_ENABLE_FAST_STRING: u64 = 1 << 0;
/// IA32_MTRR_DEF_TYPE.
const MSR_MTRR_DEF_TYPE: u32 = 0x2ff;
/// MTRRs are on, and what they do not name is write-back. A firmware would have done it; without it, Linux turns PAT off.
const MTRR_ON_WRITE_BACK: u64 = 1 << 11 | 6;

/// MSRs of Hyper-V's interface, which our guests are not offered, so they are no state; some just count time.
const HYPERV_MSRS: RangeInclusive<u32> = 0x4000_0000..=0x4000_01ff;

/// What the VM has besides its fd.
#[derive(Debug)]
pub struct Machine {
    /// Numbers of the MSRs that are state of a vCPU.
    msrs: Vec<u32>,
    /// Bytes of a vCPU's XSAVE area.
    xsave_size: usize,
    /// Whether a triple fault on its way is told among the events.
    triple_fault_event: bool,
    /// Whether messages have 15-bit destinations.
    wide_destinations: bool,
    irqchip: Irqchip,
}

/// What a vCPU has besides its fd.
#[derive(Debug, Default)]
pub struct VcpuExtra {}

pub fn host_caps(kvm: &sys::Kvm) -> Result<HostCaps> {
    let cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(failed("read the host's CPUID"))?;
    let mut cpuid: Vec<_> = cpuid.as_slice().iter().map(from_entry).collect();
    // Older kernels tell this feature of their LAPICs only by a capability.
    if kvm.check_extension(Cap::TscDeadlineTimer) {
        let features = cpuid.iter_mut().filter(|leaf| leaf.function == cpuid::FEATURES);
        features.for_each(|leaf| leaf.ecx |= cpuid::TSC_DEADLINE);
    }
    let caps = x86_64::HostCaps {
        cpuid,
        split_irqchip: kvm.check_extension(Cap::SplitIrqchip),
        x2apic_ids: kvm.check_extension(Cap::X2ApicApi),
    };
    // A vCPU's id is its APIC id, so both limits count.
    let max = kvm.get_max_vcpus().min(kvm.get_max_vcpu_id());
    let max_vcpus = u32::try_from(max).unwrap_or(u32::MAX);
    Ok(HostCaps { max_vcpus, isa: IsaCaps::X86_64(caps) })
}

fn from_entry(entry: &kvm_cpuid_entry2) -> CpuidLeaf {
    let indexed = entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX != 0;
    let kvm_cpuid_entry2 { function, eax, ebx, ecx, edx, .. } = *entry;
    CpuidLeaf { function, index: indexed.then_some(entry.index), eax, ebx, ecx, edx }
}

fn to_entry(leaf: &CpuidLeaf) -> kvm_cpuid_entry2 {
    let CpuidLeaf { function, index, eax, ebx, ecx, edx } = *leaf;
    kvm_cpuid_entry2 {
        function,
        index: index.unwrap_or(0),
        flags: if index.is_some() { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } else { 0 },
        eax,
        ebx,
        ecx,
        edx,
        padding: [0; 3],
    }
}

/// Whether some vCPU has an APIC id that xAPIC and plain messages can't name.
fn has_wide_ids(config: &VmConfig) -> bool {
    config.cpus > cpuid::MAX_XAPIC_CPUS
}

fn enable(vm: &sys::VmFd, cap: u32, arg: u64, what: &'static str) -> Result<()> {
    let mut request = kvm_enable_cap { cap, ..Default::default() };
    request.args[0] = arg;
    vm.enable_cap(&request).map_err(failed(what))
}

pub fn create_vm(kvm: &sys::Kvm, config: &VmConfig) -> Result<sys::VmFd> {
    let vm = uninterrupted(|| kvm.create_vm()).map_err(failed("create a VM"))?;
    vm.set_identity_map_address(IDENTITY_MAP_ADDRESS).map_err(failed("place its identity map"))?;
    vm.set_tss_address(TSS_ADDRESS as usize).map_err(failed("place its TSS"))?;
    if vm.check_extension_raw(KVM_CAP_EXCEPTION_PAYLOAD.into()) > 0 {
        enable(&vm, KVM_CAP_EXCEPTION_PAYLOAD, 1, "tell exceptions' payloads")?;
    }
    if has_wide_ids(config) {
        if !vm.check_extension(Cap::X2ApicApi) {
            return Err(Error::Missing("KVM_CAP_X2APIC_API, which more than 255 vCPUs need"));
        }
        let flags = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
        enable(&vm, KVM_CAP_X2APIC_API, u64::from(flags), "use 32-bit APIC ids")?;
    }
    match config.irqchip {
        Irqchip::X86Kernel { pit } => {
            vm.create_irq_chip().map_err(failed("create the interrupt controllers"))?;
            if pit {
                let config = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
                vm.create_pit2(config).map_err(failed("create the PIT"))?;
            }
        }
        Irqchip::X86Split { pins } => {
            enable(&vm, KVM_CAP_SPLIT_IRQCHIP, u64::from(pins), "create the LAPICs alone")?;
        }
        _ => return Err(Error::WrongIsa("this interrupt controller")),
    }
    Ok(vm)
}

impl Machine {
    pub fn new(kvm: &sys::Kvm, vm: &sys::VmFd, config: &VmConfig) -> Result<Self> {
        let msrs = kvm.get_msr_index_list().map_err(failed("list the MSRs"))?;
        let triple_fault_event = vm.check_extension_raw(KVM_CAP_X86_TRIPLE_FAULT_EVENT.into()) > 0;
        if triple_fault_event {
            enable(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1, "tell triple faults among events")?;
        }
        Ok(Machine {
            msrs: msrs.as_slice().iter().copied().filter(|index| !HYPERV_MSRS.contains(index)).collect(),
            xsave_size: usize::try_from(vm.check_extension_int(Cap::Xsave2)).unwrap_or(0),
            triple_fault_event,
            wide_destinations: has_wide_ids(config),
            irqchip: config.irqchip,
        })
    }

    pub fn finish(&self, _vm: &sys::VmFd, _config: &VmConfig) -> Result<()> {
        Ok(())
    }

    pub fn reset(&self) -> Result<()> {
        Err(Error::WrongIsa("a reset that leaves RAM as it is"))
    }

    pub fn interrupt(&self, vm: &sys::VmFd, interrupt: Interrupt) -> Result<()> {
        match interrupt {
            Interrupt::Line { pin, asserted } => match self.irqchip {
                Irqchip::X86Kernel { .. } => {
                    vm.set_irq_line(pin, asserted).map_err(failed("set an interrupt line"))
                }
                _ => Err(Error::Missing("an IOAPIC in the kernel, as the irqchip is split")),
            },
            Interrupt::Msi { address, data, requester: _ } => {
                let (address_lo, address_hi) = self.message_address(address);
                let msi = kvm_msi { address_lo, address_hi, data, ..Default::default() };
                match vm.signal_msi(msi) {
                    // That no LAPIC takes it is the guest's affair. KVM says 0, or -1, an EPERM then, when there is none at the
                    // destination (Linux, `kvm_irq_delivery_to_apic`); EINVAL when the destination is beyond all that can be.
                    Err(error) if !matches!(error.errno(), libc::EPERM | libc::EINVAL) => {
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

    /// A message's address as KVM takes it: with more than 255 vCPUs, bits 11 to 5 are the destination's bits 14 to 8
    /// (KVM_FEATURE_MSI_EXT_DEST_ID), which KVM wants in the upper half (KVM_X2APIC_API_USE_32BIT_IDS).
    fn message_address(&self, address: u64) -> (u32, u32) {
        let low = (address & 0xffff_ffff) as u32;
        let high = (address >> 32) as u32;
        if self.wide_destinations { (low & !0xfe0, high | (low & 0xfe0) << 3) } else { (low, high) }
    }

    pub fn set_routes(&self, vm: &sys::VmFd, routes: &[Option<IrqRoute>]) -> Result<()> {
        let mut entries = Vec::with_capacity(routes.len());
        for (gsi, route) in (0..).zip(routes) {
            match *route {
                None => {}
                Some(IrqRoute::Msi { address, data, requester: _ }) => {
                    let (address_lo, address_hi) = self.message_address(address);
                    let mut entry =
                        kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_MSI, ..Default::default() };
                    entry.u.msi = kvm_irq_routing_msi { address_lo, address_hi, data, ..Default::default() };
                    entries.push(entry);
                }
                Some(IrqRoute::Pin { pin }) => {
                    if !matches!(self.irqchip, Irqchip::X86Kernel { .. }) {
                        return Err(Error::Missing("an IOAPIC in the kernel, as the irqchip is split"));
                    }
                    entries.extend(pin_routes(gsi, pin));
                }
                Some(IrqRoute::ServiceSignal) => return Err(Error::WrongIsa("the service signal")),
                Some(IrqRoute::Adapter { .. }) => return Err(Error::WrongIsa("an adapter's interrupt")),
            }
        }
        let routing = KvmIrqRouting::from_entries(&entries)
            .map_err(|_| Error::Missing("room for so many interrupt routes"))?;
        vm.set_gsi_routing(&routing).map_err(failed("route interrupts"))
    }

    fn shape(&self) -> state::Shape<'_> {
        state::Shape { msrs: &self.msrs, xsave: self.xsave_size, triple_fault: self.triple_fault_event }
    }
}

/// Routes to a pin of the in-kernel IOAPIC and, as on a PC, to the 8259 that has the line too.
fn pin_routes(gsi: u32, pin: u32) -> impl Iterator<Item = kvm_irq_routing_entry> {
    let route = move |irqchip, pin| {
        let mut entry = kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_IRQCHIP, ..Default::default() };
        entry.u.irqchip = kvm_irq_routing_irqchip { irqchip, pin };
        entry
    };
    let pic = match pin / PIC_PINS {
        0 => Some(KVM_IRQCHIP_PIC_MASTER),
        1 => Some(KVM_IRQCHIP_PIC_SLAVE),
        _ => None,
    };
    [Some(route(KVM_IRQCHIP_IOAPIC, pin)), pic.map(|chip| route(chip, pin % PIC_PINS))].into_iter().flatten()
}

pub fn init_vcpu(vcpu: &mut Vcpu) -> Result<()> {
    let CpuModel::X86_64(model) = &vcpu.shared.config.cpu_model else {
        return Err(Error::WrongIsa("this CPU model"));
    };
    let leaves = cpuid::of_vcpu(&model.cpuid, vcpu.index, vcpu.shared.config.cpus);
    let entries: Vec<_> = leaves.iter().map(to_entry).collect();
    let cpuid =
        CpuId::from_entries(&entries).map_err(|_| Error::BadState("more CPUID leaves than KVM takes"))?;
    vcpu.fd.set_cpuid2(&cpuid).map_err(failed("set a vCPU's CPUID"))?;
    if has_wide_ids(&vcpu.shared.config) {
        state::enable_x2apic(&vcpu.fd)?;
    }
    let mut msrs = state::get_msrs(&vcpu.fd, &[MSR_MISC_ENABLE])?;
    msrs.iter_mut().for_each(|msr| msr.value |= MISC_ENABLE_FAST_STRING);
    msrs.push(Msr { index: MSR_MTRR_DEF_TYPE, value: MTRR_ON_WRITE_BACK });
    state::set_msrs(&vcpu.fd, &msrs)
}

pub fn save(vcpu: &mut Vcpu) -> Result<VcpuState> {
    exit::complete(vcpu)?;
    let state = state::save(&vcpu.fd, vcpu.shared.machine.shape())?;
    Ok(VcpuState::X86_64(Box::new(state)))
}

pub fn restore(vcpu: &mut Vcpu, state: &VcpuState) -> Result<()> {
    match state {
        VcpuState::X86_64(state) => state::restore(&vcpu.fd, state, vcpu.shared.machine.shape()),
        _ => Err(Error::WrongIsa("this vCPU state")),
    }
}

pub fn reset(_vcpu: &mut Vcpu, _reset: SubsystemReset, _goes_on: bool) -> Result<()> {
    Err(Error::WrongIsa("a reset that leaves RAM as it is"))
}

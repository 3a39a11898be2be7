//! What CPUs the host's KVM can give, and how a VM's are told to look.

use std::ptr;

use super::bindings::{
    KVM_CAP_S390_CPU_TOPOLOGY, KVM_CAP_S390_GS, KVM_CAP_S390_RI, KVM_CAP_S390_USER_STSI,
    KVM_CAP_S390_VECTOR_REGISTERS, KVM_S390_VM_CPU_MACHINE, KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR,
    KVM_S390_VM_MEM_CTRL, KVM_S390_VM_MEM_LIMIT_SIZE, kvm_device_attr, kvm_enable_cap,
    kvm_s390_vm_cpu_machine, kvm_s390_vm_cpu_processor,
};
use super::sys::{Kvm, VmFd};
use crate::hv::{HostCaps, IsaCaps};
use crate::kvm::{Error, Result, failed, uninterrupted};
use crate::s390x::{self, CpuModel, Facilities};

/// What a VM is given when the host has it: each adds facilities to those that its CPUs may have.
const OFFERS: [(u32, &str); 5] = [
    (KVM_CAP_S390_VECTOR_REGISTERS, "give a VM vector registers"),
    (KVM_CAP_S390_RI, "give a VM runtime instrumentation"),
    (KVM_CAP_S390_GS, "give a VM guarded storage"),
    // Without it, a guest that sees the facility all the same takes a program check when it uses that.
    (KVM_CAP_S390_CPU_TOPOLOGY, "tell a VM's guest of its topology"),
    (KVM_CAP_S390_USER_STSI, "give a VM a name"),
];

pub fn host_caps(kvm: &Kvm) -> Result<HostCaps> {
    // The facilities of a guest are those of a VM that has been given all there is.
    let vm = new_vm(kvm)?;
    let mut machine = kvm_s390_vm_cpu_machine::default();
    // SAFETY: the attribute is such a structure.
    unsafe { get(&vm, KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_MACHINE, &mut machine) }
        .map_err(failed("tell what CPUs the host has"))?;
    let mut max_memory = 0u64;
    // SAFETY: the attribute is a u64.
    unsafe { get(&vm, KVM_S390_VM_MEM_CTRL, KVM_S390_VM_MEM_LIMIT_SIZE, &mut max_memory) }
        .map_err(failed("tell how much memory a VM may have"))?;
    let caps = s390x::HostCaps {
        max_memory,
        cpuid: machine.cpuid,
        ibc: machine.ibc,
        facility_list: Facilities::new(machine.fac_list.to_vec()),
        facility_mask: Facilities::new(machine.fac_mask.to_vec()),
        vectors: vm.check_extension_raw(KVM_CAP_S390_VECTOR_REGISTERS.into()) > 0,
    };
    let max_vcpus = u32::try_from(kvm.get_max_vcpus()).unwrap_or(u32::MAX);
    Ok(HostCaps { max_vcpus, isa: IsaCaps::S390x(caps) })
}

/// Creates a VM that has been given all that the host has.
pub fn new_vm(kvm: &Kvm) -> Result<VmFd> {
    let vm = uninterrupted(|| kvm.create_vm()).map_err(|error| match error.errno() {
        // The kernel wants page tables with room for the guest's, which it gives to programs that ask for it.
        libc::EINVAL => Error::Missing(
            "page tables for guests in this program (link it with -Wl,--s390-pgste, or set the sysctl vm.allocate_pgste to 1)",
        ),
        _ => failed("create a VM")(error),
    })?;
    for (cap, what) in OFFERS {
        if vm.check_extension_raw(cap.into()) > 0 {
            vm.enable_cap(&kvm_enable_cap { cap, ..Default::default() }).map_err(failed(what))?;
        }
    }
    Ok(vm)
}

/// Has a VM's CPUs look like `model`. There are none yet.
pub fn set_cpu_model(vm: &VmFd, model: &CpuModel) -> Result<()> {
    let mut processor = kvm_s390_vm_cpu_processor {
        cpuid: model.cpuid,
        ibc: u16::try_from(model.ibc).map_err(|_| Error::Missing("instruction blocking beyond 16 bits"))?,
        ..Default::default()
    };
    processor.fac_list.iter_mut().zip(model.facilities.words()).for_each(|(to, from)| *to = *from);
    // SAFETY: the attribute is such a structure.
    unsafe { set(vm, KVM_S390_VM_CPU_MODEL, KVM_S390_VM_CPU_PROCESSOR, &processor) }
        .map_err(failed("give a VM this CPU model"))
}

/// Has a VM's page tables be as deep as it takes, and no deeper. There are no vCPUs yet.
pub fn set_memory_limit(vm: &VmFd, limit: u64) -> Result<()> {
    // SAFETY: the attribute is a u64.
    unsafe { set(vm, KVM_S390_VM_MEM_CTRL, KVM_S390_VM_MEM_LIMIT_SIZE, &limit) }
        .map_err(failed("limit a VM's memory"))
}

/// Reads an attribute of a VM.
///
/// # Safety
/// The attribute is a `T`, any bytes of which are valid.
unsafe fn get<T>(vm: &VmFd, group: u32, attr: u32, value: &mut T) -> super::ioctls::Result<()> {
    let mut attr = kvm_device_attr { group, attr: attr.into(), addr: ptr::from_mut(value) as u64, flags: 0 };
    // SAFETY: the caller vouches for the type.
    unsafe { vm.get_device_attr(&mut attr) }
}

/// Sets an attribute of a VM.
///
/// # Safety
/// The attribute is a `T`.
unsafe fn set<T>(vm: &VmFd, group: u32, attr: u32, value: &T) -> super::ioctls::Result<()> {
    let attr = kvm_device_attr { group, attr: attr.into(), addr: ptr::from_ref(value) as u64, flags: 0 };
    // SAFETY: the caller vouches for the type.
    unsafe { vm.set_device_attr(&attr) }
}

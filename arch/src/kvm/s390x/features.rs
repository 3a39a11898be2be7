//! What `triarch check` tells of an s390x host.

use super::bindings::*;
use super::sys::Kvm;
use crate::hv::Feature;
use crate::kvm::uninterrupted;

/// The name of the feature that is no capability.
const PGSTE: &str = "PGSTE";

/// Capabilities by number and name, whether no guest can run without them, and what they are for.
const FEATURES: [(u32, &str, bool, &str); 22] = [
    (KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", true, "gives guests RAM"),
    (KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS", true, "reads and sets registers"),
    (KVM_CAP_ONE_REG, "KVM_CAP_ONE_REG", true, "reads and sets timers"),
    (KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE", true, "starts and stops CPUs"),
    (KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", true, "pauses vCPUs without losing a request"),
    (KVM_CAP_VM_ATTRIBUTES, "KVM_CAP_VM_ATTRIBUTES", true, "tells guests what CPU they have"),
    (KVM_CAP_DEVICE_CTRL, "KVM_CAP_DEVICE_CTRL", true, "the floating interrupt controller"),
    (KVM_CAP_S390_IRQCHIP, "KVM_CAP_S390_IRQCHIP", true, "interrupt routes in the kernel"),
    (KVM_CAP_S390_INJECT_IRQ, "KVM_CAP_S390_INJECT_IRQ", true, "program and restart interrupts"),
    (KVM_CAP_S390_IRQ_STATE, "KVM_CAP_S390_IRQ_STATE", true, "reads and sets interrupts on their way"),
    (
        KVM_CAP_S390_MEM_OP,
        "KVM_CAP_S390_MEM_OP",
        true,
        "operands of instructions in the guest's own addresses",
    ),
    (
        KVM_CAP_S390_CSS_SUPPORT,
        "KVM_CAP_S390_CSS_SUPPORT",
        true,
        "a channel subsystem, and with it all devices",
    ),
    (KVM_CAP_S390_VCPU_RESETS, "KVM_CAP_S390_VCPU_RESETS", true, "resets of all kinds"),
    (
        KVM_CAP_S390_COW,
        "KVM_CAP_S390_COW",
        false,
        "guest memory that is private to the program; without it, it must be shared, as Triarch's always is",
    ),
    (
        KVM_CAP_IRQFD,
        "KVM_CAP_IRQFD",
        false,
        "interrupts of devices by eventfd; without it each costs the VMM a system call",
    ),
    (
        KVM_CAP_IOEVENTFD,
        "KVM_CAP_IOEVENTFD",
        false,
        "doorbells by eventfd; without it each stops a vCPU for longer",
    ),
    (
        KVM_CAP_S390_CPU_TOPOLOGY,
        "KVM_CAP_S390_CPU_TOPOLOGY",
        false,
        "tells guests how their CPUs lie; without it a guest that sees the host's topology facility may stop with a program check",
    ),
    (KVM_CAP_S390_VECTOR_REGISTERS, "KVM_CAP_S390_VECTOR_REGISTERS", false, "vector registers"),
    (KVM_CAP_S390_RI, "KVM_CAP_S390_RI", false, "runtime instrumentation"),
    (KVM_CAP_S390_GS, "KVM_CAP_S390_GS", false, "guarded storage, which some garbage collectors use"),
    (KVM_CAP_S390_USER_STSI, "KVM_CAP_S390_USER_STSI", false, "a name and UUID of the VM for its guest"),
    (
        KVM_CAP_S390_HPAGE_1M,
        "KVM_CAP_S390_HPAGE_1M",
        false,
        "guest memory of huge pages; it takes KVM's module with hpage=1",
    ),
];

pub fn features(kvm: &Kvm) -> Vec<Feature> {
    let pgste = Feature {
        name: PGSTE,
        present: uninterrupted(|| kvm.create_vm()).is_ok(),
        required: true,
        meaning: "page tables for guests in this program, by linking it with -Wl,--s390-pgste or by the sysctl vm.allocate_pgste",
    };
    let caps = FEATURES.iter().map(|(cap, name, required, meaning)| Feature {
        name,
        present: kvm.check_extension_raw((*cap).into()) > 0,
        required: *required,
        meaning,
    });
    std::iter::once(pgste).chain(caps).collect()
}

//! What `triarch check` tells of an x86_64 host.

use kvm_bindings::*;

use super::sys::Kvm;
use crate::hv::Feature;

/// Capabilities by number and name, whether no guest can run without them, and what they are for.
const FEATURES: [(u32, &str, bool, &str); 19] = [
    (KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", true, "gives guests RAM"),
    (KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP", true, "local APICs in the kernel"),
    (KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", true, "tells guests what CPU they have"),
    (KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE", true, "starts the second and further vCPUs"),
    (KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS", true, "reads and sets interrupts on their way"),
    (KVM_CAP_XSAVE, "KVM_CAP_XSAVE", true, "reads and sets vector registers"),
    (KVM_CAP_XCRS, "KVM_CAP_XCRS", true, "reads and sets the enabled vector features"),
    (KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS", true, "reads and sets breakpoint registers"),
    (KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", true, "pauses vCPUs without losing a request"),
    (KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI", true, "message-signalled interrupts"),
    (
        KVM_CAP_SPLIT_IRQCHIP,
        "KVM_CAP_SPLIT_IRQCHIP",
        false,
        "keeps the IOAPIC out of the kernel; without it, use --irqchip kernel, which starts milliseconds later",
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
    (KVM_CAP_PIT2, "KVM_CAP_PIT2", false, "the i8254 timer of --pit"),
    (KVM_CAP_X2APIC_API, "KVM_CAP_X2APIC_API", false, "more than 255 vCPUs"),
    (
        KVM_CAP_TSC_DEADLINE_TIMER,
        "KVM_CAP_TSC_DEADLINE_TIMER",
        false,
        "cheap timers; without it guests calibrate the APIC timer as they start",
    ),
    (KVM_CAP_TSC_CONTROL, "KVM_CAP_TSC_CONTROL", false, "resuming on hosts with another TSC frequency"),
    (KVM_CAP_XSAVE2, "KVM_CAP_XSAVE2", false, "vector state beyond 4 KiB, which AMX needs"),
    (
        KVM_CAP_EXCEPTION_PAYLOAD,
        "KVM_CAP_EXCEPTION_PAYLOAD",
        false,
        "exact state of exceptions on their way in a snapshot",
    ),
];

pub fn features(kvm: &Kvm) -> Vec<Feature> {
    FEATURES
        .iter()
        .map(|(cap, name, required, meaning)| Feature {
            name,
            present: kvm.check_extension_raw((*cap).into()) > 0,
            required: *required,
            meaning,
        })
        .collect()
}

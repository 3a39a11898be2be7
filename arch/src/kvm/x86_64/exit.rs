//! Running a vCPU, and what it comes back with.

use std::fmt::Write;
use std::io;
use std::slice;
use std::sync::atomic::{AtomicU8, Ordering};

use kvm_bindings::{
    KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_INTR, KVM_EXIT_IO, KVM_EXIT_IO_IN,
    KVM_EXIT_IOAPIC_EOI, KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN, KVM_EXIT_SYSTEM_EVENT,
    KVM_INTERNAL_ERROR_EMULATION, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
    KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN, kvm_run,
};

use super::sys::VcpuFd;
use crate::hv::{Exit, SystemEvent};
use crate::kvm::{Error, Result, Vcpu, failed};

pub fn run(vcpu: &mut Vcpu) -> Result<Exit<'_>> {
    // kvm-ioctls' own exits leave out the size of port accesses, so what it borrows is dropped and the shared page is read here.
    if let Err(error) = vcpu.fd.run().map(|_| ()) {
        return match error.errno() {
            libc::EINTR => {
                clear_immediate_exit(&mut vcpu.fd);
                Ok(Exit::Interrupted)
            }
            // An application processor got its start-up message: it runs from there next time.
            libc::EAGAIN => Ok(Exit::Resume),
            _ => Err(failed("run a vCPU")(error)),
        };
    }
    match vcpu.fd.get_kvm_run().exit_reason {
        KVM_EXIT_IO => Ok(port_access(vcpu.fd.get_kvm_run())),
        KVM_EXIT_MMIO => Ok(memory_access(vcpu.fd.get_kvm_run())),
        KVM_EXIT_IOAPIC_EOI => {
            // SAFETY: the exit reason says that this member of the union is the valid one.
            let eoi = unsafe { vcpu.fd.get_kvm_run().__bindgen_anon_1.eoi };
            Ok(Exit::IoapicEoi { vector: eoi.vector })
        }
        KVM_EXIT_INTR => {
            clear_immediate_exit(&mut vcpu.fd);
            Ok(Exit::Interrupted)
        }
        reason => Ok(Exit::System(system_event(&mut vcpu.fd, reason))),
    }
}

/// Completes the instruction whose exit was last returned, so that the registers are those after it.
///
/// # Errors
/// The instruction has more to ask of the VMM (it accesses several registers of devices), or the host failed. It is only
/// certain to be complete when the last exit was [`Exit::Interrupted`].
pub fn complete(vcpu: &mut Vcpu) -> Result<()> {
    vcpu.fd.set_kvm_immediate_exit(1);
    let result = vcpu.fd.run().map(|_| ());
    clear_immediate_exit(&mut vcpu.fd);
    match result {
        Err(error) if error.errno() == libc::EINTR => Ok(()),
        Err(error) => Err(failed("complete an instruction")(error)),
        Ok(()) => Err(Error::Ioctl {
            what: "save a vCPU in the midst of an instruction",
            source: io::ErrorKind::ResourceBusy.into(),
        }),
    }
}

fn clear_immediate_exit(fd: &mut VcpuFd) {
    let flag: *mut u8 = &mut fd.get_kvm_run().immediate_exit;
    // SAFETY: the byte is in the vCPU's mapping, which lives as long as `fd`. Atomic, as the kick's signal handler stores to it.
    unsafe { AtomicU8::from_ptr(flag) }.store(0, Ordering::Relaxed);
}

fn port_access(run: &mut kvm_run) -> Exit<'_> {
    let page: *mut kvm_run = run;
    // SAFETY: the exit reason says that this member of the union is the valid one.
    let io = unsafe { run.__bindgen_anon_1.io };
    let (port, size) = (io.port, usize::from(io.size));
    let len = size * io.count as usize;
    #[allow(clippy::cast_possible_truncation, reason = "usize has 64 bits on this ISA")]
    let offset = io.data_offset as usize;
    // SAFETY: KVM puts `len` bytes at `offset` of the mapping that `page` is the start of, and which kvm-ioctls mapped in full.
    // They lie behind the struct, so nothing else refers to them, and the borrow of `run` keeps the vCPU from running.
    let data = unsafe { slice::from_raw_parts_mut(page.cast::<u8>().add(offset), len) };
    if u32::from(io.direction) == KVM_EXIT_IO_IN {
        Exit::PioRead { port, size, data }
    } else {
        Exit::PioWrite { port, size, data }
    }
}

fn memory_access(run: &mut kvm_run) -> Exit<'_> {
    // SAFETY: the exit reason says that this member of the union is the valid one.
    let mmio = unsafe { &mut run.__bindgen_anon_1.mmio };
    let len = mmio.data.len().min(mmio.len as usize);
    let (address, data) = (mmio.phys_addr, &mut mmio.data[..len]);
    if mmio.is_write != 0 { Exit::MmioWrite { address, data } } else { Exit::MmioRead { address, data } }
}

fn system_event(fd: &mut VcpuFd, reason: u32) -> SystemEvent {
    let crash = |fd: &VcpuFd, what: &str| SystemEvent::Crash { reason: format!("{what}{}", place(fd)) };
    // SAFETY of the unions' members below: the exit reason says which is the valid one.
    match reason {
        // AMD's KVM has reset the vCPU by now (Linux, `shutdown_interception`), as the guest's registers are undefined then (APM
        // volume 2, 15.14.3): it stands at the reset vector.
        KVM_EXIT_SHUTDOWN if fd.get_sregs().is_ok_and(|sregs| sregs.cs.base == RESET_CS_BASE) => {
            let reason = "triple fault; where is not known, as AMD's processors leave no registers behind";
            SystemEvent::Crash { reason: reason.to_owned() }
        }
        KVM_EXIT_SHUTDOWN => crash(fd, "triple fault"),
        KVM_EXIT_SYSTEM_EVENT => {
            // SAFETY: see above.
            let event = unsafe { fd.get_kvm_run().__bindgen_anon_1.system_event }.type_;
            match event {
                KVM_SYSTEM_EVENT_SHUTDOWN => SystemEvent::PowerOff,
                KVM_SYSTEM_EVENT_RESET => SystemEvent::Reset,
                _ => crash(fd, &format!("system event {event}")),
            }
        }
        KVM_EXIT_FAIL_ENTRY => {
            // SAFETY: see above.
            let entry = unsafe { fd.get_kvm_run().__bindgen_anon_1.fail_entry };
            let code = entry.hardware_entry_failure_reason;
            crash(fd, &format!("the hardware refuses to enter the guest (reason {code:#x})"))
        }
        KVM_EXIT_INTERNAL_ERROR => {
            let what = internal_error(fd.get_kvm_run());
            crash(fd, &what)
        }
        _ => crash(fd, &format!("KVM exit {reason} that this machine has no use for")),
    }
}

fn internal_error(run: &kvm_run) -> String {
    // SAFETY: the caller saw KVM_EXIT_INTERNAL_ERROR, for which this member is valid.
    let error = unsafe { run.__bindgen_anon_1.internal };
    let mut text = match error.suberror {
        KVM_INTERNAL_ERROR_EMULATION => "an instruction that KVM can't emulate".to_owned(),
        other => format!("KVM internal error {other}"),
    };
    if error.suberror == KVM_INTERNAL_ERROR_EMULATION && error.ndata >= 3 {
        // SAFETY: as above; for this suberror the members of `emulation_failure` alias those of `internal`.
        let failure = unsafe { run.__bindgen_anon_1.emulation_failure };
        if failure.flags & u64::from(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0 {
            // SAFETY: the flag says that this member is valid.
            let bytes = unsafe { failure.__bindgen_anon_1.__bindgen_anon_1 };
            let count = usize::from(bytes.insn_size).min(bytes.insn_bytes.len());
            text.push_str(", bytes");
            for byte in &bytes.insn_bytes[..count] {
                // Writing to a string can't fail.
                let _ = write!(text, " {byte:02x}");
            }
        }
    }
    text
}

/// Base of CS after a reset, which no running guest has: a far jump loads another.
const RESET_CS_BASE: u64 = 0xffff_0000;

/// Where the vCPU stands, for a crash report.
fn place(fd: &VcpuFd) -> String {
    match (fd.get_regs(), fd.get_sregs()) {
        (Ok(regs), Ok(sregs)) => format!(
            " at rip {:#x} (cs {:#x}, cr0 {:#x}, cr2 {:#x}, cr3 {:#x}, cr4 {:#x}, efer {:#x}, rsp {:#x})",
            regs.rip, sregs.cs.selector, sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.efer, regs.rsp
        ),
        _ => String::new(),
    }
}

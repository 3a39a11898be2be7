//! vCPUs.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use kvm_bindings::{
    KVM_ARM_VCPU_PMU_V3, KVM_ARM_VCPU_PMU_V3_CTRL, KVM_ARM_VCPU_PMU_V3_INIT, KVM_ARM_VCPU_PMU_V3_IRQ,
    KVM_ARM_VCPU_POWER_OFF, KVM_ARM_VCPU_PSCI_0_2, KVM_ARM_VCPU_PTRAUTH_ADDRESS,
    KVM_ARM_VCPU_PTRAUTH_GENERIC, KVM_ARM_VCPU_SVE, KVM_CAP_ARM_INJECT_EXT_DABT, KVM_EXIT_ARM_NISV,
    KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_STOPPED, KVM_MP_STATE_SUSPENDED, KVM_SYSTEM_EVENT_CRASH,
    KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN, KVMIO, kvm_device_attr, kvm_mp_state, kvm_reg_list,
    kvm_vcpu_events, kvm_vcpu_init,
};
use kvm_ioctls::VcpuExit;
use vmm_sys_util::errno;
use vmm_sys_util::ioctl::ioctl_with_mut_ptr;
use vmm_sys_util::ioctl_iowr_nr;

use super::super::{Error, Result, Vcpu, failed};
use crate::aarch64::{CpuModel, Events, MpState, Register, VcpuState, ppi, reg};
use crate::hv::{self, Exit, SystemEvent};

ioctl_iowr_nr!(KVM_GET_REG_LIST, KVMIO, 0xb0, kvm_reg_list);

/// The first interrupt id of the vCPUs' own peripherals.
const FIRST_PPI: u32 = 16;

/// The most registers that a vCPU is believed to have. Linux 6.12 lists below 500.
const MAX_REGISTERS: usize = 1 << 16;

/// What a vCPU has besides its fd.
#[derive(Debug, Default)]
pub struct VcpuExtra {
    /// The features' own settings can't change any more.
    finalized: bool,
    /// It is set up to run.
    started: bool,
    /// It waits for the data of the MMIO access that it came back with.
    unanswered: bool,
}

fn model(vcpu: &Vcpu) -> Result<CpuModel> {
    match vcpu.shared.config.cpu_model {
        hv::CpuModel::Aarch64(model) => Ok(model),
        _ => Err(Error::WrongIsa("this CPU model")),
    }
}

pub fn init_vcpu(vcpu: &mut Vcpu) -> Result<()> {
    let model = model(vcpu)?;
    let mut init = kvm_vcpu_init::default();
    vcpu.shared.fd.get_preferred_target(&mut init).map_err(failed("tell which vCPUs suit this host"))?;
    let wanted = [
        (KVM_ARM_VCPU_PSCI_0_2, true),
        // All but the first wait for the guest to start them.
        (KVM_ARM_VCPU_POWER_OFF, vcpu.index != 0),
        (KVM_ARM_VCPU_SVE, model.sve),
        (KVM_ARM_VCPU_PTRAUTH_ADDRESS, model.pauth),
        (KVM_ARM_VCPU_PTRAUTH_GENERIC, model.pauth),
        (KVM_ARM_VCPU_PMU_V3, model.pmu),
    ];
    init.features[0] = wanted.into_iter().filter(|(_, on)| *on).fold(0, |set, (bit, _)| set | 1 << bit);
    vcpu.fd.vcpu_init(&init).map_err(failed("initialise a vCPU"))
}

/// Ends the time in which a feature's own settings can change. `state` may have some.
fn finalize(vcpu: &mut Vcpu, state: Option<&VcpuState>) -> Result<()> {
    if !vcpu.extra.finalized && model(vcpu)?.sve {
        if let Some(lengths) = state.and_then(|state| state.get(reg::SVE_VLS)) {
            set(vcpu, reg::SVE_VLS, lengths)?;
        }
        #[allow(clippy::cast_possible_wrap, reason = "a small number of the kernel's")]
        let sve = KVM_ARM_VCPU_SVE as i32;
        vcpu.fd.vcpu_finalize(&sve).map_err(failed("give a vCPU its vectors"))?;
    }
    vcpu.extra.finalized = true;
    Ok(())
}

/// What must be done once, after the GIC is there and before the vCPU runs.
fn start(vcpu: &mut Vcpu) -> Result<()> {
    if !vcpu.extra.started && model(vcpu)?.pmu {
        let irq = FIRST_PPI + ppi::PMU;
        let number = kvm_device_attr {
            group: KVM_ARM_VCPU_PMU_V3_CTRL,
            attr: KVM_ARM_VCPU_PMU_V3_IRQ.into(),
            addr: ptr::from_ref(&irq) as u64,
            flags: 0,
        };
        let init = kvm_device_attr { attr: KVM_ARM_VCPU_PMU_V3_INIT.into(), addr: 0, ..number };
        for attr in [number, init] {
            vcpu.fd.set_device_attr(&attr).map_err(failed("set up a vCPU's performance monitors"))?;
        }
    }
    vcpu.extra.started = true;
    Ok(())
}

/// An exit without borrowed parts, so that the vCPU is free to be asked more.
enum Outcome {
    MmioRead(u64, usize),
    MmioWrite(u64, usize),
    System(SystemEvent),
    Crash(String),
    NoSyndrome,
    Interrupted,
    Resume,
}

pub fn run(vcpu: &mut Vcpu) -> Result<Exit<'_>> {
    finalize(vcpu, None)?;
    start(vcpu)?;
    let outcome = outcome(vcpu.fd.run())?;
    vcpu.extra.unanswered = matches!(outcome, Outcome::MmioRead(..) | Outcome::MmioWrite(..));
    match outcome {
        Outcome::MmioRead(address, len) => Ok(Exit::MmioRead { address, data: mmio_data(vcpu, len) }),
        Outcome::MmioWrite(address, len) => Ok(Exit::MmioWrite { address, data: mmio_data(vcpu, len) }),
        Outcome::System(event) => Ok(Exit::System(event)),
        Outcome::Crash(reason) => Ok(crash(vcpu, &reason)),
        Outcome::NoSyndrome => no_syndrome(vcpu),
        Outcome::Interrupted => {
            vcpu.fd.set_kvm_immediate_exit(0);
            Ok(Exit::Interrupted)
        }
        Outcome::Resume => Ok(Exit::Resume),
    }
}

fn outcome(exit: Result<VcpuExit<'_>, errno::Error>) -> Result<Outcome> {
    Ok(match exit {
        Ok(VcpuExit::MmioRead(address, data)) => Outcome::MmioRead(address, data.len()),
        Ok(VcpuExit::MmioWrite(address, data)) => Outcome::MmioWrite(address, data.len()),
        Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_SHUTDOWN, _)) => Outcome::System(SystemEvent::PowerOff),
        Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_RESET, _)) => Outcome::System(SystemEvent::Reset),
        Ok(VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_CRASH, _)) => {
            Outcome::Crash("the guest says that it crashed".to_owned())
        }
        Ok(VcpuExit::SystemEvent(event, _)) => Outcome::Crash(format!("unexpected system event {event}")),
        Ok(VcpuExit::Intr) => Outcome::Interrupted,
        Ok(VcpuExit::FailEntry(reason, cpu)) => {
            Outcome::Crash(format!("CPU {cpu} can't run the vCPU (reason {reason:#x})"))
        }
        Ok(VcpuExit::InternalError) => Outcome::Crash("KVM gave up on the vCPU".to_owned()),
        Ok(VcpuExit::MemoryFault { flags, gpa, size }) => Outcome::Crash(format!(
            "KVM can't reach guest memory at {gpa:#x} ({size:#x} bytes, flags {flags:#x})"
        )),
        Ok(VcpuExit::Unsupported(KVM_EXIT_ARM_NISV)) => Outcome::NoSyndrome,
        Ok(other) => Outcome::Crash(format!("unexpected exit {other:?}")),
        Err(error) if error.errno() == libc::EINTR => Outcome::Interrupted,
        Err(error) if error.errno() == libc::EAGAIN => Outcome::Resume,
        Err(error) => return Err(failed("run a vCPU")(error)),
    })
}

/// The data of the MMIO access that the vCPU came back with.
fn mmio_data(vcpu: &mut Vcpu, len: usize) -> &mut [u8] {
    // SAFETY: called after an MMIO exit alone, for which this is the union's field; any bytes are a valid array.
    let data = unsafe { &mut vcpu.fd.get_kvm_run().__bindgen_anon_1.mmio.data };
    let len = len.min(data.len());
    &mut data[..len]
}

fn crash(vcpu: &Vcpu, reason: &str) -> Exit<'static> {
    let at = match get(vcpu, reg::PC).as_deref() {
        Ok(&[a, b, c, d, e, f, g, h]) => format!("{:#x}", u64::from_le_bytes([a, b, c, d, e, f, g, h])),
        _ => "unknown".to_owned(),
    };
    Exit::System(SystemEvent::Crash { reason: format!("{reason}; vCPU {}, pc {at}", vcpu.index) })
}

/// An access to a device by an instruction that the hardware did not decode, such as a load of two registers. No device of
/// ours takes such; the guest gets an external abort for it, as it would from a bus that can't do it.
fn no_syndrome(vcpu: &mut Vcpu) -> Result<Exit<'_>> {
    // SAFETY: called after this exit alone, for which this is the union's field; it is two integers.
    let address = unsafe { vcpu.fd.get_kvm_run().__bindgen_anon_1.arm_nisv.fault_ipa };
    let reason = format!("access to {address:#x} by an instruction that can't be emulated");
    if vcpu.shared.fd.check_extension_raw(KVM_CAP_ARM_INJECT_EXT_DABT.into()) <= 0 {
        return Ok(crash(vcpu, &reason));
    }
    tracing::debug!(vcpu = vcpu.index, "{reason}");
    let mut events = vcpu.fd.get_vcpu_events().map_err(failed("read a vCPU's exceptions"))?;
    events.exception.ext_dabt_pending = 1;
    vcpu.fd.set_vcpu_events(&events).map_err(failed("give a vCPU an abort"))?;
    Ok(Exit::Resume)
}

pub fn save(vcpu: &mut Vcpu) -> Result<hv::VcpuState> {
    finalize(vcpu, None)?;
    complete(vcpu)?;
    let mut registers = Vec::new();
    for id in list(vcpu)? {
        registers.push(Register { id, value: get(vcpu, id)? });
    }
    let mp_state = match vcpu.fd.get_mp_state().map_err(failed("read whether a vCPU runs"))?.mp_state {
        KVM_MP_STATE_STOPPED => MpState::Stopped,
        KVM_MP_STATE_SUSPENDED => MpState::Suspended,
        _ => MpState::Runnable,
    };
    let exception = vcpu.fd.get_vcpu_events().map_err(failed("read a vCPU's exceptions"))?.exception;
    let events = Events {
        serror_pending: exception.serror_pending != 0,
        serror_syndrome: (exception.serror_has_esr != 0).then_some(exception.serror_esr),
    };
    let state = VcpuState { registers, mp_state: Some(mp_state), events: Some(events) };
    Ok(hv::VcpuState::Aarch64(Box::new(state)))
}

/// Completes the MMIO access that the vCPU came back with: KVM_RUN does that before it looks at `immediate_exit`.
fn complete(vcpu: &mut Vcpu) -> Result<()> {
    if !vcpu.extra.unanswered {
        return Ok(());
    }
    vcpu.fd.set_kvm_immediate_exit(1);
    let result = vcpu.fd.run().map(|exit| format!("{exit:?}"));
    vcpu.fd.set_kvm_immediate_exit(0);
    match result {
        Err(error) if error.errno() == libc::EINTR => {
            vcpu.extra.unanswered = false;
            Ok(())
        }
        Err(error) => Err(failed("complete a vCPU's access to a device")(error)),
        Ok(exit) => {
            let unexpected = io::Error::other(format!("it came back with {exit}"));
            Err(failed("complete a vCPU's access to a device")(unexpected))
        }
    }
}

/// The identifiers of all registers that the vCPU has. Not by kvm-ioctls, which takes no more than 500.
fn list(vcpu: &Vcpu) -> Result<Vec<u64>> {
    // struct kvm_reg_list: the number, then the identifiers, 8 bytes each. A list that is too short is answered with the
    // number that it takes.
    let mut list = vec![0; 1];
    for _ in 0..2 {
        // SAFETY: the kernel writes the number, and identifiers only where the number that it finds leaves room for them;
        // that number is what the vector has beyond its first element.
        let result =
            unsafe { ioctl_with_mut_ptr(&vcpu.fd.as_raw_fd(), KVM_GET_REG_LIST(), list.as_mut_ptr()) };
        if result == 0 {
            list.remove(0);
            return Ok(list);
        }
        let error = io::Error::last_os_error();
        let wanted = list.first().and_then(|n| usize::try_from(*n).ok()).filter(|n| *n <= MAX_REGISTERS);
        match wanted {
            Some(n) if error.raw_os_error() == Some(libc::E2BIG) => {
                list = vec![0; n + 1];
                list[0] = n as u64;
            }
            _ => return Err(failed("list a vCPU's registers")(error)),
        }
    }
    Err(failed("list a vCPU's registers")(io::Error::from_raw_os_error(libc::E2BIG)))
}

fn get(vcpu: &Vcpu, id: u64) -> Result<Vec<u8>> {
    let mut value = vec![0; Register::size(id)];
    vcpu.fd.get_one_reg(id, &mut value).map_err(|error| of_register("read a vCPU's register", id, error))?;
    Ok(value)
}

fn set(vcpu: &Vcpu, id: u64, value: &[u8]) -> Result<()> {
    let result = match value.len() == Register::size(id) {
        true => vcpu.fd.set_one_reg(id, value),
        false => Err(errno::Error::new(libc::EINVAL)),
    };
    result.map_err(|error| of_register("set a vCPU's register", id, error))?;
    Ok(())
}

fn of_register(what: &'static str, id: u64, error: errno::Error) -> Error {
    failed(what)(io::Error::other(format!("{id:#x}: {error}")))
}

pub fn restore(vcpu: &mut Vcpu, state: &hv::VcpuState) -> Result<()> {
    let hv::VcpuState::Aarch64(state) = state else {
        return Err(Error::WrongIsa("this vCPU state"));
    };
    // Vector lengths come first: they decide which other registers there are. The counter is the machine's as a whole: the
    // vCPU that is restored last sets it.
    finalize(vcpu, Some(state))?;
    // On newer kernels (6.12 is one), a write of the monitors' set and clear registers adds to what is there or takes from it, as
    // the guest's would; on older ones it replaces what both stand for. To clear all and then to set is right for both.
    let (clearing, others): (Vec<_>, Vec<_>) =
        state.registers.iter().partition(|register| reg::CLEARING.contains(&register.id));
    for register in clearing {
        set(vcpu, register.id, &vec![0xff; register.value.len()])?;
    }
    for register in others.into_iter().filter(|register| register.id != reg::SVE_VLS) {
        set(vcpu, register.id, &register.value)?;
    }
    if let Some(events) = state.events {
        let mut all = kvm_vcpu_events::default();
        all.exception.serror_pending = events.serror_pending.into();
        all.exception.serror_has_esr = events.serror_syndrome.is_some().into();
        all.exception.serror_esr = events.serror_syndrome.unwrap_or(0);
        vcpu.fd.set_vcpu_events(&all).map_err(failed("set a vCPU's exceptions"))?;
    }
    if let Some(mp_state) = state.mp_state {
        let mp_state = match mp_state {
            MpState::Runnable => KVM_MP_STATE_RUNNABLE,
            MpState::Stopped => KVM_MP_STATE_STOPPED,
            MpState::Suspended => KVM_MP_STATE_SUSPENDED,
        };
        vcpu.fd.set_mp_state(kvm_mp_state { mp_state }).map_err(failed("set whether a vCPU runs"))?;
    }
    Ok(())
}

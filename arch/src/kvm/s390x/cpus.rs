//! Which vCPUs operate, and how they start, stop and reset each other (SIGP).
//!
//! KVM leaves the stopped state to the VMM: it refuses to run a vCPU that is in it. So such a vCPU's thread waits here for an
//! order of another vCPU. Orders that a running vCPU can take are interruptions that KVM delivers.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU8;
use std::sync::{Mutex, MutexGuard, PoisonError};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::bindings::{
    KVM_MP_STATE_OPERATING, KVM_MP_STATE_STOPPED, KVM_S390_RESTART, KVM_S390_SIGP_STOP,
    KVM_S390_STOP_FLAG_STORE_STATUS, kvm_mp_state, kvm_s390_irq, kvm_s390_stop_info,
};
use super::{ioctls, park};
use crate::kvm::{Result, failed};
use crate::s390x::Answer;
use crate::s390x::intercept::{Order, Sigp};

/// All vCPUs of a VM, as they see each other.
#[derive(Debug)]
pub struct Cpus {
    cpus: Mutex<Vec<Cpu>>,
}

#[derive(Debug)]
struct Cpu {
    /// Out of the stopped state.
    operates: bool,
    /// Wakes the thread while it waits for its start.
    wake: EventFd,
    /// Takes what others do to the vCPU.
    fd: File,
}

impl Cpus {
    pub fn new() -> Self {
        Cpus { cpus: Mutex::new(Vec::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Cpu>> {
        self.cpus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the next vCPU, by ascending index, known to the others.
    pub fn add(&self, fd: File, operates: bool) -> io::Result<()> {
        let wake = EventFd::new(EFD_NONBLOCK)?;
        self.lock().push(Cpu { operates, wake, fd });
        Ok(())
    }

    /// Notes whether a vCPU operates.
    pub fn set(&self, index: u32, operates: bool) {
        if let Some(cpu) = self.lock().get_mut(index as usize) {
            cpu.operates = operates;
        }
    }

    /// Has a vCPU leave or enter the stopped state.
    pub fn set_operates(&self, index: u32, operates: bool) -> Result<()> {
        match self.lock().get_mut(index as usize) {
            Some(cpu) => cpu.set_operates(operates),
            None => Ok(()),
        }
    }

    /// Has a vCPU enter the stopped state, and tells whether any operates still. Called by its own thread.
    pub fn stop(&self, index: u32) -> Result<bool> {
        let mut cpus = self.lock();
        if let Some(cpu) = cpus.get_mut(index as usize) {
            cpu.set_operates(false)?;
        }
        Ok(cpus.iter().any(|cpu| cpu.operates))
    }

    /// Whether a vCPU is in the stopped state.
    pub fn is_stopped(&self, index: u32) -> bool {
        self.lock().get(index as usize).is_some_and(|cpu| !cpu.operates)
    }

    /// Carries out a signal to a vCPU. It takes effect at once, as orders that KVM carries out may follow.
    pub fn signal(&self, sigp: &Sigp) -> Result<Answer> {
        let mut cpus = self.lock();
        let Some(cpu) = cpus.get_mut(usize::from(sigp.cpu)) else {
            return Ok(sigp.not_operational());
        };
        let accepted = match sigp.order {
            Order::Start => cpu.start()?,
            // KVM delivers it before all other interruptions, but for a new prefix.
            Order::Restart => cpu.interrupt(KVM_S390_RESTART, 0)? && cpu.start()?,
            Order::Stop => cpu.interrupt(KVM_S390_SIGP_STOP, 0)?,
            Order::StopAndStoreStatus => {
                cpu.interrupt(KVM_S390_SIGP_STOP, KVM_S390_STOP_FLAG_STORE_STATUS)?
            }
            Order::InitialCpuReset => cpu.reset(ioctls::s390_initial_reset)?,
            Order::CpuReset => cpu.reset(ioctls::s390_normal_reset)?,
        };
        Ok(if accepted { sigp.accepted() } else { sigp.busy() })
    }

    /// Waits until a vCPU is started, or its thread is kicked.
    pub fn wait(&self, index: u32, immediate_exit: &AtomicU8) -> Result<()> {
        let wake = match self.lock().get(index as usize) {
            Some(cpu) => cpu.wake.as_raw_fd(),
            None => return Ok(()),
        };
        park::wait(wake, immediate_exit).map_err(failed("wait for a vCPU's start"))?;
        if let Some(cpu) = self.lock().get(index as usize) {
            // Empty when it was a kick that ended the wait.
            let _ = cpu.wake.read();
        }
        Ok(())
    }
}

impl Cpu {
    fn set_operates(&mut self, operates: bool) -> Result<()> {
        let mp_state = if operates { KVM_MP_STATE_OPERATING } else { KVM_MP_STATE_STOPPED };
        let what = "set whether a vCPU runs";
        ioctls::set_mp_state(&self.fd, kvm_mp_state { mp_state }).map_err(failed(what))?;
        self.operates = operates;
        Ok(())
    }

    /// Has it leave the stopped state, if it is in it.
    fn start(&mut self) -> Result<bool> {
        if !self.operates {
            self.set_operates(true)?;
            self.wake.write(1).map_err(failed("wake a vCPU"))?;
        }
        Ok(true)
    }

    /// Resets it. One that operates is told to stop, and is busy until it has: the guest tries again.
    fn reset(&self, reset: fn(&File) -> ioctls::Result<()>) -> Result<bool> {
        if self.operates {
            self.interrupt(KVM_S390_SIGP_STOP, 0)?;
            return Ok(false);
        }
        reset(&self.fd).map_err(failed("reset a vCPU"))?;
        Ok(true)
    }

    /// Makes an interruption pending. `false` when one of its kind is pending already.
    fn interrupt(&self, kind: u32, stop_flags: u32) -> Result<bool> {
        let mut irq = kvm_s390_irq { type_: kind.into(), ..Default::default() };
        irq.u.stop = kvm_s390_stop_info { flags: stop_flags };
        match ioctls::s390_irq(&self.fd, &irq) {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == libc::EBUSY => Ok(false),
            Err(error) => Err(failed("interrupt a vCPU")(error)),
        }
    }
}

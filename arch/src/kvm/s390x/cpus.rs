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
    KVM_S390_RESTART, KVM_S390_SIGP_STOP, KVM_S390_STOP_FLAG_STORE_STATUS, kvm_s390_irq, kvm_s390_stop_info,
};
use super::{ioctls, park};
use crate::kvm::{Result, failed};
use crate::s390x::Answer;
use crate::s390x::intercept::{Order, Sigp};

/// What a vCPU's own thread does for another vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Leaves the stopped state.
    Start,
    /// Enters the stopped state by an initial CPU reset.
    InitialReset,
    /// Enters the stopped state by a CPU reset.
    Reset,
}

/// All vCPUs of a VM, as they see each other.
#[derive(Debug)]
pub struct Cpus {
    cpus: Mutex<Vec<Cpu>>,
}

#[derive(Debug)]
struct Cpu {
    /// Out of the stopped state, or about to be.
    operates: bool,
    task: Option<Task>,
    /// Wakes the thread while it waits for a task.
    wake: EventFd,
    /// Takes interruptions while the vCPU runs.
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
        self.lock().push(Cpu { operates, task: None, wake, fd });
        Ok(())
    }

    /// Notes whether a vCPU operates. Whatever others wanted of it is void.
    pub fn set(&self, index: u32, operates: bool) {
        if let Some(cpu) = self.lock().get_mut(index as usize) {
            (cpu.operates, cpu.task) = (operates, None);
        }
    }

    /// Notes that a vCPU is stopped, and tells whether any operates still. What others want of it stays to be done.
    pub fn stop(&self, index: u32) -> bool {
        let mut cpus = self.lock();
        if let Some(cpu) = cpus.get_mut(index as usize) {
            cpu.operates = cpu.task == Some(Task::Start);
        }
        cpus.iter().any(|cpu| cpu.operates)
    }

    /// What others want of a vCPU. Asked by its own thread, which does it then.
    pub fn take_task(&self, index: u32) -> Option<Task> {
        self.lock().get_mut(index as usize)?.task.take()
    }

    /// Whether a vCPU is in the stopped state, with nothing to do.
    pub fn is_stopped(&self, index: u32) -> bool {
        self.lock().get(index as usize).is_some_and(|cpu| !cpu.operates && cpu.task.is_none())
    }

    /// Carries out a signal to a vCPU as far as the sender can.
    pub fn signal(&self, sigp: &Sigp) -> Result<Answer> {
        let mut cpus = self.lock();
        let Some(cpu) = cpus.get_mut(usize::from(sigp.cpu)) else {
            return Ok(sigp.not_operational());
        };
        if cpu.task.is_some() {
            return Ok(sigp.busy());
        }
        let operates = cpu.operates;
        let accepted = match sigp.order {
            Order::Start if operates => true,
            Order::Start => cpu.give(Task::Start)?,
            // KVM delivers it before all other interruptions, but for a new prefix.
            Order::Restart => cpu.interrupt(KVM_S390_RESTART, 0)? && (operates || cpu.give(Task::Start)?),
            Order::Stop => cpu.interrupt(KVM_S390_SIGP_STOP, 0)?,
            Order::StopAndStoreStatus => {
                cpu.interrupt(KVM_S390_SIGP_STOP, KVM_S390_STOP_FLAG_STORE_STATUS)?
            }
            Order::InitialCpuReset => cpu.reset(Task::InitialReset)?,
            Order::CpuReset => cpu.reset(Task::Reset)?,
        };
        Ok(if accepted { sigp.accepted() } else { sigp.busy() })
    }

    /// Waits until there is a task for a vCPU, or its thread is kicked.
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
    /// Gives a stopped vCPU's thread something to do.
    fn give(&mut self, task: Task) -> Result<bool> {
        self.task = Some(task);
        self.operates |= task == Task::Start;
        self.wake.write(1).map_err(failed("wake a vCPU"))?;
        Ok(true)
    }

    /// Has a vCPU reset itself; one that runs is stopped first.
    fn reset(&mut self, task: Task) -> Result<bool> {
        let stops = !self.operates || self.interrupt(KVM_S390_SIGP_STOP, 0)?;
        if stops { self.give(task) } else { Ok(false) }
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

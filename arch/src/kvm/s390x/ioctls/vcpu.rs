//! Ioctls of vCPUs.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use vmm_sys_util::errno;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ref};

use super::{
    KVM_ENABLE_CAP, KVM_GET_MP_STATE, KVM_GET_ONE_REG, KVM_RUN, KVM_S390_CLEAR_RESET, KVM_S390_GET_IRQ_STATE,
    KVM_S390_INITIAL_RESET, KVM_S390_IRQ, KVM_S390_MEM_OP, KVM_S390_NORMAL_RESET, KVM_S390_SET_IRQ_STATE,
    KVM_SET_MP_STATE, KVM_SET_ONE_REG, KvmRunWrapper, Result, checked,
};
use crate::kvm::glue::bindings::{
    KVM_EXIT_DEBUG, KVM_EXIT_FAIL_ENTRY, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_INTR, KVM_EXIT_S390_RESET,
    KVM_EXIT_S390_SIEIC, KVM_EXIT_S390_STSI, KVM_EXIT_S390_TSCH, KVM_EXIT_UNKNOWN, KVM_REG_SIZE_MASK,
    KVM_REG_SIZE_SHIFT, kvm_enable_cap, kvm_mp_state, kvm_one_reg, kvm_run, kvm_s390_irq, kvm_s390_irq_state,
    kvm_s390_mem_op, kvm_sync_regs,
};

/// Why KVM_RUN came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VcpuExit {
    /// KVM_EXIT_UNKNOWN.
    Unknown,
    /// KVM_EXIT_DEBUG.
    Debug,
    /// KVM_EXIT_FAIL_ENTRY: the hardware's reason, and the host's CPU.
    FailEntry(u64, u32),
    /// KVM_EXIT_INTR.
    Intr,
    /// KVM_EXIT_INTERNAL_ERROR.
    InternalError,
    /// KVM_EXIT_S390_SIEIC: an interception.
    S390Sieic {
        /// Its code.
        icptcode: u8,
        /// The first two bytes of the instruction.
        ipa: u16,
        /// Those that follow.
        ipb: u32,
    },
    /// KVM_EXIT_S390_RESET: DIAG 308 subcode 3 or 4, with the kernel's flags.
    S390Reset(u64),
    /// KVM_EXIT_S390_TSCH: TEST SUBCHANNEL, which may have dequeued an interrupt.
    S390Tsch {
        /// Subsystem identification of the interrupt.
        subchannel_id: u16,
        /// Its subchannel.
        subchannel_nr: u16,
        /// Its parameter.
        io_int_parm: u32,
        /// Its identification word.
        io_int_word: u32,
        /// Bytes 2 to 5 of the instruction.
        ipb: u32,
        /// Whether the fields above stand for an interrupt.
        dequeued: bool,
    },
    /// KVM_EXIT_S390_STSI: STORE SYSTEM INFORMATION, whose block the kernel has filled in.
    S390Stsi {
        /// Logical address of the block.
        addr: u64,
        /// Access register.
        ar: u8,
        /// Function code.
        fc: u8,
        /// Selector 1.
        sel1: u8,
        /// Selector 2.
        sel2: u16,
    },
    /// Any other.
    Unsupported(u32),
}

/// Bytes of a register, by its identifier.
pub fn reg_size(reg_id: u64) -> usize {
    1 << ((reg_id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT)
}

/// KVM_S390_IRQ, by any descriptor of the vCPU: the kernel takes it while the vCPU runs, too.
pub fn s390_irq<F: AsRawFd>(vcpu: &F, irq: &kvm_s390_irq) -> Result<()> {
    // SAFETY: the structure is the one that the request takes.
    checked(unsafe { ioctl_with_ref(vcpu, KVM_S390_IRQ(), irq) }).map(drop)
}

/// KVM_SET_MP_STATE, by any descriptor of the vCPU. Waits while the vCPU runs.
pub fn set_mp_state<F: AsRawFd>(vcpu: &F, mp_state: kvm_mp_state) -> Result<()> {
    // SAFETY: the structure is the one that the request takes.
    checked(unsafe { ioctl_with_ref(vcpu, KVM_SET_MP_STATE(), &mp_state) }).map(drop)
}

/// KVM_S390_NORMAL_RESET, by any descriptor of the vCPU. Waits while the vCPU runs.
pub fn s390_normal_reset<F: AsRawFd>(vcpu: &F) -> Result<()> {
    // SAFETY: takes no argument.
    checked(unsafe { ioctl(vcpu, KVM_S390_NORMAL_RESET()) }).map(drop)
}

/// KVM_S390_INITIAL_RESET, by any descriptor of the vCPU. Waits while the vCPU runs.
pub fn s390_initial_reset<F: AsRawFd>(vcpu: &F) -> Result<()> {
    // SAFETY: takes no argument.
    checked(unsafe { ioctl(vcpu, KVM_S390_INITIAL_RESET()) }).map(drop)
}

/// A vCPU.
#[derive(Debug)]
pub struct VcpuFd {
    vcpu: File,
    run: KvmRunWrapper,
}

impl VcpuFd {
    pub(super) fn new(vcpu: File, run: KvmRunWrapper) -> Self {
        VcpuFd { vcpu, run }
    }

    /// KVM_RUN.
    pub fn run(&mut self) -> Result<VcpuExit> {
        // SAFETY: takes no argument; what the guest may reach was settled by `set_user_memory_region`.
        checked(unsafe { ioctl(self, KVM_RUN()) })?;
        let run = self.run.as_ref();
        let exit = &run.__bindgen_anon_1;
        Ok(match run.exit_reason {
            KVM_EXIT_UNKNOWN => VcpuExit::Unknown,
            KVM_EXIT_DEBUG => VcpuExit::Debug,
            KVM_EXIT_FAIL_ENTRY => {
                // SAFETY: the exit reason says that this member is the valid one; any bytes are integers.
                let entry = unsafe { exit.fail_entry };
                VcpuExit::FailEntry(entry.hardware_entry_failure_reason, entry.cpu)
            }
            KVM_EXIT_INTR => VcpuExit::Intr,
            KVM_EXIT_INTERNAL_ERROR => VcpuExit::InternalError,
            KVM_EXIT_S390_SIEIC => {
                // SAFETY: as above.
                let sieic = unsafe { exit.s390_sieic };
                VcpuExit::S390Sieic { icptcode: sieic.icptcode, ipa: sieic.ipa, ipb: sieic.ipb }
            }
            KVM_EXIT_S390_RESET => {
                // SAFETY: as above.
                VcpuExit::S390Reset(unsafe { exit.s390_reset_flags })
            }
            KVM_EXIT_S390_TSCH => {
                // SAFETY: as above.
                let tsch = unsafe { exit.s390_tsch };
                VcpuExit::S390Tsch {
                    subchannel_id: tsch.subchannel_id,
                    subchannel_nr: tsch.subchannel_nr,
                    io_int_parm: tsch.io_int_parm,
                    io_int_word: tsch.io_int_word,
                    ipb: tsch.ipb,
                    dequeued: tsch.dequeued != 0,
                }
            }
            KVM_EXIT_S390_STSI => {
                // SAFETY: as above.
                let stsi = unsafe { exit.s390_stsi };
                VcpuExit::S390Stsi {
                    addr: stsi.addr,
                    ar: stsi.ar,
                    fc: stsi.fc,
                    sel1: stsi.sel1,
                    sel2: stsi.sel2,
                }
            }
            reason => VcpuExit::Unsupported(reason),
        })
    }

    /// What is shared with the kernel.
    pub fn get_kvm_run(&mut self) -> &mut kvm_run {
        self.run.as_mut_ref()
    }

    /// Makes KVM_RUN return at once with EINTR, or no more.
    pub fn set_kvm_immediate_exit(&mut self, val: u8) {
        self.run.as_mut_ref().immediate_exit = val;
    }

    /// The registers that are shared with the kernel.
    pub fn sync_regs(&self) -> &kvm_sync_regs {
        // SAFETY: on s390x the area always holds the registers; any bytes are integers.
        unsafe { &self.run.as_ref().s.regs }
    }

    /// The registers that are shared with the kernel, to be changed. `kvm_dirty_regs` must tell which were.
    pub fn sync_regs_mut(&mut self) -> &mut kvm_sync_regs {
        // SAFETY: as in `sync_regs`.
        unsafe { &mut self.run.as_mut_ref().s.regs }
    }

    /// KVM_ENABLE_CAP, of the vCPU.
    pub fn enable_cap(&self, cap: &kvm_enable_cap) -> Result<()> {
        // SAFETY: the structure is the one that the request takes, and holds no pointer for the capabilities of s390x.
        checked(unsafe { ioctl_with_ref(self, KVM_ENABLE_CAP(), cap) }).map(drop)
    }

    /// KVM_GET_MP_STATE.
    pub fn get_mp_state(&self) -> Result<kvm_mp_state> {
        let mut state = kvm_mp_state::default();
        // SAFETY: the structure is the one that the request fills.
        let result = checked(unsafe { ioctl_with_mut_ref(self, KVM_GET_MP_STATE(), &mut state) })?;
        // On s390x, Linux returns the state as the result, and leaves the structure alone.
        match u32::try_from(result) {
            Ok(mp_state) if mp_state > 0 => Ok(kvm_mp_state { mp_state }),
            _ => Ok(state),
        }
    }

    /// KVM_SET_MP_STATE.
    pub fn set_mp_state(&self, mp_state: kvm_mp_state) -> Result<()> {
        set_mp_state(self, mp_state)
    }

    /// KVM_GET_ONE_REG.
    pub fn get_one_reg(&self, reg_id: u64, data: &mut [u8]) -> Result<usize> {
        let size = reg_size(reg_id);
        if data.len() < size {
            return Err(errno::Error::new(libc::EINVAL));
        }
        let reg = kvm_one_reg { id: reg_id, addr: data.as_mut_ptr() as u64 };
        // SAFETY: the kernel writes as many bytes as the identifier says, which `data` has.
        checked(unsafe { ioctl_with_ref(self, KVM_GET_ONE_REG(), &reg) })?;
        Ok(size)
    }

    /// KVM_SET_ONE_REG.
    pub fn set_one_reg(&self, reg_id: u64, data: &[u8]) -> Result<usize> {
        let size = reg_size(reg_id);
        if data.len() < size {
            return Err(errno::Error::new(libc::EINVAL));
        }
        let reg = kvm_one_reg { id: reg_id, addr: data.as_ptr() as u64 };
        // SAFETY: the kernel reads as many bytes as the identifier says, which `data` has.
        checked(unsafe { ioctl_with_ref(self, KVM_SET_ONE_REG(), &reg) })?;
        Ok(size)
    }

    /// KVM_S390_NORMAL_RESET: CPU reset.
    pub fn s390_normal_reset(&self) -> Result<()> {
        s390_normal_reset(self)
    }

    /// KVM_S390_INITIAL_RESET: initial CPU reset.
    pub fn s390_initial_reset(&self) -> Result<()> {
        s390_initial_reset(self)
    }

    /// KVM_S390_CLEAR_RESET: clear reset.
    pub fn s390_clear_reset(&self) -> Result<()> {
        // SAFETY: takes no argument.
        checked(unsafe { ioctl(self, KVM_S390_CLEAR_RESET()) }).map(drop)
    }

    /// KVM_S390_IRQ: makes an interrupt of the vCPU pending.
    pub fn s390_irq(&self, irq: &kvm_s390_irq) -> Result<()> {
        s390_irq(self, irq)
    }

    /// KVM_S390_GET_IRQ_STATE: the interrupts that are pending, as the kernel lays them out. Gives the bytes written.
    pub fn s390_get_irq_state(&self, buf: &mut [u8]) -> Result<usize> {
        let len = u32::try_from(buf.len()).map_err(|_| errno::Error::new(libc::EINVAL))?;
        let state = kvm_s390_irq_state { buf: buf.as_mut_ptr() as u64, len, ..Default::default() };
        // SAFETY: the kernel writes up to `len` bytes to `buf`.
        let len = checked(unsafe { ioctl_with_ref(self, KVM_S390_GET_IRQ_STATE(), &state) })?;
        Ok(usize::try_from(len).unwrap_or(0))
    }

    /// KVM_S390_SET_IRQ_STATE: makes interrupts pending, on a vCPU that has none.
    pub fn s390_set_irq_state(&self, buf: &[u8]) -> Result<()> {
        let len = u32::try_from(buf.len()).map_err(|_| errno::Error::new(libc::EINVAL))?;
        let state = kvm_s390_irq_state { buf: buf.as_ptr() as u64, len, ..Default::default() };
        // SAFETY: the kernel reads `len` bytes of `buf`.
        checked(unsafe { ioctl_with_ref(self, KVM_S390_SET_IRQ_STATE(), &state) }).map(drop)
    }

    /// KVM_S390_MEM_OP. A positive result is the number of a program exception.
    ///
    /// # Safety
    /// `buf` leads to `size` bytes, which the kernel may write to if the operation reads.
    pub unsafe fn s390_mem_op(&self, op: &kvm_s390_mem_op) -> Result<i32> {
        // SAFETY: the caller vouches for the buffer.
        checked(unsafe { ioctl_with_ref(self, KVM_S390_MEM_OP(), op) })
    }

    /// A second descriptor of the vCPU, for what may be asked while it runs.
    pub fn try_clone_file(&self) -> std::io::Result<File> {
        self.vcpu.try_clone()
    }
}

impl AsRawFd for VcpuFd {
    fn as_raw_fd(&self) -> RawFd {
        self.vcpu.as_raw_fd()
    }
}

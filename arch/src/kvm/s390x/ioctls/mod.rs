//! KVM's ioctls on s390x, in the image of kvm-ioctls: the same names and signatures where it has them, so that this can be
//! offered to it. It does not build for s390x, as kvm-bindings has nothing for that ISA.

mod device;
mod system;
mod vcpu;
mod vm;

pub use device::DeviceFd;
pub use system::Kvm;
pub use vcpu::{VcpuExit, VcpuFd, s390_initial_reset, s390_irq, s390_normal_reset, set_mp_state};
pub use vm::VmFd;

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::{self, NonNull};

use vmm_sys_util::{errno, ioctl_io_nr, ioctl_ior_nr, ioctl_iow_nr, ioctl_iowr_nr};

use super::bindings::{
    KVMIO, kvm_create_device, kvm_device_attr, kvm_enable_cap, kvm_ioeventfd, kvm_irq_routing, kvm_irqfd,
    kvm_mp_state, kvm_one_reg, kvm_run, kvm_s390_interrupt, kvm_s390_irq, kvm_s390_irq_state,
    kvm_s390_mem_op, kvm_userspace_memory_region,
};

/// The result of an ioctl.
pub type Result<T> = std::result::Result<T, errno::Error>;

// Of /dev/kvm.
ioctl_io_nr!(KVM_GET_API_VERSION, KVMIO, 0x00);
ioctl_io_nr!(KVM_CREATE_VM, KVMIO, 0x01);
ioctl_io_nr!(KVM_CHECK_EXTENSION, KVMIO, 0x03);
ioctl_io_nr!(KVM_GET_VCPU_MMAP_SIZE, KVMIO, 0x04);

// Of VMs.
ioctl_io_nr!(KVM_CREATE_VCPU, KVMIO, 0x41);
ioctl_iow_nr!(KVM_SET_USER_MEMORY_REGION, KVMIO, 0x46, kvm_userspace_memory_region);
ioctl_io_nr!(KVM_CREATE_IRQCHIP, KVMIO, 0x60);
ioctl_iow_nr!(KVM_SET_GSI_ROUTING, KVMIO, 0x6a, kvm_irq_routing);
ioctl_iow_nr!(KVM_IRQFD, KVMIO, 0x76, kvm_irqfd);
ioctl_iow_nr!(KVM_IOEVENTFD, KVMIO, 0x79, kvm_ioeventfd);
ioctl_iowr_nr!(KVM_CREATE_DEVICE, KVMIO, 0xe0, kvm_create_device);

// Of VMs and vCPUs, or of VMs and devices.
ioctl_iow_nr!(KVM_S390_INTERRUPT, KVMIO, 0x94, kvm_s390_interrupt);
ioctl_iow_nr!(KVM_ENABLE_CAP, KVMIO, 0xa3, kvm_enable_cap);
ioctl_iow_nr!(KVM_SET_DEVICE_ATTR, KVMIO, 0xe1, kvm_device_attr);
ioctl_iow_nr!(KVM_GET_DEVICE_ATTR, KVMIO, 0xe2, kvm_device_attr);
ioctl_iow_nr!(KVM_HAS_DEVICE_ATTR, KVMIO, 0xe3, kvm_device_attr);

// Of vCPUs.
ioctl_io_nr!(KVM_RUN, KVMIO, 0x80);
ioctl_io_nr!(KVM_S390_INITIAL_RESET, KVMIO, 0x97);
ioctl_ior_nr!(KVM_GET_MP_STATE, KVMIO, 0x98, kvm_mp_state);
ioctl_iow_nr!(KVM_SET_MP_STATE, KVMIO, 0x99, kvm_mp_state);
ioctl_iow_nr!(KVM_GET_ONE_REG, KVMIO, 0xab, kvm_one_reg);
ioctl_iow_nr!(KVM_SET_ONE_REG, KVMIO, 0xac, kvm_one_reg);
ioctl_iow_nr!(KVM_S390_MEM_OP, KVMIO, 0xb1, kvm_s390_mem_op);
ioctl_iow_nr!(KVM_S390_IRQ, KVMIO, 0xb4, kvm_s390_irq);
ioctl_iow_nr!(KVM_S390_SET_IRQ_STATE, KVMIO, 0xb5, kvm_s390_irq_state);
ioctl_iow_nr!(KVM_S390_GET_IRQ_STATE, KVMIO, 0xb6, kvm_s390_irq_state);
ioctl_io_nr!(KVM_S390_NORMAL_RESET, KVMIO, 0xc3);
ioctl_io_nr!(KVM_S390_CLEAR_RESET, KVMIO, 0xc4);

/// What an ioctl gave, or the error it left in errno.
fn checked(result: libc::c_int) -> Result<libc::c_int> {
    if result < 0 { Err(errno::Error::last()) } else { Ok(result) }
}

/// The file of a descriptor that an ioctl has just made for us.
///
/// # Safety
/// Nobody else owns `fd`.
unsafe fn new_file(fd: libc::c_int) -> File {
    // SAFETY: the caller vouches for it.
    unsafe { File::from_raw_fd(fd) }
}

/// The page, or pages, that a vCPU shares with the kernel.
#[derive(Debug)]
pub struct KvmRunWrapper {
    run: NonNull<kvm_run>,
    size: usize,
}

// SAFETY: the pointer is to a mapping that this value owns, reached only through `&self` and `&mut self`.
unsafe impl Send for KvmRunWrapper {}
// SAFETY: as above.
unsafe impl Sync for KvmRunWrapper {}

impl KvmRunWrapper {
    /// Maps the first `size` bytes of a vCPU's `fd`. As in kvm-ioctls, `size` is what KVM_GET_VCPU_MMAP_SIZE gave.
    pub fn mmap_from_fd<F: AsRawFd>(fd: &F, size: usize) -> Result<Self> {
        if size < size_of::<kvm_run>() {
            return Err(errno::Error::new(libc::EINVAL));
        }
        // SAFETY: a new mapping, where the kernel likes it.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(address) {
            Some(run) if address != libc::MAP_FAILED => Ok(KvmRunWrapper { run: run.cast(), size }),
            _ => Err(errno::Error::last()),
        }
    }

    /// What is shared.
    pub fn as_mut_ref(&mut self) -> &mut kvm_run {
        // SAFETY: the mapping is larger than the structure, page-aligned, and any bytes are a valid structure.
        unsafe { self.run.as_mut() }
    }
}

impl AsRef<kvm_run> for KvmRunWrapper {
    fn as_ref(&self) -> &kvm_run {
        // SAFETY: as in `as_mut_ref`.
        unsafe { self.run.as_ref() }
    }
}

impl Drop for KvmRunWrapper {
    fn drop(&mut self) {
        // SAFETY: nothing that was borrowed of the mapping outlives `self`.
        unsafe { libc::munmap(self.run.as_ptr().cast(), self.size) };
    }
}

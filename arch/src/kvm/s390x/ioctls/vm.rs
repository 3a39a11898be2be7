//! Ioctls of VMs.

use std::ffi::c_ulong;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use vmm_sys_util::errno;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ptr, ioctl_with_ref, ioctl_with_val};

use super::{
    DeviceFd, KVM_CHECK_EXTENSION, KVM_CREATE_DEVICE, KVM_CREATE_IRQCHIP, KVM_CREATE_VCPU, KVM_ENABLE_CAP,
    KVM_GET_DEVICE_ATTR, KVM_HAS_DEVICE_ATTR, KVM_IOEVENTFD, KVM_IRQFD, KVM_S390_INTERRUPT,
    KVM_SET_DEVICE_ATTR, KVM_SET_GSI_ROUTING, KVM_SET_USER_MEMORY_REGION, KvmRunWrapper, Result, VcpuFd,
    checked, new_file,
};
use crate::kvm::glue::bindings::{
    KVM_IRQFD_FLAG_DEASSIGN, kvm_create_device, kvm_device_attr, kvm_enable_cap, kvm_ioeventfd,
    kvm_ioeventfd_flag_nr_datamatch, kvm_ioeventfd_flag_nr_deassign, kvm_ioeventfd_flag_nr_virtio_ccw_notify,
    kvm_irq_routing, kvm_irq_routing_entry, kvm_irqfd, kvm_s390_interrupt, kvm_userspace_memory_region,
};

/// A VM.
#[derive(Debug)]
pub struct VmFd {
    vm: File,
    run_size: usize,
}

impl VmFd {
    pub(super) fn new(vm: File, run_size: usize) -> Self {
        VmFd { vm, run_size }
    }

    /// KVM_SET_USER_MEMORY_REGION.
    ///
    /// # Safety
    /// `userspace_addr` leads to that much mapped memory, and it stays mapped for as long as the guest can reach it.
    pub unsafe fn set_user_memory_region(
        &self,
        user_memory_region: kvm_userspace_memory_region,
    ) -> Result<()> {
        // SAFETY: the caller vouches for the memory; the structure is the one that the request takes.
        let result = unsafe { ioctl_with_ref(self, KVM_SET_USER_MEMORY_REGION(), &user_memory_region) };
        checked(result).map(drop)
    }

    /// KVM_CREATE_IRQCHIP.
    pub fn create_irq_chip(&self) -> Result<()> {
        // SAFETY: takes no argument.
        checked(unsafe { ioctl(self, KVM_CREATE_IRQCHIP()) }).map(drop)
    }

    /// KVM_CREATE_VCPU.
    pub fn create_vcpu(&self, id: u64) -> Result<VcpuFd> {
        // SAFETY: takes a number.
        let fd = checked(unsafe { ioctl_with_val(self, KVM_CREATE_VCPU(), id) })?;
        // SAFETY: it has just been made for us.
        let vcpu = unsafe { new_file(fd) };
        let run = KvmRunWrapper::mmap_from_fd(&vcpu, self.run_size)?;
        Ok(VcpuFd::new(vcpu, run))
    }

    /// KVM_CREATE_DEVICE.
    pub fn create_device(&self, device: &mut kvm_create_device) -> Result<DeviceFd> {
        // SAFETY: the structure is the one that the request takes.
        checked(unsafe { ioctl_with_mut_ref(self, KVM_CREATE_DEVICE(), device) })?;
        // SAFETY: it has just been made for us. Descriptors are small.
        Ok(DeviceFd::new(unsafe { new_file(device.fd.cast_signed()) }))
    }

    /// KVM_ENABLE_CAP.
    pub fn enable_cap(&self, cap: &kvm_enable_cap) -> Result<()> {
        // SAFETY: the structure is the one that the request takes, and holds no pointer for the capabilities of s390x.
        checked(unsafe { ioctl_with_ref(self, KVM_ENABLE_CAP(), cap) }).map(drop)
    }

    /// KVM_CHECK_EXTENSION: 0 or less when `cap` is missing.
    pub fn check_extension_raw(&self, cap: c_ulong) -> i32 {
        // SAFETY: takes a number.
        unsafe { ioctl_with_val(self, KVM_CHECK_EXTENSION(), cap) }
    }

    /// KVM_S390_INTERRUPT: makes a floating interrupt pending.
    pub fn s390_interrupt(&self, interrupt: &kvm_s390_interrupt) -> Result<()> {
        // SAFETY: the structure is the one that the request takes.
        checked(unsafe { ioctl_with_ref(self, KVM_S390_INTERRUPT(), interrupt) }).map(drop)
    }

    /// KVM_IOEVENTFD, of virtio-ccw's notifications: by subsystem-identification word and queue.
    pub fn register_ccw_notify(&self, fd: &EventFd, id: u32, queue: u32) -> Result<()> {
        self.ccw_notify(fd, id, queue, 0)
    }

    /// Takes `register_ccw_notify` back.
    pub fn unregister_ccw_notify(&self, fd: &EventFd, id: u32, queue: u32) -> Result<()> {
        self.ccw_notify(fd, id, queue, 1 << kvm_ioeventfd_flag_nr_deassign)
    }

    fn ccw_notify(&self, fd: &EventFd, id: u32, queue: u32, flags: u32) -> Result<()> {
        let by_queue = 1 << kvm_ioeventfd_flag_nr_virtio_ccw_notify | 1 << kvm_ioeventfd_flag_nr_datamatch;
        let ioeventfd = kvm_ioeventfd {
            datamatch: queue.into(),
            addr: id.into(),
            len: 8,
            fd: fd.as_raw_fd(),
            flags: flags | by_queue,
            ..Default::default()
        };
        // SAFETY: the structure is the one that the request takes.
        checked(unsafe { ioctl_with_ref(self, KVM_IOEVENTFD(), &ioeventfd) }).map(drop)
    }

    /// KVM_IRQFD.
    pub fn register_irqfd(&self, fd: &EventFd, gsi: u32) -> Result<()> {
        self.irqfd(fd, gsi, 0)
    }

    /// KVM_IRQFD with KVM_IRQFD_FLAG_DEASSIGN. What was written before has been carried out when it returns.
    pub fn unregister_irqfd(&self, fd: &EventFd, gsi: u32) -> Result<()> {
        self.irqfd(fd, gsi, KVM_IRQFD_FLAG_DEASSIGN)
    }

    fn irqfd(&self, fd: &EventFd, gsi: u32, flags: u32) -> Result<()> {
        let fd = u32::try_from(fd.as_raw_fd()).map_err(|_| errno::Error::new(libc::EBADF))?;
        let irqfd = kvm_irqfd { fd, gsi, flags, ..Default::default() };
        // SAFETY: the structure is the one that the request takes.
        checked(unsafe { ioctl_with_ref(self, KVM_IRQFD(), &irqfd) }).map(drop)
    }

    /// KVM_SET_GSI_ROUTING. Unlike kvm-ioctls' it takes a slice.
    pub fn set_gsi_routing(&self, entries: &[kvm_irq_routing_entry]) -> Result<()> {
        const HEADER: usize = size_of::<kvm_irq_routing>();
        const ENTRY: usize = size_of::<kvm_irq_routing_entry>();
        let nr = u32::try_from(entries.len()).map_err(|_| errno::Error::new(libc::E2BIG))?;
        // Aligned as the structures are.
        let mut table = vec![0u64; (HEADER + ENTRY * entries.len()).div_ceil(size_of::<u64>())];
        let start = table.as_mut_ptr();
        // SAFETY: the table is large enough for the header and all entries, and aligned for them.
        unsafe {
            let header = kvm_irq_routing { nr, ..Default::default() };
            start.cast::<kvm_irq_routing>().write(header);
            let first = start.byte_add(HEADER).cast::<kvm_irq_routing_entry>();
            std::ptr::copy_nonoverlapping(entries.as_ptr(), first, entries.len());
        }
        // SAFETY: the table is what the request takes: a header with the number of the entries behind it.
        checked(unsafe { ioctl_with_ptr(self, KVM_SET_GSI_ROUTING(), start) }).map(drop)
    }

    /// KVM_SET_DEVICE_ATTR.
    ///
    /// # Safety
    /// `addr` leads to memory of the attribute's size (unlike in kvm-ioctls, where this isn't said).
    pub unsafe fn set_device_attr(&self, device_attr: &kvm_device_attr) -> Result<()> {
        // SAFETY: the caller vouches for the memory.
        checked(unsafe { ioctl_with_ref(self, KVM_SET_DEVICE_ATTR(), device_attr) }).map(drop)
    }

    /// KVM_GET_DEVICE_ATTR.
    ///
    /// # Safety
    /// `addr` leads to memory of the attribute's size that may be written to.
    pub unsafe fn get_device_attr(&self, device_attr: &mut kvm_device_attr) -> Result<()> {
        // SAFETY: the caller vouches for the memory.
        checked(unsafe { ioctl_with_mut_ref(self, KVM_GET_DEVICE_ATTR(), device_attr) }).map(drop)
    }

    /// KVM_HAS_DEVICE_ATTR.
    pub fn has_device_attr(&self, device_attr: &kvm_device_attr) -> Result<()> {
        // SAFETY: the request does not look at `addr`.
        checked(unsafe { ioctl_with_ref(self, KVM_HAS_DEVICE_ATTR(), device_attr) }).map(drop)
    }
}

impl AsRawFd for VmFd {
    fn as_raw_fd(&self) -> RawFd {
        self.vm.as_raw_fd()
    }
}

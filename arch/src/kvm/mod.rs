//! The KVM glue: every ioctl of Triarch is made in this module.
//!
//! What the ISAs share is in this file. What differs is in one file an ISA, of which a build has one, `glue`; each offers the
//! same items, and `glue::sys` is kvm-ioctls or, on s390x, our own layer in its image.

#[cfg_attr(target_arch = "x86_64", path = "x86_64/mod.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64/mod.rs")]
#[cfg_attr(target_arch = "s390x", path = "s390x/mod.rs")]
mod glue;
mod kick;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion, GuestRegionMmap};
use vmm_sys_util::errno;
use vmm_sys_util::eventfd::EventFd;

use crate::GuestRam;
use crate::hv::{
    CpuModel, Doorbell, Exit, Feature, HostCaps, Interrupt, IrqRoute, Irqchip, SubsystemReset, VcpuState,
};
use glue::sys;

pub use kick::{Kicker, install_kick_handler};

/// The device node of KVM.
pub const DEVICE: &str = "/dev/kvm";

/// The API version that every KVM since Linux 2.6.22 has.
const API_VERSION: i32 = 12;

/// The guest can read a slot of memory, but what it writes there is an access to registers (Linux, include/uapi/linux/kvm.h).
const KVM_MEM_READONLY: u32 = 1 << 1;

/// A failure of KVM or of the host under it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device node can't be opened.
    #[error("can't open {path:?}")]
    Open {
        /// The node.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was opened is no KVM that can be used.
    #[error("{path:?} speaks KVM API version {found}, not {API_VERSION}")]
    ApiVersion {
        /// The node.
        path: PathBuf,
        /// What it answered; negative for an error.
        found: i32,
    },
    /// An ioctl failed.
    #[error("KVM can't {what}")]
    Ioctl {
        /// What was tried, as the end of "can't ...".
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The host's KVM lacks something that can't be done without.
    #[error("this host's KVM lacks {0}")]
    Missing(&'static str),
    /// A saved state that can't be, or that this host can't take.
    #[error("a vCPU's state has {0}")]
    BadState(&'static str),
    /// A register that the host does not take as it was saved.
    #[error("KVM refuses the value {value:#x} for a vCPU's register {id:#x}")]
    Register {
        /// The register, as KVM numbers it.
        id: u64,
        /// The value.
        value: u64,
    },
    /// A request that makes no sense on this ISA.
    #[error("{0} does not exist on this ISA")]
    WrongIsa(&'static str),
}

/// The result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Makes an [`Error::Ioctl`] of an ioctl's errno.
fn failed<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Ioctl { what, source: error.into() }
}

/// Creates a VM by `create`, again for as long as something interrupts it: the kernel takes every lock of this process' memory for that,
/// and gives up on a signal, or on work of io_uring that waits for this thread.
fn uninterrupted<T>(mut create: impl FnMut() -> Result<T, errno::Error>) -> Result<T, errno::Error> {
    loop {
        match create() {
            Err(error) if error.errno() == libc::EINTR => {}
            result => return result,
        }
    }
}

/// What a virtual machine is created with.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// The interrupt controller.
    pub irqchip: Irqchip,
    /// How the vCPUs look.
    pub cpu_model: CpuModel,
    /// How many there are.
    pub cpus: u32,
    /// One more than the highest guest-physical address that the machine uses.
    pub address_limit: u64,
    /// Whether RAM is made of huge pages, which KVM on s390x must be told.
    pub huge_pages: bool,
}

/// This host's KVM.
#[derive(Debug)]
pub struct Host {
    kvm: sys::Kvm,
}

impl Host {
    /// Opens KVM's device node, normally [`DEVICE`], and checks that it answers.
    pub fn open(path: &Path) -> Result<Self> {
        let open = |source| Error::Open { path: path.to_owned(), source };
        let node = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| open(io::ErrorKind::InvalidInput.into()))?;
        let kvm = sys::Kvm::new_with_path(node).map_err(|error| open(error.into()))?;
        // User-mode emulators open the node but can't talk to it, so only the answer counts.
        match kvm.get_api_version() {
            API_VERSION => Ok(Host { kvm }),
            found => Err(Error::ApiVersion { path: path.to_owned(), found }),
        }
    }

    /// Reads what the host can do.
    pub fn caps(&self) -> Result<HostCaps> {
        glue::host_caps(&self.kvm)
    }

    /// Every feature that matters to Triarch, present or not.
    pub fn features(&self) -> Vec<Feature> {
        glue::features(&self.kvm)
    }

    /// Creates a virtual machine with its interrupt controller, as far as that can be done before there are vCPUs.
    pub fn create_vm(&self, config: VmConfig) -> Result<Vm> {
        let fd = glue::create_vm(&self.kvm, &config)?;
        let machine = glue::Machine::new(&self.kvm, &fd, &config)?;
        Ok(Vm { shared: Arc::new(Shared { fd, machine, config }), ram: None, read_only: Vec::new() })
    }
}

/// What a VM and its vCPUs and interrupt senders have in common.
#[derive(Debug)]
struct Shared {
    fd: sys::VmFd,
    machine: glue::Machine,
    config: VmConfig,
}

/// A virtual machine.
#[derive(Debug)]
pub struct Vm {
    shared: Arc<Shared>,
    /// Keeps the mappings alive for as long as the guest can reach them.
    ram: Option<GuestRam>,
    /// Likewise.
    read_only: Vec<Arc<GuestRegionMmap>>,
}

impl Vm {
    /// Gives the guest its RAM. May be called once.
    pub fn set_ram(&mut self, ram: &GuestRam) -> Result<()> {
        for (slot, region) in (0..).zip(ram.iter()) {
            self.map(slot, 0, region)?;
        }
        self.ram = Some(ram.clone());
        Ok(())
    }

    /// Gives the guest memory that it can only read. Called after [`Vm::set_ram`], before there are vCPUs.
    pub fn add_read_only(&mut self, region: Arc<GuestRegionMmap>) -> Result<()> {
        let taken = self.ram.as_ref().map_or(0, GuestMemoryBackend::num_regions) + self.read_only.len();
        let slot = u32::try_from(taken).map_err(|_| Error::Missing("slots for guest memory"))?;
        self.map(slot, KVM_MEM_READONLY, &region)?;
        self.read_only.push(region);
        Ok(())
    }

    /// Maps a region, which the caller keeps until the VM is gone, unless that fails.
    fn map(&self, slot: u32, flags: u32, region: &GuestRegionMmap) -> Result<()> {
        let host = region.get_host_address(vm_memory::MemoryRegionAddress(0)).map_err(|error| {
            Error::Ioctl { what: "find the host address of RAM", source: io::Error::other(error) }
        })?;
        let memory = sys::MemoryRegion {
            slot,
            flags,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: host as u64,
        };
        // SAFETY: the region is mapped for its whole length; `self.ram` or `self.read_only` keeps the mapping until the VM is
        // gone (vCPUs hold `Shared`, and the guest runs only in them: `Vcpu` keeps clones of both too).
        unsafe { self.shared.fd.set_user_memory_region(memory) }.map_err(failed("map guest RAM"))
    }

    /// Creates vCPU `index`. All are created, by ascending index, before [`Vm::finish`], and after [`Vm::set_ram`].
    pub fn create_vcpu(&self, index: u32) -> Result<Vcpu> {
        let fd = self.shared.fd.create_vcpu(u64::from(index)).map_err(failed("create a vCPU"))?;
        let mut vcpu = Vcpu {
            fd,
            index,
            shared: self.shared.clone(),
            ram: self.ram.clone(),
            _read_only: self.read_only.clone(),
            extra: glue::VcpuExtra::default(),
            kicker: Kicker::default(),
        };
        glue::init_vcpu(&mut vcpu)?;
        Ok(vcpu)
    }

    /// Completes what needs all vCPUs to exist, such as the GIC. Called once, before any vCPU runs.
    pub fn finish(&self) -> Result<()> {
        self.shared.machine.finish(&self.shared.fd, &self.shared.config)
    }

    /// The part of a [`SubsystemReset`] that no vCPU has for itself: interruptions that any may take are gone. No vCPU runs.
    pub fn reset(&self) -> Result<()> {
        self.shared.machine.reset()
    }

    /// As [`Doorbells::watch`].
    pub fn watch(&self, doorbell: Doorbell, event: Arc<EventFd>) -> Result<DoorbellWatch> {
        self.doorbells().watch(doorbell, event)
    }

    /// A handle that watches doorbells from any thread.
    pub fn doorbells(&self) -> Doorbells {
        Doorbells { shared: self.shared.clone() }
    }

    /// A handle that sends interrupts from any thread.
    pub fn interrupts(&self) -> Interrupts {
        Interrupts { shared: self.shared.clone() }
    }
}

/// Sends interrupts to a VM, from any thread.
#[derive(Debug, Clone)]
pub struct Interrupts {
    shared: Arc<Shared>,
}

impl Interrupts {
    /// Sends one.
    pub fn send(&self, interrupt: Interrupt) -> Result<()> {
        self.shared.machine.interrupt(&self.shared.fd, interrupt)
    }

    /// Replaces the routes of all GSIs: the index is the GSI. `None` is a GSI that leads nowhere.
    ///
    /// With the in-kernel interrupt controller of x86_64, [`Interrupt::Line`] goes by these routes too; until the first call
    /// each pin has the GSI of its number.
    pub fn set_routes(&self, routes: &[Option<IrqRoute>]) -> Result<()> {
        self.shared.machine.set_routes(&self.shared.fd, routes)
    }

    /// Has KVM interrupt by the route of a GSI whenever `event` is written. The GSI has a route by then.
    pub fn by_event(&self, event: Arc<EventFd>, gsi: u32) -> Result<EventInterrupt> {
        self.shared.fd.register_irqfd(&event, gsi).map_err(failed("interrupt by an eventfd"))?;
        Ok(EventInterrupt { shared: self.shared.clone(), event, gsi })
    }
}

/// An interrupt that is sent by writing an eventfd. Dropping it ends that; what was written before has been sent then.
#[derive(Debug)]
pub struct EventInterrupt {
    shared: Arc<Shared>,
    event: Arc<EventFd>,
    gsi: u32,
}

impl Drop for EventInterrupt {
    fn drop(&mut self) {
        if let Err(error) = self.shared.fd.unregister_irqfd(&self.event, self.gsi) {
            tracing::error!("GSI {} stays with an eventfd: {error}", self.gsi);
        }
    }
}

/// Has KVM answer a VM's doorbells, from any thread.
#[derive(Debug, Clone)]
pub struct Doorbells {
    shared: Arc<Shared>,
}

impl Doorbells {
    /// Has KVM write `event` whenever the guest rings `doorbell`, instead of leaving the guest.
    pub fn watch(&self, doorbell: Doorbell, event: Arc<EventFd>) -> Result<DoorbellWatch> {
        glue::watch(&self.shared.fd, doorbell, &event)?;
        Ok(DoorbellWatch { shared: self.shared.clone(), doorbell, event })
    }
}

/// A doorbell that KVM answers by writing an eventfd. Dropping it gives the doorbell up.
#[derive(Debug)]
pub struct DoorbellWatch {
    shared: Arc<Shared>,
    doorbell: Doorbell,
    event: Arc<EventFd>,
}

impl Drop for DoorbellWatch {
    fn drop(&mut self) {
        if let Err(error) = glue::unwatch(&self.shared.fd, self.doorbell, &self.event) {
            tracing::error!("{:?} stays with KVM: {error}", self.doorbell);
        }
    }
}

/// A vCPU. It may move between threads while it does not run.
#[derive(Debug)]
pub struct Vcpu {
    fd: sys::VcpuFd,
    index: u32,
    shared: Arc<Shared>,
    /// Keeps the mappings alive, as [`Vm`] does.
    #[allow(dead_code, reason = "only some ISAs look into it")]
    ram: Option<GuestRam>,
    /// Likewise.
    _read_only: Vec<Arc<GuestRegionMmap>>,
    #[allow(dead_code, reason = "the fd is enough on some ISAs")]
    extra: glue::VcpuExtra,
    kicker: Kicker,
}

impl Vcpu {
    /// Its number, from 0.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Runs the guest until something has to be done for it.
    ///
    /// # Errors
    /// The host failed. Whatever a guest does is an [`Exit`].
    pub fn run(&mut self) -> Result<Exit<'_>> {
        glue::run(self)
    }

    /// Reads every group of the vCPU's state. An exit whose data or answer the vCPU still waits for is completed first.
    ///
    /// Not inlined, so that a vCPU thread's stack has room for a state only while it saves one.
    #[inline(never)]
    pub fn save(&mut self) -> Result<VcpuState> {
        glue::save(self)
    }

    /// Sets the groups that are in `state`: a plan's boot registers as well as a snapshot's vCPU.
    ///
    /// Not inlined, as with [`Vcpu::save`].
    #[inline(never)]
    pub fn restore(&mut self, state: &VcpuState) -> Result<()> {
        glue::restore(self, state)
    }

    /// This vCPU's part of a [`SubsystemReset`]. `goes_on`: it is the one that asked. No other vCPU runs.
    pub fn reset(&mut self, reset: SubsystemReset, goes_on: bool) -> Result<()> {
        glue::reset(self, reset, goes_on)
    }

    /// Makes the calling thread the one in which this vCPU runs, and gives the handle by which other threads get it out of the
    /// guest. Called by that thread, before the first [`Vcpu::run`].
    pub fn bind_thread(&mut self) -> Kicker {
        kick::bind(&mut self.fd.get_kvm_run().immediate_exit, &self.kicker);
        self.kicker()
    }

    /// The handle by which other threads get this vCPU out of the guest. It does nothing before [`Vcpu::bind_thread`].
    pub fn kicker(&self) -> Kicker {
        self.kicker.clone()
    }
}

impl Drop for Vcpu {
    fn drop(&mut self) {
        kick::unbind(&mut self.fd.get_kvm_run().immediate_exit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vm_is_created_however_often_that_is_interrupted() {
        let mut answers = vec![Ok("a VM"), Err(libc::EINTR), Err(libc::EINTR)];
        assert_eq!(uninterrupted(|| answers.pop().unwrap().map_err(errno::Error::new)), Ok("a VM"));
        let mut answers = vec![Ok("a VM"), Err(libc::ENOMEM), Err(libc::EINTR)];
        assert_eq!(
            uninterrupted(|| answers.pop().unwrap().map_err(errno::Error::new)),
            Err(errno::Error::new(libc::ENOMEM))
        );
    }
}

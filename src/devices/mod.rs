//! Virtio devices as users ask for them, and what they have of the host.
//!
//! A specification ([`DeviceSpec`]) is plain data, the same on the command line and in a machine file. Opening it gives what the device
//! has of the host for as long as triarch runs ([`HostDevice`]): files, sockets, interfaces. Of that, the device is made anew at each
//! boot of the machine.

mod balloon;
mod console;
mod disk;
mod mem;
mod net;
mod options;
mod pmem;
mod rng;
mod share;
mod vhost_user;
mod vsock;

use std::io;

use anyhow::{Context, bail};
use clap::Args;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use triarch_boards::{RamRange, VirtioKind};
use triarch_devices::virtio::{Backend, VirtioDevice};
use vm_memory::GuestRegionMmap;

use crate::ports::Terminal;
use crate::watchdog::WatchdogSpec;

pub use balloon::BalloonSpec;
pub use console::PortSpec;
pub use disk::DiskSpec;
pub use mem::MemSpec;
pub use net::{LinkSpec, Mac, NetSpec};
pub use pmem::PmemSpec;
pub use rng::RngSpec;
pub use share::{Sandbox, ShareSpec};
pub use vhost_user::{PeerKind, VhostUserSpec};
pub use vsock::VsockSpec;

/// What a user asks for.
pub trait DeviceSpec {
    /// The kind of device, with all that the machine's plan has to know of it.
    ///
    /// # Errors
    /// The host does not have what that is to be known of. The message names it, but not the option.
    fn kind(&self) -> anyhow::Result<VirtioKind>;

    /// Takes what the device has of the host.
    ///
    /// # Errors
    /// The host does not have it. The message names it, but not the option.
    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>>;
}

/// What a device has of the host. It outlives the machine, as that is built anew when the guest reboots.
pub trait HostDevice {
    /// Makes the device, in its two parts. The one made before is gone by then.
    ///
    /// # Errors
    /// The host refuses.
    fn make(&self) -> io::Result<DeviceParts>;

    /// Makes the memory that the device brings into the guest's address space, for this range of it. Called before
    /// [`HostDevice::make`], of devices whose kind has some.
    ///
    /// # Errors
    /// The device brings none, or the host does not have as much.
    fn memory(&self, _: RamRange) -> io::Result<DeviceMapping> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Has the device go for another size. What the driver sees of it changes at once; the caller holds the lock of the device's
    /// transport, and tells the driver.
    ///
    /// # Errors
    /// The device has no size that can be changed, or can't have that one.
    fn resize(&self, bytes: u64) -> anyhow::Result<()> {
        bail!("it has no size to change (to {bytes} bytes)")
    }

    /// The device's sizes, if it has one that can be changed.
    fn size(&self) -> Option<SizeReport> {
        None
    }

    /// What the user's terminal is to be given to, if the device is the one that it is for.
    fn terminal(&self) -> Option<Terminal> {
        None
    }
}

/// How large a device is to be, and is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SizeReport {
    /// Bytes that it is to have.
    pub requested: u64,
    /// Bytes that it has, as its driver says.
    pub actual: u64,
}

/// Memory that a device brings, mapped.
pub struct DeviceMapping {
    /// Where it is, on the host and in the guest.
    pub region: GuestRegionMmap,
    /// Whether the guest can't write. Then devices can't reach it either, as it is no RAM.
    pub read_only: bool,
}

/// A virtio device: what answers its driver, and what works on its queues.
pub type DeviceParts = (Box<dyn VirtioDevice>, Box<dyn Backend>);

/// The virtio devices of a machine.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeviceSpecs {
    /// Have a disk, from an image: FILE,format=raw|qcow2,readonly and more (docs/devices.md); may be given again
    #[arg(long, value_name = "path=FILE,...", value_parser = spec::<DiskSpec>)]
    disk: Vec<DiskSpec>,

    /// Have a console `hvcN`, or with `name=NAME` a port, at stdio, pty, null, file=PATH or socket=PATH; may be given again
    #[arg(long, value_name = "WHERE[,name=NAME]", value_parser = spec::<PortSpec>)]
    console: Vec<PortSpec>,

    /// Have an entropy device, `--rng` or `--rng=source=FILE`, which is instead of the host's /dev/urandom
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = spec::<RngSpec>)]
    rng: Option<RngSpec>,

    /// Have a network device, `user[,forward=8022:22]`, `tap=NAME` or `tap` (a new one), with `mac=`, `mtu=`, `queues=`; may be given again
    #[arg(long, value_name = "SPEC", value_parser = spec::<NetSpec>)]
    net: Vec<NetSpec>,
    /// Have sockets between guest and host: cid=N is the guest's address (3 and up), path=FILE the host's Unix socket
    #[arg(long, value_name = "SPEC", value_parser = spec::<VsockSpec>)]
    vsock: Option<VsockSpec>,

    /// Have a memory balloon, size=SIZE at the start; with `deflate-on-oom`, `reporting` of free pages, stats=SECONDS
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = spec::<BalloonSpec>)]
    balloon: Option<BalloonSpec>,

    /// Have memory that the guest gets and gives back while it runs, max=SIZE,requested=SIZE,block=SIZE (may be given again)
    #[arg(long, value_name = "SPEC", value_parser = spec::<MemSpec>)]
    mem: Vec<MemSpec>,

    /// Have a file as memory, `path=FILE[,size=SIZE][,readonly]`: a disk /dev/pmem0 without a cache in the guest (may be given again)
    #[arg(long, value_name = "SPEC", value_parser = path_first::<PmemSpec>)]
    pmem: Vec<PmemSpec>,

    /// Have a watchdog, which acts on a guest that does not feed it: `--watchdog` or `--watchdog=action=reset|poweroff|exit`
    #[arg(long, value_name = "SPEC", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = spec::<WatchdogSpec>)]
    watchdog: Option<WatchdogSpec>,

    /// Share a directory, `PATH,tag=TAG[,readonly]`; the guest mounts it by `mount -t virtiofs TAG /mnt` (may be given again)
    #[arg(long, value_name = "SPEC", value_parser = path_first::<ShareSpec>)]
    share: Vec<ShareSpec>,

    /// Have a device that another process serves, `kind=blk|net,socket=PATH` (may be given again)
    #[arg(long, value_name = "SPEC", value_parser = spec::<VhostUserSpec>)]
    vhost_user: Vec<VhostUserSpec>,
}

/// A specification of the command line's form, `key=value,flag,...`.
fn spec<T: DeserializeOwned>(text: &str) -> Result<T, options::Error> {
    options::parse(text)
}

/// As [`spec`], and a first part without a key is that of `path`.
fn path_first<T: DeserializeOwned>(text: &str) -> Result<T, options::Error> {
    let first = text.split(',').next().unwrap_or_default();
    let has_key = first.is_empty() || first.contains('=');
    if has_key { spec(text) } else { spec(&format!("path={text}")) }
}

impl DeviceSpecs {
    /// All of them, each with its option's name, in the order in which the guest finds them.
    fn all(&self) -> impl Iterator<Item = (&'static str, &dyn DeviceSpec)> {
        let disks = self.disk.iter().map(|disk| ("--disk", disk as &dyn DeviceSpec));
        let nets = self.net.iter().map(|net| ("--net", net as &dyn DeviceSpec));
        let has_console = !self.console.is_empty();
        let console = has_console.then_some(("--console", &self.console as &dyn DeviceSpec));
        let rng = self.rng.iter().map(|rng| ("--rng", rng as &dyn DeviceSpec));
        let vsock = self.vsock.iter().map(|vsock| ("--vsock", vsock as &dyn DeviceSpec));
        let balloon = self.balloon.iter().map(|balloon| ("--balloon", balloon as &dyn DeviceSpec));
        let shares = self.share.iter().map(|share| ("--share", share as &dyn DeviceSpec));
        let peers = self.vhost_user.iter().map(|device| ("--vhost-user", device as &dyn DeviceSpec));
        let mems = self.mem.iter().map(|mem| ("--mem", mem as &dyn DeviceSpec));
        let pmems = self.pmem.iter().map(|pmem| ("--pmem", pmem as &dyn DeviceSpec));
        let others = rng.chain(vsock).chain(balloon).chain(shares).chain(peers);
        disks.chain(nets).chain(console).chain(others).chain(mems).chain(pmems)
    }

    /// Their kinds, in that order.
    ///
    /// # Errors
    /// The host does not have what they are to be known of.
    pub fn kinds(&self) -> anyhow::Result<Vec<VirtioKind>> {
        self.all().map(|(option, spec)| spec.kind().context(option)).collect()
    }

    /// The watchdog, if there is to be one.
    pub const fn watchdog(&self) -> Option<WatchdogSpec> {
        self.watchdog
    }

    /// The number of the console that is standard input and output, if one is.
    pub fn terminal(&self) -> Option<usize> {
        console::terminal(&self.console)
    }

    /// Takes what they have of the host, in that order.
    ///
    /// # Errors
    /// The host does not have it.
    pub fn open(&self) -> anyhow::Result<Vec<Box<dyn HostDevice>>> {
        self.all().map(|(option, spec)| spec.open().context(option)).collect()
    }

    /// These, and those of `other` behind them.
    #[must_use]
    pub fn and(self, other: DeviceSpecs) -> DeviceSpecs {
        DeviceSpecs {
            disk: [self.disk, other.disk].concat(),
            net: [self.net, other.net].concat(),
            console: [self.console, other.console].concat(),
            rng: self.rng.or(other.rng),
            vsock: self.vsock.or(other.vsock),
            balloon: self.balloon.or(other.balloon),
            mem: [self.mem, other.mem].concat(),
            pmem: [self.pmem, other.pmem].concat(),
            watchdog: self.watchdog.or(other.watchdog),
            share: [self.share, other.share].concat(),
            vhost_user: [self.vhost_user, other.vhost_user].concat(),
        }
    }
}

//! Tap interfaces: the host's kernel is the other end of the guest's cable.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use libc::EINVAL;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use triarch_devices::virtio::{Link, MIN_MTU, Offloads};
use vm_memory::VolatileSlice;

use super::{scatter, tun};

/// The interface that a user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TapName {
    /// One that triarch makes and the kernel names.
    New,
    /// The one of this name; it is made if there is none.
    Named(String),
}

/// `true`, or a name.
impl<'de> Deserialize<'de> for TapName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = TapName;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("the name of a tap interface")
            }

            fn visit_bool<E: serde::de::Error>(self, new: bool) -> Result<TapName, E> {
                if new { Ok(TapName::New) } else { Err(E::custom("tap can't be off")) }
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<TapName, E> {
                if name.is_empty() {
                    Err(E::custom("tap= needs a name"))
                } else {
                    Ok(TapName::Named(name.to_owned()))
                }
            }
        }

        from.deserialize_any(Name)
    }
}

/// A tap interface that has been opened.
#[derive(Debug)]
pub struct Tap {
    /// Its name.
    pub name: String,
    /// Its queues; the first is always attached.
    pub queues: Vec<TapQueue>,
    /// What it does and gives.
    pub offloads: Offloads,
    /// The longest IP packet in bytes.
    pub mtu: u16,
}

impl Tap {
    /// Opens an interface with this many queues, and sets its MTU if one is given. One that triarch makes is up.
    ///
    /// # Errors
    /// The host does not let it be had.
    pub fn open(name: &TapName, queues: u16, mtu: Option<u16>) -> anyhow::Result<Self> {
        let wanted = match name {
            TapName::New => "",
            TapName::Named(name) => name,
        };
        let exists = !wanted.is_empty() && tun::mtu(wanted).is_ok();
        let (first, name) = open(wanted, queues > 1).with_context(|| match (exists, wanted) {
            (true, name) => format!("can't open the tap interface {name}"),
            (false, "") => "can't make a tap interface".to_owned(),
            (false, name) => {
                format!("there is no interface {name}, and can't make a tap interface of this name")
            }
        })?;
        let more = (1..queues).map(|_| tun::open(&name, true).map(|(file, _)| file));
        let files = [Ok(first)].into_iter().chain(more).collect::<io::Result<Vec<_>>>();
        let files =
            files.with_context(|| format!("the tap interface {name} does not have {queues} queues"))?;
        if let Some(mtu) = mtu {
            set_mtu(&name, mtu)?;
        }
        if !exists {
            tun::bring_up(&name).with_context(|| format!("can't bring up the tap interface {name}"))?;
        }
        let mtu = tun::mtu(&name).with_context(|| format!("the tap interface {name} has no MTU"))?;
        let Some(mtu) = u16::try_from(mtu).ok().filter(|mtu| *mtu >= MIN_MTU) else {
            bail!("the tap interface {name} has an MTU of {mtu}, which no guest can have");
        };
        let queue = |file| TapQueue(Arc::new(Shared { file, attached: AtomicBool::new(true) }));
        let queues: Vec<_> = files.into_iter().map(queue).collect();
        let mut offloads = Offloads { uso: true, ..Offloads::COMMON };
        if let Some(TapQueue(first)) = queues.first()
            && first.set_offloads(offloads).is_err()
        {
            offloads = Offloads::COMMON;
        }
        Ok(Tap { name, queues, offloads, mtu })
    }
}

/// Opens the first queue. An interface that was made for several is opened as such even for one.
fn open(name: &str, multi_queue: bool) -> io::Result<(File, String)> {
    match tun::open(name, multi_queue) {
        Err(error) if error.raw_os_error() == Some(EINVAL) && !multi_queue => tun::open(name, true),
        result => result,
    }
    .map_err(explained)
}

fn explained(error: io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "the host has none (modprobe tun)",
        io::ErrorKind::PermissionDenied => {
            "only root may make interfaces, or who owns them: ip tuntap add NAME mode tap user USER"
        }
        io::ErrorKind::ResourceBusy => "another program has it",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{}: {error}: {why}", tun::DEVICE))
}

fn set_mtu(name: &str, mtu: u16) -> anyhow::Result<()> {
    if tun::mtu(name).is_ok_and(|is| is == i32::from(mtu)) {
        return Ok(());
    }
    tun::set_mtu(name, mtu.into())
        .with_context(|| format!("can't set the MTU of the tap interface {name} to {mtu}"))
}

/// A queue of a tap interface. Clones are of the same queue.
#[derive(Debug, Clone)]
pub struct TapQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: File,
    attached: AtomicBool,
}

impl Shared {
    fn set_offloads(&self, offloads: Offloads) -> io::Result<()> {
        let Offloads { checksum, tso4, tso6, ecn, uso } = offloads;
        let flags = [
            (checksum, libc::TUN_F_CSUM),
            (tso4, libc::TUN_F_TSO4),
            (tso6, libc::TUN_F_TSO6),
            (ecn && (tso4 || tso6), libc::TUN_F_TSO_ECN),
            (uso, libc::TUN_F_USO4 | libc::TUN_F_USO6),
        ];
        tun::set_offload(&self.file, flags.into_iter().filter(|(has, _)| *has).map(|(_, flag)| flag).sum())
    }
}

impl Link for TapQueue {
    fn receive(&mut self, buffers: &[VolatileSlice<'_>]) -> io::Result<usize> {
        scatter::read(self.descriptor(), buffers)
    }

    fn send(&mut self, frame: &[VolatileSlice<'_>]) -> io::Result<()> {
        // A frame is taken whole or not at all.
        scatter::write(self.descriptor(), frame).map(|_| ())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    fn set_offloads(&mut self, offloads: Offloads) -> io::Result<()> {
        self.0.set_offloads(offloads)
    }

    fn set_active(&mut self, active: bool) -> io::Result<()> {
        // What is so already can't be set again.
        if self.0.attached.load(Ordering::Acquire) != active {
            tun::set_queue(&self.0.file, active)?;
            self.0.attached.store(active, Ordering::Release);
        }
        Ok(())
    }
}

//! The hosts' ends of a console device's ports. None of them waits for its reader.

mod plain;
mod pty;
mod socket;
mod terminal;

pub use plain::{Null, Plain};
pub use pty::Pty;
pub use socket::Socket;
pub use terminal::{Stdio, Terminal};

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

/// Descriptors of a port that are looked at in one go.
const EVENTS: usize = 8;

/// Has a set tell of changes of a descriptor, edge-triggered. A regular file, which never changes, is none to tell of.
fn watch(epoll: &Epoll, fd: &impl AsRawFd, events: EventSet, data: u64) -> io::Result<()> {
    let event = EpollEvent::new(events | EventSet::EDGE_TRIGGERED, data);
    match epoll.ctl(ControlOperation::Add, fd.as_raw_fd(), event) {
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => Ok(()),
        added => added,
    }
}

/// What a set tells.
fn happened(epoll: &Epoll) -> Vec<(u64, EventSet)> {
    let mut events = [EpollEvent::default(); EVENTS];
    match epoll.wait(0, &mut events) {
        Ok(count) => events.iter().take(count).map(|event| (event.data(), event.event_set())).collect(),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Vec::new(),
        Err(error) => {
            tracing::error!("a port's events can't be had: {error}");
            Vec::new()
        }
    }
}

/// Reads from a descriptor that does not block: `None` if there is nothing now, 0 bytes at its end.
fn read(fd: impl AsFd, bytes: &mut [u8]) -> Result<Option<usize>, Errno> {
    loop {
        match rustix::io::read(fd.as_fd(), &mut *bytes) {
            Ok(len) => return Ok(Some(len)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes to a descriptor that does not block; how many bytes.
fn write(fd: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match rustix::io::write(fd.as_fd(), bytes) {
            Ok(len) => return Ok(len),
            Err(Errno::AGAIN) => return Ok(0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Has calls on this descriptor's file description not block. Nobody else may have it.
fn unblock(fd: OwnedFd) -> io::Result<OwnedFd> {
    fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
    Ok(fd)
}

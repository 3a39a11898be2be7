//! Ports that only take what the guest writes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use triarch_devices::virtio::PortEnd;
use vmm_sys_util::epoll::{Epoll, EventSet};

use crate::console::create;

/// Nobody, who takes all.
#[derive(Debug)]
pub struct Null;

impl PortEnd for Null {
    fn is_open(&self) -> bool {
        true
    }

    fn read(&mut self, _: &mut [u8]) -> usize {
        0
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        bytes.len()
    }

    fn events(&self) -> Option<i32> {
        None
    }

    fn serve(&mut self) {}
}

/// A file or pipe.
#[derive(Debug)]
pub struct Plain {
    fd: OwnedFd,
    epoll: Epoll,
    is_broken: bool,
}

impl Plain {
    /// Creates or empties a file. A pipe must have a reader.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn create(path: &Path) -> io::Result<Self> {
        let fd = super::unblock(create(path)?)?;
        let epoll = Epoll::new()?;
        super::watch(&epoll, &fd, EventSet::OUT, 0)?;
        Ok(Plain { fd, epoll, is_broken: false })
    }
}

impl PortEnd for Plain {
    fn is_open(&self) -> bool {
        true
    }

    fn read(&mut self, _: &mut [u8]) -> usize {
        0
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        super::write(&self.fd, bytes).unwrap_or_else(|error| {
            if !std::mem::replace(&mut self.is_broken, true) {
                tracing::error!("what the guest writes to a port is lost: {error}");
            }
            bytes.len()
        })
    }

    fn events(&self) -> Option<i32> {
        Some(self.epoll.as_raw_fd())
    }

    fn serve(&mut self) {
        super::happened(&self.epoll);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_file_takes_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = Plain::create(&path).unwrap();
        assert_eq!((file.write(b"one "), file.write(b"two")), (4, 3));
        assert_eq!(std::fs::read(path).unwrap(), b"one two");
        assert_eq!((Null.write(b"gone"), Null.read(&mut [0])), (4, 0));
    }

    #[test]
    fn a_pipe_takes_what_it_has_room_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert!(Plain::create(&path).is_err(), "nobody reads it");
        let mut reader = File::options().read(true).write(true).open(&path).unwrap();
        let mut pipe = Plain::create(&path).unwrap();
        pipe.serve();
        while pipe.write(&[b'x'; 4096]) > 0 {}
        reader.read_exact(&mut [0; 4096]).unwrap();
        assert_eq!(super::super::happened(&pipe.epoll).len(), 1, "there is room again");
        assert_eq!(pipe.write(b"more"), 4);
        drop(reader);
        assert_eq!(pipe.write(b"lost"), 4);
    }
}

//! A port as a pseudo-terminal, which programs open and close.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use triarch_devices::virtio::PortEnd;
use vmm_sys_util::epoll::{Epoll, EventSet};

use crate::console::new_pty;
use crate::tell::tell;

/// A pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    /// Tells when a program opens or closes the other end; a master itself only tells of the last close.
    openings: OwnedFd,
    epoll: Epoll,
    is_open: bool,
}

impl Pty {
    /// A new one; its name is printed for the port of this name.
    ///
    /// # Errors
    /// The host has none.
    pub fn new(port: &str) -> io::Result<Self> {
        let (master, slave, name) = new_pty()?;
        let master = super::unblock(master)?;
        let openings = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let changes = WatchFlags::OPEN | WatchFlags::CLOSE_WRITE | WatchFlags::CLOSE_NOWRITE;
        inotify::add_watch(&openings, name.as_c_str(), changes)?;
        drop(slave);
        let epoll = Epoll::new()?;
        super::watch(&epoll, &master, EventSet::IN | EventSet::OUT, 0)?;
        super::watch(&epoll, &openings, EventSet::IN, 1)?;
        tell(format_args!("{port} is {}", name.to_string_lossy()));
        Ok(Pty { master, openings, epoll, is_open: false })
    }
}

impl PortEnd for Pty {
    fn is_open(&self) -> bool {
        self.is_open
    }

    fn read(&mut self, bytes: &mut [u8]) -> usize {
        match super::read(&self.master, bytes) {
            Ok(len) => len.unwrap_or(0),
            // Nobody has the other end open.
            Err(_) => 0,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        super::write(&self.master, bytes).unwrap_or_else(|error| {
            tracing::error!("a pseudo-terminal can't be written: {error}");
            self.is_open = false;
            0
        })
    }

    fn events(&self) -> Option<i32> {
        Some(self.epoll.as_raw_fd())
    }

    fn serve(&mut self) {
        super::happened(&self.epoll);
        let mut bytes = [0; 1024];
        while matches!(super::read(&self.openings, &mut bytes), Ok(Some(1..))) {}
        let mut fds = [PollFd::from_borrowed_fd(self.master.as_fd(), PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        self.is_open = poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().contains(PollFlags::HUP);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use rustix::pty::ptsname;

    use super::*;

    #[test]
    fn it_is_open_while_a_program_has_it_open() {
        let Ok(mut pty) = Pty::new("port") else {
            eprintln!("SKIPPED: no kernel lacks this, but some user-mode emulators do");
            return;
        };
        let name = ptsname(&pty.master, Vec::new()).unwrap();
        pty.serve();
        assert!(!pty.is_open());
        for _ in 0..2 {
            let open = File::options().read(true).write(true).open(name.to_str().unwrap());
            let mut program = open.unwrap();
            assert!(!super::super::happened(&pty.epoll).is_empty(), "the port is told");
            pty.serve();
            assert!(pty.is_open());
            assert_eq!(pty.write(b"to it"), 5);
            let mut bytes = [0; 5];
            program.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, *b"to it");
            program.write_all(b"from").unwrap();
            assert_eq!((pty.read(&mut bytes), &bytes[..4]), (4, &b"from"[..]));
            assert_eq!(pty.read(&mut bytes), 0);
            drop(program);
            pty.serve();
            assert!(!pty.is_open());
            assert_eq!(pty.read(&mut bytes), 0);
        }
        // It takes what it has room for, and no more.
        let _program = File::options().read(true).open(name.to_str().unwrap()).unwrap();
        pty.serve();
        while pty.write(&[b'x'; 4096]) > 0 {}
        assert!(pty.is_open());
    }
}

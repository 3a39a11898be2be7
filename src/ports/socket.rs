//! A port as a Unix socket that one client after another connects to.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::ioctl_fionread;
use triarch_devices::virtio::PortEnd;
use vmm_sys_util::epoll::{Epoll, EventSet};
use vmm_sys_util::timerfd::TimerFd;

use crate::socket;

/// When to try again to take in a client for which the host had no descriptor.
const RETRY: Duration = Duration::from_secs(1);

/// How soon another client is taken in: not at once, so that the guest learns that the one before has gone.
const SOON: Duration = Duration::from_millis(1);

const CLIENT: u64 = 1;
const OTHER: u64 = 2;

/// A socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    client: Option<UnixStream>,
    /// When to look at the listener again.
    timer: TimerFd,
    epoll: Epoll,
    is_short: bool,
}

impl Socket {
    /// Listens. The socket's file goes with the port.
    ///
    /// # Errors
    /// Somebody else does, or the path is not to be had.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let listener = socket::listen(path)?;
        let (timer, epoll) = (TimerFd::new()?, Epoll::new()?);
        super::watch(&epoll, &listener, EventSet::IN, OTHER)?;
        super::watch(&epoll, &timer, EventSet::IN, OTHER)?;
        Ok(Socket { listener, path: path.to_owned(), client: None, timer, epoll, is_short: false })
    }

    fn look_again(&mut self, after: Duration) {
        if let Err(error) = self.timer.reset(after, None) {
            tracing::error!("the clients of {:?} can't be timed: {error}", self.path);
        }
    }

    /// Takes in the next client.
    fn accept(&mut self) {
        match self.listener.accept().and_then(|(stream, _)| {
            stream.set_nonblocking(true)?;
            let events = EventSet::IN | EventSet::OUT | EventSet::READ_HANG_UP;
            super::watch(&self.epoll, &stream, events, CLIENT)?;
            Ok(stream)
        }) {
            Ok(stream) => {
                self.client = Some(stream);
                self.is_short = false;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It has given up meanwhile, or the host is short of something: it waits.
            Err(error) => {
                if !std::mem::replace(&mut self.is_short, true) {
                    tracing::error!("a client of {:?} can't be served yet: {error}", self.path);
                }
                self.look_again(RETRY);
            }
        }
    }

    fn hang_up(&mut self) {
        self.client = None;
        self.look_again(SOON);
    }
}

impl PortEnd for Socket {
    fn is_open(&self) -> bool {
        self.client.is_some()
    }

    fn read(&mut self, bytes: &mut [u8]) -> usize {
        let Some(client) = &self.client else { return 0 };
        match super::read(client, bytes) {
            Ok(Some(0)) | Err(_) => {
                self.hang_up();
                0
            }
            Ok(len) => len.unwrap_or(0),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(client) = &self.client else { return 0 };
        super::write(client, bytes).unwrap_or_else(|_| {
            self.hang_up();
            0
        })
    }

    fn events(&self) -> Option<i32> {
        Some(self.epoll.as_raw_fd())
    }

    fn serve(&mut self) {
        let happened = super::happened(&self.epoll);
        match &self.client {
            None => self.accept(),
            // What one who has left has said before is still read.
            Some(client) => {
                let has_left = happened.iter().any(|(what, events)| {
                    *what == CLIENT && events.intersects(EventSet::HANG_UP | EventSet::ERROR)
                });
                if has_left && ioctl_fionread(client).is_ok_and(|unread| unread == 0) {
                    self.hang_up();
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("can't remove {:?}: {error}", self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// Waits until something has happened, and has it taken in.
    fn serve(socket: &mut Socket) {
        let epoll = Epoll::new().unwrap();
        super::super::watch(&epoll, &socket.epoll, EventSet::IN, 0).unwrap();
        let mut events = [vmm_sys_util::epoll::EpollEvent::default()];
        assert_eq!(epoll.wait(10_000, &mut events).unwrap(), 1, "nothing happens");
        socket.serve();
    }

    #[test]
    fn one_client_after_another_is_served() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("port");
        let mut socket = Socket::listen(&path).unwrap();
        assert!(!socket.is_open());
        let mut bytes = [0; 16];
        for _ in 0..2 {
            let mut client = UnixStream::connect(&path).unwrap();
            serve(&mut socket);
            assert!(socket.is_open());
            assert_eq!(socket.read(&mut bytes), 0);
            assert!(socket.is_open());
            client.write_all(b"ask").unwrap();
            serve(&mut socket);
            assert_eq!((socket.read(&mut bytes), &bytes[..3]), (3, &b"ask"[..]));
            assert_eq!(socket.write(b"tell"), 4);
            client.read_exact(&mut bytes[..4]).unwrap();
            assert_eq!(&bytes[..4], b"tell");
            // One who does not read is not waited for.
            while socket.write(&[b'x'; 4096]) > 0 {}
            assert!(socket.is_open());
            // Another one waits, and what was said last is heard.
            let next = UnixStream::connect(&path).unwrap();
            client.write_all(b"last").unwrap();
            client.read_exact(&mut [0; 4096]).unwrap();
            drop(client);
            socket.serve();
            assert!(socket.is_open());
            assert_eq!((socket.read(&mut bytes), &bytes[..4]), (4, &b"last"[..]));
            assert_eq!((socket.read(&mut bytes), socket.is_open()), (0, false));
            serve(&mut socket);
            assert!(socket.is_open());
            drop(next);
            serve(&mut socket);
            assert!(!socket.is_open());
            serve(&mut socket);
            assert!(!socket.is_open());
        }
        drop(socket);
        assert!(!path.exists());
    }
}

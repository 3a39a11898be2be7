//! Waking a thread that polls: a pipe that is never full for long, as one byte in it says all there is to say.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// Wakes one thread from any other.
#[derive(Debug)]
pub struct Wake {
    receive: OwnedFd,
    send: OwnedFd,
}

impl Wake {
    /// A new one, not woken.
    pub fn new() -> io::Result<Self> {
        let (receive, send) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Wake { receive, send })
    }

    /// Wakes the polling thread, now or when it next polls.
    pub fn wake(&self) {
        match rustix::io::write(&self.send, &[1]) {
            // A full pipe wakes as well as one more byte in it.
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => tracing::error!("can't wake a thread: {error}"),
        }
    }

    /// Takes back all that has been woken so far.
    pub fn clear(&self) {
        let mut buf = [0; 64];
        while matches!(rustix::io::read(&self.receive, &mut buf), Ok(n) if n == buf.len()) {}
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receive.as_fd()
    }
}

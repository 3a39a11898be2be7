//! Where the guest's output goes.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How long an attached reader may hold up the guest before output to it is dropped.
const PATIENCE_NS: i64 = 100_000_000;

/// The host's end of a console's output.
#[derive(Debug)]
pub(super) struct Output {
    target: Target,
    /// Whoever writes must not wait.
    hurry: AtomicBool,
}

#[derive(Debug)]
enum Target {
    Null,
    /// A file, pipe or terminal that the user gave: nothing is lost, the guest waits.
    Patient {
        fd: OwnedFd,
        /// What was not written in a hurry, which comes first next time. Bounded: a vCPU that is told to pause carries out one
        /// more exit at most.
        held: Mutex<Vec<u8>>,
    },
    /// A reader that may come, go and stall: the guest must not depend on it.
    Impatient(Mutex<Peer>),
}

#[derive(Debug)]
struct Peer {
    fd: Option<Arc<OwnedFd>>,
    /// It did not take output in time; so it gets no more of the guest's time until it reads again.
    stalled: bool,
}

impl Output {
    pub(super) fn null() -> Self {
        Output { target: Target::Null, hurry: AtomicBool::new(false) }
    }

    pub(super) fn patient(fd: OwnedFd) -> Self {
        let target = Target::Patient { fd, held: Mutex::default() };
        Output { target, hurry: AtomicBool::new(false) }
    }

    pub(super) fn impatient(fd: Option<Arc<OwnedFd>>) -> Self {
        let target = Target::Impatient(Mutex::new(Peer { fd, stalled: false }));
        Output { target, hurry: AtomicBool::new(false) }
    }

    pub(super) fn set_peer(&self, fd: Option<Arc<OwnedFd>>) {
        if let Target::Impatient(peer) = &self.target {
            *peer.lock().unwrap_or_else(PoisonError::into_inner) = Peer { fd, stalled: false };
        }
    }

    /// Writes until all is written or the target is gone, or there is hurry. A kick of the vCPU's thread interrupts a write that
    /// blocks. Returns what is left.
    fn put_patiently<'a>(&self, fd: &OwnedFd, mut bytes: &'a [u8]) -> &'a [u8] {
        while !bytes.is_empty() {
            match rustix::io::write(fd, bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR | Errno::AGAIN) if self.hurry.load(Ordering::Relaxed) => break,
                Err(Errno::INTR) => {}
                // A pipe that somebody else made non-blocking.
                Err(Errno::AGAIN) => {
                    wait_writable(fd, PATIENCE_NS);
                }
                Err(_) => return &[],
            }
        }
        bytes
    }

    fn put(&self, bytes: &[u8]) {
        match &self.target {
            Target::Null => {}
            Target::Patient { fd, held } => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                if held.is_empty() {
                    *held = self.put_patiently(fd, bytes).to_vec();
                } else {
                    held.extend(bytes);
                    let left = self.put_patiently(fd, &held).len();
                    let written = held.len() - left;
                    held.drain(..written);
                }
            }
            Target::Impatient(peer) => peer.lock().unwrap_or_else(PoisonError::into_inner).put(bytes),
        }
    }

    /// Writes what takes no time, and drops the rest.
    fn echo(&self, bytes: &[u8]) {
        // Who has a lock may wait in a write.
        match &self.target {
            Target::Null => {}
            Target::Patient { fd, held } => {
                if held.try_lock().is_ok_and(|held| held.is_empty()) {
                    write_at_once(fd, bytes);
                }
            }
            Target::Impatient(peer) => {
                if let Ok(peer) = peer.try_lock()
                    && let Some(fd) = &peer.fd
                {
                    write_at_once(fd, bytes);
                }
            }
        }
    }

    /// Writes what is held as far as that takes no time.
    fn flush(&self) {
        let Target::Patient { fd, held } = &self.target else { return };
        // Who has the lock is writing it.
        let Ok(mut held) = held.try_lock() else { return };
        let written = write_at_once(fd, &held);
        held.drain(..written);
    }
}

/// Keeps the guest's output from holding up vCPU threads that are to leave the guest.
#[derive(Debug)]
pub struct OutputControl(Arc<Output>);

impl OutputControl {
    pub(super) fn new(output: Arc<Output>) -> Self {
        OutputControl(output)
    }

    /// While there is hurry, output that can't be written at once is kept. A thread that waits in a write already must be
    /// interrupted by a signal, perhaps more than once. When the hurry is over, what was kept is written as far as it takes no
    /// time, and the rest before the guest's next output.
    pub fn set_hurry(&self, hurry: bool) {
        self.0.hurry.store(hurry, Ordering::Relaxed);
        if !hurry {
            self.0.flush();
        }
    }
}

impl Peer {
    fn put(&mut self, mut bytes: &[u8]) {
        let Some(fd) = &self.fd else { return };
        while !bytes.is_empty() {
            if !wait_writable(fd, if self.stalled { 0 } else { PATIENCE_NS }) {
                self.stalled = true;
                return;
            }
            self.stalled = false;
            // One byte fits whenever the descriptor is writable; more might block, as the descriptor may not be set
            // non-blocking: a terminal's other end shares its flags.
            match rustix::io::write(fd, &bytes[..1]) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
    }
}

/// Whether `fd` takes output within `ns` nanoseconds.
fn wait_writable(fd: &OwnedFd, ns: i64) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::OUT)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: ns };
    matches!(poll(&mut fds, Some(&timeout)), Ok(n) if n > 0) && fds[0].revents().contains(PollFlags::OUT)
}

/// Writes as much as takes no time; returns how much.
pub fn write_at_once(fd: &OwnedFd, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() && wait_writable(fd, 0) {
        // One byte, for the reason given above.
        match rustix::io::write(fd, &bytes[written..=written]) {
            Ok(n) => written += n,
            Err(_) => break,
        }
    }
    written
}

/// A device's handle to an output.
pub(super) struct OutputSink(Arc<Output>);

impl OutputSink {
    pub(super) fn new(output: Arc<Output>) -> Self {
        OutputSink(output)
    }
}

impl triarch_devices::Sink for OutputSink {
    fn put(&mut self, bytes: &[u8]) {
        self.0.put(bytes);
    }

    fn echo(&mut self, bytes: &[u8]) {
        self.0.echo(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use rustix::pipe::{PipeFlags, fcntl_getpipe_size, pipe_with};
    use triarch_devices::Sink;

    use super::*;

    #[test]
    fn an_echo_waits_for_nobody() {
        let (receive, send) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let output = Arc::new(Output::patient(send));
        let mut sink = OutputSink::new(output.clone());
        sink.echo(b"hello");
        // Far more than a pipe holds, and nobody reads it.
        let room = fcntl_getpipe_size(&receive).unwrap();
        for _ in 0..=room {
            sink.echo(b"x");
        }
        // A vCPU that waits for the reader has the lock.
        let busy = match &output.target {
            Target::Patient { held, .. } => held.lock().unwrap(),
            _ => unreachable!(),
        };
        sink.echo(b"lost");
        drop(busy);
        drop((sink, output));
        let mut shown = Vec::new();
        File::from(receive).read_to_end(&mut shown).unwrap();
        assert!(shown.starts_with(b"hellox") && shown.len() <= room, "{}", shown.len());
    }
}

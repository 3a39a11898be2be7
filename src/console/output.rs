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
    closing: AtomicBool,
}

#[derive(Debug)]
enum Target {
    Null,
    /// A file, pipe or terminal that the user gave: nothing is lost, the guest waits.
    Patient(OwnedFd),
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
        Output { target: Target::Null, closing: AtomicBool::new(false) }
    }

    pub(super) fn patient(fd: OwnedFd) -> Self {
        Output { target: Target::Patient(fd), closing: AtomicBool::new(false) }
    }

    pub(super) fn impatient(fd: Option<Arc<OwnedFd>>) -> Self {
        let target = Target::Impatient(Mutex::new(Peer { fd, stalled: false }));
        Output { target, closing: AtomicBool::new(false) }
    }

    pub(super) fn set_peer(&self, fd: Option<Arc<OwnedFd>>) {
        if let Target::Impatient(peer) = &self.target {
            *peer.lock().unwrap_or_else(PoisonError::into_inner) = Peer { fd, stalled: false };
        }
    }

    pub(super) fn set_closing(&self, closing: bool) {
        self.closing.store(closing, Ordering::Relaxed);
    }

    /// Writes until all is written or the target is gone. A kick of the vCPU's thread interrupts a write that blocks.
    fn put_patiently(&self, fd: &OwnedFd, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::io::write(fd, bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR) if !self.closing.load(Ordering::Relaxed) => {}
                // A pipe that somebody else made non-blocking.
                Err(Errno::AGAIN) if !self.closing.load(Ordering::Relaxed) => {
                    wait_writable(fd, PATIENCE_NS);
                }
                Err(_) => return,
            }
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

/// A device's handle to an output.
pub(super) struct OutputSink(Arc<Output>);

impl OutputSink {
    pub(super) fn new(output: Arc<Output>) -> Self {
        OutputSink(output)
    }
}

impl triarch_devices::Sink for OutputSink {
    fn put(&mut self, bytes: &[u8]) {
        match &self.0.target {
            Target::Null => {}
            Target::Patient(fd) => self.0.put_patiently(fd, bytes),
            Target::Impatient(peer) => peer.lock().unwrap_or_else(PoisonError::into_inner).put(bytes),
        }
    }
}

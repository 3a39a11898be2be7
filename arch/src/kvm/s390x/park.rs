//! Waiting outside the guest for what would end a wait inside: a kick, or a word of another thread.

use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::kvm::kick::kick_signal;

/// Holds the kick's signal back from the calling thread.
struct HeldBack {
    /// The thread's signal mask before.
    before: libc::sigset_t,
}

impl HeldBack {
    fn new() -> Self {
        // SAFETY: an all-zero set is a valid one; the calls below fill both in.
        let (mut kick, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { mem::zeroed() };
        // SAFETY: the sets are valid, and the signal's number is.
        unsafe {
            libc::sigemptyset(&mut kick);
            libc::sigaddset(&mut kick, kick_signal());
            libc::pthread_sigmask(libc::SIG_BLOCK, &kick, &mut before);
        }
        HeldBack { before }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        // SAFETY: the set is what the thread's mask was.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
    }
}

/// Waits until `fd` can be read from, or the calling thread, bound to the vCPU that `immediate_exit` is of, is kicked.
pub fn wait(fd: RawFd, immediate_exit: &AtomicU8) -> io::Result<()> {
    // A kick between the look at the flag and the wait would be lost if it were not held back until then.
    let held = HeldBack::new();
    if immediate_exit.load(Ordering::Relaxed) != 0 {
        return Ok(());
    }
    let mut fds = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: there is one descriptor, no time limit, and the mask is a valid one.
    match unsafe { libc::ppoll(&mut fds, 1, ptr::null(), &held.before) } {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
    }
}

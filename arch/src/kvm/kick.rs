//! Getting a vCPU out of the guest from another thread.
//!
//! A signal alone would be lost if it came just before KVM_RUN. So its handler sets `immediate_exit` in the vCPU's shared page,
//! by way of a thread-local pointer: KVM_RUN then returns at once (Documentation/virt/kvm/api.rst, "immediate_exit").

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

thread_local! {
    /// The calling thread's vCPU's `immediate_exit`, or null.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
}

/// The signal that gets a vCPU thread out of the guest.
pub(super) fn kick_signal() -> libc::c_int {
    libc::SIGRTMIN()
}

extern "C" fn on_kick(_: libc::c_int) {
    // A thread that is past its thread-locals' end has no vCPU any more.
    let flag = IMMEDIATE_EXIT.try_with(Cell::get).unwrap_or(ptr::null_mut());
    if !flag.is_null() {
        // SAFETY: the pointer is into the vCPU's mapping, which outlives the binding: `Kicker`'s thread clears it first.
        unsafe { AtomicU8::from_ptr(flag) }.store(1, Ordering::Relaxed);
    }
}

/// Installs the handler of the signal by which vCPUs are kicked. Called once a process, before any [`Kicker`] is used.
pub fn install_kick_handler() -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_kick as *const () as usize;
    // SAFETY: `action` is valid; the handler only reads a thread-local cell and stores to a mapped byte, which is
    // async-signal-safe.
    match unsafe { libc::sigaction(kick_signal(), &action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Binds the calling thread to the vCPU whose `immediate_exit` and kicker these are.
pub(super) fn bind(immediate_exit: &mut u8, kicker: &Kicker) {
    IMMEDIATE_EXIT.set(immediate_exit);
    // Not libc's gettid: std refers to that weakly, so link-time optimization of a static binary leaves it null.
    // SAFETY: the system call has no preconditions.
    kicker.thread.store(unsafe { libc::syscall(libc::SYS_gettid) }, Ordering::SeqCst);
}

/// Ends the calling thread's binding, if it is to the vCPU whose `immediate_exit` this is.
pub(super) fn unbind(immediate_exit: &mut u8) {
    if ptr::eq(IMMEDIATE_EXIT.get(), immediate_exit) {
        IMMEDIATE_EXIT.set(ptr::null_mut());
    }
}

/// Gets a vCPU's thread out of the guest. May be used from any thread.
#[derive(Debug, Clone, Default)]
pub struct Kicker {
    /// The thread's number as tgkill takes it; 0 while the vCPU has none.
    thread: Arc<AtomicI64>,
}

impl Kicker {
    /// Makes the vCPU's current or next [`run`](super::Vcpu::run) end with [`Exit::Interrupted`](crate::hv::Exit::Interrupted),
    /// if it has been bound to a thread. A thread that looks for orders after it has bound itself, and before it runs, misses
    /// none that was given before the kick.
    pub fn kick(&self) {
        let thread = self.thread.load(Ordering::SeqCst);
        if thread == 0 {
            return;
        }
        // A thread that has ended gives ESRCH, which is as good as done; should another thread of this process have got its
        // number, the handler does it no harm.
        // SAFETY: tgkill takes any numbers; the handler is sound in every thread.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, kick_signal()) };
    }
}

//! Requests done by threads that wait for the host: for what io_uring can't do, or where it may not be used.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use triarch_devices::GuestRam;
use triarch_devices::virtio::{Completion, Disk, Request};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The most threads of a disk. What is in page cache or on flash is done soon, and more wait for more than a disk can do.
const MAX_THREADS: usize = 4;

/// Stack of a thread: what reading a compressed cluster takes, with room.
const STACK_SIZE: usize = 256 << 10;

/// What does a request and waits until it is done. Called by several threads at once.
pub trait Blocking: Send + Sync {
    /// Does it; its buffers are in `ram`.
    ///
    /// # Errors
    /// Not all of it was done.
    fn carry_out(&self, ram: &GuestRam, request: &Request) -> io::Result<()>;

    /// The guest rests: what others may see of an image is to be written, though it need not be on the disk.
    fn settle(&self);
}

#[derive(Default)]
struct State {
    ram: Option<Arc<GuestRam>>,
    waiting: VecDeque<Request>,
    done: Vec<Completion>,
    /// Threads that wait for requests.
    idle: usize,
    ends: bool,
}

struct Shared {
    image: Arc<dyn Blocking>,
    state: Mutex<State>,
    /// There are requests, or the end.
    work: Condvar,
    /// Something is complete.
    finished: Condvar,
    event: EventFd,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn serve(&self) {
        let mut state = self.state();
        while !state.ends {
            let Some(request) = state.waiting.pop_front() else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            let ram = state.ram.clone();
            drop(state);
            let result = match ram {
                Some(ram) => self.image.carry_out(&ram, &request),
                None => Err(io::Error::other("there is no guest")),
            };
            state = self.state();
            state.done.push(Completion { tag: request.tag, result });
            self.finished.notify_one();
            if let Err(error) = self.event.write(1) {
                tracing::error!("a disk's event can't be written: {error}");
            }
        }
    }
}

/// A disk whose requests are done by threads, which there are from the first request on.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Over an image.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new(image: Arc<dyn Blocking>) -> io::Result<Self> {
        let shared = Shared {
            image,
            state: Mutex::default(),
            work: Condvar::new(),
            finished: Condvar::new(),
            event: EventFd::new(EFD_NONBLOCK)?,
        };
        Ok(Pool { shared: Arc::new(shared), threads: Vec::new() })
    }

    /// Another thread, unless there are enough.
    fn grow(&mut self) {
        if self.threads.len() == MAX_THREADS {
            return;
        }
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name("disk".to_owned()).stack_size(STACK_SIZE);
        match thread.spawn(move || shared.serve()) {
            Ok(thread) => self.threads.push(thread),
            // Those that there are do it; without any, nobody does.
            Err(error) if !self.threads.is_empty() => tracing::debug!("no more threads for a disk: {error}"),
            Err(error) => {
                let mut state = self.shared.state();
                let failed = std::mem::take(&mut state.waiting);
                let kind = error.kind();
                state.done.extend(
                    failed
                        .into_iter()
                        .map(|Request { tag, .. }| Completion { tag, result: Err(kind.into()) }),
                );
                drop(state);
                if let Err(error) = self.shared.event.write(1) {
                    tracing::error!("a disk's event can't be written: {error}");
                }
            }
        }
    }
}

impl Disk for Pool {
    fn start(&mut self, ram: &GuestRam) -> io::Result<()> {
        self.shared.state().ram = Some(Arc::new(ram.clone()));
        Ok(())
    }

    fn submit(&mut self, request: Request) {
        self.shared.state().waiting.push_back(request);
    }

    fn kick(&mut self) {
        let (waiting, idle) = {
            let state = self.shared.state();
            (state.waiting.len(), state.idle)
        };
        for _ in 0..waiting.min(idle) {
            self.shared.work.notify_one();
        }
        for _ in idle..waiting.min(MAX_THREADS) {
            self.grow();
        }
    }

    fn complete(&mut self, done: &mut Vec<Completion>) {
        // Before looking, so that none is missed; an error is that nobody wrote.
        let _none = self.shared.event.read();
        done.append(&mut self.shared.state().done);
    }

    fn wait(&mut self) {
        let mut state = self.shared.state();
        while state.done.is_empty() {
            state = self.shared.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn rest(&mut self) {
        self.shared.image.settle();
    }

    fn descriptor(&self) -> RawFd {
        self.shared.event.as_raw_fd()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state().ends = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a disk's thread has panicked");
            }
        }
    }
}

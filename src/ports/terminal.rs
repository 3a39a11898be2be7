//! A port as the user's terminal, or whatever standard input and output are. Keys come from the control thread, which looks for those
//! that are for triarch; output goes straight to standard output.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, fstat};
use triarch_devices::virtio::{PortEnd, WindowSize};
use triarch_devices::{Hook, Input};
use vmm_sys_util::epoll::{Epoll, EventSet};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::console::write_at_once;

/// Input that the port holds for the guest. More stays with the control thread, which bounds it.
const ROOM: usize = 4096;

/// What the control thread gives a port.
#[derive(Clone)]
pub struct Terminal(Arc<Shared>);

struct Shared {
    input: Mutex<VecDeque<u8>>,
    /// Called when there is room for input again.
    drained: Mutex<Option<Hook>>,
    /// Rows in the upper half, columns in the lower one; 0 if it is not known.
    size: AtomicU32,
    event: EventFd,
}

impl Terminal {
    /// Without input.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = EventFd::new(EFD_NONBLOCK)?;
        let (input, drained) = Default::default();
        Ok(Terminal(Arc::new(Shared { input, drained, size: AtomicU32::new(0), event })))
    }

    /// What to call from now on when there is room for input again.
    pub fn set_drained(&self, drained: Hook) {
        *lock(&self.0.drained) = Some(drained);
    }

    /// The window has this size from now on.
    pub fn set_size(&self, size: Option<WindowSize>) {
        let (columns, rows) = size.unwrap_or_default();
        self.0.size.store(u32::from(rows) << 16 | u32::from(columns), Ordering::Relaxed);
        self.tell();
    }

    fn tell(&self) {
        if let Err(error) = self.0.event.write(1) {
            tracing::error!("a port can't be told of input: {error}");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Input for Terminal {
    fn room(&self) -> usize {
        ROOM.saturating_sub(lock(&self.0.input).len())
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        lock(&self.0.input).extend(&bytes[..taken]);
        self.tell();
        taken
    }
}

/// The port.
pub struct Stdio {
    terminal: Terminal,
    output: Output,
    epoll: Epoll,
    is_broken: bool,
}

/// Standard output.
enum Output {
    /// Of our own, so that it can be one that does not block; or a file.
    Own(OwnedFd),
    /// Shared with other processes.
    Shared(OwnedFd),
}

impl Output {
    fn open() -> io::Result<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned()?;
        match FileType::from_raw_mode(fstat(&stdout)?.st_mode) {
            FileType::RegularFile => Ok(Output::Own(stdout)),
            FileType::Fifo | FileType::CharacterDevice => {
                let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
                let own = rustix::fs::open("/proc/self/fd/1", flags, Mode::empty());
                Ok(own.map_or(Output::Shared(stdout), Output::Own))
            }
            _ => Ok(Output::Shared(stdout)),
        }
    }
}

impl Stdio {
    /// With what the control thread gives.
    ///
    /// # Errors
    /// There is no standard output, or no descriptor left.
    pub fn new(terminal: Terminal) -> io::Result<Self> {
        let (output, epoll) = (Output::open()?, Epoll::new()?);
        let (Output::Own(fd) | Output::Shared(fd)) = &output;
        super::watch(&epoll, fd, EventSet::OUT, 0)?;
        super::watch(&epoll, &terminal.0.event, EventSet::IN, 1)?;
        Ok(Stdio { terminal, output, epoll, is_broken: false })
    }
}

impl PortEnd for Stdio {
    fn is_open(&self) -> bool {
        true
    }

    fn read(&mut self, bytes: &mut [u8]) -> usize {
        let len = {
            let mut input = lock(&self.terminal.0.input);
            let len = input.len().min(bytes.len());
            bytes.iter_mut().zip(input.drain(..len)).for_each(|(byte, typed)| *byte = typed);
            len
        };
        if let (1.., Some(drained)) = (len, &*lock(&self.terminal.0.drained)) {
            drained();
        }
        len
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        match &self.output {
            Output::Own(fd) => super::write(fd, bytes).unwrap_or_else(|error| {
                if !std::mem::replace(&mut self.is_broken, true) {
                    tracing::error!("standard output can't be written: {error}");
                }
                bytes.len()
            }),
            Output::Shared(fd) => write_at_once(fd, bytes),
        }
    }

    fn size(&self) -> Option<WindowSize> {
        let [a, b, c, d] = self.terminal.0.size.load(Ordering::Relaxed).to_le_bytes();
        let size = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
        Some(size).filter(|size| *size != (0, 0))
    }

    fn events(&self) -> Option<i32> {
        Some(self.epoll.as_raw_fd())
    }

    fn serve(&mut self) {
        super::happened(&self.epoll);
        // Edge-triggered, so that its count does not matter; but it must not overflow.
        if let Err(error) = self.terminal.0.event.read()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            tracing::error!("a port's input can't be had: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn what_is_typed_waits_until_it_is_read() {
        let mut terminal = Terminal::new().unwrap();
        let mut port = Stdio::new(terminal.clone()).unwrap();
        port.serve();
        let drained = Arc::new(AtomicUsize::new(0));
        let count = drained.clone();
        terminal.set_drained(Box::new(move || _ = count.fetch_add(1, Ordering::Relaxed)));
        assert_eq!(terminal.take(&[b'x'; ROOM + 5]), ROOM);
        assert_eq!((terminal.room(), terminal.take(b"y")), (0, 0));
        assert_eq!(super::super::happened(&port.epoll).len(), 1);
        port.serve();
        let mut bytes = [0; 16];
        assert_eq!((port.read(&mut bytes), bytes), (16, [b'x'; 16]));
        assert_eq!((terminal.room(), drained.load(Ordering::Relaxed)), (16, 1));
        while port.read(&mut bytes) > 0 {}
        assert_eq!(port.size(), None);
        terminal.set_size(Some((132, 43)));
        assert_eq!((port.size(), super::super::happened(&port.epoll).len()), (Some((132, 43)), 1));
        assert_eq!(port.write(b""), 0);
    }
}

//! Raw images by io_uring: the host's kernel reads and writes guest memory itself.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use io_uring::{IoUring, Probe, opcode, squeue, types};
use triarch_devices::GuestRam;
use triarch_devices::virtio::{Buffer, Completion, Disk, MAX_IN_FLIGHT, Operation, Request, slices};
use vm_memory::Bytes;

use super::buffers::{part, total};

/// The most bytes that are moved at once by a buffer of our own.
const PIECE: usize = 256 << 10;

/// A file whose bytes are the disk's.
#[derive(Debug, Clone)]
pub struct Target {
    /// The file.
    pub file: Arc<File>,
    /// Of memory that the file is read into or written from, as it is open for direct I/O; a power of 2.
    pub alignment: usize,
}

/// Whether this process may use io_uring, and the kernel's can do what it takes.
pub fn is_there() -> bool {
    let mut probe = Probe::new();
    let needed = [opcode::Readv::CODE, opcode::Writev::CODE, opcode::Fsync::CODE, opcode::Fallocate::CODE];
    let has = |ring: IoUring| ring.submitter().register_probe(&mut probe);
    IoUring::new(1).and_then(has).is_ok() && needed.iter().all(|code| probe.is_supported(*code))
}

/// What is left of a request.
struct Job {
    /// Where it began, in bytes.
    offset: u64,
    /// Bytes that are done.
    done: u64,
    work: Work,
    /// What the kernel reads buffers from; it stays where it is while the job is on its way.
    iovecs: Vec<libc::iovec>,
    /// Memory that suits the file, where the guest's does not.
    own: Option<Own>,
}

enum Work {
    Read(Vec<Buffer>),
    Write(Vec<Buffer>),
    Flush,
    /// So many bytes.
    Discard(u64),
    Zero {
        len: u64,
        unmap: bool,
    },
    /// So many bytes, by writes, as the file can't do it otherwise.
    WriteZeros(u64),
}

/// Aligned memory.
struct Own {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Own {
    fn new(len: usize, alignment: usize) -> Self {
        let bytes = vec![0; len + alignment];
        let start = bytes.as_ptr().align_offset(alignment).min(alignment);
        Own { bytes, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// A disk by io_uring. Everything that the kernel knows by address (buffers in guest memory, arrays of them, memory of our own)
/// stays as it is until the kernel has told that it is done with it: `jobs` owns it, and dropping a disk waits.
pub struct Uring {
    ring: IoUring,
    target: Target,
    ram: Option<GuestRam>,
    /// By tag.
    jobs: Vec<Option<Job>>,
    /// What ended without the kernel.
    ended: Vec<Completion>,
    /// Requests that the kernel has.
    on_their_way: usize,
}

// SAFETY: the addresses in `Job::iovecs` are of memory that is owned or kept by this disk (`jobs`, `ram`), and are as good on any
// thread. A ring is used by one thread at a time, as `&mut self` sees to.
unsafe impl Send for Uring {}

impl Uring {
    /// With a ring of its own.
    ///
    /// # Errors
    /// The host's kernel gives none.
    pub fn new(target: Target) -> io::Result<Self> {
        let entries = u32::try_from(MAX_IN_FLIGHT).map_err(io::Error::other)?;
        let jobs = std::iter::repeat_with(|| None).take(MAX_IN_FLIGHT).collect();
        let ring = IoUring::new(entries)?;
        Ok(Uring { ring, target, ram: None, jobs, ended: Vec::new(), on_their_way: 0 })
    }

    fn end(&mut self, tag: usize, result: io::Result<()>) {
        if let Some(job) = self.jobs.get_mut(tag) {
            *job = None;
        }
        self.ended.push(Completion { tag, result });
    }

    /// Sends what is left of a job on its way.
    fn launch(&mut self, tag: usize) {
        let (Some(Some(job)), Some(ram)) = (self.jobs.get_mut(tag), &self.ram) else {
            return self.end(tag, Err(io::Error::other("there is no such request")));
        };
        let entry = match job.entry(ram, &self.target) {
            Ok(entry) => entry.user_data(u64::try_from(tag).unwrap_or(u64::MAX)),
            Err(error) => return self.end(tag, Err(error)),
        };
        // SAFETY: what the entry points to is in `self.jobs[tag]`, which is neither changed nor dropped before its completion is
        // seen (`finish`), or in RAM that `self.ram` keeps mapped.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        match pushed {
            Ok(()) => self.on_their_way += 1,
            // There are as many entries as requests.
            Err(error) => self.end(tag, Err(io::Error::other(error))),
        }
    }

    /// A job has come back from the kernel.
    fn finish(&mut self, tag: usize, result: i32) {
        self.on_their_way -= 1;
        let (Some(Some(job)), Some(ram)) = (self.jobs.get_mut(tag), &self.ram) else { return };
        match job.take(ram, result) {
            Ok(true) => self.end(tag, Ok(())),
            Ok(false) => self.launch(tag),
            Err(error) => self.end(tag, Err(error)),
        }
    }

    /// Hands entries to the kernel, and waits for so many completions.
    fn enter(&mut self, wanted: usize) {
        while let Err(error) = self.ring.submit_and_wait(wanted) {
            if error.kind() != ErrorKind::Interrupted {
                // The kernel lacks memory, or room for completions, for the moment.
                tracing::debug!("io_uring: {error}");
                if !self.ring.completion().is_empty() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Takes what the kernel has completed; goes on with what is not all done.
    fn reap(&mut self) {
        loop {
            let Some(entry) = self.ring.completion().next() else { break };
            self.finish(usize::try_from(entry.user_data()).unwrap_or(usize::MAX), entry.result());
        }
        self.kick();
    }
}

impl Job {
    /// Bytes that it is about.
    fn len(&self) -> u64 {
        match &self.work {
            Work::Read(buffers) | Work::Write(buffers) => total(buffers),
            Work::Flush => 0,
            Work::Discard(len) | Work::Zero { len, .. } | Work::WriteZeros(len) => *len,
        }
    }

    /// What the kernel is asked for next.
    fn entry(&mut self, ram: &GuestRam, target: &Target) -> io::Result<squeue::Entry> {
        let fd = types::Fd(target.file.as_raw_fd());
        let (offset, left) = (self.offset + self.done, self.len() - self.done);
        let fallocate = |mode| opcode::Fallocate::new(fd, left).offset(offset).mode(mode).build();
        let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let reads = match &self.work {
            Work::Flush => {
                let data = types::FsyncFlags::DATASYNC;
                return Ok(opcode::Fsync::new(fd).flags(data).build());
            }
            Work::Discard(_) | Work::Zero { unmap: true, .. } => return Ok(fallocate(hole)),
            Work::Zero { .. } => {
                return Ok(fallocate(libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE));
            }
            Work::Read(buffers) => {
                self.iovecs = iovecs(ram, &part(buffers, self.done, left))?;
                true
            }
            Work::Write(buffers) => {
                self.iovecs = iovecs(ram, &part(buffers, self.done, left))?;
                false
            }
            Work::WriteZeros(_) => {
                self.iovecs.clear();
                false
            }
        };
        if self.iovecs.is_empty() || !is_aligned(&self.iovecs, target.alignment) {
            self.use_own(ram, left, target.alignment)?;
        }
        let (vectors, count) =
            (self.iovecs.as_ptr(), u32::try_from(self.iovecs.len()).map_err(io::Error::other)?);
        Ok(if reads {
            opcode::Readv::new(fd, vectors, count).offset(offset).build()
        } else {
            opcode::Writev::new(fd, vectors, count).offset(offset).build()
        })
    }

    /// Has the next bytes moved by memory of our own.
    fn use_own(&mut self, ram: &GuestRam, left: u64, alignment: usize) -> io::Result<()> {
        let len = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut own = Own::new(len, alignment);
        if let Work::Write(buffers) = &self.work {
            let mut rest = own.bytes();
            for buffer in part(buffers, self.done, u64::try_from(len).map_err(io::Error::other)?) {
                let (bytes, behind) =
                    rest.split_at_mut(usize::try_from(buffer.len).map_err(io::Error::other)?);
                ram.read_slice(bytes, buffer.address).map_err(io::Error::other)?;
                rest = behind;
            }
        }
        let bytes = own.bytes();
        self.iovecs = vec![libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }];
        self.own = Some(own);
        Ok(())
    }

    /// Takes the kernel's result. Whether all is done.
    fn take(&mut self, ram: &GuestRam, result: i32) -> io::Result<bool> {
        let own = self.own.take();
        let moved = match u32::try_from(result) {
            Ok(moved) => u64::from(moved),
            Err(_) => return self.take_error(io::Error::from_raw_os_error(result.saturating_neg())),
        };
        if !matches!(self.work, Work::Read(_) | Work::Write(_) | Work::WriteZeros(_)) {
            return Ok(true);
        }
        if moved == 0 {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the image is shorter than it was"));
        }
        if let (Work::Read(buffers), Some(mut own)) = (&self.work, own) {
            let mut rest = &*own.bytes();
            for buffer in part(buffers, self.done, moved) {
                let (bytes, behind) = rest.split_at(usize::try_from(buffer.len).map_err(io::Error::other)?);
                ram.write_slice(bytes, buffer.address).map_err(io::Error::other)?;
                rest = behind;
            }
        }
        self.done += moved;
        Ok(self.done >= self.len())
    }

    fn take_error(&mut self, error: io::Error) -> io::Result<bool> {
        match (error.kind(), &self.work) {
            (ErrorKind::Interrupted | ErrorKind::WouldBlock, _) => Ok(false),
            // It is a hint.
            (ErrorKind::Unsupported, Work::Discard(_)) => Ok(true),
            (ErrorKind::Unsupported, Work::Zero { len, .. }) => {
                self.work = Work::WriteZeros(*len);
                Ok(false)
            }
            _ => Err(error),
        }
    }
}

/// Buffers as the kernel has them.
fn iovecs(ram: &GuestRam, buffers: &[Buffer]) -> io::Result<Vec<libc::iovec>> {
    let iovec = |slice: vm_memory::VolatileSlice<'_>| libc::iovec {
        // RAM stays mapped as long as the disk has it, whatever becomes of the guard.
        iov_base: slice.ptr_guard_mut().as_ptr().cast(),
        iov_len: slice.len(),
    };
    slices(ram, buffers).map(|slice| slice.map(iovec).map_err(io::Error::other)).collect()
}

fn is_aligned(iovecs: &[libc::iovec], alignment: usize) -> bool {
    let is_odd = |number: usize| !number.is_multiple_of(alignment);
    !iovecs.iter().any(|iovec| is_odd(iovec.iov_base.addr()) || is_odd(iovec.iov_len))
}

impl Disk for Uring {
    fn start(&mut self, ram: &GuestRam) -> io::Result<()> {
        self.ram = Some(ram.clone());
        Ok(())
    }

    fn submit(&mut self, request: Request) {
        let Request { tag, offset, operation } = request;
        let work = match operation {
            Operation::Read(buffers) => Work::Read(buffers),
            Operation::Write(buffers) => Work::Write(buffers),
            Operation::Flush => Work::Flush,
            Operation::Discard(len) => Work::Discard(len),
            Operation::WriteZeroes { len, unmap } => Work::Zero { len, unmap },
        };
        if let Some(job) = self.jobs.get_mut(tag) {
            *job = Some(Job { offset, done: 0, work, iovecs: Vec::new(), own: None });
        }
        self.launch(tag);
    }

    fn kick(&mut self) {
        if !self.ring.submission().is_empty() {
            self.enter(0);
        }
    }

    fn complete(&mut self, done: &mut Vec<Completion>) {
        self.reap();
        done.append(&mut self.ended);
    }

    fn wait(&mut self) {
        while self.ended.is_empty() && self.on_their_way > 0 {
            self.enter(1);
            self.reap();
        }
    }

    fn rest(&mut self) {}

    fn descriptor(&self) -> RawFd {
        self.ring.as_raw_fd()
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        while self.on_their_way > 0 {
            self.wait();
            self.ended.clear();
        }
    }
}

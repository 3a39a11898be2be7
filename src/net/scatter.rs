//! Reading and writing descriptors from and to memory in pieces, in one system call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use vm_memory::VolatileSlice;

/// The most pieces that one call takes.
const MAX_PIECES: usize = 1024;

/// Reads into `pieces`, in order. Returns the bytes read.
///
/// # Errors
/// What the system says.
pub(super) fn read(fd: BorrowedFd<'_>, pieces: &[VolatileSlice<'_>]) -> io::Result<usize> {
    // SAFETY: the vectors are of memory that may be written, as `call` says.
    call(pieces, |vectors, count| unsafe { libc::readv(fd.as_raw_fd(), vectors, count) })
}

/// Writes what is in `pieces`, in order. Returns the bytes written.
///
/// # Errors
/// What the system says.
pub(super) fn write(fd: BorrowedFd<'_>, pieces: &[VolatileSlice<'_>]) -> io::Result<usize> {
    // SAFETY: the vectors are of memory that may be read, as `call` says.
    call(pieces, |vectors, count| unsafe { libc::writev(fd.as_raw_fd(), vectors, count) })
}

/// Calls with `pieces` as vectors, which are valid for reads and writes meanwhile: a volatile slice is of memory that stays mapped for
/// its lifetime, and that others may change at any time, as the kernel does.
fn call(
    pieces: &[VolatileSlice<'_>],
    call: impl Fn(*const libc::iovec, libc::c_int) -> libc::ssize_t,
) -> io::Result<usize> {
    let count = i32::try_from(pieces.len()).unwrap_or(i32::MAX);
    if pieces.len() > MAX_PIECES {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is in too many pieces"));
    }
    let guards: Vec<_> = pieces.iter().map(VolatileSlice::ptr_guard_mut).collect();
    let vector = |guard: &vm_memory::volatile_memory::PtrGuardMut| libc::iovec {
        iov_base: guard.as_ptr().cast(),
        iov_len: guard.len(),
    };
    let vectors: Vec<_> = guards.iter().map(vector).collect();
    loop {
        match usize::try_from(call(vectors.as_ptr(), count)) {
            Ok(len) => return Ok(len),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn pieces_are_one_whole() {
        let (near, far) = UnixDatagram::pair().unwrap();
        let (mut first, mut second) = ([1, 2, 3], [4, 5]);
        let pieces = [VolatileSlice::from(&mut first[..]), VolatileSlice::from(&mut second[..])];
        assert_eq!(write(near.as_fd(), &pieces).unwrap(), 5);
        let (mut first, mut second) = ([0; 2], [0; 4]);
        let pieces = [VolatileSlice::from(&mut first[..]), VolatileSlice::from(&mut second[..])];
        assert_eq!(read(far.as_fd(), &pieces).unwrap(), 5);
        let mut byte = [0];
        let many = [VolatileSlice::from(&mut byte[..]); MAX_PIECES + 1];
        assert_eq!(write(near.as_fd(), &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        far.set_nonblocking(true).unwrap();
        assert_eq!(read(far.as_fd(), &pieces).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!((first, second), ([1, 2], [3, 4, 5, 0]));
    }
}

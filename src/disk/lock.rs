//! Locks on images, so that no image is written by two guests.
//!
//! They are locks of the open file (`fcntl`, OFD) over all of it. QEMU, which locks single bytes of images, respects them, and they
//! respect QEMU's.

use std::fs::File;
use std::io;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// Who may have an image besides us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Others that read it.
    Shared,
    /// Nobody.
    Exclusive,
}

/// Locks a file, for as long as it is open. Whether it could be had.
///
/// # Errors
/// The file system has no locks.
pub fn lock(file: &File, lock: Lock) -> io::Result<bool> {
    let kind = match lock {
        Lock::Shared => libc::F_RDLCK,
        Lock::Exclusive => libc::F_WRLCK,
    };
    let whole = libc::flock {
        // Small numbers, of different types in C libraries.
        l_type: kind.try_into().map_err(io::Error::other)?,
        l_whence: libc::SEEK_SET.try_into().map_err(io::Error::other)?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(file.path()).unwrap();
        let (one, other) = (open(), open());
        assert!(lock(&one, Lock::Exclusive).unwrap());
        assert!(!lock(&other, Lock::Exclusive).unwrap());
        assert!(!lock(&other, Lock::Shared).unwrap());
        let kept = one.try_clone().unwrap();
        drop(one);
        assert!(!lock(&other, Lock::Shared).unwrap(), "it lasts as long as any descriptor of the open file");
        drop(kept);
        assert!(lock(&other, Lock::Shared).unwrap());
        assert!(lock(&open(), Lock::Shared).unwrap());
        assert!(!lock(&open(), Lock::Exclusive).unwrap());
    }
}

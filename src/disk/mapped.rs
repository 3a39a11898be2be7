//! Files that guests have as memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use triarch_arch::ram;
use triarch_devices::GuestRam;
use triarch_devices::virtio::{Disk, Operation, Request};
use vm_memory::{FileOffset, MmapRegion};

use super::open::Access;
use super::pool::{Blocking, Pool};

/// What a file's size is a multiple of: guests take persistent memory by pages of this size.
const GRANULE: u64 = 2 << 20;

/// A file to be mapped: open, and locked as images are.
pub struct Mapped {
    file: Arc<File>,
    size: u64,
    read_only: bool,
}

impl Mapped {
    /// The size that a file will have when it is opened.
    ///
    /// # Errors
    /// There is no such file, or it can't have that size. The message names it.
    pub fn size_of(path: &Path, size: Option<u64>) -> anyhow::Result<u64> {
        let found = || -> anyhow::Result<u64> {
            let size = match size {
                Some(size) => size,
                None => path.metadata().context("can't be opened")?.len(),
            };
            check(size)
        };
        found().with_context(|| format!("{path:?}"))
    }

    /// Opens a file. If a size is said, it is made that long, unless it is `read_only`, and made if there is none.
    ///
    /// # Errors
    /// It can't be opened, is in use, or has not that size. The message names it.
    pub fn open(path: &Path, size: Option<u64>, read_only: bool) -> anyhow::Result<Self> {
        let open = || -> anyhow::Result<Self> {
            if size.is_some() && !read_only {
                // Not cut to nothing: there may be something in it.
                let made = OpenOptions::new().create(true).truncate(false).write(true).open(path);
                made.context("can't be opened for writing")?;
            }
            let (file, found) = Access { writable: !read_only, is_direct: false }.open(path)?;
            ensure!(found.is_file(), "is no file");
            let size = check(size.unwrap_or(found.len()))?;
            ensure!(found.len() <= size, "has {} bytes, which are more than size={size}", found.len());
            if found.len() < size {
                ensure!(!read_only, "has {} bytes, less than size={size}", found.len());
                file.set_len(size).context("can't be made longer")?;
            }
            Ok(Mapped { file: Arc::new(file), size, read_only })
        };
        open().with_context(|| format!("{path:?}"))
    }

    /// Whether it can only be read.
    pub const fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Its memory, of `size` bytes as it had when it was opened.
    ///
    /// # Errors
    /// It has another size, or the host can't map it.
    pub fn map(&self, size: u64) -> io::Result<MmapRegion> {
        // What is not in the file would be a signal.
        if size != self.size || self.file.metadata()?.len() < size {
            return Err(io::Error::other("the file's size has changed"));
        }
        let file = FileOffset::from_arc(self.file.clone(), 0);
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let mapping = if self.read_only { ram::map_read_only(&file, size) } else { ram::map(&file, size) };
        mapping.map_err(io::Error::other)
    }

    /// What flushes it.
    ///
    /// # Errors
    /// The host has no descriptor left.
    pub fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(Pool::new(Arc::new(Flushed { file: self.file.clone(), read_only: self.read_only }))?))
    }
}

fn check(size: u64) -> anyhow::Result<u64> {
    ensure!(
        size > 0 && size.is_multiple_of(GRANULE),
        "has {size} bytes, which are no multiple of 2 MiB (size= makes it longer)"
    );
    Ok(size)
}

/// A file that is only flushed.
struct Flushed {
    file: Arc<File>,
    read_only: bool,
}

impl Blocking for Flushed {
    fn carry_out(&self, _: &GuestRam, request: &Request) -> io::Result<()> {
        match request.operation {
            Operation::Flush if self.read_only => Ok(()),
            Operation::Flush => self.file.sync_data(),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn settle(&self) {}
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use vm_memory::{Bytes, VolatileMemory};

    use super::*;

    fn file(bytes: u64) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(bytes).unwrap();
        file
    }

    fn told(result: anyhow::Result<Mapped>) -> String {
        format!("{:#}", result.err().unwrap())
    }

    #[test]
    fn a_file_is_what_memory_has() {
        let file = file(GRANULE);
        file.as_file().write_all_at(b"before", 4096).unwrap();
        let mapped = Mapped::open(file.path(), None, false).unwrap();
        let memory = mapped.map(GRANULE).unwrap();
        let slice = memory.as_volatile_slice();
        assert_eq!(slice.read_obj::<[u8; 6]>(4096).unwrap(), *b"before");
        slice.write_obj(*b"behind", 8192).unwrap();
        let mut found = [0; 6];
        file.as_file().read_exact_at(&mut found, 8192).unwrap();
        assert_eq!(&found, b"behind");
        assert!(mapped.map(2 * GRANULE).is_err());
        file.as_file().set_len(4096).unwrap();
        assert!(mapped.map(GRANULE).is_err(), "it was cut off");
    }

    #[test]
    fn a_file_is_made_as_long_as_it_is_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        assert!(told(Mapped::open(&path, None, false)).contains("can't be opened"));
        assert!(told(Mapped::open(&path, Some(GRANULE), true)).contains("can't be opened"));
        assert_eq!(Mapped::size_of(&path, Some(GRANULE)).unwrap(), GRANULE);
        assert!(Mapped::size_of(&path, None).is_err());
        drop(Mapped::open(&path, Some(GRANULE), false).unwrap());
        assert_eq!(Mapped::size_of(&path, None).unwrap(), GRANULE);
        std::fs::write(&path, b"short").unwrap();
        assert!(
            told(Mapped::open(&path, None, false)).contains("has 5 bytes, which are no multiple of 2 MiB")
        );
        assert!(told(Mapped::open(&path, Some(GRANULE), true)).contains("less than size="));
        drop(Mapped::open(&path, Some(2 * GRANULE), false).unwrap());
        let found = std::fs::read(&path).unwrap();
        assert_eq!((found.len(), &found[..6]), (4 << 20, &b"short\0"[..]));
        assert!(told(Mapped::open(&path, Some(GRANULE), false)).contains("more than size=2097152"));
        for size in [0, 1, GRANULE + 4096] {
            assert!(Mapped::size_of(&path, Some(size)).is_err());
        }
    }

    #[test]
    fn a_file_is_locked_as_an_image_is() {
        let file = file(GRANULE);
        let one = Mapped::open(file.path(), None, true).unwrap();
        let other = Mapped::open(file.path(), None, true).unwrap();
        assert!(told(Mapped::open(file.path(), None, false)).contains("is in use"));
        drop((one, other));
        let _writer = Mapped::open(file.path(), None, false).unwrap();
        assert!(told(Mapped::open(file.path(), None, true)).contains("is in use"));
    }

    #[test]
    fn nothing_but_flushes_is_done() {
        for read_only in [false, true] {
            let mapped = Mapped::open(file(GRANULE).path(), None, read_only).unwrap();
            let mut disk = mapped.disk().unwrap();
            disk.start(&GuestRam::default()).unwrap();
            disk.submit(Request { tag: 1, offset: 0, operation: Operation::Flush });
            disk.submit(Request { tag: 2, offset: 0, operation: Operation::Discard(512) });
            disk.kick();
            let mut done = Vec::new();
            while done.len() < 2 {
                disk.wait();
                disk.complete(&mut done);
            }
            done.sort_by_key(|done| done.tag);
            assert_eq!(done.iter().map(|done| done.result.is_ok()).collect::<Vec<_>>(), [true, false]);
            disk.rest();
        }
    }
}

//! Kernel files: what is inside, whichever way it is packed, and for which ISA.

mod unpack;

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Isa, aarch64, s390x, x86_64};

pub use unpack::{MAX_UNPACKED, Packing};

/// Why a kernel file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be opened or read.
    #[error("can't read kernel {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no kernel in any format that Triarch boots.
    #[error(
        "{path:?} is not a kernel that can be booted (known: x86_64 bzImage and ELF with a PVH note, arm64 Image, s390x image; plain or packed with gzip or zstd)"
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The file is packed in a way that can't be unpacked here, or the packing is damaged.
    #[error("can't unpack kernel {path:?}: {what}")]
    Unpack {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file begins like a kernel, but what it says of itself can't be.
    #[error("kernel {path:?} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// What a look at the contents found wrong, for [`Error::Damaged`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Damage(pub String);

/// Random access to the bytes of an unpacked kernel.
pub trait Contents {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads all of `buf` from `offset` on; fails where the contents end before.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

impl Contents for [u8] {
    fn len(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buf.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

impl<T: Contents + ?Sized> Contents for &T {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_exact_at(offset, buf)
    }
}

/// What kind of kernel it is, with what its header says, as far as a plan needs it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// x86_64, Linux boot protocol.
    BzImage(x86_64::bzimage::Header),
    /// x86_64, ELF with an entry point for PVH.
    Pvh(x86_64::pvh::Image),
    /// aarch64, Linux's `Image`.
    Arm64(aarch64::image::Header),
    /// s390x, Linux's flat image.
    S390x(s390x::image::Header),
}

impl Format {
    /// The ISA that the kernel is made for.
    pub const fn isa(&self) -> Isa {
        match self {
            Format::BzImage(_) | Format::Pvh(_) => Isa::X86_64,
            Format::Arm64(_) => Isa::Aarch64,
            Format::S390x(_) => Isa::S390x,
        }
    }

    /// Looks at unpacked contents. `None` when they are of no known format.
    pub fn recognise(contents: &dyn Contents) -> Result<Option<Format>, Damage> {
        if let Some(header) = x86_64::bzimage::recognise(contents)? {
            return Ok(Some(Format::BzImage(header)));
        }
        if let Some(image) = x86_64::pvh::recognise(contents)? {
            return Ok(Some(Format::Pvh(image)));
        }
        if let Some(header) = aarch64::image::recognise(contents)? {
            return Ok(Some(Format::Arm64(header)));
        }
        Ok(s390x::image::recognise(contents)?.map(Format::S390x))
    }
}

/// A kernel as a plan sees it: no file, just what is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kernel {
    /// How the file is packed.
    pub packing: Packing,
    /// What is inside.
    pub format: Format,
    /// Bytes of the unpacked image.
    pub len: u64,
}

/// An opened kernel file, ready to be planned with and loaded from.
#[derive(Debug)]
pub struct KernelFile {
    path: PathBuf,
    kernel: Kernel,
    data: Data,
}

/// Where the unpacked bytes are.
#[derive(Debug)]
enum Data {
    File(File, u64),
    Memory(Vec<u8>),
}

impl Contents for Data {
    fn len(&self) -> u64 {
        match self {
            Data::File(_, len) => *len,
            Data::Memory(bytes) => bytes.len() as u64,
        }
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self {
            Data::File(file, _) => FileExt::read_exact_at(file, buf, offset),
            Data::Memory(bytes) => Contents::read_exact_at(bytes.as_slice(), offset, buf),
        }
    }
}

/// Bytes of a kernel, for the loader.
#[derive(Debug, Clone, Copy)]
pub enum KernelBytes<'a> {
    /// In a file, to be read straight to where they belong.
    File(&'a File),
    /// Unpacked in memory.
    Memory(&'a [u8]),
}

/// Opens a regular file to be read; returns it with its length in bytes.
///
/// # Errors
/// It can't be opened, or it is something else: a pipe, of which one might wait for ever, or a device.
pub fn open_regular(path: &Path) -> io::Result<(File, u64)> {
    // A pipe without a writer is opened at once then; a regular file does not care.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    match meta.file_type() {
        kind if kind.is_file() => Ok((file, meta.len())),
        kind if kind.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::other("it is not a regular file")),
    }
}

impl KernelFile {
    /// Opens a kernel, unpacks it if it is packed, and looks at its header.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let (file, len) = open_regular(path).map_err(read)?;
        let raw = Data::File(file, len);
        let packing = Packing::detect(&raw).map_err(read)?;
        let data = match packing.unpack(&raw).map_err(|what| Error::Unpack { path: path.to_owned(), what })? {
            Some(bytes) => Data::Memory(bytes),
            None => raw,
        };
        let format = Format::recognise(&data)
            .map_err(|Damage(what)| Error::Damaged { path: path.to_owned(), what })?
            .ok_or_else(|| Error::Unknown { path: path.to_owned() })?;
        let kernel = Kernel { packing, format, len: data.len() };
        Ok(KernelFile { path: path.to_owned(), kernel, data })
    }

    /// What a plan needs to know.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The file's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The unpacked bytes.
    pub fn bytes(&self) -> KernelBytes<'_> {
        match &self.data {
            Data::File(file, _) => KernelBytes::File(file),
            Data::Memory(bytes) => KernelBytes::Memory(bytes),
        }
    }
}

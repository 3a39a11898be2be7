//! Puts a plan's segments into RAM. Files are read straight to where they belong.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use triarch_arch::GuestRam;
use triarch_arch::image::{KernelBytes, KernelFile, open_regular};
use triarch_boards::{Segment, Source};
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

/// Why RAM can't be filled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The initrd can't be opened.
    #[error("can't read initrd {path:?}")]
    Initrd {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file can't be read into RAM, perhaps because it was cut short meanwhile.
    #[error("can't load the {name} ({len} bytes at {address:#x})")]
    Load {
        /// The segment.
        name: &'static str,
        /// Its guest-physical address.
        address: u64,
        /// Its length in bytes.
        len: u64,
        /// What went wrong.
        source: GuestMemoryError,
    },
    /// A file can't be positioned.
    #[error("can't read the {name}")]
    Seek {
        /// The segment.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A plan that names a file which is not there.
    #[error("the plan has a {name}, but no file for it was given")]
    NoFile {
        /// The segment.
        name: &'static str,
    },
}

/// An opened initrd.
#[derive(Debug)]
pub struct Initrd {
    file: File,
    len: u64,
}

impl Initrd {
    /// Opens one.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Initrd { path: path.to_owned(), source };
        let (file, len) = open_regular(path).map_err(failed)?;
        Ok(Initrd { file, len })
    }

    /// Its size in bytes when it was opened.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it is empty.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The files that a machine boots from. They stay open, so that a reboot finds what the start found.
#[derive(Debug, Default)]
pub struct BootFiles {
    /// The kernel.
    pub kernel: Option<KernelFile>,
    /// The initrd.
    pub initrd: Option<Initrd>,
}

/// Fills `ram`, which is all zero, with `segments`.
pub fn load(ram: &GuestRam, segments: &[Segment], files: &BootFiles) -> Result<(), Error> {
    segments.iter().try_for_each(|segment| load_one(ram, segment, files))
}

fn load_one(ram: &GuestRam, segment: &Segment, files: &BootFiles) -> Result<(), Error> {
    let Segment { name, address, .. } = *segment;
    let failed = |source| Error::Load { name, address, len: segment.source.len(), source };
    let from_file = |file: &File, offset, len| {
        let mut file = file;
        file.seek(SeekFrom::Start(offset)).map_err(|source| Error::Seek { name, source })?;
        let len = usize::try_from(len)
            .map_err(|_| failed(GuestMemoryError::InvalidGuestAddress(GuestAddress(address))))?;
        ram.read_exact_volatile_from(GuestAddress(address), &mut file, len).map_err(failed)
    };
    match &segment.source {
        Source::Bytes { bytes } => ram.write_slice(bytes, GuestAddress(address)).map_err(failed),
        Source::Kernel { offset, len } => {
            match files.kernel.as_ref().ok_or(Error::NoFile { name })?.bytes() {
                KernelBytes::File(file) => from_file(file, *offset, *len),
                KernelBytes::Memory(image) => {
                    let part = usize::try_from(*offset)
                        .ok()
                        .zip(usize::try_from(*len).ok())
                        .and_then(|(start, len)| image.get(start..start.checked_add(len)?))
                        .ok_or(Error::Seek { name, source: io::ErrorKind::UnexpectedEof.into() })?;
                    ram.write_slice(part, GuestAddress(address)).map_err(failed)
                }
            }
        }
        Source::Initrd { len } => {
            let initrd = files.initrd.as_ref().ok_or(Error::NoFile { name })?;
            from_file(&initrd.file, 0, *len)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use triarch_boards::RamRange;

    use super::*;
    use crate::memory::{Pages, allocate};

    #[test]
    fn segments_land_where_the_plan_says() {
        let ram = allocate(&[RamRange { base: 0x1000, size: 0x2000 }], Pages::Normal).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"initrd!").unwrap();
        let files = BootFiles { kernel: None, initrd: Some(Initrd::open(file.path()).unwrap()) };
        let initrd =
            Segment { name: "initrd", address: 0x1800, size: 0x1000, source: Source::Initrd { len: 7 } };
        let bytes =
            Segment { name: "fdt", address: 0x1000, size: 3, source: Source::Bytes { bytes: vec![1, 2, 3] } };
        // A reboot loads a second time from the same open files.
        for _ in 0..2 {
            load(&ram, &[bytes.clone(), initrd.clone()], &files).unwrap();
            let mut found = [0; 8];
            ram.read_slice(&mut found, GuestAddress(0x1800)).unwrap();
            assert_eq!(&found, b"initrd!\0");
            assert_eq!(ram.read_obj::<[u8; 4]>(GuestAddress(0x1000)).unwrap(), [1, 2, 3, 0]);
        }
        let long = Segment { source: Source::Initrd { len: 8 }, ..initrd };
        assert!(matches!(load(&ram, &[long], &files), Err(Error::Load { name: "initrd", .. })));
    }
}

//! Images by imago: qcow2 with its backing files, and raw ones where io_uring is not to be had.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::{PoisonError, RwLock};

use imago::io_buffers::{IoVector, IoVectorMut};
use imago::{FormatAccess, file};
use triarch_devices::GuestRam;
use triarch_devices::virtio::{Buffer, Operation, Request, slices};

use super::buffers::{part, total};
use super::pool::Blocking;

/// The most bytes that are moved at once: what does not suit the host's disk, such as compressed clusters and odd buffers, is
/// copied through memory of this size.
const PIECE: u64 = 1 << 20;

/// An image whose requests wait.
pub struct BlockingImage {
    /// Who takes clusters away from an image, or makes all of one zero that was partly so, has to be alone with it.
    access: RwLock<FormatAccess<file::File>>,
}

impl BlockingImage {
    /// Of an image that is open.
    pub fn new(access: FormatAccess<file::File>) -> Self {
        BlockingImage { access: RwLock::new(access) }
    }

    /// A raw image in an open file, which is as `options` say.
    pub fn raw(file: File, options: imago::StorageOpenOptions, writable: bool) -> io::Result<Self> {
        let storage = file::File::from_open_file(file, options)?;
        Ok(Self::new(FormatAccess::new(imago::raw::Raw::open_image(storage, writable)?)))
    }

    fn shared<T>(&self, act: impl FnOnce(&FormatAccess<file::File>) -> T) -> T {
        act(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn alone<T>(&self, act: impl FnOnce(&mut FormatAccess<file::File>) -> T) -> T {
        act(&mut self.access.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves buffers piece by piece.
    fn transfer(
        &self,
        ram: &GuestRam,
        request: &Request,
        buffers: &[Buffer],
        writes: bool,
    ) -> io::Result<()> {
        let (mut done, all) = (0, total(buffers));
        while done < all {
            let piece = part(buffers, done, PIECE);
            let memory: Vec<_> = slices(ram, &piece).collect::<Result<_, _>>().map_err(io::Error::other)?;
            let offset = request.offset + done;
            if writes {
                let (vector, _guard) = IoVector::from_volatile_slice(&memory);
                self.shared(|access| access.writev(vector, offset))?;
            } else {
                let (vector, _guard) = IoVectorMut::from_volatile_slice(&memory);
                self.shared(|access| access.readv(vector, offset))?;
            }
            done += total(&piece);
        }
        Ok(())
    }
}

impl Blocking for BlockingImage {
    fn carry_out(&self, ram: &GuestRam, request: &Request) -> io::Result<()> {
        match &request.operation {
            Operation::Read(buffers) => self.transfer(ram, request, buffers, false),
            Operation::Write(buffers) => self.transfer(ram, request, buffers, true),
            Operation::Flush => self.shared(|access| {
                access.flush()?;
                access.sync()
            }),
            Operation::Discard(len) => match self.alone(|access| access.discard_to_any(request.offset, *len))
            {
                // It is a hint.
                Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
                other => other,
            },
            Operation::WriteZeroes { len, unmap: true } => {
                self.alone(|access| access.discard_to_zero(request.offset, *len))
            }
            Operation::WriteZeroes { len, unmap: false } => {
                self.alone(|access| access.write_zeroes(request.offset, *len))
            }
        }
    }

    fn settle(&self) {
        if let Err(error) = self.shared(FormatAccess::flush) {
            tracing::error!("an image's tables can't be written: {error}");
        }
    }
}

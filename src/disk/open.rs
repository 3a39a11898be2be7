//! Opens images.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use imago::{FormatAccess, StorageOpenOptions, file, qcow2, raw};
use rustix::fs::{AtFlags, StatxFlags};
use triarch_devices::virtio::{DiskInfo, SECTOR};

use super::image::BlockingImage;
use super::lock::{Lock, lock};
use super::{Engine, Format, Image, Io, Options, Sync, uring};

/// What qcow2 images, and no file system or partition table, begin with.
const QCOW2_MAGIC: [u8; 4] = *b"QFI\xfb";

/// Where a qcow2 header tells how clusters are encrypted: 4 bytes, 0 if they are not.
const CRYPT_METHOD_AT: u64 = 32;

/// Where a qcow2 header has its version, 4 bytes.
const VERSION_AT: u64 = 4;

/// Where a qcow2 header has the offset of the refcount table, a big-endian number of 8 bytes as the table's entries are, and behind it
/// the number of its clusters.
const REFCOUNT_TABLE_AT: u64 = 48;

/// Where a header of version 3 has the binary logarithm of a refcount's bits, 4 bytes.
const REFCOUNT_ORDER_AT: u64 = 96;

/// The most images that are behind each other.
const MAX_CHAIN: usize = 16;

/// Unit of direct I/O where the host's kernel does not tell: all disks have it, or a part of it.
const SAFE_BLOCK: u32 = 4096;

/// Units of a file's I/O, in bytes: powers of 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Units {
    /// Of transfers.
    block: u32,
    /// Of transfers that cost no reading before.
    physical: u32,
    /// Of memory.
    memory: u32,
}

/// Opens and locks an image.
///
/// # Errors
/// It can't be opened, is in use, or is none. The message names it.
pub fn open(options: &Options) -> anyhow::Result<Image> {
    let path = &options.path;
    open_image(options).with_context(|| format!("{path:?}"))
}

fn open_image(options: &Options) -> anyhow::Result<Image> {
    let is_direct = options.sync == Sync::Direct;
    let access = Access { writable: !options.read_only, is_direct };
    let (file, kind) = access.open(&options.path)?;
    let units = units(&file, &kind, is_direct)?;
    let format = match options.format {
        Some(format) => format,
        None if options.path.extension().is_some_and(|extension| extension == "qcow2") => Format::Qcow2,
        None => Format::Raw,
    };
    match format {
        Format::Raw => {
            let is_chosen = options.format.is_some();
            check_raw(&options.path, is_chosen)?;
            open_raw(file, &kind, units, options)
        }
        Format::Qcow2 => {
            ensure!(
                options.io != Some(Io::Uring),
                "io=uring is for raw images; qcow2 needs io=threads, its default"
            );
            let access = open_qcow2(file, &options.path, access, 1)?;
            let info = info(options, access.size(), units)?;
            Ok(Image { info, engine: Engine::Threads(Arc::new(BlockingImage::new(access))) })
        }
    }
}

/// How a file is opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    pub writable: bool,
    pub is_direct: bool,
}

impl Access {
    /// Opens a file or block device, and locks it.
    pub fn open(self, path: &Path) -> anyhow::Result<(File, Metadata)> {
        let before = path.metadata().context("can't be opened")?;
        let is_device = before.file_type().is_block_device();
        ensure!(before.is_file() || is_device, "is neither a file nor a block device");
        let mut flags = libc::O_NONBLOCK;
        if self.is_direct {
            flags |= libc::O_DIRECT;
        }
        if is_device && self.writable {
            // No file system that the host has mounted is written behind its back.
            flags |= libc::O_EXCL;
        }
        let open = |flags| OpenOptions::new().read(true).write(self.writable).custom_flags(flags).open(path);
        let file = match open(flags) {
            Err(error) if self.is_direct && error.raw_os_error() == Some(libc::EINVAL) => {
                bail!("is on a file system without direct I/O: use another sync= than direct")
            }
            other => other.context(if self.writable {
                "can't be opened for writing"
            } else {
                "can't be opened"
            })?,
        };
        let kind = file.metadata()?;
        ensure!(kind.file_type() == before.file_type(), "is something else all of a sudden");
        // What is neither pipe nor device does not know it, and io_uring would not wait.
        rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? & !rustix::fs::OFlags::NONBLOCK)?;
        let wanted = if self.writable { Lock::Exclusive } else { Lock::Shared };
        if !lock(&file, wanted).context("can't be locked")? {
            bail!(
                "is in use by another guest or program, {}",
                if self.writable { "and only one may write to it" } else { "which writes to it" }
            );
        }
        Ok((file, kind))
    }
}

/// Refuses a raw image that was not meant to be one.
fn check_raw(path: &Path, is_chosen: bool) -> anyhow::Result<()> {
    let mut magic = [0; 4];
    // Not by the open file, which may want aligned reads.
    let is_qcow2 = File::open(path)?.read_at(&mut magic, 0)? == magic.len() && magic == QCOW2_MAGIC;
    if is_qcow2 && is_chosen {
        tracing::warn!("{path:?} looks like a qcow2 image, and is used as a raw one, as format=raw says");
    } else if is_qcow2 {
        bail!(
            "looks like a qcow2 image. If it is one, say format=qcow2; but if a guest had it as a raw disk, the guest may have \
             made it look so: then say format=raw"
        );
    }
    Ok(())
}

fn open_raw(file: File, kind: &Metadata, units: Units, options: &Options) -> anyhow::Result<Image> {
    let bytes = if kind.is_file() { kind.len() } else { (&file).seek(SeekFrom::End(0))? };
    let info = info(options, bytes, units)?;
    let engine = match options.io {
        Some(Io::Uring) if !uring::is_there() => {
            bail!("io=uring: this host's kernel lacks io_uring, or does not let this process use it")
        }
        Some(Io::Uring) => true,
        Some(Io::Threads) => false,
        None => uring::is_there(),
    };
    let engine = if engine {
        let alignment = usize::try_from(units.memory)?;
        Engine::Uring(uring::Target { file: Arc::new(file), alignment })
    } else {
        let storage = storage_options(&options.path, !options.read_only, options.sync == Sync::Direct);
        Engine::Threads(Arc::new(BlockingImage::raw(file, storage, !options.read_only)?))
    };
    Ok(Image { info, engine })
}

fn storage_options(path: &Path, writable: bool, is_direct: bool) -> StorageOpenOptions {
    StorageOpenOptions::new().filename(path).write(writable).direct(is_direct)
}

fn units(file: &File, kind: &Metadata, is_direct: bool) -> anyhow::Result<Units> {
    let sector = u32::try_from(SECTOR)?;
    let mut units = Units { block: sector, physical: sector, memory: 1 };
    if kind.file_type().is_block_device() {
        let (block, physical) = (rustix::fs::ioctl_blksszget(file)?, rustix::fs::ioctl_blkpbszget(file)?);
        // Without direct I/O, the page cache takes what comes.
        units.physical = physical.max(block);
        if is_direct {
            (units.block, units.memory) = (block, block);
        }
    } else {
        // What the file system has as its block is what it writes without reading.
        let block = u32::try_from(rustix::fs::fstatvfs(file)?.f_bsize);
        units.physical = block.ok().filter(|block| block.is_power_of_two()).unwrap_or(SAFE_BLOCK);
        if is_direct {
            let found = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
            let told = found.ok().filter(|found| found.stx_dio_offset_align > 0);
            units.block = told.as_ref().map_or(SAFE_BLOCK, |found| found.stx_dio_offset_align);
            units.memory = told.as_ref().map_or(SAFE_BLOCK, |found| found.stx_dio_mem_align);
        }
    }
    units.block = units.block.max(sector);
    units.physical = units.physical.clamp(units.block, units.block.max(1 << 16));
    let all = [units.block, units.physical, units.memory];
    ensure!(all.iter().all(|unit| unit.is_power_of_two()), "has blocks that no guest could use: {units:?}");
    Ok(units)
}

fn info(options: &Options, bytes: u64, units: Units) -> anyhow::Result<DiskInfo> {
    let block = u64::from(units.block);
    ensure!(bytes >= block, "has {bytes} bytes, less than a block of {block}");
    let odd = bytes % block;
    if odd > 0 {
        tracing::warn!(
            "{:?}: the last {odd} bytes are no whole block of {block}, and not in the guest's disk",
            options.path
        );
    }
    let mut serial = [0; 20];
    let given = options.serial.as_bytes();
    ensure!(
        given.len() <= serial.len() && options.serial.is_ascii(),
        "serial= has at most 20 ASCII characters"
    );
    serial[..given.len()].copy_from_slice(given);
    ensure!((1..=64).contains(&options.queues), "queues= is 1 to 64");
    Ok(DiskInfo {
        name: options.path.display().to_string(),
        serial,
        sectors: (bytes - odd) / SECTOR,
        read_only: options.read_only,
        block_size: units.block,
        physical_block_size: units.physical,
        discard: options.discard && !options.read_only,
        write_back: options.sync != Sync::Writethrough,
        queues: options.queues,
    })
}

/// A qcow2 image with all that is behind it. Nothing is opened but files that it names in its own folder or below, and nothing
/// is guessed.
fn open_qcow2(
    file: File,
    path: &Path,
    access: Access,
    depth: usize,
) -> anyhow::Result<FormatAccess<file::File>> {
    let storage = storage_options(path, access.writable, access.is_direct);
    let storage = file::File::from_open_file(file, storage)?;
    let mut image: qcow2::Qcow2<file::File> =
        qcow2::Qcow2::open_image(storage, access.writable).context("is no qcow2 image")?;
    check_header(path)?;
    if image.requires_external_data_file() {
        bail!("has its data in another file, which is not supported");
    }
    image.set_data_file(None);
    let backing = match image.implicit_backing_file() {
        None => None,
        Some(name) => {
            let format = image.implicit_backing_format().map(String::as_str);
            let opened = open_backing(path, name, format, Access { writable: false, ..access }, depth);
            Some(opened.with_context(|| format!("its backing file {name:?}"))?)
        }
    };
    image.set_backing(backing);
    Ok(FormatAccess::new(image))
}

/// Refuses what imago does not: an image whose clusters are encrypted, and one without refcounts of its header, where imago would look
/// for room without end, or put something else.
fn check_header(path: &Path) -> anyhow::Result<()> {
    const ENTRY: u64 = 0x00ff_ffff_ffff_fe00;
    let file = File::open(path)?;
    let number = |at, len: usize| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes[8 - len..], at).map(|()| u64::from_be_bytes(bytes))
    };
    ensure!(number(CRYPT_METHOD_AT, 4)? == 0, "is encrypted, which is not supported");
    let (table, clusters) = (number(REFCOUNT_TABLE_AT, 8)?, number(REFCOUNT_TABLE_AT + 8, 4)?);
    ensure!(clusters > 0, "is damaged: it has no refcount table");
    let block = number(table, 8).context("is damaged: it has no refcount table")? & ENTRY;
    // Version 2 has counts of 16 bits, version 3 tells the binary logarithm.
    let order = if number(VERSION_AT, 4)? < 3 { 4 } else { number(REFCOUNT_ORDER_AT, 4)? };
    let bits = 1u32.checked_shl(u32::try_from(order)?).context("is damaged: its refcounts are too wide")?;
    let count = match usize::try_from(bits / 8)? {
        // The first is in the lowest bits.
        0 => number(block, 1).map(|byte| byte & ((1 << bits) - 1)),
        bytes @ 1..=8 => number(block, bytes),
        _ => bail!("is damaged: its refcounts are too wide"),
    };
    let count = count.context("is damaged: it has no refcounts of its header")?;
    ensure!(block > 0 && count > 0, "is damaged: it has no refcounts of its header");
    Ok(())
}

fn open_backing(
    image: &Path,
    name: &str,
    format: Option<&str>,
    access: Access,
    depth: usize,
) -> anyhow::Result<FormatAccess<file::File>> {
    ensure!(depth < MAX_CHAIN, "is behind {depth} images already, and no more are opened");
    let name = Path::new(name);
    let is_below =
        name.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    ensure!(is_below, "is not in the image's folder or below it, and an image is not trusted to name others");
    let path = image.parent().unwrap_or(Path::new("")).join(name);
    let (file, kind) = access.open(&path)?;
    ensure!(kind.is_file(), "is no file");
    match format {
        Some("qcow2") => open_qcow2(file, &path, access, depth + 1),
        Some("raw") => {
            let storage = file::File::from_open_file(file, storage_options(&path, false, access.is_direct))?;
            Ok(FormatAccess::new(raw::Raw::open_image(storage, false)?))
        }
        Some(other) => bail!("has the format {other:?}, which is not supported"),
        None => bail!(
            "has a format that the image does not tell, and it is not guessed (qemu-img rebase -u -F tells it)"
        ),
    }
}

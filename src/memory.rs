//! Guest RAM: one shared file of memory, a mapping for each range of the plan.
//!
//! That file should give transparent huge pages: each page that a guest touches for the first time costs an exit and a fault
//! of the host, and a boot touches 16 000 small ones. Linux as Debian configures it has none for a memfd
//! (`/sys/kernel/mm/transparent_hugepage/shmem_enabled` is `never`), but a tmpfs says for itself. So RAM is an unnamed file in
//! a tmpfs that is mounted nowhere; and a memfd where triarch may not mount.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, fallocate, ftruncate, memfd_create, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
};
use triarch_arch::{GuestRam, ram};
use triarch_boards::RamRange;
use vm_memory::mmap::MmapRegionError;
use vm_memory::{FileOffset, GuestAddress, GuestRegionCollectionError, GuestRegionMmap};

/// The pages that RAM is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pages {
    /// The host's ordinary pages, taken as the guest touches them; transparent huge pages where the host gives them.
    #[default]
    Normal,
    /// Pages of 1 MiB (s390x) from the host's pool.
    Huge1M,
    /// Pages of 2 MiB from the host's pool.
    Huge2M,
    /// Pages of 1 GiB from the host's pool.
    Huge1G,
}

impl Pages {
    /// Size of such a page in bytes; 1 for ordinary pages, which ask for no alignment that RAM does not have anyway.
    pub const fn size(self) -> u64 {
        match self {
            Pages::Normal => 1,
            Pages::Huge1M => 1 << 20,
            Pages::Huge2M => 2 << 20,
            Pages::Huge1G => 1 << 30,
        }
    }

    const fn flags(self) -> MemfdFlags {
        match self {
            Pages::Normal => MemfdFlags::empty(),
            Pages::Huge1M => MemfdFlags::HUGETLB.union(MemfdFlags::HUGE_1MB),
            Pages::Huge2M => MemfdFlags::HUGETLB.union(MemfdFlags::HUGE_2MB),
            Pages::Huge1G => MemfdFlags::HUGETLB.union(MemfdFlags::HUGE_1GB),
        }
    }
}

/// Why there is no RAM.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The memfd can't be made.
    #[error("--memory: can't get {bytes} bytes of shared memory for the guest's RAM{}", kind_hint(*pages))]
    Allocate {
        /// Size in bytes.
        bytes: u64,
        /// The pages asked for.
        pages: Pages,
        /// What the system said.
        source: io::Error,
    },
    /// More than the host could ever give.
    #[error("--memory {}M is more than this host has, {}M of RAM and swap", bytes >> 20, host >> 20)]
    MoreThanHost {
        /// Size in bytes.
        bytes: u64,
        /// What the host has, in bytes.
        host: u64,
    },
    /// The size is no multiple of the page size.
    #[error(
        "--memory is no multiple of the huge page size, {page} bytes, in the range of {size} bytes at {base:#x}"
    )]
    Unaligned {
        /// Guest-physical address of the range.
        base: u64,
        /// Its size in bytes.
        size: u64,
        /// The page size in bytes.
        page: u64,
    },
    /// The host can't address that much.
    #[error("this host can't map {0} bytes")]
    TooLarge(u64),
    /// The memfd can't be mapped.
    #[error("--memory: can't map {bytes} bytes for the guest's RAM{}", pool_hint(*pages, *bytes))]
    Map {
        /// Size in bytes, of all of RAM.
        bytes: u64,
        /// The pages asked for.
        pages: Pages,
        /// What the system said.
        source: MmapRegionError,
    },
    /// The plan's ranges don't make an address space.
    #[error("can't lay out the guest's RAM")]
    Layout(#[source] GuestRegionCollectionError),
}

fn kind_hint(pages: Pages) -> &'static str {
    match pages {
        Pages::Normal => "",
        _ => " (this host may have no huge pages of that size: see /sys/kernel/mm/hugepages)",
    }
}

fn pool_hint(pages: Pages, bytes: u64) -> String {
    let size = pages.size();
    match pages {
        Pages::Normal => String::new(),
        _ => format!(
            " ({} huge pages must be free: add what lacks to /sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages)",
            bytes / size,
            size >> 10
        ),
    }
}

/// Refuses what no try is needed for.
pub fn check(ranges: &[RamRange], pages: Pages) -> Result<(), Error> {
    if let Some(range) = ranges.iter().find(|range| !range.size.is_multiple_of(pages.size())) {
        return Err(Error::Unaligned { base: range.base, size: range.size, page: pages.size() });
    }
    // A shared file may have any size, and a guest that filled it would take the host down.
    let bytes = ranges.iter().map(|range| range.size).sum();
    let host = of_host();
    if pages == Pages::Normal && bytes > host {
        return Err(Error::MoreThanHost { bytes, host });
    }
    Ok(())
}

/// Bytes of RAM and swap that the host has.
pub fn of_host() -> u64 {
    let found = rustix::system::sysinfo();
    found.totalram.saturating_add(found.totalswap).saturating_mul(u64::from(found.mem_unit))
}

/// Makes memory for a device's range, zeroed and shared, of the host's ordinary pages. It takes none of them until it is written to.
///
/// # Errors
/// The host does not give it.
pub fn of_device(range: RamRange) -> io::Result<GuestRegionMmap> {
    let file = open(Pages::Normal)?;
    ftruncate(&file, range.size)?;
    let size = usize::try_from(range.size).map_err(io::Error::other)?;
    let mapping = ram::map(&FileOffset::new(file.into(), 0), size).map_err(io::Error::other)?;
    GuestRegionMmap::new(mapping, GuestAddress(range.base)).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Gives a range of a file of memory back to the host. It reads as zeros from then on.
///
/// # Errors
/// The host does not take it.
pub fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    Ok(fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)?)
}

/// Makes RAM for `ranges`, zeroed and shared, so that device processes can map it too.
pub fn allocate(ranges: &[RamRange], pages: Pages) -> Result<GuestRam, Error> {
    check(ranges, pages)?;
    let bytes = ranges.iter().map(|range| range.size).sum();
    let allocate = |error: rustix::io::Errno| Error::Allocate { bytes, pages, source: error.into() };
    let file = open(pages).map_err(allocate)?;
    ftruncate(&file, bytes).map_err(allocate)?;
    let file = Arc::new(File::from(file));
    let mut offset = 0;
    let mut regions = Vec::with_capacity(ranges.len());
    for range in ranges {
        let size = usize::try_from(range.size).map_err(|_| Error::TooLarge(range.size))?;
        let mapping = ram::map(&FileOffset::from_arc(file.clone(), offset), size);
        let region = GuestRegionMmap::new(
            mapping.map_err(|source| Error::Map { bytes, pages, source })?,
            GuestAddress(range.base),
        );
        regions.push(region.ok_or(Error::TooLarge(range.size))?);
        offset += range.size;
    }
    GuestRam::from_regions(regions).map_err(Error::Layout)
}

/// An empty file of memory.
fn open(pages: Pages) -> rustix::io::Result<OwnedFd> {
    if pages == Pages::Normal {
        match open_transparent() {
            Ok(file) => return Ok(file),
            Err(error) => {
                tracing::debug!("RAM is a memfd, without transparent huge pages: no tmpfs: {error}")
            }
        }
    }
    memfd_create("triarch-ram", MemfdFlags::CLOEXEC | pages.flags())
}

/// An unnamed file in a tmpfs of its own, which is no part of any mount namespace and ends with the file. Takes CAP_SYS_ADMIN.
fn open_transparent() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "huge", "advise")?;
    // No limit of its own: the default is half of the host's memory.
    fsconfig_set_string(&context, "size", "0")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    openat(&mount, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
}

#[cfg(test)]
mod tests {
    use vm_memory::{Bytes, GuestMemoryBackend, GuestMemoryRegion};

    use super::*;

    #[test]
    fn ranges_are_apart_and_zero() {
        let ranges = [RamRange { base: 0, size: 1 << 20 }, RamRange { base: 1 << 32, size: 2 << 20 }];
        let ram = allocate(&ranges, Pages::Normal).unwrap();
        ram.write_obj(7u8, GuestAddress((1 << 32) + 5)).unwrap();
        assert_eq!(ram.read_obj::<u8>(GuestAddress(5)).unwrap(), 0);
        assert_eq!(ram.read_obj::<u8>(GuestAddress((1 << 32) + 5)).unwrap(), 7);
        assert!(ram.read_obj::<u8>(GuestAddress(1 << 20)).is_err());
    }

    #[test]
    fn what_is_punched_reads_as_zeros_and_costs_nothing() {
        let region = of_device(RamRange { base: 1 << 32, size: 64 << 20 }).unwrap();
        let file = region.file_offset().unwrap().clone();
        let blocks = || std::os::unix::fs::MetadataExt::blocks(&file.file().metadata().unwrap());
        let ram = GuestRam::from_regions(vec![region]).unwrap();
        assert_eq!(blocks(), 0);
        for page in (0..4 << 20).step_by(4096) {
            ram.write_obj(7u8, GuestAddress((1 << 32) + page)).unwrap();
        }
        assert!(blocks() >= (4 << 20) / 512);
        let mapped = ram.iter().next().unwrap().file_offset().unwrap();
        punch(mapped.file(), mapped.start() + (2 << 20), 2 << 20).unwrap();
        assert!(blocks() <= (2 << 20) / 512);
        let read = |address: u64| ram.read_obj::<u8>(GuestAddress((1 << 32) + address)).unwrap();
        assert_eq!([read(0), read(2 << 20), read((4 << 20) - 4096)], [7, 0, 0]);
    }

    #[test]
    fn a_range_that_huge_pages_do_not_fill_is_refused() {
        let ranges = [RamRange { base: 0, size: 3 << 20 }];
        assert!(matches!(allocate(&ranges, Pages::Huge2M), Err(Error::Unaligned { page: 0x20_0000, .. })));
    }

    #[test]
    fn more_than_the_host_has_is_refused() {
        let ranges = [RamRange { base: 0, size: 1 << 50 }];
        let error = allocate(&ranges, Pages::Normal).unwrap_err().to_string();
        assert!(error.starts_with("--memory 1073741824M is more than this host has"), "{error}");
    }

    /// Sizes of huge pages differ, and their pools are empty or hold less than this, so it can't be had, by one way or another.
    #[test]
    fn huge_pages_that_are_not_there_are_an_error_and_no_later_crash() {
        let ranges = [RamRange { base: 0, size: 1 << 46 }];
        let error = allocate(&ranges, Pages::Huge2M).unwrap_err().to_string();
        assert!(error.starts_with("--memory: can't "), "{error}");
        assert!(error.contains("huge pages"), "{error}");
    }
}

//! Mapping guest RAM.

use vm_memory::{FileOffset, MmapRegion, mmap::MmapRegionError};

/// What the host address of RAM is a multiple of: the huge page of x86_64, and of aarch64 with 4 KiB pages. KVM maps RAM by
/// such pages only if guest and host address agree below that size. KVM on s390x takes nothing but multiples of 1 MiB
/// (Linux, arch/s390/kvm/kvm-s390.c, kvm_arch_prepare_memory_region).
pub const ALIGNMENT: usize = 2 << 20;

/// How often a place is looked for. The second try hits, unless another thread maps something meanwhile, or the gap is too small; so
/// many in a row are not spoilt by chance.
const ATTEMPTS: usize = 64;

/// Maps `size` bytes of a file, shared, at a multiple of [`ALIGNMENT`], and asks for transparent huge pages there.
///
/// # Errors
/// The file can't be mapped. That there was no place at such a multiple is none: KVM says whether it minds. Nor is a host
/// without transparent huge pages.
pub fn map(file: &FileOffset, size: usize) -> Result<MmapRegion, MmapRegionError> {
    map_with(file, size, libc::PROT_READ | libc::PROT_WRITE)
}

/// As [`map`], for who only reads: neither triarch nor a guest can write there.
///
/// # Errors
/// As of [`map`].
pub fn map_read_only(file: &FileOffset, size: usize) -> Result<MmapRegion, MmapRegionError> {
    map_with(file, size, libc::PROT_READ)
}

fn map_with(file: &FileOffset, size: usize, access: i32) -> Result<MmapRegion, MmapRegionError> {
    // vm-memory's own choice of flags has MAP_NORESERVE. With it, huge pages that the pool lacks are a SIGBUS later.
    let shared = || MmapRegion::build(Some(file.clone()), size, access, libc::MAP_SHARED);
    let mut region = shared()?;
    // vm-memory can't be told where to map. But Linux fills gaps from their upper ends: when what is too much there is taken, the
    // next try lies lower by just that. User-mode emulators fill them from below, so each second try is for those.
    let mut taken = Vec::new();
    for attempt in 0..ATTEMPTS {
        let start = region.as_ptr() as usize;
        let excess = start % ALIGNMENT;
        if excess == 0 {
            break;
        }
        drop(region);
        taken.extend(if attempt % 2 == 0 {
            Taken::new(Some(start + size - excess), excess)
        } else {
            Taken::new(None, ALIGNMENT - excess)
        });
        region = shared()?;
    }
    // SAFETY: the range is the region's own, and this advice changes no bytes in it.
    if unsafe { libc::madvise(region.as_ptr().cast(), size, libc::MADV_HUGEPAGE) } != 0 {
        tracing::debug!("no transparent huge pages for RAM: {}", std::io::Error::last_os_error());
    }
    Ok(region)
}

/// Addresses that nothing else is mapped at.
struct Taken {
    address: *mut libc::c_void,
    len: usize,
}

impl Taken {
    /// Takes `len` bytes at `address`, if they are free, or anywhere.
    fn new(address: Option<usize>, len: usize) -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let fixed = if address.is_some() { libc::MAP_FIXED_NOREPLACE } else { 0 };
        let address = address.unwrap_or(0) as *mut libc::c_void;
        // SAFETY: a new mapping, which replaces none: kernels that don't know that flag take the address for a hint.
        let address = unsafe { libc::mmap(address, len, libc::PROT_NONE, flags | fixed, -1, 0) };
        (address != libc::MAP_FAILED).then_some(Taken { address, len })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing was put there. Its failure would only leave addresses taken.
        unsafe { libc::munmap(self.address, self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{FromRawFd, OwnedFd};

    use super::*;

    fn map_new(size: usize) -> MmapRegion {
        // SAFETY: the name ends in a NUL; the descriptor is new.
        let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC)) };
        let file = std::fs::File::from(fd);
        file.set_len(size as u64).unwrap();
        map(&FileOffset::new(file, 0), size).unwrap()
    }

    fn places(regions: &[MmapRegion]) -> Vec<usize> {
        regions.iter().map(|region| region.as_ptr() as usize % ALIGNMENT).collect()
    }

    #[test]
    fn regions_are_aligned() {
        let regions = [1 << 20, 3 << 20, 64 << 20, 0x18_0000].map(map_new);
        assert_eq!(places(&regions), [0; 4]);

        // Other gaps do not matter, such as take what is too much; but they do to user-mode emulators, which have no KVM.
        if std::env::var("TRIARCH_KVM_TESTS").is_ok_and(|v| v == "off") {
            return;
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let size = ALIGNMENT - (64 << 10);
        let fence: Vec<_> =
            (0..40).map(|_| MmapRegion::<()>::build(None, size, libc::PROT_NONE, flags).unwrap()).collect();
        let _fence: Vec<_> = fence.into_iter().step_by(2).collect();
        // Not so large that the kernel aligns it of its own accord.
        let regions = [0x18_0000, 0x1c_0000].map(map_new);
        assert_eq!(places(&regions), [0; 2]);
    }
}

//! Mapping guest RAM.

use vm_memory::{FileOffset, MmapRegion, mmap::MmapRegionError};

/// What the host address of RAM is a multiple of. KVM on s390x takes no other (Linux, arch/s390/kvm/kvm-s390.c,
/// kvm_arch_prepare_memory_region), and pages of that size, where a host has them, fit.
pub const ALIGNMENT: usize = 1 << 20;

/// How often a place is looked for. The second try hits, unless another thread maps something meanwhile; so many in a row are not
/// spoilt by chance.
const ATTEMPTS: usize = 64;

/// Maps `size` bytes of a file, shared, at a multiple of [`ALIGNMENT`].
///
/// # Errors
/// The file can't be mapped. That there was no place at such a multiple is none: KVM says whether it minds.
pub fn map(file: &FileOffset, size: usize) -> Result<MmapRegion, MmapRegionError> {
    // vm-memory's own choice of flags has MAP_NORESERVE. With it, huge pages that the pool lacks are a SIGBUS later.
    let shared = || {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        MmapRegion::build(Some(file.clone()), size, access, libc::MAP_SHARED)
    };
    let mut region = shared()?;
    // vm-memory can't be told where to map. But Linux fills gaps from their upper ends: when what is too much is filled, the
    // next try lies lower by just that. User-mode emulators fill them from below, so each second try is for those.
    let mut fillers = Vec::new();
    for attempt in 0..ATTEMPTS {
        let excess = region.as_ptr() as usize % ALIGNMENT;
        if excess == 0 {
            break;
        }
        drop(region);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let filler = if attempt % 2 == 0 { excess } else { ALIGNMENT - excess };
        fillers.push(MmapRegion::<()>::build(None, filler, libc::PROT_NONE, flags)?);
        region = shared()?;
    }
    Ok(region)
}

#[cfg(test)]
mod tests {
    use std::os::fd::{FromRawFd, OwnedFd};

    use super::*;

    #[test]
    fn regions_are_aligned() {
        let mut regions = Vec::new();
        for size in [1 << 20, 3 << 20, 64 << 20, 0x5000] {
            // SAFETY: the name ends in a NUL; the descriptor is new.
            let fd = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC)) };
            let file = std::fs::File::from(fd);
            file.set_len(size).unwrap();
            let size = usize::try_from(size).unwrap();
            regions.push(map(&FileOffset::new(file, 0), size).unwrap());
        }
        let places: Vec<_> = regions.iter().map(|region| region.as_ptr() as usize % ALIGNMENT).collect();
        assert_eq!(places, [0; 4]);
    }
}

//! Our ELF parser beside linux-loader's, whose loaders exist on the ISA that they load for only.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails is what it is for")]

use std::io::Cursor;

use linux_loader::loader::KernelLoader;
use linux_loader::loader::elf::{Elf, PvhBootCapability};
use triarch_arch::x86_64::pvh;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Offsets in the file of the note and of two segments, and where these go.
const NOTE: usize = 0x100;
const PARTS: [(usize, u64, u64, u64); 2] = [(0x200, 0x10_0000, 0x40, 0x1000), (0x300, 0x20_0000, 0x80, 0x80)];
const ENTRY: u32 = 0x10_0010;

/// An ELF kernel of two segments and a PVH note.
fn kernel() -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [0x10_0000u64, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0; 4]);
    for half in [64u16, 56, 3, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let note = (4u32, NOTE, 0, 20, 20);
    let loads =
        PARTS.map(|(offset, address, file_size, memory_size)| (1, offset, address, file_size, memory_size));
    for (kind, offset, address, file_size, memory_size) in loads.into_iter().chain([note]) {
        file.extend(kind.to_le_bytes());
        file.extend(5u32.to_le_bytes());
        for word in [offset as u64, address, address, file_size, memory_size, 4] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(NOTE, 0);
    for word in [4u32, 4, 18] {
        file.extend(word.to_le_bytes());
    }
    file.extend(b"Xen\0");
    file.extend(ENTRY.to_le_bytes());
    file.resize(PARTS[0].0, 0);
    file.extend((0..0x180u16).flat_map(|n| [n.to_le_bytes()[0]]));
    file
}

#[test]
fn both_find_the_same_kernel() {
    let file = kernel();
    let ours = pvh::recognise(&file.as_slice()).unwrap().unwrap();

    let ram = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 4 << 20)]).unwrap();
    let theirs = Elf::load(&ram, None, &mut Cursor::new(&file), Some(GuestAddress(0x10_0000))).unwrap();

    assert_eq!(theirs.pvh_boot_cap, PvhBootCapability::PvhEntryPresent(GuestAddress(ours.entry.into())));
    assert_eq!(ours.entry, ENTRY);
    assert_eq!(ours.segments.len(), PARTS.len());
    for segment in &ours.segments {
        let mut loaded = vec![0; usize::try_from(segment.file_size).unwrap()];
        ram.read_slice(&mut loaded, GuestAddress(segment.address)).unwrap();
        let start = usize::try_from(segment.offset).unwrap();
        assert_eq!(loaded, file[start..start + loaded.len()], "{:#x}", segment.address);
    }
}

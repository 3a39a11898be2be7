//! Kernels that lie about themselves: whatever a header says, a plan is refused, or all that it puts into RAM lies there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails is what it is for")]

use triarch_arch::aarch64::image::{Header as Arm64, PageSize};
use triarch_arch::hv::HostCaps;
use triarch_arch::image::{Format, Kernel, Packing};
use triarch_arch::s390x::image::Header as S390x;
use triarch_arch::x86_64::{bzimage, pvh};
use triarch_boards::{Board, IrqchipChoice, MachineSpec, plan};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Sizes and addresses about which plans go wrong: around zero, the machine's own, and the ends of number ranges.
const EDGES: [u64; 20] = [
    0,
    1,
    4095,
    MIB - 1,
    MIB,
    2 * MIB + 1,
    16 * MIB,
    63 * MIB,
    64 * MIB,
    3 * GIB - MIB,
    3 * GIB,
    4 * GIB - 1,
    4 * GIB,
    32 * GIB,
    33 * GIB,
    1 << 40,
    1 << 52,
    1 << 63,
    u64::MAX - MIB,
    u64::MAX,
];
const MEMORIES: [u64; 4] = [64 * MIB, 65 * MIB, 3 * GIB + MIB, 64 * GIB];
const INITRDS: [Option<u64>; 4] = [None, Some(1), Some(4 * GIB), Some(u64::MAX)];

/// Plans with a kernel in machines of all sizes; returns how many plans there are.
fn survives(format: &Format, len: u64) -> usize {
    let isa = format.isa();
    let mut planned = 0;
    for memory in MEMORIES {
        for initrd in INITRDS {
            let spec = MachineSpec {
                board: Board::default_of(isa),
                cpus: 1,
                memory,
                kernel: Some(Kernel { packing: Packing::Plain, format: format.clone(), len }),
                initrd,
                cmdline: "quiet".to_owned(),
                irqchip: IrqchipChoice::Split,
                pvpanic: None,
                pit: false,
                transport: None,
                virtio: Vec::new(),
                watchdog: false,
                seed: [0; 40],
            };
            let Ok(plan) = plan(&spec, &HostCaps::typical(isa)) else { continue };
            planned += 1;
            let mut end = 0;
            for segment in &plan.segments {
                let last = segment.address.checked_add(segment.size).unwrap();
                let inside = |base: u64, size: u64| segment.address >= base && last <= base + size;
                assert!(plan.ram.iter().any(|ram| inside(ram.base, ram.size)), "{segment:?} of {spec:?}");
                assert!(segment.source.len() <= segment.size, "{segment:?} of {spec:?}");
                assert!(segment.address >= end, "{segment:?} of {spec:?}");
                end = last;
            }
        }
    }
    planned
}

#[test]
fn arm64_images() {
    let mut planned = 0;
    // The header's own limits are checked when the file is looked at.
    for text_offset in EDGES.into_iter().filter(|offset| *offset <= 1 << 32) {
        for image_size in EDGES.into_iter().filter(|size| *size <= 1 << 40 && *size >= 64) {
            let header = Arm64 { text_offset, image_size, page_size: PageSize::Size4K };
            planned += survives(&Format::Arm64(header), 64);
        }
    }
    assert!(planned > 0);
}

#[test]
fn s390x_images() {
    let mut planned = 0;
    for cmdline_size in [1, 6, 896, 4096, 1 << 20] {
        // As long as its command line at least; as long as a file can be at most.
        for len in EDGES.into_iter().filter(|len| *len >= 0x1_0480 + cmdline_size && *len < 1 << 63) {
            planned += survives(&Format::S390x(S390x { cmdline_size }), len);
        }
    }
    assert!(planned > 0);
}

#[test]
fn elf_kernels() {
    let mut planned = 0;
    for address in EDGES {
        for memory_size in EDGES.into_iter().filter(|size| address.checked_add(*size).is_some()) {
            for file_size in [1, memory_size] {
                let part = pvh::LoadSegment {
                    address,
                    memory_size,
                    offset: 0,
                    file_size: file_size.min(memory_size),
                };
                let other = pvh::LoadSegment { address: 16 * MIB, memory_size: MIB, offset: 0, file_size: 1 };
                let mut segments = vec![part, other];
                segments.sort_by_key(|part| part.address);
                let image = pvh::Image { entry: u32::MAX, segments };
                planned += survives(&Format::Pvh(image), 1 << 40);
            }
        }
    }
    assert!(planned > 0);
}

#[test]
fn bzimages() {
    let mut planned = 0;
    for pref_address in EDGES {
        for [init_size, initrd_max] in
            [[0, 0], [0x300_0000, 0x7fff_ffff], [u32::MAX, u32::MAX], [1, 1], [0x7fff_ffff, 0x10_0000]]
        {
            let mut file = vec![0; 2048];
            file[0x1f1] = 1;
            file[0x1f4] = 4;
            file[0x1fe..0x206].copy_from_slice(b"\x55\xaa\xeb\x66HdrS");
            file[0x206..0x208].copy_from_slice(&[0x0f, 0x02]);
            file[0x211] = 1;
            file[0x22c..0x230].copy_from_slice(&u32::to_le_bytes(initrd_max));
            file[0x236] = 3;
            file[0x238] = 0xff;
            file[0x258..0x260].copy_from_slice(&pref_address.to_le_bytes());
            file[0x260..0x264].copy_from_slice(&u32::to_le_bytes(init_size));
            let header = bzimage::recognise(&file.as_slice()).unwrap().unwrap();
            planned += survives(&Format::BzImage(header), 2048);
        }
    }
    assert!(planned > 0);
}

//! Bare-metal kernels that touch one device and power off, so that a run of one measures the VMM and not a guest.

use std::str::FromStr;

/// The guest's ISA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// AMD64 / Intel 64.
    X86_64,
    /// Arm's 64-bit A-profile.
    Aarch64,
    /// z/Architecture.
    S390x,
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "x86_64" => Ok(Isa::X86_64),
            "aarch64" => Ok(Isa::Aarch64),
            "s390x" => Ok(Isa::S390x),
            _ => Err(format!("'{name}' is none of x86_64, aarch64, s390x")),
        }
    }
}

/// A kernel for Triarch's board of `isa`. With `stay`, it waits for ever instead of powering off.
pub fn build(isa: Isa, stay: bool) -> Vec<u8> {
    match isa {
        Isa::X86_64 => x86_64(stay),
        Isa::Aarch64 => aarch64(stay),
        Isa::S390x => s390x(stay),
    }
}

/// Port of the sleep control register, and the value that powers the machine off (SLP_EN, SLP_TYP 5).
const SLEEP_PORT: u16 = 0x600;
const POWER_OFF: u8 = 1 << 5 | 5 << 2;

/// An ELF kernel with an entry point for PVH (32-bit code).
fn x86_64(stay: bool) -> Vec<u8> {
    const LOAD: u32 = 0x10_0000;
    const NOTE_AT: usize = 0x100;
    const CODE_AT: usize = 0x200;
    let mut code = vec![0x66, 0xba, 0xf8, 0x03]; // mov $0x3f8, %dx
    code.extend([0xb0, b'T', 0xee]); // mov $'T', %al; out %al, (%dx)
    if !stay {
        code.extend([0x66, 0xba]); // mov $SLEEP_PORT, %dx
        code.extend(SLEEP_PORT.to_le_bytes());
        code.extend([0xb0, POWER_OFF, 0xee]); // mov $POWER_OFF, %al; out %al, (%dx)
        code.extend([0xb0, 0xfe, 0xe6, 0x64]); // mov $0xfe, %al; out %al, $0x64: a reset, for a VMM that has no such port
    }
    code.extend([0xf4, 0xeb, 0xfd]); // hlt; jmp to it

    let mut note = Vec::new(); // XEN_ELFNOTE_PHYS32_ENTRY
    for word in [4u32, 4, 18] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend((LOAD + 0x200).to_le_bytes());

    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2u16, 62] {
        file.extend(half.to_le_bytes()); // ET_EXEC, EM_X86_64
    }
    file.extend(1u32.to_le_bytes());
    for word in [u64::from(LOAD) + 0x200, 64, 0] {
        file.extend(word.to_le_bytes()); // entry, program headers, no section headers
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let end = (CODE_AT + code.len()) as u64;
    for (kind, flags, offset, len) in [(1u32, 5u32, 0, end), (4, 4, NOTE_AT as u64, note.len() as u64)] {
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        let address = u64::from(LOAD) + offset;
        for word in [offset, address, address, len, len, 4] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(NOTE_AT, 0);
    file.extend(note);
    file.resize(CODE_AT, 0);
    file.extend(code);
    file
}

/// An arm64 Image.
fn aarch64(stay: bool) -> Vec<u8> {
    const B_64: u32 = 0x1400_0010; // b .+64
    let mut file = Vec::new();
    for word in [B_64, 0] {
        file.extend(word.to_le_bytes());
    }
    for word in [0u64, 0x1000, 0b1010, 0, 0, 0] {
        file.extend(word.to_le_bytes()); // text_offset, image_size, flags: 4k pages, anywhere; reserved
    }
    file.extend(b"ARM\x64\0\0\0\0");
    let mut code = vec![0xd2a1_2000u32, 0x5280_0a81, 0x3900_0001]; // mov x0, #0x9000000; mov w1, #'T'; strb w1, [x0]
    if !stay {
        code.extend([0x5280_0100, 0x72b0_8000, 0xd400_0002]); // mov w0, #0x84000008 (SYSTEM_OFF); hvc #0
    }
    code.extend([0xd503_207f, 0x17ff_ffff]); // wfi; b to it
    file.extend(code.iter().flat_map(|word| word.to_le_bytes()));
    file
}

/// A flat s390x image.
fn s390x(stay: bool) -> Vec<u8> {
    const CODE_AT: usize = 0x1_1000;
    let mut file = vec![0; 0x1_0000];
    file.extend([0xc0, 0xf4, 0, 0, 0x08, 0]); // brcl 15,.+0x1000
    file.resize(0x1_0008, 0);
    file.extend(b"S390EP");
    file.resize(CODE_AT, 0);
    if stay {
        file.extend([0xc0, 0x10, 0, 0, 0, 0x08]); // larl %r1,.+16
        file.extend([0xb2, 0xb2, 0x10, 0x00]); // lpswe 0(%r1)
        file.resize(CODE_AT + 16, 0);
        // An enabled wait: nothing comes.
        file.extend(0x0302_0001_8000_0000u64.to_be_bytes());
        file.extend(0u64.to_be_bytes());
    } else {
        file.extend([0xa7, 0x38, 0, 0]); // lhi %r3,0
        file.extend([0xae, 0x13, 0, 5]); // sigp %r1,%r3,5 (stop)
        file.extend([0xa7, 0xf4, 0xff, 0xfe]); // j to it
    }
    file
}

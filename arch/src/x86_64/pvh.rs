//! ELF kernels with an entry point for PVH (Xen, docs/misc/pvh.pandoc and `public/arch-x86/hvm/start_info.h`).

use object::LittleEndian as LE;
use object::elf::{
    ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_X86_64, FileHeader64, PT_LOAD, PT_NOTE, ProgramHeader64,
};
use object::pod;
use object::read::elf::NoteIterator;
use serde::Serialize;

use super::boot::E820Entry;
use crate::image::{Contents, Damage};

/// Type of the note that holds the entry point (`XEN_ELFNOTE_PHYS32_ENTRY`).
const NOTE_PHYS32_ENTRY: u32 = 18;
/// Its owner.
const NOTE_OWNER: &[u8] = b"Xen";

/// The most program headers that are looked at: Linux has about 5, and a file must not have us allocate what it likes.
const MAX_PROGRAM_HEADERS: u16 = 64;
/// The most bytes of notes that are looked at: Linux has a few hundred.
const MAX_NOTES: u64 = 64 << 10;

/// The most bytes of a command line, without the NUL: Linux's COMMAND_LINE_SIZE, as nothing in the file tells it.
pub const CMDLINE_MAX: usize = 2047;

/// What the ELF headers say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Guest-physical address of the 32-bit entry.
    pub entry: u32,
    /// What is to be loaded, by ascending address.
    pub segments: Vec<LoadSegment>,
}

/// A part of the file that is to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LoadSegment {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes of RAM that it takes.
    pub memory_size: u64,
    /// First byte in the file.
    pub offset: u64,
    /// Bytes in the file; the rest of its RAM is zero.
    pub file_size: u64,
}

/// Looks for an ELF kernel of x86_64.
///
/// # Errors
/// It is an x86_64 ELF file, but it is cut short, or it has no entry point for PVH.
pub fn recognise(contents: &dyn Contents) -> Result<Option<Image>, Damage> {
    let mut head = [0; size_of::<FileHeader64<LE>>()];
    if contents.read_exact_at(0, &mut head).is_err() {
        return Ok(None);
    }
    let Ok((header, _)) = pod::from_bytes::<FileHeader64<LE>>(&head) else { return Ok(None) };
    let ident = &header.e_ident;
    if ident.magic != ELFMAG || (ident.class, ident.data) != (ELFCLASS64, ELFDATA2LSB) {
        return Ok(None);
    }
    if header.e_machine.get(LE) != EM_X86_64 {
        return Ok(None);
    }
    let (mut segments, mut entry) = (Vec::new(), None);
    let table = program_headers(contents, header)?;
    let headers = pod::slice_from_bytes::<ProgramHeader64<LE>>(&table, header.e_phnum.get(LE).into());
    let (headers, _) = headers.map_err(|()| Damage("its program headers are cut short".to_owned()))?;
    for program in headers {
        match program.p_type.get(LE) {
            PT_LOAD if program.p_memsz.get(LE) != 0 => segments.push(load_segment(contents, program)?),
            PT_NOTE => entry = entry.or(entry_note(contents, program)?),
            _ => {}
        }
    }
    segments.sort_by_key(|segment| segment.address);
    if segments.is_empty() {
        return Err(Damage("it is an ELF file with nothing to load".to_owned()));
    }
    let entry = entry.ok_or_else(|| {
        Damage("it is an x86_64 ELF file without an entry for PVH (built without CONFIG_PVH?)".to_owned())
    })?;
    Ok(Some(Image { entry, segments }))
}

fn program_headers(contents: &dyn Contents, header: &FileHeader64<LE>) -> Result<Vec<u8>, Damage> {
    let count = header.e_phnum.get(LE);
    let size = size_of::<ProgramHeader64<LE>>();
    if count > MAX_PROGRAM_HEADERS || usize::from(header.e_phentsize.get(LE)) != size && count != 0 {
        return Err(Damage("its program headers are of no known shape".to_owned()));
    }
    let mut table = vec![0; usize::from(count) * size];
    contents
        .read_exact_at(header.e_phoff.get(LE), &mut table)
        .map_err(|_| Damage("its program headers lie beyond its end".to_owned()))?;
    Ok(table)
}

fn load_segment(contents: &dyn Contents, program: &ProgramHeader64<LE>) -> Result<LoadSegment, Damage> {
    let segment = LoadSegment {
        address: program.p_paddr.get(LE),
        memory_size: program.p_memsz.get(LE),
        offset: program.p_offset.get(LE),
        file_size: program.p_filesz.get(LE),
    };
    let LoadSegment { address, memory_size, offset, file_size } = segment;
    if file_size > memory_size || address.checked_add(memory_size).is_none() {
        return Err(Damage(format!("its segment at {address:#x} is of an impossible size")));
    }
    if offset.checked_add(file_size).is_none_or(|end| end > contents.len()) {
        return Err(Damage(format!("it is cut short: its segment at {address:#x} lies beyond its end")));
    }
    Ok(segment)
}

fn entry_note(contents: &dyn Contents, program: &ProgramHeader64<LE>) -> Result<Option<u32>, Damage> {
    let size = program.p_filesz.get(LE).min(MAX_NOTES);
    let mut notes = vec![0; usize::try_from(size).unwrap_or(0)];
    contents
        .read_exact_at(program.p_offset.get(LE), &mut notes)
        .map_err(|_| Damage("its notes lie beyond its end".to_owned()))?;
    // A kernel's notes are aligned to 4 bytes, whatever the header says (gABI and practice differ).
    let align = if program.p_align.get(LE) == 8 { 8 } else { 4 };
    let Ok(mut notes) = NoteIterator::<FileHeader64<LE>>::new(LE, align, &notes) else { return Ok(None) };
    while let Ok(Some(note)) = notes.next() {
        if note.n_type(LE) == NOTE_PHYS32_ENTRY && note.name() == NOTE_OWNER {
            // 4 bytes, or 8 of which the upper 4 are zero.
            return Ok(match *note.desc() {
                [a, b, c, d] | [a, b, c, d, 0, 0, 0, 0] => Some(u32::from_le_bytes([a, b, c, d])),
                _ => None,
            });
        }
    }
    Ok(None)
}

/// What the kernel is told.
#[derive(Debug, Clone, Copy)]
pub struct StartParams<'a> {
    /// Guest-physical address of the command line, which ends with a NUL.
    pub cmdline: u64,
    /// Guest-physical address and size of the initrd.
    pub initrd: Option<(u64, u64)>,
    /// Guest-physical address of ACPI's root pointer.
    pub rsdp: u64,
    /// What is where in memory.
    pub memory: &'a [E820Entry],
}

/// `XEN_HVM_START_MAGIC_VALUE`.
const START_MAGIC: u32 = 0x336e_c578;
/// The version that has a memory map.
const START_VERSION: u32 = 1;
/// Bytes of `hvm_start_info`.
const START_INFO_SIZE: u64 = 56;
/// Bytes of `hvm_modlist_entry`.
const MODULE_SIZE: u64 = 32;

/// Makes the start information, with the lists that it points to, for `address`.
pub fn start_info(address: u64, params: &StartParams<'_>) -> Vec<u8> {
    let modules = address + START_INFO_SIZE;
    let memory_map = modules + MODULE_SIZE;
    let mut bytes = Vec::new();
    let u32s = |values: &[u32], bytes: &mut Vec<u8>| {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    let u64s = |values: &[u64], bytes: &mut Vec<u8>| {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    let flags = 0;
    u32s(&[START_MAGIC, START_VERSION, flags, params.initrd.is_some().into()], &mut bytes);
    u64s(&[modules, params.cmdline, params.rsdp, memory_map], &mut bytes);
    let entries = u32::try_from(params.memory.len()).unwrap_or(u32::MAX);
    u32s(&[entries, 0], &mut bytes);
    // The one module; its place stays empty when there is none.
    let (initrd, initrd_len) = params.initrd.unwrap_or((0, 0));
    u64s(&[initrd, initrd_len, 0, 0], &mut bytes);
    for entry in params.memory {
        u64s(&[entry.base, entry.size], &mut bytes);
        u32s(&[entry.kind.number(), 0], &mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86_64::boot::E820Kind;

    fn program(kind: u32, offset: u64, paddr: u64, filesz: u64, memsz: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(kind.to_le_bytes());
        bytes.extend(7u32.to_le_bytes());
        for value in [offset, 0xffff_ffff_8100_0000, paddr, filesz, memsz, 4] {
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    /// Two segments, out of order, and two notes of which the second is the entry.
    fn file() -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        for value in [0x100_0000u64, 64, 0] {
            file.extend(value.to_le_bytes());
        }
        file.extend([0, 0, 0, 0, 64, 0, 56, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(file.len(), 64);
        file.extend(program(1, 0x140, 0x200_0000, 0x10, 0x3000));
        file.extend(program(1, 0x150, 0x100_0000, 0x20, 0x20));
        file.extend(program(4, 0x100, 0, 0x2c, 0x2c));
        file.resize(0x100, 0);
        file.extend(b"\x04\0\0\0\x02\0\0\0\x06\0\0\0Xen\0hi\0\0");
        file.extend(b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0\x20\x0b\0\x01\0\0\0\0");
        assert_eq!(file.len(), 0x12c);
        file.resize(0x170, 0x90);
        file
    }

    #[test]
    fn segments_and_entry_are_found() {
        let image = recognise(&file().as_slice()).unwrap().unwrap();
        let segment =
            |address, memory_size, offset, file_size| LoadSegment { address, memory_size, offset, file_size };
        let segments = vec![segment(0x100_0000, 0x20, 0x150, 0x20), segment(0x200_0000, 0x3000, 0x140, 0x10)];
        assert_eq!(image, Image { entry: 0x100_0b20, segments });
    }

    #[test]
    fn other_files_are_not_ours() {
        let change = |at: usize, byte| {
            let mut file = file();
            file[at] = byte;
            recognise(&file.as_slice())
        };
        for (at, byte) in [(0, 0), (4, 1), (5, 2), (18, 183)] {
            assert_eq!(change(at, byte), Ok(None), "{at}");
        }
        let no_entry = change(0x11c, 0x11).unwrap_err();
        assert!(no_entry.0.contains("CONFIG_PVH"), "{no_entry}");
        let wide = change(0x12b, 1).unwrap_err();
        assert!(wide.0.contains("CONFIG_PVH"), "an entry beyond 4 GiB is none: {wide}");
        let nothing = [64, 120].into_iter().fold(file(), |mut file, at| {
            file[at] = 0;
            file
        });
        assert!(recognise(&nothing.as_slice()).is_err());
    }

    #[test]
    fn every_truncation_and_much_garbage_is_survived() {
        let file = file();
        for len in 0..file.len() {
            let cut = recognise(&&file[..len]);
            assert_eq!(cut.is_err(), len >= 64, "{len}");
        }
        for at in 0..file.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = file.clone();
                bad[at] = byte;
                if let Ok(Some(image)) = recognise(&bad.as_slice()) {
                    for segment in image.segments {
                        assert!(segment.offset + segment.file_size <= 0x170, "{at:#x} {byte:#x}");
                        assert!(segment.file_size <= segment.memory_size);
                    }
                }
            }
        }
    }

    #[test]
    fn the_start_information_is_xens() {
        let memory = [E820Entry { base: 0x10_0000, size: 0x1ff0_0000, kind: E820Kind::Ram }];
        let params = StartParams {
            cmdline: 0x2_0000,
            initrd: Some((0x1000_0000, 0x1234)),
            rsdp: 0xe_0000,
            memory: &memory,
        };
        let want: Vec<u8> = [
            "78c56e33 01000000 00000000 01000000 3860000000000000 0000020000000000 00000e0000000000",
            "5860000000000000 01000000 00000000",
            "0000001000000000 3412000000000000 0000000000000000 0000000000000000",
            "0000100000000000 0000f01f00000000 01000000 00000000",
        ]
        .concat()
        .replace(' ', "")
        .as_bytes()
        .chunks(2)
        .map(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap())
        .collect();
        assert_eq!(start_info(0x6000, &params), want);
        let none = start_info(0x6000, &StartParams { initrd: None, memory: &[], ..params });
        assert_eq!((none.len(), &none[12..16]), (88, [0; 4].as_slice()));
    }
}

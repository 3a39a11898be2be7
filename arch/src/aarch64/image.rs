//! Linux's `Image` for arm64 (Documentation/arch/arm64/booting.rst, "Call the kernel image").

use serde::Serialize;

use crate::image::{Contents, Damage};

/// Length of the header in bytes.
const HEADER_LEN: usize = 64;
/// `ARM\x64`, at offset 56.
const MAGIC: [u8; 4] = *b"ARM\x64";
/// Where kernels of before Linux 3.17, whose image size is 0, expect to be loaded.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// The kernel is big-endian.
const FLAG_BIG_ENDIAN: u64 = 1;

/// Pages that a kernel is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageSize {
    /// The header does not say.
    Unspecified,
    /// 4 KiB.
    Size4K,
    /// 16 KiB.
    Size16K,
    /// 64 KiB.
    Size64K,
}

/// What the image's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Offset from a 2 MiB boundary that the image must be loaded at.
    pub text_offset: u64,
    /// Bytes of memory from there on that the kernel takes, its zeroed part included.
    pub image_size: u64,
    /// Pages that it is built for.
    pub page_size: PageSize,
}

/// Looks for an image.
pub fn recognise(contents: &dyn Contents) -> Result<Option<Header>, Damage> {
    let mut head = [0; HEADER_LEN];
    if contents.read_exact_at(0, &mut head).is_err() || head[56..60] != MAGIC {
        return Ok(None);
    }
    let long = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (text_offset, image_size, flags) = (long(8), long(16), long(24));
    if flags & FLAG_BIG_ENDIAN != 0 {
        return Err(Damage("it is a big-endian arm64 kernel, which is not supported".to_owned()));
    }
    let page_size = match flags >> 1 & 3 {
        1 => PageSize::Size4K,
        2 => PageSize::Size16K,
        3 => PageSize::Size64K,
        _ => PageSize::Unspecified,
    };
    let (text_offset, image_size) = match image_size {
        0 => (OLD_TEXT_OFFSET, contents.len()),
        size => (text_offset, size),
    };
    if image_size < contents.len() {
        return Err(Damage(format!(
            "its header says {image_size} bytes, but the file has {}",
            contents.len()
        )));
    }
    let end = pe_end(contents, &head)?;
    if end > contents.len() {
        return Err(Damage(format!("it is cut short: {} of at least {end} bytes are there", contents.len())));
    }
    // Far above any kernel; so that sums can't overflow.
    if text_offset > 1 << 32 || image_size > 1 << 40 {
        return Err(Damage(format!("its header says {image_size} bytes at offset {text_offset:#x}")));
    }
    Ok(Some(Header { text_offset, image_size, page_size }))
}

/// Where the file ends at the earliest, by the sections of its PE/COFF header: the image itself does not say, but kernels that
/// EFI can start have one (Microsoft PE format, "Section Table"). 0 if there is none.
fn pe_end(contents: &dyn Contents, head: &[u8; HEADER_LEN]) -> Result<u64, Damage> {
    const COFF_LEN: usize = 24;
    const SECTION_LEN: usize = 40;
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    if head[..2] != *b"MZ" {
        return Ok(0);
    }
    let pe = u64::from(word(head, 60));
    let cut = || Damage(format!("it is cut short: its PE header at {pe:#x} is not there"));
    let mut coff = [0; COFF_LEN];
    contents.read_exact_at(pe, &mut coff).map_err(|_| cut())?;
    if coff[..4] != *b"PE\0\0" {
        return Ok(0);
    }
    let sections = u64::from(u16::from_le_bytes([coff[6], coff[7]]));
    let first = pe + COFF_LEN as u64 + u64::from(u16::from_le_bytes([coff[20], coff[21]]));
    let mut end = 0;
    for index in 0..sections {
        let mut section = [0; SECTION_LEN];
        contents.read_exact_at(first + index * SECTION_LEN as u64, &mut section).map_err(|_| cut())?;
        end = end.max(u64::from(word(&section, 16)) + u64::from(word(&section, 20)));
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first 64 bytes of a Debian 6.12 kernel for arm64.
    const HEAD: [u8; 64] =
        *b"MZ@\xfa;Ht\x14\0\0\0\0\0\0\0\0\0\0O\x02\0\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
        \0\0\0\0\0\0\0\0ARM\x64@\0\0\0";

    /// An image with a PE header whose one section is bytes 0x100 to 0x180 of the file.
    fn file() -> Vec<u8> {
        let mut file = HEAD.to_vec();
        file.extend(b"PE\0\0\x64\xaa\x01\0");
        file.resize(64 + 24 + 16, 0);
        file[64 + 20] = 16;
        file.resize(file.len() + 40, 0);
        let section = file.len() - 40;
        file[section + 16] = 0x80;
        file[section + 21] = 1;
        file.resize(0x180, 0xaa);
        file
    }

    fn look(file: &[u8]) -> Result<Option<Header>, Damage> {
        recognise(&file)
    }

    #[test]
    fn a_kernel_that_is_cut_short_is_told() {
        let file = file();
        for len in HEADER_LEN..file.len() {
            assert!(look(&file[..len]).unwrap_err().0.contains("cut short"), "{len}");
        }
        assert!(look(&file).is_ok());
    }

    #[test]
    fn hostile_section_tables_end() {
        let mut file = file();
        file[64 + 6..64 + 8].fill(0xff);
        assert!(look(&file).is_err());
        file[60..64].fill(0xff);
        assert!(look(&file).is_err());
    }

    #[test]
    fn a_kernel_is_recognised() {
        let header = Header { text_offset: 0, image_size: 0x24f_0000, page_size: PageSize::Size4K };
        assert_eq!(look(&file()), Ok(Some(header)));
    }

    #[test]
    fn an_old_kernel_goes_where_it_expects_to_be() {
        let mut head = HEAD;
        head[..2].fill(0);
        head[16..24].fill(0);
        head[24] = 0;
        let header = Header { text_offset: 0x8_0000, image_size: 64, page_size: PageSize::Unspecified };
        assert_eq!(look(&head), Ok(Some(header)));
    }

    #[test]
    fn other_files_and_stumps_are_none() {
        assert_eq!(look(b""), Ok(None));
        assert_eq!(look(&HEAD[..63]), Ok(None));
        let mut head = HEAD;
        head[59] = 0;
        assert_eq!(look(&head), Ok(None));
    }

    #[test]
    fn impossible_headers_are_told() {
        let changed = |at: usize, value: u64| {
            let mut head = HEAD;
            head[..2].fill(0);
            head[at..at + 8].copy_from_slice(&value.to_le_bytes());
            look(&head).unwrap_err().0
        };
        assert!(changed(24, 0xb).contains("big-endian"));
        assert!(changed(16, 63).contains("63 bytes"));
        assert!(changed(16, u64::MAX).contains("bytes at offset"));
        assert!(changed(8, u64::MAX).contains("bytes at offset"));
    }
}

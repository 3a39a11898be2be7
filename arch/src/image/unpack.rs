//! Packed kernels: gzip, zstd, and the EFI zboot wrapper around either.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;
use serde::Serialize;

use super::Contents;

/// The most bytes that a packed kernel may unpack to: far above any kernel, far below what would harm a host.
pub const MAX_UNPACKED: u64 = 1 << 30;

/// Bytes of packed data that are read at once.
const BUFFER: usize = 1 << 16;

/// Bytes of the EFI zboot header that matter: MZ, `zimg`, payload's offset and size, and the packing's name
/// (Linux, `drivers/firmware/efi/libstub/zboot-header.S`).
const ZBOOT_HEADER: usize = 0x38;

/// How a kernel file is packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Packing {
    /// Not at all.
    Plain,
    /// A gzip member, at these bytes of the file.
    Gzip {
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// A zstd frame, at these bytes of the file.
    Zstd {
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len: u64,
    },
    /// EFI zboot with a packing that Triarch does not unpack, by its name.
    Other {
        /// As the file names it.
        name: String,
    },
}

impl Packing {
    /// Looks at the first bytes of a file.
    pub fn detect(file: &dyn Contents) -> io::Result<Packing> {
        let len = file.len();
        let mut head = [0; ZBOOT_HEADER];
        let have = usize::try_from(len).map_or(ZBOOT_HEADER, |len| len.min(ZBOOT_HEADER));
        file.read_exact_at(0, &mut head[..have])?;
        Ok(match head {
            [0x1f, 0x8b, 8, ..] => Packing::Gzip { offset: 0, len },
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd { offset: 0, len },
            [b'M', b'Z', _, _, b'z', b'i', b'm', b'g', ..] => Self::zboot(&head),
            _ => Packing::Plain,
        })
    }

    fn zboot(head: &[u8; ZBOOT_HEADER]) -> Packing {
        let word =
            |at: usize| u64::from(u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        let (offset, len) = (word(8), word(12));
        let name: Vec<u8> = head[0x18..].iter().copied().take_while(|b| b.is_ascii_graphic()).collect();
        match name.as_slice() {
            b"gzip" => Packing::Gzip { offset, len },
            b"zstd" | b"zstd22" => Packing::Zstd { offset, len },
            other => Packing::Other { name: String::from_utf8_lossy(other).into_owned() },
        }
    }

    /// Unpacks a file; `None` when it is plain. The error says what is wrong.
    pub fn unpack(&self, file: &dyn Contents) -> Result<Option<Vec<u8>>, String> {
        match *self {
            Packing::Plain => Ok(None),
            Packing::Other { ref name } => {
                Err(format!("it is an EFI zboot image packed with '{name}'; gzip and zstd can be unpacked"))
            }
            Packing::Gzip { offset, len } => gunzip(Section::new(file, offset, len)?).map(Some),
            Packing::Zstd { offset, len } => unzstd(Section::new(file, offset, len)?).map(Some),
        }
    }
}

/// Not inlined: the decoder is 40 KiB of stack, which would be taken for plain kernels too.
#[inline(never)]
fn gunzip(section: Section<'_>) -> Result<Vec<u8>, String> {
    drain(GzDecoder::new(io::BufReader::with_capacity(BUFFER, section)), "gzip")
}

/// Not inlined, for the same reason.
#[inline(never)]
fn unzstd(section: Section<'_>) -> Result<Vec<u8>, String> {
    let source = io::BufReader::with_capacity(BUFFER, section);
    let decoder = ruzstd::decoding::StreamingDecoder::new(source)
        .map_err(|error| format!("bad zstd header: {error}"))?;
    drain(decoder, "zstd")
}

/// Reads a decoder to its end, within [`MAX_UNPACKED`].
fn drain(decoder: impl Read, what: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = decoder.take(MAX_UNPACKED + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("bad {what} data: {error}"))?;
    if bytes.len() as u64 > MAX_UNPACKED {
        return Err(format!("it unpacks to more than {} MiB", MAX_UNPACKED >> 20));
    }
    Ok(bytes)
}

/// A part of a file as a reader.
struct Section<'a> {
    file: &'a dyn Contents,
    at: u64,
    end: u64,
}

impl<'a> Section<'a> {
    fn new(file: &'a dyn Contents, offset: u64, len: u64) -> Result<Self, String> {
        match offset.checked_add(len) {
            Some(end) if end <= file.len() => Ok(Section { file, at: offset, end }),
            _ => Err(format!(
                "its packed part ({len} bytes at {offset}) lies beyond its end ({} bytes)",
                file.len()
            )),
        }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.end - self.at).map_or(buf.len(), |left| left.min(buf.len()));
        self.file.read_exact_at(self.at, &mut buf[..n])?;
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn zboot(name: &str, payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 0x40];
        file[..8].copy_from_slice(b"MZ\0\0zimg");
        file[8..12].copy_from_slice(&0x40u32.to_le_bytes());
        file[12..16].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        file[0x18..0x18 + name.len()].copy_from_slice(name.as_bytes());
        file.extend_from_slice(payload);
        file
    }

    fn unpack(file: &[u8]) -> Result<Option<Vec<u8>>, String> {
        Packing::detect(&file).unwrap().unpack(&file)
    }

    #[test]
    fn every_packing_comes_back_whole() {
        let image: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
        assert_eq!(unpack(&image), Ok(None));
        for file in [gzip(&image), zstd(&image), zboot("gzip", &gzip(&image)), zboot("zstd22", &zstd(&image))]
        {
            assert!(unpack(&file).unwrap().unwrap() == image);
        }
    }

    #[test]
    fn damage_is_told() {
        let mut cut = gzip(&[7; 100_000]);
        cut.truncate(cut.len() / 2);
        assert!(unpack(&cut).unwrap_err().contains("gzip"));
        let mut cut = zstd(&[7; 100_000]);
        cut.truncate(cut.len() / 2);
        assert!(unpack(&cut).unwrap_err().contains("zstd"));
        assert!(unpack(&zboot("lzma", &[1, 2, 3])).unwrap_err().contains("'lzma'"));
        let mut beyond = zboot("gzip", &gzip(&[1]));
        beyond.truncate(0x41);
        assert!(unpack(&beyond).unwrap_err().contains("beyond its end"));
        assert_eq!(unpack(b"MZ"), Ok(None));
        assert_eq!(unpack(b""), Ok(None));
    }
}

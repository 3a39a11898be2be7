//! Linux's image for s390x: a flat file that is loaded at address 0 (arch/s390/boot/head.S, include/asm/setup.h).
//!
//! Nothing in it says how long it is. What a boot loader tells the kernel goes into the image's own parameter area.

use serde::Serialize;

use crate::image::{Contents, Damage};

/// Where the kernel is entered, and its first byte that is not for booting from cards and tapes.
pub const ENTRY: u64 = 0x1_0000;

/// The parameter area.
pub mod parameters {
    /// Five big-endian doublewords, all zero unless a boot loader has something to tell: the device that the kernel was
    /// loaded from, address and size of the initrd, address and size of a crashed kernel's memory.
    pub const FIELDS: u64 = 0x1_0400;
    /// Number of doublewords there.
    pub const FIELDS_COUNT: usize = 5;
    /// Among them: the initrd's address.
    pub const INITRD_START: usize = 1;
    /// Among them: the initrd's size.
    pub const INITRD_SIZE: usize = 2;
    /// End of those doublewords. What follows tells of the kernel: the address of its version string, and how long its
    /// command line may be.
    pub const FIELDS_END: u64 = 0x1_0428;
    /// The command line, with a NUL at its end.
    pub const CMDLINE: u64 = 0x1_0480;
}

/// The IPL program-status word and the channel command words behind it, less their addresses: what every image begins with.
const IPL: [(usize, [u8; 4]); 3] =
    [(0, [0x00, 0x08, 0x00, 0x00]), (8, [0x02, 0x00, 0x00, 0x18]), (16, [0x02, 0x00, 0x00, 0x68])];
const IPL_LEN: usize = 24;
/// `S390EP`, behind the entry's first instruction.
const MAGIC: [u8; 6] = *b"S390EP";
const MAGIC_OFFSET: u64 = 0x1_0008;
/// Address of the version string; 0 in old kernels.
const VERSION: u64 = 0x1_0428;
/// Length of the command line with its NUL; 0 in old kernels.
const CMDLINE_SIZE: u64 = 0x1_0430;
/// Its length in those.
const OLD_CMDLINE_SIZE: u64 = 896;
/// Far above what any kernel takes.
const MAX_CMDLINE_SIZE: u64 = 1 << 20;

/// What the image says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Bytes that the command line may have, its NUL included. The image has all of them.
    pub cmdline_size: u64,
}

/// Looks for an image.
pub fn recognise(contents: &dyn Contents) -> Result<Option<Header>, Damage> {
    let mut magic = [0; MAGIC.len()];
    if contents.read_exact_at(MAGIC_OFFSET, &mut magic).is_err() || magic != MAGIC {
        return if begins_with_ipl(contents) { Err(no_magic(contents.len())) } else { Ok(None) };
    }
    let len = contents.len();
    let cut = |what: &str, at: u64| {
        Damage(format!("it is cut short: {what} is at {at:#x}, and it has {len} bytes"))
    };
    let long = |at: u64| {
        let mut bytes = [0; 8];
        let read = contents.read_exact_at(at, &mut bytes);
        read.map(|()| u64::from_be_bytes(bytes)).map_err(|_| cut("its parameter area", parameters::FIELDS))
    };
    let cmdline_size = match long(CMDLINE_SIZE)? {
        0 => OLD_CMDLINE_SIZE,
        size @ 1..=MAX_CMDLINE_SIZE => size,
        size => return Err(Damage(format!("it says that its command line has {size} bytes"))),
    };
    if len < parameters::CMDLINE + cmdline_size {
        return Err(cut("its command line", parameters::CMDLINE));
    }
    let version = long(VERSION)?;
    if version >= len {
        return Err(cut("its version string", version));
    }
    Ok(Some(Header { cmdline_size }))
}

fn begins_with_ipl(contents: &dyn Contents) -> bool {
    let mut head = [0; IPL_LEN];
    contents.read_exact_at(0, &mut head).is_ok()
        && IPL.iter().all(|(at, bytes)| head.get(*at..).is_some_and(|rest| rest.starts_with(bytes)))
}

fn no_magic(len: u64) -> Damage {
    Damage(if len <= MAGIC_OFFSET {
        format!(
            "it begins like an s390x kernel, but is cut short: it has {len} bytes, and the kernel is entered at {ENTRY:#x}"
        )
    } else {
        format!(
            "it begins like an s390x kernel, but has no S390EP at {MAGIC_OFFSET:#x}: it is a very old Linux, or none"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Debian's 6.12 kernel for s390x has at 0, at its entry, and in its parameter area.
    const IPL_HEAD: [u8; 24] = *b"\0\x08\0\0\x80\0\x02\0\x02\0\0\x18\x60\0\0\x50\x02\0\0\x68\x60\0\0\x50";
    const ENTRY_HEAD: [u8; 16] = *b"\xa7\xf4\0\x0c\0\0\0\0S390EP\0\x01";
    const VERSION_AND_SIZE: [u8; 16] = *b"\0\0\0\0\0\x03\0\xc0\0\0\0\0\0\0\x10\0";
    const LEN: usize = 0x3_0100;

    fn image() -> Vec<u8> {
        let mut image = vec![0; LEN];
        image[..24].copy_from_slice(&IPL_HEAD);
        image[0x10000..0x10010].copy_from_slice(&ENTRY_HEAD);
        image[0x10428..0x10438].copy_from_slice(&VERSION_AND_SIZE);
        image[0x10480..0x10491].copy_from_slice(b"root=/dev/ram0 ro");
        image
    }

    fn look(image: &[u8]) -> Result<Option<Header>, Damage> {
        recognise(&image)
    }

    #[test]
    fn a_kernel_is_recognised() {
        assert_eq!(look(&image()), Ok(Some(Header { cmdline_size: 4096 })));
    }

    #[test]
    fn an_old_kernel_has_short_command_lines() {
        let mut image = image();
        image[0x10428..0x10438].fill(0);
        assert_eq!(look(&image), Ok(Some(Header { cmdline_size: 896 })));
    }

    #[test]
    fn other_files_are_none() {
        assert_eq!(look(b""), Ok(None));
        assert_eq!(look(b"\x7fELF"), Ok(None));
        assert_eq!(look(&[0; LEN]), Ok(None));
        assert_eq!(look(&vec![0x5a; LEN]), Ok(None));
        assert_eq!(look(&IPL_HEAD[..23]), Ok(None));
    }

    #[test]
    fn stumps_are_told() {
        let image = image();
        let stump = |len: usize| look(&image[..len]).unwrap_err().0;
        for len in [24, 0x1000, 0x10008] {
            assert!(stump(len).contains("but is cut short"), "{len:#x}");
        }
        assert!(stump(0x10009).contains("no S390EP"));
        assert!(stump(0x1000e).contains("its parameter area is at 0x10400"));
        assert!(stump(0x10437).contains("its parameter area is at 0x10400"));
        for len in [0x10438, 0x1147f] {
            assert!(stump(len).contains("its command line is at 0x10480"), "{len:#x}");
        }
        for len in [0x11480, 0x300c0] {
            assert!(stump(len).contains("its version string is at 0x300c0"), "{len:#x}");
        }
        assert!(look(&image[..0x300c1]).is_ok());
    }

    #[test]
    fn impossible_images_are_told() {
        let mut other = image();
        other[0x10008] = b's';
        assert!(look(&other).unwrap_err().0.contains("no S390EP"));
        let mut long = image();
        long[0x10430] = 0xff;
        assert!(look(&long).unwrap_err().0.contains("command line has"));
        let mut far = image();
        far[0x10428] = 0xff;
        assert!(look(&far).unwrap_err().0.contains("version string"));
    }
}

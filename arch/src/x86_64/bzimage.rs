//! bzImage: the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst), entered in 64-bit mode.

use serde::Serialize;

use super::boot::E820Entry;
use crate::image::{Contents, Damage};

/// Bytes of the zero page (`struct boot_params`, Documentation/arch/x86/zero-page.rst).
pub const ZERO_PAGE_SIZE: usize = 4096;

/// Where the kernel's 64-bit entry is, from the start of its protected-mode part.
pub const ENTRY_64: u64 = 0x200;

/// First version that has the 64-bit entry and `xloadflags`: 2.12.
pub const VERSION_64: u16 = 0x20c;

/// Protected-mode part belongs at 1 MiB or above.
const LOADED_HIGH: u8 = 1 << 0;
/// Has the 64-bit entry.
const XLF_KERNEL_64: u16 = 1 << 0;
/// Kernel, initrd and command line may lie above 4 GiB.
const XLF_CAN_BE_LOADED_ABOVE_4G: u16 = 1 << 1;

/// Size of what a sector count counts.
const SECTOR: u64 = 512;
/// Sectors of the setup part when its count is 0.
const DEFAULT_SETUP_SECTORS: u8 = 4;
/// What `syssize` counts.
const PARAGRAPH: u64 = 16;

/// First byte of the setup header in the file, and of its copy in the zero page.
const HEADER: usize = 0x1f1;
/// End of the room for it in the zero page, where the next field begins (`edd_mbr_sig_buffer`).
const HEADER_END: usize = 0x290;
/// The byte that tells where it ends, counted from [`HEADER_BASE`]: it is the offset in a jump.
const HEADER_LENGTH: usize = 0x201;
const HEADER_BASE: usize = 0x202;

// Fields of the setup header.
const SETUP_SECTS: usize = 0x1f1;
const SYSSIZE: usize = 0x1f4;
const BOOT_FLAG: usize = 0x1fe;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const CODE32_START: usize = 0x214;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const CMD_LINE_PTR: usize = 0x228;
const INITRD_ADDR_MAX: usize = 0x22c;
const KERNEL_ALIGNMENT: usize = 0x230;
const RELOCATABLE_KERNEL: usize = 0x234;
const XLOADFLAGS: usize = 0x236;
const CMDLINE_SIZE: usize = 0x238;
const SETUP_DATA: usize = 0x250;
const PREF_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;

// Fields of the zero page besides the header.
const ACPI_RSDP_ADDR: usize = 0x070;
const EXT_RAMDISK_IMAGE: usize = 0x0c0;
const EXT_RAMDISK_SIZE: usize = 0x0c4;
const EXT_CMD_LINE_PTR: usize = 0x0c8;
const E820_ENTRIES: usize = 0x1e8;
const E820_TABLE: usize = 0x2d0;
/// Entries that the zero page has room for.
const E820_MAX_ENTRIES: usize = 128;

/// "A loader without a number of its own."
const LOADER_UNDEFINED: u8 = 0xff;

/// What the setup header says. Fields that the kernel's protocol version does not have are 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Protocol version, major in the upper byte.
    pub version: u16,
    /// Bytes of the file before the protected-mode part.
    pub setup_size: u64,
    /// Bytes of the protected-mode part.
    pub image_size: u64,
    /// `loadflags`.
    pub loadflags: u8,
    /// `xloadflags`.
    pub xloadflags: u16,
    /// Most bytes of a command line, without the NUL.
    pub cmdline_size: u32,
    /// Highest address that the initrd may occupy.
    pub initrd_addr_max: u32,
    /// Alignment of the address where a relocatable kernel is loaded.
    pub kernel_alignment: u32,
    /// Whether it can be loaded elsewhere than at `pref_address`.
    pub relocatable: bool,
    /// Where the kernel likes to be loaded, and below which it never runs.
    pub pref_address: u64,
    /// Bytes from where it runs that must be RAM and free.
    pub init_size: u32,
    /// The header itself, from [`HEADER`] on.
    #[serde(skip)]
    raw: Vec<u8>,
}

impl Header {
    /// Whether it can be entered in 64-bit mode.
    pub const fn has_64_bit_entry(&self) -> bool {
        self.version >= VERSION_64
            && self.xloadflags & XLF_KERNEL_64 != 0
            && self.loadflags & LOADED_HIGH != 0
    }

    /// Whether the initrd may lie above 4 GiB.
    pub const fn takes_initrd_above_4g(&self) -> bool {
        self.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G != 0
    }
}

/// Looks for a bzImage.
///
/// # Errors
/// It has a setup header, but the file ends before the kernel does.
pub fn recognise(contents: &dyn Contents) -> Result<Option<Header>, Damage> {
    let mut page = [0; HEADER_END];
    // A file that ends within the header's room is no kernel: its protected-mode part comes later.
    if contents.read_exact_at(0, &mut page).is_err() {
        return Ok(None);
    }
    let magic = page.get(MAGIC..MAGIC + 4) == Some(b"HdrS") && u16_at(&page, BOOT_FLAG) == 0xaa55;
    if !magic {
        return Ok(None);
    }
    let end = HEADER_BASE + usize::from(page[HEADER_LENGTH]);
    page[end.min(HEADER_END)..].fill(0);

    let sectors = match page[SETUP_SECTS] {
        0 => DEFAULT_SETUP_SECTORS,
        sectors => sectors,
    };
    let setup_size = (u64::from(sectors) + 1) * SECTOR;
    let image_size = u64::from(u32_at(&page, SYSSIZE)) * PARAGRAPH;
    if image_size == 0 {
        return Err(Damage("its setup header says that the kernel has no bytes".to_owned()));
    }
    let (has, wants) = (contents.len(), setup_size + image_size);
    if has < wants {
        return Err(Damage(format!(
            "it is cut short: it has {has} bytes, its setup header tells of {wants}"
        )));
    }
    Ok(Some(Header {
        version: u16_at(&page, VERSION),
        setup_size,
        image_size,
        loadflags: page[LOADFLAGS],
        xloadflags: u16_at(&page, XLOADFLAGS),
        cmdline_size: u32_at(&page, CMDLINE_SIZE),
        initrd_addr_max: u32_at(&page, INITRD_ADDR_MAX),
        kernel_alignment: u32_at(&page, KERNEL_ALIGNMENT),
        relocatable: page[RELOCATABLE_KERNEL] != 0,
        pref_address: u64_at(&page, PREF_ADDRESS),
        init_size: u32_at(&page, INIT_SIZE),
        raw: page[HEADER..].to_vec(),
    }))
}

/// What the kernel is told.
#[derive(Debug, Clone, Copy)]
pub struct BootParams<'a> {
    /// Guest-physical address of the protected-mode part.
    pub kernel: u64,
    /// Guest-physical address of the command line, which ends with a NUL.
    pub cmdline: u64,
    /// Guest-physical address and size of the initrd.
    pub initrd: Option<(u64, u64)>,
    /// Guest-physical address of ACPI's root pointer.
    pub rsdp: u64,
    /// Guest-physical address of the setup data, such as [`rng_seed`], or 0.
    pub setup_data: u64,
    /// What is where in memory.
    pub e820: &'a [E820Entry],
}

/// Makes the zero page.
///
/// Of `e820`, as many entries are told as there is room for: 128.
pub fn zero_page(header: &Header, params: &BootParams<'_>) -> Vec<u8> {
    let mut page = vec![0; ZERO_PAGE_SIZE];
    put(&mut page, HEADER, &header.raw);
    put(&mut page, TYPE_OF_LOADER, &[LOADER_UNDEFINED]);
    put(&mut page, CODE32_START, &low(params.kernel));
    put(&mut page, CMD_LINE_PTR, &low(params.cmdline));
    put(&mut page, EXT_CMD_LINE_PTR, &high(params.cmdline));
    let (initrd, initrd_len) = params.initrd.unwrap_or((0, 0));
    put(&mut page, RAMDISK_IMAGE, &low(initrd));
    put(&mut page, EXT_RAMDISK_IMAGE, &high(initrd));
    put(&mut page, RAMDISK_SIZE, &low(initrd_len));
    put(&mut page, EXT_RAMDISK_SIZE, &high(initrd_len));
    put(&mut page, SETUP_DATA, &params.setup_data.to_le_bytes());
    put(&mut page, ACPI_RSDP_ADDR, &params.rsdp.to_le_bytes());
    let mut count = 0u8;
    let mut at = E820_TABLE;
    for entry in params.e820.iter().take(E820_MAX_ENTRIES) {
        let bytes = entry.to_bytes();
        put(&mut page, at, &bytes);
        at += bytes.len();
        count += 1;
    }
    put(&mut page, E820_ENTRIES, &[count]);
    page
}

/// Entropy for the kernel's random numbers (`SETUP_RNG_SEED`, Linux 6.0), the only node of the list of setup data.
pub fn rng_seed(seed: &[u8; 40]) -> Vec<u8> {
    const NO_NEXT: u64 = 0;
    const SETUP_RNG_SEED: u32 = 9;
    const LEN: u32 = 40;
    let mut node = NO_NEXT.to_le_bytes().to_vec();
    node.extend(SETUP_RNG_SEED.to_le_bytes());
    node.extend(LEN.to_le_bytes());
    node.extend(seed);
    node
}

/// Writes a field; all fields above lie within the page.
fn put(page: &mut [u8], at: usize, bytes: &[u8]) {
    page[at..at + bytes.len()].copy_from_slice(bytes);
}

fn low(value: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = value.to_le_bytes();
    [a, b, c, d]
}

fn high(value: u64) -> [u8; 4] {
    low(value >> 32)
}

fn u16_at(page: &[u8; HEADER_END], at: usize) -> u16 {
    u16::from_le_bytes([page[at], page[at + 1]])
}

fn u32_at(page: &[u8; HEADER_END], at: usize) -> u32 {
    u32::from(u16_at(page, at)) | u32::from(u16_at(page, at + 2)) << 16
}

fn u64_at(page: &[u8; HEADER_END], at: usize) -> u64 {
    u64::from(u32_at(page, at)) | u64::from(u32_at(page, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one setup sector and 32 bytes of kernel.
    fn file() -> Vec<u8> {
        let mut file = vec![0; 1024 + 32];
        file[0x1f1] = 1;
        file[0x1f4] = 2;
        file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        file[0x200..0x202].copy_from_slice(&[0xeb, 0x66]);
        file[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
        file[0x211] = 0x01;
        file[0x22c..0x230].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
        file[0x230..0x234].copy_from_slice(&[0, 0, 0x20, 0]);
        file[0x234] = 1;
        file[0x236..0x238].copy_from_slice(&[0x7f, 0]);
        file[0x238..0x23c].copy_from_slice(&[0xff, 0x07, 0, 0]);
        file[0x250..0x258].copy_from_slice(&[0xee; 8]);
        file[0x258..0x260].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
        file[0x260..0x264].copy_from_slice(&[0, 0xf0, 0x7e, 0x03]);
        // Code behind the header, which must not reach the zero page.
        file[0x268..0x290].fill(0xcc);
        file
    }

    fn look(file: &[u8]) -> Result<Option<Header>, Damage> {
        recognise(&file)
    }

    #[test]
    fn the_header_is_read() {
        let header = look(&file()).unwrap().unwrap();
        assert_eq!(header.version, 0x20f);
        assert_eq!((header.setup_size, header.image_size), (1024, 32));
        assert_eq!((header.loadflags, header.xloadflags), (1, 0x7f));
        assert_eq!((header.cmdline_size, header.initrd_addr_max), (2047, 0x7fff_ffff));
        assert_eq!((header.kernel_alignment, header.relocatable), (0x20_0000, true));
        assert_eq!((header.pref_address, header.init_size), (0x100_0000, 0x37e_f000));
        assert!(header.has_64_bit_entry() && header.takes_initrd_above_4g());
    }

    #[test]
    fn kernels_without_the_64_bit_entry_are_told_apart() {
        for (at, byte) in [(0x206, 0x0b), (0x211, 0x00), (0x236, 0x7e)] {
            let mut file = file();
            file[at] = byte;
            assert!(!look(&file).unwrap().unwrap().has_64_bit_entry(), "{at:#x}");
        }
        // An old header ends before xloadflags: what is there is code.
        let mut old = file();
        old[0x201] = 0x30;
        let header = look(&old).unwrap().unwrap();
        assert_eq!(
            (header.xloadflags, header.init_size, header.kernel_alignment),
            (0, 0, 0x20_0000 & 0xffff)
        );
    }

    #[test]
    fn every_truncation_and_much_garbage_is_survived() {
        let file = file();
        for len in 0..file.len() {
            let cut = look(&file[..len]);
            assert_eq!(cut.is_err(), len >= HEADER_END, "{len}");
        }
        let mut longer = file.clone();
        longer.extend([0; 1500]);
        assert_eq!(look(&longer), look(&file), "a signature may follow");
        let mut empty = file.clone();
        empty[0x1f4] = 0;
        assert!(look(&empty).is_err());
        for at in 0x1f0..0x290 {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = file.clone();
                bad[at] = byte;
                if let Ok(Some(header)) = look(&bad) {
                    let params = BootParams {
                        kernel: u64::MAX,
                        cmdline: u64::MAX,
                        initrd: Some((u64::MAX, u64::MAX)),
                        rsdp: u64::MAX,
                        setup_data: u64::MAX,
                        e820: &[E820Entry { base: 0, size: 1, kind: crate::x86_64::boot::E820Kind::Ram };
                            200],
                    };
                    let page = zero_page(&header, &params);
                    assert_eq!((page.len(), page[0x1e8]), (4096, 128));
                }
            }
        }
    }

    #[test]
    fn the_seed_is_a_node_of_setup_data() {
        let node = rng_seed(&[0xa5; 40]);
        assert_eq!(node[..16], [0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 40, 0, 0, 0]);
        assert_eq!(node[16..], [0xa5; 40]);
    }

    #[test]
    fn the_zero_page_holds_the_header_and_what_the_kernel_is_told() {
        use crate::x86_64::boot::E820Kind;
        let header = look(&file()).unwrap().unwrap();
        let e820 = [
            E820Entry { base: 0, size: 0x9_fc00, kind: E820Kind::Ram },
            E820Entry { base: 0x9_fc00, size: 0x6_0400, kind: E820Kind::Reserved },
        ];
        let page = zero_page(
            &header,
            &BootParams {
                kernel: 0x100_0000,
                cmdline: 0x2_0000,
                initrd: Some((0x1_2345_6000, 0x2_0000_0001)),
                rsdp: 0xe_0000,
                setup_data: 0x8000,
                e820: &e820,
            },
        );
        let mut want = vec![0; 4096];
        want[0x070..0x078].copy_from_slice(&[0, 0, 0x0e, 0, 0, 0, 0, 0]);
        want[0x0c0..0x0c8].copy_from_slice(&[1, 0, 0, 0, 2, 0, 0, 0]);
        want[0x1e8] = 2;
        want[0x1f1..0x268].copy_from_slice(&file()[0x1f1..0x268]);
        want[0x210] = 0xff;
        want[0x214..0x218].copy_from_slice(&[0, 0, 0, 1]);
        want[0x218..0x220].copy_from_slice(&[0x00, 0x60, 0x45, 0x23, 1, 0, 0, 0]);
        want[0x228..0x22c].copy_from_slice(&[0, 0, 2, 0]);
        want[0x250..0x258].copy_from_slice(&[0, 0x80, 0, 0, 0, 0, 0, 0]);
        want[0x2d0..0x2e4].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0xfc, 9, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        want[0x2e4..0x2f8].copy_from_slice(&[0, 0xfc, 9, 0, 0, 0, 0, 0, 0, 4, 6, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        assert!(page == want, "{:x?}", page.iter().zip(&want).position(|(a, b)| a != b));
    }
}

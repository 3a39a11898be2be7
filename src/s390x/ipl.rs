//! The IPL parameter block, which says what the next initial program load is to load, and how.

/// An IPL parameter block that a guest has set (Linux, arch/s390/include/uapi/asm/ipl.h). The machine only keeps it: it loads
/// the kernel that it was given, by no device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IplBlock(Vec<u8>);

impl IplBlock {
    /// Bytes of the page that a block lies in: the most that it can have.
    pub const PAGE: usize = 4096;

    /// Takes the block at the beginning of a page, if there is a valid one: a header (length of all, 4 bytes; flags; version,
    /// the last of 8 bytes), and behind it parameters that begin with their own length, 4 bytes, and their type.
    pub fn new(page: &[u8; Self::PAGE]) -> Option<Self> {
        /// Bytes of the header.
        const HEADER: usize = 8;
        /// Bytes of what all parameters begin with.
        const PARAMETERS: usize = 8;
        const VERSION: u8 = 0;
        /// FCP, CCW, ECKD and NVMe devices.
        const TYPES: [u8; 4] = [0, 2, 3, 4];
        let length = |bytes: [u8; 4]| usize::try_from(u32::from_be_bytes(bytes)).ok();
        let [a, b, c, d, _, _, _, version, e, f, g, h, kind, ..] = *page;
        let parameters = length([e, f, g, h])?;
        let whole = length([a, b, c, d])?;
        let fits = parameters >= PARAMETERS && HEADER.checked_add(parameters)? <= whole;
        if version != VERSION || !TYPES.contains(&kind) || !fits {
            return None;
        }
        page.get(..whole).map(|block| IplBlock(block.to_vec()))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux 6.12 sets before it reboots from a CCW device: 200 bytes, 192 of them parameters.
    fn page() -> [u8; IplBlock::PAGE] {
        let mut page = [0x5a; IplBlock::PAGE];
        page[..200].fill(0);
        page[..16].copy_from_slice(&[0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 192, 2, 0, 0, 0]);
        page
    }

    #[test]
    fn a_block_ends_where_it_says() {
        assert_eq!(IplBlock::new(&page()).unwrap().bytes(), &page()[..200]);
    }

    #[test]
    fn a_block_may_take_the_page_and_have_more_parts() {
        let mut page = page();
        page[..4].copy_from_slice(&[0, 0, 0x10, 0]);
        assert_eq!(IplBlock::new(&page).unwrap().bytes().len(), 4096);
        page[..4].copy_from_slice(&[0, 0, 0x10, 1]);
        assert_eq!(IplBlock::new(&page), None);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        assert_eq!(IplBlock::new(&[0; IplBlock::PAGE]), None);
        assert_eq!(IplBlock::new(&[0xff; IplBlock::PAGE]), None);
        for (at, value) in [(3, 199), (3, 15), (7, 1), (8, 0x80), (11, 7), (11, 193), (12, 1), (12, 5)] {
            let mut page = page();
            page[at] = value;
            assert_eq!(IplBlock::new(&page), None, "{at}: {value}");
        }
    }
}

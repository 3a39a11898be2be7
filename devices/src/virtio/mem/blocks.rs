//! Which blocks of a memory device are plugged.

use std::ops::Range;

/// A bit for each block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    bits: Vec<u8>,
    count: u64,
    plugged: u64,
}

/// The byte of a block, and its bit there. Blocks were counted when the bytes were made, so each has one.
fn place(block: u64) -> (usize, u8) {
    (usize::try_from(block / 8).unwrap_or(usize::MAX), 1 << (block % 8))
}

impl Blocks {
    /// So many, all unplugged.
    pub fn new(count: u64) -> Self {
        Blocks { bits: vec![0; usize::try_from(count.div_ceil(8)).unwrap_or(usize::MAX)], count, plugged: 0 }
    }

    /// As many, with these bits, the first block's lowest in the first byte. `None` if they are not as many.
    pub fn restored(&self, bits: Vec<u8>) -> Option<Self> {
        let used = if self.count.is_multiple_of(8) { 8 } else { self.count % 8 };
        let spare = bits.last().is_some_and(|last| u16::from(*last) >> used != 0);
        if bits.len() != self.bits.len() || spare {
            return None;
        }
        let plugged = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
        Some(Blocks { bits, count: self.count, plugged })
    }

    /// The bits, as [`Blocks::restored`] takes them.
    pub fn bits(&self) -> &[u8] {
        &self.bits
    }

    /// How many are plugged.
    pub const fn plugged(&self) -> u64 {
        self.plugged
    }

    /// How many of these are plugged.
    pub fn plugged_of(&self, blocks: Range<u64>) -> u64 {
        let is_plugged = |block: &u64| {
            let (byte, bit) = place(*block);
            self.bits.get(byte).is_some_and(|byte| byte & bit != 0)
        };
        u64::try_from(blocks.filter(is_plugged).count()).unwrap_or(u64::MAX)
    }

    /// One more than the last that is plugged.
    pub fn end(&self) -> u64 {
        let last = (0..).zip(&self.bits).filter(|(_, bits)| **bits != 0).last();
        last.map_or(0, |(byte, bits): (u64, _)| 8 * byte + 8 - u64::from(bits.leading_zeros()))
    }

    /// Sets these.
    pub fn set(&mut self, blocks: Range<u64>, plugged: bool) {
        self.plugged -= self.plugged_of(blocks.clone());
        for (byte, bit) in blocks.map(place) {
            let Some(byte) = self.bits.get_mut(byte) else { break };
            *byte = if plugged { *byte | bit } else { *byte & !bit };
            self.plugged += u64::from(plugged);
        }
    }

    /// Unplugs all.
    pub fn clear(&mut self) {
        self.bits.fill(0);
        self.plugged = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_counted() {
        let mut blocks = Blocks::new(19);
        assert_eq!((blocks.plugged(), blocks.end(), blocks.bits()), (0, 0, &[0; 3][..]));
        blocks.set(3..17, true);
        assert_eq!(blocks.bits(), [0xf8, 0xff, 1]);
        blocks.set(0..4, true);
        assert_eq!((blocks.plugged(), blocks.end(), blocks.plugged_of(2..5)), (17, 17, 3));
        blocks.set(8..19, false);
        assert_eq!((blocks.plugged(), blocks.end(), blocks.plugged_of(7..10)), (8, 8, 1));
        blocks.clear();
        assert_eq!(blocks, Blocks::new(19));
    }

    #[test]
    fn bits_of_blocks_that_there_are_not_are_refused() {
        let blocks = Blocks::new(19);
        assert_eq!(blocks.restored(vec![1, 0, 7]).unwrap().plugged(), 4);
        for bits in [vec![1, 0, 8], vec![1, 0], vec![1, 0, 0, 0], vec![]] {
            assert_eq!(blocks.restored(bits), None);
        }
        assert_eq!(Blocks::new(16).restored(vec![0, 0xff]).unwrap().end(), 16);
    }
}

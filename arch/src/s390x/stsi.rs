//! STORE SYSTEM INFORMATION (PoP, "STORE SYSTEM INFORMATION").
//!
//! KVM fills the blocks of levels 1 and 2 from the host's own, which are the truth about the machine. To 3.2.2, the list of
//! virtual machines, it adds one that it calls `KVMguest` on `KVM/Linux`; with KVM_CAP_S390_USER_STSI the VMM may put its own
//! names there (KVM_EXIT_S390_STSI).

/// Bytes that STSI stores.
pub const BLOCK_SIZE: usize = 4096;

/// What a guest asked STSI for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selector {
    /// Function code: the level of the configuration.
    pub function: u8,
    /// Selector 1.
    pub selector1: u8,
    /// Selector 2.
    pub selector2: u16,
}

/// The list of virtual machines, the innermost first.
pub const VIRTUAL_MACHINES: Selector = Selector { function: 3, selector1: 2, selector2: 2 };

/// Offsets in the block of [`VIRTUAL_MACHINES`] and lengths of what is there.
mod offset {
    use std::ops::Range;
    /// The low four bits count the virtual machines of the list.
    pub(super) const COUNT: usize = 31;
    /// Name of the first virtual machine.
    pub(super) const NAME: Range<usize> = 44..52;
    /// Its control program, which is to say its hypervisor.
    pub(super) const CONTROL_PROGRAM: Range<usize> = 56..72;
}

/// The virtual machine's name.
const NAME: &str = "TRIARCH";
/// The control program. Linux knows by the first three letters that it runs under KVM.
const CONTROL_PROGRAM: &str = "KVM/Triarch";

/// Puts our names into a block that KVM has filled. Returns whether that changed anything; if not, the guest's memory can be
/// left as it is.
pub fn amend(selector: Selector, block: &mut [u8; BLOCK_SIZE]) -> bool {
    if selector != VIRTUAL_MACHINES || block[offset::COUNT] & 0xf == 0 {
        return false;
    }
    put(&mut block[offset::NAME], NAME);
    put(&mut block[offset::CONTROL_PROGRAM], CONTROL_PROGRAM);
    true
}

/// Writes a text in EBCDIC, filled up with spaces.
fn put(field: &mut [u8], text: &str) {
    let text = text.bytes().chain(std::iter::repeat(b' '));
    field.iter_mut().zip(text).for_each(|(byte, character)| *byte = ebcdic(character));
}

/// The letters, digits and the slash, which all EBCDIC code pages have in the same places; a space for all else.
const fn ebcdic(character: u8) -> u8 {
    match character {
        b'a'..=b'i' => 0x81 + (character - b'a'),
        b'j'..=b'r' => 0x91 + (character - b'j'),
        b's'..=b'z' => 0xa2 + (character - b's'),
        b'A'..=b'I' => 0xc1 + (character - b'A'),
        b'J'..=b'R' => 0xd1 + (character - b'J'),
        b'S'..=b'Z' => 0xe2 + (character - b'S'),
        b'0'..=b'9' => 0xf0 + (character - b'0'),
        b'/' => 0x61,
        _ => 0x40,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_take_the_place_of_kvms() {
        // As KVM leaves it: one virtual machine with 2 CPUs.
        let mut block = [0; BLOCK_SIZE];
        block[31] = 0x01;
        let kvms: [u8; 40] = [
            0, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0xd2, 0xe5, 0xd4, 0x87, 0xa4, 0x85, 0xa2, 0xa3, 0, 0, 3,
            0xe8, 0xd2, 0xe5, 0xd4, 0x61, 0xd3, 0x89, 0x95, 0xa4, 0xa7, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40,
            0x40,
        ];
        block[32..72].copy_from_slice(&kvms);
        let mut expected = block;
        expected[44..52].copy_from_slice(&[0xe3, 0xd9, 0xc9, 0xc1, 0xd9, 0xc3, 0xc8, 0x40]);
        expected[56..72].copy_from_slice(&[
            0xd2, 0xe5, 0xd4, 0x61, 0xe3, 0x99, 0x89, 0x81, 0x99, 0x83, 0x88, 0x40, 0x40, 0x40, 0x40, 0x40,
        ]);
        assert!(amend(VIRTUAL_MACHINES, &mut block));
        assert_eq!(block, expected);
    }

    #[test]
    fn other_blocks_stay_as_they_are() {
        let mut block = [0x11; BLOCK_SIZE];
        for (function, selector1, selector2) in [(1, 1, 1), (1, 2, 2), (2, 2, 2), (3, 2, 3), (15, 1, 2)] {
            assert!(!amend(Selector { function, selector1, selector2 }, &mut block));
        }
        let mut none = [0; BLOCK_SIZE];
        assert!(!amend(VIRTUAL_MACHINES, &mut none), "no virtual machine to name");
        assert_eq!((block, none), ([0x11; BLOCK_SIZE], [0; BLOCK_SIZE]));
    }
}

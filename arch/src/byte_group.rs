//! A group of a vCPU's state that is a block of bytes.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::Serialize;

/// Bytes in a chunk of the debug output; a chunk of zeros is left out.
const CHUNK: usize = 16;

/// A block of bytes, such as an XSAVE area. Most of it is zero as a rule, so its debug output is its length and the rest of it:
/// `{len: 4096, 0x0: 7f03.., 0xa0: ..}`.
#[derive(Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct ByteGroup(pub Vec<u8>);

impl fmt::Debug for ByteGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{len: {}", self.len())?;
        // Chunks that follow each other read as one.
        let mut next = None;
        for (at, chunk) in (0..).step_by(CHUNK).zip(self.chunks(CHUNK)) {
            if chunk.iter().all(|byte| *byte == 0) {
                continue;
            }
            if next != Some(at) {
                write!(f, ", {at:#x}: ")?;
            }
            chunk.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            next = Some(at + CHUNK);
        }
        f.write_str("}")
    }
}

impl From<Vec<u8>> for ByteGroup {
    fn from(bytes: Vec<u8>) -> Self {
        ByteGroup(bytes)
    }
}

impl Deref for ByteGroup {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for ByteGroup {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_left_out_of_debug_output() {
        let mut bytes = vec![0; 100];
        bytes[17] = 0xab;
        (bytes[40], bytes[99]) = (1, 2);
        assert_eq!(
            format!("{:?}", ByteGroup(bytes)),
            format!("{{len: 100, 0x10: 00ab{}01{}, 0x60: 00000002}}", "0".repeat(44), "0".repeat(14))
        );
        assert_eq!(format!("{:?}", ByteGroup::default()), "{len: 0}");
    }
}

//! Interrupt pins: the bridge's lines, that devices share.

use std::sync::{Arc, Mutex, PoisonError};

use crate::Line;

/// Lines of a bridge. Pin A of device n leads to line n modulo this.
pub const INTX_LINES: u8 = 4;

/// A line that is asserted while any of those who share it assert theirs.
pub struct SharedLine {
    line: Arc<dyn Line>,
    /// A bit for each that asserts it.
    asserting: Mutex<u32>,
}

impl SharedLine {
    /// Of a line that nobody asserts.
    pub fn new(line: Arc<dyn Line>) -> Arc<Self> {
        Arc::new(SharedLine { line, asserting: Mutex::new(0) })
    }

    /// The end of `device`, 0 to 31; each has a number of its own.
    pub fn share(self: &Arc<Self>, device: u8) -> Box<dyn Line> {
        Box::new(Share { line: self.clone(), bit: 1 << (device % 32) })
    }
}

struct Share {
    line: Arc<SharedLine>,
    bit: u32,
}

impl Line for Share {
    fn set(&self, asserted: bool) {
        let mut asserting = self.line.asserting.lock().unwrap_or_else(PoisonError::into_inner);
        *asserting = if asserted { *asserting | self.bit } else { *asserting & !self.bit };
        self.line.line.set(*asserting != 0);
    }
}

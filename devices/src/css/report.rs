//! Channel-report words: what the channel subsystem tells of itself (PoP, "Channel-Subsystem Recovery").

use std::collections::VecDeque;

use crate::saved::state;

/// Reports that are kept for the program. More than that, and it has to look at everything anyway.
const MAX_REPORTS: usize = 64;

/// Reports were lost before this one.
const OVERFLOW: u32 = 0x2000_0000;
/// Reporting source: a subchannel; a channel path.
const SUBCHANNEL: u32 = 0x0300_0000;
const CHANNEL_PATH: u32 = 0x0400_0000;
/// What is reported: initialized; its installed parameters are initialized, so it has come, gone or changed.
const INITIALIZED: u32 = 0x0002_0000;
const PARAMETERS_INITIALIZED: u32 = 0x0004_0000;

/// The reports that the program has not read yet.
#[derive(Debug)]
pub struct Reports {
    words: VecDeque<u32>,
    overflow: bool,
    /// A machine check tells of the next one: so it is until the first, and again when the program has found no more.
    armed: bool,
}

impl Reports {
    pub const fn new() -> Self {
        Reports { words: VecDeque::new(), overflow: false, armed: true }
    }

    /// Adds one of a subchannel that has come or gone. Whether the program is to be told.
    pub fn add_subchannel(&mut self, number: u16) -> bool {
        self.add(SUBCHANNEL | PARAMETERS_INITIALIZED | u32::from(number))
    }

    /// Adds one of a channel path that was reset. Whether the program is to be told.
    pub fn add_path(&mut self, path: u8) -> bool {
        self.add(CHANNEL_PATH | INITIALIZED | u32::from(path))
    }

    fn add(&mut self, word: u32) -> bool {
        if self.words.len() == MAX_REPORTS {
            self.overflow = true;
        } else {
            let overflow = if std::mem::take(&mut self.overflow) { OVERFLOW } else { 0 };
            self.words.push_back(word | overflow);
        }
        std::mem::take(&mut self.armed)
    }

    /// STORE CHANNEL REPORT WORD: the next one, if there is one.
    pub fn take(&mut self) -> Option<u32> {
        let word = self.words.pop_front();
        self.armed |= word.is_none();
        word
    }
}

state! {
    /// [`Reports`].
    pub struct ReportsState {
        words: Vec<u32>,
        overflow: bool,
        armed: bool,
    }
}

impl Reports {
    pub fn state(&self) -> ReportsState {
        let words = self.words.iter().copied().collect();
        ReportsState { words, overflow: self.overflow, armed: self.armed }
    }

    /// `None` if there are more than can be.
    pub fn restored(ReportsState { words, overflow, armed }: ReportsState) -> Option<Self> {
        (words.len() <= MAX_REPORTS).then(|| Reports { words: words.into(), overflow, armed })
    }
}

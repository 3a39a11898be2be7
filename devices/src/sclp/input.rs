//! What was typed and waits for the guest.

use std::collections::VecDeque;

use super::message::MAX_COMMAND;
use crate::saved::state;

/// Most bytes that wait for the VT220 console: as many as one event in a page takes.
const ASCII_CAPACITY: usize = 4080;
/// Most bytes that wait for the line-mode console, ends of lines included.
const LINES_CAPACITY: usize = 4096;

/// Bytes for the VT220 console.
#[derive(Default)]
pub(super) struct AsciiInput {
    bytes: VecDeque<u8>,
}

impl AsciiInput {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn room(&self) -> usize {
        ASCII_CAPACITY.saturating_sub(self.bytes.len())
    }

    pub(super) fn push(&mut self, byte: u8) {
        self.bytes.push_back(byte);
    }

    pub(super) fn state(&self) -> Vec<u8> {
        self.bytes.iter().copied().collect()
    }

    /// `None` if it is more than there is room for.
    pub(super) fn restored(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= ASCII_CAPACITY).then(|| AsciiInput { bytes: bytes.into() })
    }

    /// At most `room` bytes.
    pub(super) fn pop(&mut self, room: usize) -> impl Iterator<Item = u8> {
        let count = room.min(self.bytes.len());
        self.bytes.drain(..count)
    }
}

/// Lines for the line-mode console. Its guests take whole lines, so the line is edited here, and echoed.
#[derive(Default)]
pub(super) struct LineInput {
    complete: VecDeque<Vec<u8>>,
    line: Vec<u8>,
    /// Bytes in complete lines and their ends.
    waiting: usize,
    /// Whether the last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
}

impl LineInput {
    pub(super) fn is_empty(&self) -> bool {
        self.complete.is_empty()
    }

    pub(super) fn room(&self) -> usize {
        LINES_CAPACITY.saturating_sub(self.waiting + self.line.len())
    }

    /// Takes a byte; returns what the terminal is to show.
    pub(super) fn push(&mut self, byte: u8) -> Vec<u8> {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' if after_return => Vec::new(),
            b'\r' | b'\n' => {
                self.waiting += self.line.len() + 1;
                self.complete.push_back(std::mem::take(&mut self.line));
                b"\r\n".to_vec()
            }
            // Backspace and delete.
            0x08 | 0x7f => self.line.pop().map_or(Vec::new(), |_| b"\x08 \x08".to_vec()),
            // Control-U: the whole line.
            0x15 => self.line.drain(..).flat_map(|_| *b"\x08 \x08").collect(),
            // A line that is full rings the bell, as terminals do.
            _ if self.line.len() >= MAX_COMMAND => b"\x07".to_vec(),
            _ => {
                self.line.push(byte);
                vec![byte]
            }
        }
    }

    /// The next line's length.
    pub(super) fn next_len(&self) -> Option<usize> {
        self.complete.front().map(Vec::len)
    }

    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let line = self.complete.pop_front()?;
        self.waiting = self.waiting.saturating_sub(line.len() + 1);
        Some(line)
    }
}

state! {
    /// [`LineInput`].
    pub(super) struct LineState {
        complete: Vec<Vec<u8>>,
        line: Vec<u8>,
        after_return: bool,
    }
}

impl LineInput {
    pub(super) fn state(&self) -> LineState {
        let complete = self.complete.iter().cloned().collect();
        LineState { complete, line: self.line.clone(), after_return: self.after_return }
    }

    /// `None` if it is more than there is room for, or a line is too long.
    pub(super) fn restored(LineState { complete, line, after_return }: LineState) -> Option<Self> {
        let waiting = complete.iter().map(|line| line.len() + 1).sum::<usize>();
        let is_short = complete.iter().chain([&line]).all(|line| line.len() <= MAX_COMMAND);
        // An end of a line needs no room beside its last byte.
        let fits = is_short && waiting + line.len() <= LINES_CAPACITY;
        fits.then(|| LineInput { complete: complete.into(), line, waiting, after_return })
    }
}

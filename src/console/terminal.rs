//! The user's terminal: raw mode, and the keys that are for us and not for the guest.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcsetattr};

use crate::tell::tell;

/// The settings to go back to, for every way out of the process; `None` when the terminal is as it was.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode of standard input's terminal, while this lives.
#[derive(Debug)]
pub(super) struct RawMode(());

impl RawMode {
    /// Enters raw mode. `None` when standard input is no terminal.
    pub(super) fn enter() -> io::Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return Ok(None);
        }
        let saved = tcgetattr(stdin)?;
        let mut raw = saved.clone();
        raw.make_raw();
        // Messages of our own keep their line ends.
        raw.output_modes |= OutputModes::OPOST;
        *SAVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(saved);
        tcsetattr(stdin, OptionalActions::Now, &raw)?;
        Ok(Some(RawMode(())))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Puts the terminal back as it was before [`RawMode::enter`]. Safe to call at any time, twice, and from a panic hook.
pub fn restore_terminal() {
    let saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(saved) = saved
        && let Err(error) = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &saved)
    {
        tell(format_args!("can't restore the terminal: {error}"));
    }
}

/// Makes a pseudo-terminal pass bytes as they are.
pub(super) fn make_raw(fd: BorrowedFd<'_>) -> Result<(), rustix::io::Errno> {
    let mut raw = tcgetattr(fd)?;
    raw.make_raw();
    tcsetattr(fd, OptionalActions::Now, &raw)
}

/// Ctrl-A, which starts a key for us.
const PREFIX: u8 = 0x01;

/// What is left of typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// For the guest.
    Bytes(Vec<u8>),
    /// Ctrl-A X.
    Quit,
}

/// Finds Ctrl-A X (quit), Ctrl-A Ctrl-A (a Ctrl-A for the guest) and Ctrl-A C (reserved) among typed bytes.
#[derive(Debug, Default)]
pub(super) struct Escape {
    after_prefix: bool,
}

impl Escape {
    pub(super) fn filter(&mut self, typed: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(typed.len());
        for &byte in typed {
            match (std::mem::take(&mut self.after_prefix), byte) {
                (false, PREFIX) => self.after_prefix = true,
                (false, _) => bytes.push(byte),
                (true, b'x' | b'X') => return Typed::Quit,
                (true, b'c' | b'C') => {}
                (true, PREFIX) => bytes.push(PREFIX),
                // No key of ours: the guest gets both, as if there were no prefix.
                (true, _) => bytes.extend([PREFIX, byte]),
            }
        }
        Typed::Bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_works_across_reads() {
        let mut escape = Escape::default();
        assert_eq!(escape.filter(b"ab\x01"), Typed::Bytes(b"ab".to_vec()));
        assert_eq!(escape.filter(b"\x01c"), Typed::Bytes(b"\x01c".to_vec()));
        assert_eq!(escape.filter(b"\x01q\x01c."), Typed::Bytes(b"\x01q.".to_vec()));
        assert_eq!(escape.filter(b"\x01"), Typed::Bytes(vec![]));
        assert_eq!(escape.filter(b"x"), Typed::Quit);
    }
}

//! The user's terminal: raw mode, and the keys that are for us and not for the guest.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcsetattr};

use crate::tell::tell;

/// The terminal and the settings to go back to, for every way out of the process; `None` when it is as it was.
static SAVED: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// Raw mode of a terminal, while this lives.
#[derive(Debug)]
pub(super) struct RawMode(OwnedFd);

impl RawMode {
    /// Enters raw mode. `None` when this is no terminal.
    pub(super) fn enter(terminal: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        if !isatty(terminal) {
            return Ok(None);
        }
        let mode = RawMode(terminal.try_clone_to_owned()?);
        mode.resume()?;
        Ok(Some(mode))
    }

    /// Gives the terminal back until [`RawMode::resume`].
    pub(super) fn suspend(&self) {
        restore_terminal();
    }

    /// Makes it raw again, whatever was done to it meanwhile.
    pub(super) fn resume(&self) -> io::Result<()> {
        let mut saved = SAVED.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, before) = match saved.take() {
            Some(known) => saved.insert(known),
            None => saved.insert((self.0.try_clone()?, tcgetattr(&self.0)?)),
        };
        let mut raw = before.clone();
        raw.make_raw();
        // Messages of our own keep their line ends.
        raw.output_modes |= OutputModes::OPOST;
        Ok(tcsetattr(&self.0, OptionalActions::Now, &raw)?)
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
    if let Some((terminal, before)) = saved
        && let Err(error) = tcsetattr(terminal, OptionalActions::Now, &before)
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
    use std::os::fd::AsFd;

    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::LocalModes;

    use super::*;

    #[test]
    fn the_terminal_is_raw_only_while_it_is_ours() {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let slave = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        if tcgetattr(&slave).is_err_and(|error| error == rustix::io::Errno::NOSYS) {
            eprintln!("SKIPPED: no kernel lacks this, but some user-mode emulators do");
            return;
        }
        let cooked =
            || tcgetattr(&slave).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO);

        assert!(cooked());
        let mode = RawMode::enter(slave.as_fd()).unwrap().unwrap();
        assert!(!cooked());
        mode.suspend();
        assert!(cooked());
        mode.resume().unwrap();
        assert!(!cooked());
        // A shell that took the terminal unasked may have left it as it likes it.
        mode.resume().unwrap();
        drop(mode);
        assert!(cooked());
        assert!(RawMode::enter(tempfile::tempfile().unwrap().as_fd()).unwrap().is_none());
    }

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

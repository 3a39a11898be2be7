//! Saved state: what a device has that outlives its process.
//!
//! Each device that has any describes it in a plain type of its own (`state!`), which is no part of the running device. Its bytes
//! are its fields in order, without gaps:
//!
//! | field | bytes |
//! | --- | --- |
//! | `u8`, `u16`, `u32`, `u64`, `i64` | little-endian |
//! | `bool` | one: 0 or 1 |
//! | `[T; N]`, `(A, B)` | the parts |
//! | `Option<T>` | 0, or 1 and the part |
//! | `Vec<T>` | the number of parts as `u32`, and the parts |
//! | [`Saved`] | its kind (8 bytes of ASCII, filled up with zeros), its version and the number of its bytes as `u32`, and these |
//!
//! A state that gets another form gets another version. The type of the version before stays, to be read and converted:
//! [`Saved::version`] tells which one it is. A golden file of each version is restored by tests.
//!
//! Saved bytes are as little to be trusted as any file. What can't be, by its form or its values, is an [`Error`]; what is accepted
//! can do no more than a guest can.

mod field;
#[cfg(any(test, fuzzing))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

pub(crate) use field::{Field, Reader, state};

/// Has state that can be saved, and restored in another instance. What has none says so ([`Saved::nothing`]).
pub trait Save {
    /// The state. What works on a thread of its own is stopped before, and stays so. No vCPU runs.
    ///
    /// # Errors
    /// The host does not give the state away.
    fn save(&mut self) -> Result<Saved>;

    /// Takes on a state. It is called on a device that is like the one that was saved and as it was made; no vCPU runs, and RAM is
    /// there. Nothing is started. Levels of interrupt lines are set, but no interrupt is sent: interrupt controllers
    /// have the pending ones in their own state.
    ///
    /// # Errors
    /// The state is of another device, of a version that is not known, or none that the device can have; or the host
    /// lacks what it needs. The device is not to be used then.
    fn restore(&mut self, saved: &Saved) -> Result<()>;
}

/// The name of a kind of state: at most eight ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kind([u8; 8]);

impl Kind {
    /// Of this name.
    ///
    /// # Panics
    /// The name is longer than eight bytes: a constant does not compile then.
    pub const fn new(name: &str) -> Self {
        let (name, mut kind, mut at) = (name.as_bytes(), [0; 8], 0);
        while at < name.len() {
            kind[at] = name[at];
            at += 1;
        }
        Kind(kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        write!(to, "{}", self.0[..len].escape_ascii())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{self}")
    }
}

/// A state as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// What it is the state of.
    pub kind: Kind,
    /// The form that it has, from 1 on.
    pub version: u32,
    /// The state.
    pub bytes: Vec<u8>,
}

impl Saved {
    /// The state of what has none.
    pub const fn nothing(kind: Kind) -> Self {
        Saved { kind, version: 1, bytes: Vec::new() }
    }

    /// Checks that it is [`Saved::nothing`] of this kind.
    ///
    /// # Errors
    /// It is not.
    pub fn expect_nothing(&self, kind: Kind) -> Result<()> {
        self.reader(kind, 1)?.end()
    }

    /// A state's bytes.
    pub(crate) fn of<S: State>(state: &S) -> Self {
        let mut bytes = Vec::new();
        state.put(&mut bytes);
        Saved { kind: S::KIND, version: S::VERSION, bytes }
    }

    /// The state, whose values are not checked yet.
    pub(crate) fn get<S: State>(&self) -> Result<S> {
        let mut from = self.reader(S::KIND, S::VERSION)?;
        let state = S::take(&mut from)?;
        from.end()?;
        Ok(state)
    }

    fn reader(&self, kind: Kind, newest: u32) -> Result<Reader<'_>> {
        if self.kind != kind {
            return Err(Error::Kind { expected: kind, found: self.kind });
        }
        if self.version != newest {
            return Err(Error::Version { kind, found: self.version, newest });
        }
        Ok(Reader::new(kind, &self.bytes))
    }

    /// Refuses the state unless `is_valid`; `what` names the value that can't be.
    pub(crate) const fn check(&self, is_valid: bool, what: &'static str) -> Result<()> {
        if is_valid { Ok(()) } else { Err(Error::Invalid { kind: self.kind, what }) }
    }
}

/// Says that a type has nothing to save, and the name of its kind: `nothing_to_save!(Rng, "rng")`.
#[macro_export]
macro_rules! nothing_to_save {
    ($type:ident$(<$parameter:ident>)?, $kind:literal) => {
        impl$(<$parameter>)? $crate::Save for $type$(<$parameter>)? {
            fn save(&mut self) -> $crate::saved::Result<$crate::Saved> {
                Ok($crate::Saved::nothing(const { $crate::saved::Kind::new($kind) }))
            }

            fn restore(&mut self, saved: &$crate::Saved) -> $crate::saved::Result<()> {
                saved.expect_nothing(const { $crate::saved::Kind::new($kind) })
            }
        }
    };
}

/// A version of a kind of state.
pub(crate) trait State: Field {
    /// The kind.
    const KIND: Kind;
    /// The version.
    const VERSION: u32;
}

/// Why a state can't be saved or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is the state of something else.
    #[error("there is the state of {found:?} where that of {expected:?} belongs")]
    Kind {
        /// What was looked for.
        expected: Kind,
        /// What is there.
        found: Kind,
    },
    /// Its version is not known.
    #[error("the state of {kind:?} is of version {found}; the newest that is known is {newest}")]
    Version {
        /// What it is the state of.
        kind: Kind,
        /// Its version.
        found: u32,
        /// The newest version that is known.
        newest: u32,
    },
    /// Its bytes end before it does.
    #[error("the state of {kind:?} is cut off")]
    Truncated {
        /// What it is the state of.
        kind: Kind,
    },
    /// It ends before its bytes do.
    #[error("the state of {kind:?} has {bytes} bytes too many")]
    Trailing {
        /// What it is the state of.
        kind: Kind,
        /// How many bytes are left.
        bytes: usize,
    },
    /// The device can't have such a state.
    #[error("the state of {kind:?} can't be: {what}")]
    Invalid {
        /// What it is the state of.
        kind: Kind,
        /// The value that can't be.
        what: &'static str,
    },
    /// The host does not do what it takes.
    #[error(transparent)]
    Host(#[from] io::Error),
}

/// What saving and restoring give.
pub type Result<T, E = Error> = std::result::Result<T, E>;

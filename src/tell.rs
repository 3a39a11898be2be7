//! Telling the user something, by standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Tells the user something. Where nobody reads it (any more), it is lost: that is no reason to end a guest, as `eprintln!` would,
/// which panics.
pub fn tell(what: impl Display) {
    let _: io::Result<()> = writeln!(io::stderr(), "triarch: {what}");
}

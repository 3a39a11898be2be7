//! bzImage: the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst).

use serde::Serialize;

use crate::image::{Contents, Damage};

/// What the setup header says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Header {}

/// Looks for a bzImage.
pub fn recognise(_contents: &dyn Contents) -> Result<Option<Header>, Damage> {
    Ok(None)
}

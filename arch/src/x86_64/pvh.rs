//! ELF kernels with an entry point for PVH.

use serde::Serialize;

use crate::image::{Contents, Damage};

/// What the ELF headers say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Image {}

/// Looks for an ELF kernel.
pub fn recognise(_contents: &dyn Contents) -> Result<Option<Image>, Damage> {
    Ok(None)
}

//! The entropy device.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use anyhow::Context;
use serde::Deserialize;
use triarch_boards::VirtioKind;
use triarch_devices::virtio::{Rng, RngBackend};

use super::{DeviceParts, DeviceSpec, HostDevice};

/// An entropy device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RngSpec {
    /// Where the entropy comes from.
    pub source: PathBuf,
}

impl Default for RngSpec {
    fn default() -> Self {
        RngSpec { source: "/dev/urandom".into() }
    }
}

impl DeviceSpec for RngSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Rng)
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        let file = File::open(&self.source).with_context(|| format!("can't open {:?}", self.source))?;
        Ok(Box::new(Source(file)))
    }
}

/// The opened source.
struct Source(File);

impl HostDevice for Source {
    fn make(&self) -> io::Result<DeviceParts> {
        Ok((Box::new(Rng), Box::new(RngBackend::new(self.0.try_clone()?))))
    }
}

//! The memory balloon.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Deserializer};
use triarch_boards::VirtioKind;
use triarch_devices::virtio::{Balloon, BalloonBackend, BalloonFeatures, BalloonSize, PAGE_SIZE};

use super::{DeviceParts, DeviceSpec, HostDevice, SizeReport};
use crate::memory;

/// A memory balloon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct BalloonSpec {
    /// Bytes that the guest is to do without.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Whether the guest may take pages back when it has no others.
    pub deflate_on_oom: bool,
    /// Whether the guest reports pages that are free.
    pub reporting: bool,
    /// After how many seconds the guest's statistics are logged, again and again.
    pub stats: Option<u32>,
}

/// A size such as `64M`.
pub(super) fn size<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    crate::cli::parse_size(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

impl DeviceSpec for BalloonSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Balloon)
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        let pages = pages(self.size)?;
        ensure!(self.stats != Some(0), "stats=0 is no interval");
        Ok(Box::new(Host { size: RefCell::new(BalloonSize::new(pages)), spec: self.clone() }))
    }
}

/// Pages of a size in bytes.
fn pages(size: u64) -> anyhow::Result<u32> {
    u32::try_from(size / PAGE_SIZE).context("size is more than a balloon can have")
}

/// A balloon has nothing of the host but the guest's RAM.
struct Host {
    /// That of the device which was made last.
    size: RefCell<BalloonSize>,
    spec: BalloonSpec,
}

impl HostDevice for Host {
    fn make(&self) -> io::Result<DeviceParts> {
        let BalloonSpec { deflate_on_oom, reporting, stats, .. } = self.spec;
        let features = BalloonFeatures { deflate_on_oom, reporting, stats: stats.is_some() };
        // A driver that begins has given nothing yet, and is asked for what was asked for last.
        let size = BalloonSize::new(self.size.borrow().target());
        let balloon = Balloon::new(size.clone(), features);
        self.size.replace(size);
        let interval = stats.map(|seconds| Duration::from_secs(seconds.into()));
        Ok((Box::new(balloon), Box::new(BalloonBackend::new(Box::new(memory::punch), interval)?)))
    }

    fn resize(&self, bytes: u64) -> anyhow::Result<()> {
        self.size.borrow().set_target(pages(bytes)?);
        Ok(())
    }

    fn size(&self) -> Option<SizeReport> {
        let size = self.size.borrow();
        let bytes = |pages: u32| u64::from(pages) * PAGE_SIZE;
        Some(SizeReport { requested: bytes(size.target()), actual: bytes(size.actual()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balloon_is_as_large_as_pages_can_be_counted() {
        let spec = |size| BalloonSpec { size, ..BalloonSpec::default() };
        for size in [0, 4096, 4096 * u64::from(u32::MAX) + 4095] {
            spec(size).open().unwrap().make().unwrap();
        }
        assert!(spec(1 << 44).open().is_err());
        assert!(BalloonSpec { stats: Some(0), ..spec(0) }.open().is_err());
    }

    #[test]
    fn another_size_outlives_a_reset() {
        let host = BalloonSpec { size: 8192, ..BalloonSpec::default() }.open().unwrap();
        let (mut device, _) = host.make().unwrap();
        // The driver says that it has given one page.
        device.write_config(4, &1u32.to_le_bytes());
        assert_eq!(host.size(), Some(SizeReport { requested: 8192, actual: 4096 }));
        host.resize(12345).unwrap();
        assert!(host.resize(1 << 44).is_err());
        let mut target = [0; 4];
        device.read_config(0, &mut target);
        assert_eq!(target, 3u32.to_le_bytes());
        let (device, _) = host.make().unwrap();
        device.read_config(0, &mut target);
        assert_eq!(target, 3u32.to_le_bytes());
        assert_eq!(host.size(), Some(SizeReport { requested: 12288, actual: 0 }));
    }
}

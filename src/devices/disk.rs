//! Disks.

use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use triarch_boards::VirtioKind;
use triarch_devices::virtio::{Blk, BlkBackend, Limits};

use super::{DeviceParts, DeviceSpec, HostDevice};
use crate::disk::{self, Format, Image, Io, Options, Sync};

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskSpec {
    /// The image: a file or a block device.
    path: PathBuf,
    format: Option<Format>,
    #[serde(default)]
    readonly: bool,
    #[serde(default)]
    sync: Sync,
    #[serde(default)]
    serial: String,
    #[serde(default = "yes")]
    discard: bool,
    #[serde(default = "one")]
    queues: u16,
    io: Option<Io>,
    /// Requests a second.
    iops: Option<NonZeroU64>,
    /// Bytes a second.
    #[serde(default, deserialize_with = "bytes")]
    bandwidth: Option<NonZeroU64>,
}

const fn yes() -> bool {
    true
}

const fn one() -> u16 {
    1
}

/// A size such as `512M`.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroU64>, D::Error> {
    let text = String::deserialize(from)?;
    let size = crate::cli::parse_size(&text).map_err(serde::de::Error::custom)?;
    NonZeroU64::new(size).map(Some).ok_or_else(|| serde::de::Error::custom("a disk needs some bandwidth"))
}

impl DeviceSpec for DiskSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Blk)
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        let image = disk::open(&Options {
            path: self.path.clone(),
            format: self.format,
            read_only: self.readonly,
            sync: self.sync,
            serial: self.serial.clone(),
            discard: self.discard,
            queues: self.queues,
            io: self.io,
        })?;
        Ok(Box::new(OpenDisk { image, limits: Limits { ops: self.iops, bytes: self.bandwidth } }))
    }
}

struct OpenDisk {
    image: Image,
    limits: Limits,
}

impl HostDevice for OpenDisk {
    fn make(&self) -> io::Result<DeviceParts> {
        let info = self.image.info();
        let backend = BlkBackend::new(self.image.disk()?, info.clone(), self.limits)?;
        Ok((Box::new(Blk::new(info)), Box::new(backend)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    fn plain(path: &str) -> DiskSpec {
        DiskSpec {
            path: path.into(),
            format: None,
            readonly: false,
            sync: Sync::Writeback,
            serial: String::new(),
            discard: true,
            queues: 1,
            io: None,
            iops: None,
            bandwidth: None,
        }
    }

    #[test]
    fn words_become_a_disk() {
        assert_eq!(options::parse("path=a.raw"), Ok(plain("a.raw")));
        let all = DiskSpec {
            format: Some(Format::Qcow2),
            readonly: true,
            sync: Sync::Direct,
            serial: "12".to_owned(),
            discard: false,
            queues: 4,
            io: Some(Io::Threads),
            iops: NonZeroU64::new(100),
            bandwidth: NonZeroU64::new(10 << 20),
            ..plain("a")
        };
        let text = "path=a,format=qcow2,readonly,sync=direct,serial=12,discard=off,queues=4,io=threads,iops=100,bandwidth=10M";
        assert_eq!(options::parse(text), Ok(all.clone()));
        let file = "path = 'a'\nformat = 'qcow2'\nreadonly = true\nsync = 'direct'\nserial = '12'\ndiscard = false\nqueues = 4\n\
            io = 'threads'\niops = 100\nbandwidth = '10M'";
        assert_eq!(toml::from_str::<DiskSpec>(file).unwrap(), all);
        for (text, told) in [
            ("", "missing field `path`"),
            (
                "path=a,sync=never",
                "unknown variant `never`, expected one of `writeback`, `direct`, `writethrough`",
            ),
            ("path=a,iops=0", "invalid value"),
            ("path=a,bandwidth=0", "a disk needs some bandwidth"),
            ("path=a,bandwidth=fast", "'fast' is no size"),
            ("path=a,cache=none", "unknown field `cache`"),
        ] {
            let error = options::parse::<DiskSpec>(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}

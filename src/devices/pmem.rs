//! Persistent memory.

use std::cell::Cell;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use triarch_boards::{RamRange, VirtioKind};
use triarch_devices::virtio::{Pmem, PmemBackend};
use vm_memory::{GuestAddress, GuestRegionMmap};

use super::{DeviceMapping, DeviceParts, DeviceSpec, HostDevice, balloon};
use crate::disk::Mapped;

/// A file that the guest has as memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PmemSpec {
    /// The file.
    pub path: PathBuf,
    /// How long it is to be, in bytes; as long as it is unless it is said.
    #[serde(default, deserialize_with = "size")]
    pub size: Option<u64>,
    /// Whether the guest can't write.
    #[serde(default)]
    pub readonly: bool,
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    balloon::size(from).map(Some)
}

impl DeviceSpec for PmemSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Pmem { size: Mapped::size_of(&self.path, self.size)? })
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        let file = Mapped::open(&self.path, self.size, self.readonly)?;
        Ok(Box::new(Host { file, range: Cell::new(RamRange { base: 0, size: 0 }) }))
    }
}

struct Host {
    file: Mapped,
    /// Where it lies in the machine that was made last.
    range: Cell<RamRange>,
}

impl HostDevice for Host {
    fn memory(&self, range: RamRange) -> io::Result<DeviceMapping> {
        self.range.set(range);
        let region = GuestRegionMmap::new(self.file.map(range.size)?, GuestAddress(range.base))
            .ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(DeviceMapping { region, read_only: self.file.is_read_only() })
    }

    fn make(&self) -> io::Result<DeviceParts> {
        let RamRange { base, size } = self.range.get();
        Ok((Box::new(Pmem::new(base, size)), Box::new(PmemBackend::new(self.file.disk()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    #[test]
    fn words_become_persistent_memory() {
        let plain = PmemSpec { path: "a".into(), size: None, readonly: false };
        assert_eq!(options::parse("path=a"), Ok(plain.clone()));
        let all = PmemSpec { size: Some(1 << 30), readonly: true, ..plain };
        assert_eq!(options::parse("path=a,size=1G,readonly"), Ok(all));
        assert!(options::parse::<PmemSpec>("size=1G").is_err());
    }

    #[test]
    fn it_lies_where_the_plan_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let spec = PmemSpec { path: folder.path().join("file"), size: Some(4 << 20), readonly: false };
        assert_eq!(spec.kind().unwrap(), VirtioKind::Pmem { size: 4 << 20 });
        let host = spec.open().unwrap();
        let range = RamRange { base: 5 << 30, size: 4 << 20 };
        let mapping = host.memory(range).unwrap();
        assert!(!mapping.read_only);
        let (device, _) = host.make().unwrap();
        let mut config = [0; 16];
        device.read_config(0, &mut config);
        assert_eq!(config, *[5u64 << 30, 4 << 20].map(u64::to_le_bytes).as_flattened());
        assert!(host.memory(RamRange { size: 8 << 20, ..range }).is_err(), "that is not its size");
        drop((host, mapping));
        let host = PmemSpec { readonly: true, ..spec }.open().unwrap();
        assert!(host.memory(range).unwrap().read_only);
    }
}

//! Memory that comes and goes.

use std::cell::RefCell;
use std::io;

use anyhow::ensure;
use serde::Deserialize;
use triarch_boards::{RamRange, VirtioKind};
use triarch_devices::virtio::{Mem, MemBackend, MemRegion, MemSize};

use super::balloon::size;
use super::{DeviceMapping, DeviceParts, DeviceSpec, HostDevice, SizeReport};
use crate::memory;

/// Memory that a guest gets and gives back while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MemSpec {
    /// The most that there can be, in bytes.
    #[serde(alias = "size", deserialize_with = "size")]
    pub max: u64,
    /// Bytes that the guest is to have at first.
    #[serde(default, alias = "requested-size", deserialize_with = "size")]
    pub requested: u64,
    /// Bytes of the blocks that come and go.
    #[serde(default = "block", alias = "block-size", deserialize_with = "size")]
    pub block: u64,
}

/// A huge page of most hosts.
const fn block() -> u64 {
    2 << 20
}

/// The smallest blocks: with smaller ones, there would be more of them than is of use.
const MIN_BLOCK: u64 = 1 << 20;
/// The largest blocks: what devices' memory begins at a multiple of.
const MAX_BLOCK: u64 = 1 << 30;

impl DeviceSpec for MemSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Mem { size: self.max })
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        let MemSpec { max, requested, block } = *self;
        let is_block = block.is_power_of_two() && (MIN_BLOCK..=MAX_BLOCK).contains(&block);
        ensure!(is_block, "block must be a power of 2 from 1M to 1G");
        let host = memory::of_host();
        ensure!(
            max <= host,
            "max={}M is more than this host has, {}M of RAM and swap",
            max >> 20,
            host >> 20
        );
        // Where it lies is known when the machine is built.
        let size = MemSize::new(MemRegion { address: 0, size: max, block }, requested)?;
        Ok(Box::new(Host { block, size: RefCell::new(size) }))
    }
}

/// It has nothing of the host while no machine is there.
struct Host {
    block: u64,
    /// That of the device which was made last.
    size: RefCell<MemSize>,
}

impl HostDevice for Host {
    fn memory(&self, range: RamRange) -> io::Result<DeviceMapping> {
        let region = MemRegion { address: range.base, size: range.size, block: self.block };
        // A guest that begins has no memory of it, and is asked to have what was asked for last.
        let requested = self.size.borrow().requested();
        self.size.replace(MemSize::new(region, requested).map_err(io::Error::other)?);
        Ok(DeviceMapping { region: memory::of_device(range)?, read_only: false })
    }

    fn make(&self) -> io::Result<DeviceParts> {
        let size = self.size.borrow().clone();
        Ok((Box::new(Mem::new(size.clone())), Box::new(MemBackend::new(size, Box::new(memory::punch)))))
    }

    fn resize(&self, bytes: u64) -> anyhow::Result<()> {
        Ok(self.size.borrow().set_requested(bytes)?)
    }

    fn size(&self) -> Option<SizeReport> {
        let size = self.size.borrow();
        Some(SizeReport { requested: size.requested(), actual: size.plugged() })
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::GuestMemoryRegion;

    use super::super::options;
    use super::*;

    #[test]
    fn words_become_memory() {
        let all = MemSpec { max: 1 << 30, requested: 256 << 20, block: 4 << 20 };
        assert_eq!(options::parse("max=1G,requested=256M,block=4M"), Ok(all.clone()));
        assert_eq!(options::parse("size=1G,requested-size=256M,block-size=4M"), Ok(all));
        assert_eq!(options::parse("max=64"), Ok(MemSpec { max: 64 << 20, requested: 0, block: 2 << 20 }));
        assert!(options::parse::<MemSpec>("requested=1G").is_err());
    }

    #[test]
    fn what_can_not_be_is_refused() {
        let refused = |text: &str| {
            let spec: MemSpec = options::parse(text).unwrap();
            spec.open().err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused("max=64M,requested=64M"), "");
        for (text, told) in [
            ("max=64M,block=3M", "block must be a power of 2 from 1M to 1G"),
            ("max=64M,block=512K", "block must be"),
            ("max=4G,block=2G", "block must be"),
            ("max=64M,block=0", "block must be"),
            ("max=65M", "a region of 68157440 bytes"),
            ("max=64M,requested=1M", "1048576 bytes are no multiple of a block of 2097152 bytes"),
            ("max=64M,requested=66M", "69206016 bytes are more than the 67108864 bytes that there can be"),
            ("max=1024T", "max=1073741824M is more than this host has"),
        ] {
            let error = refused(text);
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }

    #[test]
    fn memory_begins_anew_when_the_machine_does() {
        let spec = MemSpec { max: 64 << 20, requested: 4 << 20, block: 2 << 20 };
        let host = spec.open().unwrap();
        for base in [1 << 32, 1 << 33] {
            let memory = host.memory(RamRange { base, size: 64 << 20 }).unwrap();
            assert_eq!((memory.region.len(), memory.read_only), (64 << 20, false));
            let (device, _) = host.make().unwrap();
            let mut config = [0; 56];
            device.read_config(0, &mut config);
            let (words, _) = config.as_chunks();
            let words: Vec<_> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
            assert_eq!(words, [2 << 20, 0, base, 64 << 20, 64 << 20, 0, 4 << 20]);
        }
    }
}

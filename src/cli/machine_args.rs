//! What `run` and `plan` have in common: the machine.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::{Args, ValueEnum};
use triarch_arch::Isa;
use triarch_arch::image::KernelFile;
use triarch_boards::{Board, IrqchipChoice, MachineSpec, VirtioKind};

use crate::loader::{BootFiles, Initrd};
use crate::memory::Pages;

/// The machine.
#[derive(Debug, Args)]
pub(super) struct MachineArgs {
    /// Kernel: bzImage or ELF (x86_64), Image (aarch64), flat image (s390x); plain or packed with gzip or zstd
    #[arg(long, value_name = "FILE")]
    pub(super) kernel: Option<PathBuf>,

    /// Initial RAM disk
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,

    /// The kernel's command line [default: the console that the board has]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: Option<String>,

    /// RAM, with suffix K, M, G or T (a bare number is MiB); `,hugepages=1M|2M|1G` takes it from the host's pool
    #[arg(long, short, value_name = "SIZE[,hugepages=SIZE]", default_value = "256M")]
    memory: MemorySpec,

    /// Number of vCPUs
    #[arg(long, short, value_name = "N", default_value_t = 1)]
    cpus: u32,

    /// Board: microvm (x86_64), virt (aarch64), ccw (s390x) [default: the host's]
    #[arg(long, value_name = "NAME")]
    pub(super) board: Option<Board>,

    /// Where the interrupt controllers are: IOAPIC in triarch, or all in the kernel (x86_64)
    #[arg(long, value_name = "WHERE", default_value = "split")]
    irqchip: IrqchipArg,

    /// Have an i8254 timer; it costs milliseconds at start and end, and few kernels need it (x86_64, --irqchip kernel)
    #[arg(long)]
    pit: bool,

    /// Have a virtio entropy device, fed from the host's
    #[arg(long)]
    rng: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum IrqchipArg {
    Split,
    Kernel,
}

/// `SIZE[,hugepages=SIZE]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MemorySpec {
    bytes: u64,
    pages: Pages,
}

impl FromStr for MemorySpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(',');
        let bytes = parse_size(parts.next().unwrap_or_default())?;
        let mut pages = Pages::Normal;
        for part in parts {
            pages = match part.split_once('=') {
                Some(("hugepages", "1M")) => Pages::Huge1M,
                Some(("hugepages", "2M")) => Pages::Huge2M,
                Some(("hugepages", "1G")) => Pages::Huge1G,
                _ => return Err(format!("'{part}' is none of hugepages=1M, hugepages=2M, hugepages=1G")),
            };
        }
        Ok(MemorySpec { bytes, pages })
    }
}

/// Bytes of a size such as `512M`; a bare number counts MiB, as users of QEMU expect.
fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("'{text}' is no size (examples: 512M, 2G)");
    let (digits, shift) = match text.as_bytes().last().ok_or_else(bad)?.to_ascii_uppercase() {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        b'G' => (&text[..text.len() - 1], 30),
        b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 20),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let number: u64 = digits.parse().map_err(|_| bad())?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("'{text}' is more than any host has"))
}

impl MachineArgs {
    /// Opens the files that the machine boots from.
    pub(super) fn open_files(&self) -> anyhow::Result<BootFiles> {
        let kernel = self.kernel.as_deref().map(KernelFile::open).transpose().context("--kernel")?;
        let initrd = self.initrd.as_deref().map(Initrd::open).transpose().context("--initrd")?;
        Ok(BootFiles { kernel, initrd })
    }

    /// The machine asked for, for a guest of `isa` unless a board is named; without entropy.
    pub(super) fn spec(&self, isa: Isa, files: &BootFiles) -> MachineSpec {
        let board = self.board.unwrap_or(Board::default_of(isa));
        MachineSpec {
            board,
            cpus: self.cpus,
            memory: self.memory.bytes,
            kernel: files.kernel.as_ref().map(|kernel| kernel.kernel().clone()),
            initrd: files.initrd.as_ref().map(Initrd::len),
            cmdline: self.append.clone().unwrap_or_else(|| board.default_cmdline().to_owned()),
            irqchip: match self.irqchip {
                IrqchipArg::Split => IrqchipChoice::Split,
                IrqchipArg::Kernel => IrqchipChoice::Kernel,
            },
            pit: self.pit,
            virtio: self.rng.then_some(VirtioKind::Rng).into_iter().collect(),
            seed: [0; 40],
        }
    }

    /// The pages that RAM is made of.
    pub(super) fn pages(&self) -> Pages {
        self.memory.pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("64", 64 << 20), ("512M", 512 << 20), ("2g", 2 << 30), ("4096K", 4 << 20), ("1T", 1 << 40)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "M", "-1M", "+1M", "1.5G", "1MB", "0x10", "99999999999999999999", "99999999T", "1é"]
        {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_with_huge_pages() {
        assert_eq!("1G,hugepages=2M".parse(), Ok(MemorySpec { bytes: 1 << 30, pages: Pages::Huge2M }));
        assert!("1G,hugepages=3M".parse::<MemorySpec>().is_err());
        assert!("1G,shared".parse::<MemorySpec>().is_err());
    }
}

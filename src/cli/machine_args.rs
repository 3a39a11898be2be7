//! What `run` and `plan` have in common: the machine.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;
use triarch_arch::Isa;
use triarch_arch::image::KernelFile;
use triarch_boards::{Board, IrqchipChoice, MachineSpec, Transport};
use triarch_devices::Effect;

use crate::devices::{DeviceSpecs, HostDevice};
use crate::loader::{BootFiles, Initrd};
use crate::memory::Pages;

/// RAM of a machine for which nothing else is said.
const DEFAULT_MEMORY: MemorySpec = MemorySpec { bytes: 256 << 20, pages: Pages::Normal };

/// The machine and its devices, by options and a file.
#[derive(Debug, Args)]
pub(super) struct MachineArgs {
    /// A machine as a file, TOML or (*.json) JSON, with [machine] and [devices]; options are stronger, and add devices
    #[arg(value_name = "MACHINE-FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    machine: MachineOptions,

    #[command(flatten)]
    devices: DeviceSpecs,
}

/// A machine file. Each key is an option's name.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MachineFile {
    machine: MachineOptions,
    devices: DeviceSpecs,
}

/// The machine but for its devices. What is not said has a default.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct MachineOptions {
    /// Kernel: bzImage or ELF (x86_64), Image (aarch64), flat image (s390x); plain or packed with gzip or zstd
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,

    /// Initial RAM disk
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,

    /// The kernel's command line [default: the console that the board has]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    append: Option<String>,

    /// RAM, with suffix K, M, G or T (a bare number is MiB); `,hugepages=1M|2M|1G` takes it from the host's pool [default: 256M]
    #[arg(long, short, value_name = "SIZE[,hugepages=SIZE]")]
    memory: Option<MemorySpec>,

    /// Number of vCPUs [default: 1]
    #[arg(long, short, value_name = "N")]
    cpus: Option<u32>,

    /// Board: microvm (x86_64), virt (aarch64), ccw (s390x) [default: the host's]
    #[arg(long, value_name = "NAME")]
    board: Option<Board>,

    /// Where the interrupt controllers are: IOAPIC in triarch, or all in the kernel (x86_64) [default: split]
    #[arg(long, value_name = "WHERE")]
    irqchip: Option<IrqchipArg>,

    /// Have an i8254 timer; it costs milliseconds at start and end, and few kernels need it (x86_64, --irqchip kernel)
    #[arg(long)]
    pit: bool,

    /// Whether the end of a guest whose kernel panics is status 3, if its kernel has a driver for pvpanic (x86_64, aarch64) [default: on]
    #[arg(long, value_name = "on|off", value_parser = BoolishValueParser::new())]
    pvpanic: Option<bool>,

    /// How virtio devices are reached: by memory-mapped registers, or on a PCI bus (x86_64, aarch64) [default: pci, or mmio on a
    /// host without an ITS (aarch64)]
    #[arg(long, value_name = "HOW")]
    transport: Option<TransportArg>,
}

#[derive(Debug, Clone, Copy, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TransportArg {
    Mmio,
    Pci,
}

#[derive(Debug, Clone, Copy, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum IrqchipArg {
    Split,
    Kernel,
}

/// `SIZE[,hugepages=SIZE]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
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

impl TryFrom<String> for MemorySpec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Bytes of a size such as `512M`; a bare number counts MiB, as users of QEMU expect.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
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

/// The most bytes of a machine file: machines have a few hundred devices.
const MAX_FILE: u64 = 1 << 20;

impl MachineFile {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut text = String::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE {
            bail!("it is longer than {MAX_FILE} bytes");
        }
        Self::parse(&text, path.extension().is_some_and(|extension| extension == "json"))
    }

    fn parse(text: &str, is_json: bool) -> anyhow::Result<Self> {
        let value: Value = if is_json { serde_json::from_str(text)? } else { toml::from_str(text)? };
        // One way into the types for both: each costs as much text as all the rest of the command line.
        Ok(serde_json::from_value(value)?)
    }
}

impl MachineOptions {
    /// These, and where nothing is said, what `other` says.
    fn or(self, other: MachineOptions) -> MachineOptions {
        MachineOptions {
            kernel: self.kernel.or(other.kernel),
            initrd: self.initrd.or(other.initrd),
            append: self.append.or(other.append),
            memory: self.memory.or(other.memory),
            cpus: self.cpus.or(other.cpus),
            board: self.board.or(other.board),
            irqchip: self.irqchip.or(other.irqchip),
            pit: self.pit || other.pit,
            pvpanic: self.pvpanic.or(other.pvpanic),
            transport: self.transport.or(other.transport),
        }
    }
}

/// The machine of a file's text, which is JSON or TOML.
#[cfg(any(test, fuzzing))]
pub(super) fn parse_file(text: &str, is_json: bool) -> anyhow::Result<MachineRequest> {
    let MachineFile { machine, devices } = MachineFile::parse(text, is_json)?;
    Ok(MachineRequest { options: machine, devices })
}

impl MachineArgs {
    /// The machine that the options ask for alone, without their files.
    #[cfg(any(test, fuzzing))]
    pub(super) fn without_files(self) -> MachineRequest {
        MachineRequest { options: self.machine, devices: self.devices }
    }

    /// The machine asked for.
    ///
    /// # Errors
    /// The machine file can't be read, or is none.
    pub(super) fn read(self) -> anyhow::Result<MachineRequest> {
        let file = match &self.file {
            Some(path) => MachineFile::read(path).with_context(|| format!("machine file {path:?}"))?,
            None => MachineFile::default(),
        };
        let options = self.machine.or(file.machine);
        if options.initrd.is_some() && options.kernel.is_none() {
            bail!("--initrd needs --kernel, which takes it to the guest");
        }
        // Those of the file come first: options add to a machine.
        Ok(MachineRequest { options, devices: file.devices.and(self.devices) })
    }
}

/// A machine as it is asked for.
#[derive(Debug)]
pub(super) struct MachineRequest {
    options: MachineOptions,
    devices: DeviceSpecs,
}

impl MachineRequest {
    /// The board that is named.
    pub(super) fn board(&self) -> Option<Board> {
        self.options.board
    }

    /// Opens the files that the machine boots from.
    pub(super) fn open_files(&self) -> anyhow::Result<BootFiles> {
        let MachineOptions { kernel, initrd, .. } = &self.options;
        let kernel = kernel.as_deref().map(KernelFile::open).transpose().context("--kernel")?;
        let initrd = initrd.as_deref().map(Initrd::open).transpose().context("--initrd")?;
        Ok(BootFiles { kernel, initrd })
    }

    /// Takes what the devices have of the host.
    pub(super) fn open_devices(&self) -> anyhow::Result<Vec<Box<dyn HostDevice>>> {
        self.devices.open()
    }

    /// The machine's specification, for a guest of `isa` unless a board is named; without entropy.
    ///
    /// # Errors
    /// The host does not have what a device is to be known of.
    pub(super) fn spec(&self, isa: Isa, files: &BootFiles) -> anyhow::Result<MachineSpec> {
        let options = &self.options;
        let board = options.board.unwrap_or(Board::default_of(isa));
        Ok(MachineSpec {
            board,
            cpus: options.cpus.unwrap_or(1),
            memory: options.memory.unwrap_or(DEFAULT_MEMORY).bytes,
            kernel: files.kernel.as_ref().map(|kernel| kernel.kernel().clone()),
            initrd: files.initrd.as_ref().map(Initrd::len),
            cmdline: options.append.clone().unwrap_or_else(|| self.default_cmdline(board)),
            irqchip: match options.irqchip {
                None | Some(IrqchipArg::Split) => IrqchipChoice::Split,
                Some(IrqchipArg::Kernel) => IrqchipChoice::Kernel,
            },
            pit: options.pit,
            pvpanic: options.pvpanic,
            transport: options.transport.map(|transport| match transport {
                TransportArg::Mmio => Transport::Mmio,
                TransportArg::Pci => Transport::Pci,
            }),
            virtio: self.devices.kinds()?,
            watchdog: self.devices.watchdog().is_some(),
            seed: [0; 40],
        })
    }

    /// What the end of the watchdog's time comes to.
    pub(super) fn watchdog_effect(&self) -> Effect {
        self.devices.watchdog().unwrap_or_default().effect()
    }

    /// The console that the user's terminal is.
    fn default_cmdline(&self, board: Board) -> String {
        match self.devices.terminal() {
            Some(number) => format!("console=hvc{number}"),
            None => board.default_cmdline().to_owned(),
        }
    }

    /// Whether a console device has the user's terminal.
    pub(super) fn has_terminal(&self) -> bool {
        self.devices.terminal().is_some()
    }

    /// The pages that RAM is made of.
    pub(super) fn pages(&self) -> Pages {
        self.options.memory.unwrap_or(DEFAULT_MEMORY).pages
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

//! What a user asks for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use triarch_arch::Isa;
use triarch_arch::hv::{HostCaps, IsaCaps};
use triarch_arch::image::Kernel;

/// A board: a kind of machine of one ISA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Board {
    /// x86_64 without legacy: hardware-reduced ACPI, virtio, a serial port.
    Microvm,
    /// aarch64: GIC, PSCI, FDT, virtio, a PL011.
    Virt,
    /// s390x: SCLP, channel I/O.
    Ccw,
}

impl Board {
    /// Every board.
    pub const ALL: [Board; 3] = [Board::Microvm, Board::Virt, Board::Ccw];

    /// The board that a machine of `isa` gets unless another is asked for.
    pub const fn default_of(isa: Isa) -> Board {
        match isa {
            Isa::X86_64 => Board::Microvm,
            Isa::Aarch64 => Board::Virt,
            Isa::S390x => Board::Ccw,
        }
    }

    /// The ISA of the board.
    pub const fn isa(self) -> Isa {
        match self {
            Board::Microvm => Isa::X86_64,
            Board::Virt => Isa::Aarch64,
            Board::Ccw => Isa::S390x,
        }
    }

    /// The kernel command line when none is given: the console that the board has.
    pub const fn default_cmdline(self) -> &'static str {
        match self {
            Board::Microvm => "console=ttyS0",
            Board::Virt => "console=ttyAMA0",
            Board::Ccw => "console=ttysclp0",
        }
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Board::Microvm => "microvm",
            Board::Virt => "virt",
            Board::Ccw => "ccw",
        }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Board {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Board::ALL
            .into_iter()
            .find(|board| board.name() == name)
            .ok_or_else(|| format!("unknown board '{name}' (known: microvm, virt, ccw)"))
    }
}

/// Where the interrupt controllers of an x86_64 machine are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IrqchipChoice {
    /// LAPICs in the kernel, the IOAPIC in the VMM.
    #[default]
    Split,
    /// All in the kernel.
    Kernel,
}

/// How virtio devices are reached, where a board leaves a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// By memory-mapped registers.
    Mmio,
    /// On a PCI bus.
    Pci,
}

/// The virtio devices that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VirtioKind {
    /// A disk.
    Blk,
    /// A memory balloon.
    Balloon,
    /// Consoles and other ports.
    Console,
    /// A shared directory.
    Fs,
    /// Memory that comes and goes.
    Mem {
        /// The most that there can be, in bytes.
        size: u64,
    },
    /// Entropy.
    Rng,
    /// Network.
    Net,
    /// A file as memory.
    Pmem {
        /// Its size in bytes.
        size: u64,
    },
    /// Sockets.
    Vsock,
}

impl VirtioKind {
    /// Its name in plans.
    pub const fn name(self) -> &'static str {
        match self {
            VirtioKind::Blk => "blk",
            VirtioKind::Balloon => "balloon",
            VirtioKind::Console => "console",
            VirtioKind::Fs => "fs",
            VirtioKind::Mem { .. } => "mem",
            VirtioKind::Rng => "rng",
            VirtioKind::Net => "net",
            VirtioKind::Pmem { .. } => "pmem",
            VirtioKind::Vsock => "vsock",
        }
    }

    /// Bytes of memory that such a device brings into the guest's address space, if it brings some.
    pub const fn memory(self) -> Option<u64> {
        match self {
            VirtioKind::Mem { size } | VirtioKind::Pmem { size } => Some(size),
            _ => None,
        }
    }
}

/// What a user asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineSpec {
    /// The board.
    pub board: Board,
    /// Number of vCPUs.
    pub cpus: u32,
    /// RAM in bytes.
    pub memory: u64,
    /// The kernel; without one, the plan has no boot segments and no boot registers.
    pub kernel: Option<Kernel>,
    /// Size of the initrd in bytes, if there is one.
    pub initrd: Option<u64>,
    /// The kernel's command line, exactly as the guest shall see it.
    pub cmdline: String,
    /// Where the interrupt controllers are (x86_64).
    pub irqchip: IrqchipChoice,
    /// Whether there is an i8254 (x86_64, with the irqchip in the kernel).
    pub pit: bool,
    /// Whether a kernel can tell that it has panicked; unless it is said, where a board has a device for that (x86_64, aarch64).
    pub pvpanic: Option<bool>,
    /// How virtio devices are reached; unless it is said, on a PCI bus where the machine has message-signalled interrupts (x86_64,
    /// aarch64).
    pub transport: Option<Transport>,
    /// Virtio devices, in the order in which the guest finds them.
    pub virtio: Vec<VirtioKind>,
    /// Whether there is a watchdog.
    pub watchdog: bool,
    /// Entropy for the guest, where its boot protocol can hand some over. No two boots may share it.
    pub seed: [u8; 40],
}

/// Why a machine can't be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The host runs guests of another ISA.
    #[error("board {board} is {wanted}, but this host runs {host} guests")]
    WrongHost {
        /// The board.
        board: Board,
        /// Its ISA.
        wanted: Isa,
        /// The host's.
        host: Isa,
    },
    /// The kernel is for another ISA.
    #[error("--kernel is an {kernel} kernel, but board {board} is {wanted}")]
    WrongKernel {
        /// The board.
        board: Board,
        /// Its ISA.
        wanted: Isa,
        /// The kernel's.
        kernel: Isa,
    },
    /// Too few or too many vCPUs.
    #[error("--cpus {cpus} is out of range: this machine can have 1 to {max}")]
    Cpus {
        /// What was asked for.
        cpus: u32,
        /// The most there can be.
        max: u32,
    },
    /// Too little or too much RAM.
    #[error("--memory {} is out of range: board {board} takes {} to {}", mib(*memory), mib(*min), mib(*max))]
    Memory {
        /// The board.
        board: Board,
        /// What was asked for, in bytes.
        memory: u64,
        /// The least, in bytes.
        min: u64,
        /// The most, in bytes.
        max: u64,
    },
    /// RAM that is no multiple of the granule.
    #[error("--memory must be a multiple of 1 MiB ({0} bytes is not)")]
    MemoryGranule(
        /// What was asked for, in bytes.
        u64,
    ),
    /// More virtio devices than the board has room for.
    #[error("board {board} has room for {max} virtio devices, and {devices} are asked for")]
    Devices {
        /// The board.
        board: Board,
        /// How many are asked for.
        devices: usize,
        /// The most there can be.
        max: u32,
    },
    /// A part of the boot does not fit in RAM.
    #[error("{what} of {size} bytes does not fit: {room} bytes are free for it with --memory {}", mib(*memory))]
    DoesNotFit {
        /// What does not fit: `kernel`, `initrd`, ...
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// Bytes that are free for it.
        room: u64,
        /// RAM in bytes.
        memory: u64,
    },
    /// The command line is too long for the boot protocol.
    #[error("--append is too long: {len} bytes, and this kernel takes at most {max}")]
    CmdlineTooLong {
        /// Its length in bytes, without the terminating NUL.
        len: usize,
        /// The most that the kernel takes.
        max: usize,
    },
    /// A NUL in the command line.
    #[error("--append holds a NUL character")]
    CmdlineNul,
    /// The kernel can't be booted on this board for another reason.
    #[error("--kernel can't be booted on board {board}: {what}")]
    Kernel {
        /// The board.
        board: Board,
        /// Why.
        what: String,
    },
    /// The host lacks something that the board can't do without.
    #[error("this host can't run board {board}: {what}")]
    Host {
        /// The board.
        board: Board,
        /// What it lacks.
        what: String,
    },
    /// Options that don't go together.
    #[error("{0}")]
    Conflict(
        /// Which, and the way out.
        String,
    ),
}

/// Bytes as MiB for a message; exact, as the granule is checked first or the bytes are shown.
fn mib(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{}M", bytes >> 20) } else { format!("{bytes}") }
}

impl MachineSpec {
    /// The granularity of RAM: what every ISA's page tables and memory slots take.
    pub(crate) const MEMORY_GRANULE: u64 = 1 << 20;

    /// What can be said of a specification whatever its board.
    pub(crate) fn check(&self, host: &HostCaps) -> Result<(), Error> {
        let board = self.board;
        let wanted = board.isa();
        let host_isa = match host.isa {
            IsaCaps::X86_64(_) => Isa::X86_64,
            IsaCaps::Aarch64(_) => Isa::Aarch64,
            IsaCaps::S390x(_) => Isa::S390x,
        };
        if host_isa != wanted {
            return Err(Error::WrongHost { board, wanted, host: host_isa });
        }
        if let Some(kernel) = &self.kernel {
            let kernel = kernel.format.isa();
            if kernel != wanted {
                return Err(Error::WrongKernel { board, wanted, kernel });
            }
        }
        if self.cpus == 0 || self.cpus > host.max_vcpus {
            return Err(Error::Cpus { cpus: self.cpus, max: host.max_vcpus });
        }
        if self.pit && wanted != Isa::X86_64 {
            return Err(Error::Conflict(format!("--pit is for x86_64 only: board {board} has no i8254")));
        }
        if self.cmdline.contains('\0') {
            return Err(Error::CmdlineNul);
        }
        if !self.memory.is_multiple_of(Self::MEMORY_GRANULE) {
            return Err(Error::MemoryGranule(self.memory));
        }
        Ok(())
    }
}

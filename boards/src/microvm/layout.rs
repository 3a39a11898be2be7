//! What is where on a microvm.
//!
//! | guest-physical address     | what                                                          |
//! | -------------------------- | ------------------------------------------------------------- |
//! | 0x0000_0500                | descriptor table of the 64-bit entry                          |
//! | 0x0000_6000                | PVH's start information                                       |
//! | 0x0000_7000                | zero page                                                     |
//! | 0x0000_8000                | setup data: entropy                                           |
//! | 0x0000_9000 .. 0x0000_f000 | page tables of the 64-bit entry                               |
//! | 0x0002_0000 .. 0x0003_0000 | command line                                                  |
//! | 0x0009_fc00 .. 0x0010_0000 | reserved; ACPI's tables from 0xe_0000                        |
//! | 0x0010_0000 .. 0xc000_0000 | RAM; the kernel where it likes to be, the initrd at the end   |
//! | 0xc000_0000 .. 4 GiB       | no RAM: virtio devices or PCI's configuration space, IOAPIC, LAPICs |
//! | 4 GiB ..                   | the rest of RAM; behind it, memory of devices, then PCI devices' registers |
//!
//! With too little RAM for that, there is none between 1 MiB and the kernel.

use crate::virtio::{MmioRoom, PciRoom};

/// The descriptor table: behind the real-mode vectors and BIOS data, which nobody uses but kernels leave alone.
pub const GDT: u64 = 0x500;
/// PVH's start information, of at most a page.
pub const START_INFO: u64 = 0x6000;
/// The zero page.
pub const ZERO_PAGE: u64 = 0x7000;
/// The zero page's setup data.
pub const SETUP_DATA: u64 = 0x8000;
/// The page tables.
pub const PAGE_TABLES: u64 = 0x9000;
/// The command line.
pub const CMDLINE: u64 = 0x2_0000;
/// Room for it; no kernel takes as much.
pub const CMDLINE_ROOM: u64 = 0x1_0000;
/// End of low RAM that the kernel may use: kernels expect a BIOS data area here.
pub const LOW_RAM_END: u64 = 0x9_fc00;
/// ACPI's tables, its root pointer first: it is where kernels look that know no other way.
pub const ACPI: u64 = 0xe_0000;
/// Where an x86 CPU begins after a reset, and where old software jumps to for one.
pub const RESET_VECTOR: u64 = 0xf_fff0;
/// Where RAM goes on, and the first address at which kernels may be loaded.
pub const HIGH_MEMORY: u64 = 0x10_0000;
/// End of RAM below 4 GiB.
pub const HOLE: u64 = 0xc000_0000;
/// End of the hole.
pub const HOLE_END: u64 = 1 << 32;

/// The least RAM: what a small kernel needs that runs at 16 MiB.
pub const MIN_MEMORY: u64 = 32 << 20;
/// With this much RAM or more, it never has a gap above 1 MiB: a kernel that does not fit then is not a small machine's problem.
pub const SMALL_MEMORY: u64 = 128 << 20;

/// Virtio devices behind memory-mapped registers, on the pins that a PC's ISA devices leave.
pub const VIRTIO: MmioRoom = MmioRoom { base: 0xd000_0000, pin: 5, devices: 19 };

/// PCI's configuration space.
pub const PCI_ECAM: u32 = 0xe000_0000;
/// The PCI bus, with lines on pins that a PC's bridges have.
pub const PCI: PciRoom = PciRoom { ecam: PCI_ECAM as u64, pin: 16 };

/// The IOAPIC, as on a PC.
pub const IOAPIC: u32 = 0xfec0_0000;
/// Bytes of its window.
pub const IOAPIC_SIZE: u64 = 0x1000;
/// Its pins, as on a PC.
pub const IOAPIC_PINS: u32 = 24;
/// The LAPICs, as on a PC.
pub const LAPIC: u32 = 0xfee0_0000;

/// COM1, as on a PC.
pub const SERIAL: u16 = 0x3f8;
/// Its ports.
pub const SERIAL_PORTS: u16 = 8;
/// Its pin, as on a PC.
pub const SERIAL_PIN: u32 = 4;
/// The keyboard controller, as on a PC.
pub const I8042: u16 = 0x60;
/// Its ports: data at 0x60, command at 0x64.
pub const I8042_PORTS: u16 = 5;
/// pvpanic, as QEMU has it.
pub const PVPANIC: u16 = 0x505;
/// ACPI's sleep and reset registers.
pub const POWER: u16 = 0x600;
/// ACPI's event register.
pub const EVENTS: u16 = 0x604;
/// Its pin: that of a serial port which there is not.
pub const EVENTS_PIN: u32 = 3;

//! Machines of a few bytes of code, for tests on this host's KVM. Not every test uses all of it.
#![allow(dead_code)]

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use triarch::builder::{self, Parts};
use triarch::console::Console;
use triarch::loader::BootFiles;
use triarch::machine::Machine;
use triarch::memory::Pages;
use triarch_arch::Isa;
use triarch_arch::hv::{CpuModel, IrqRoute, Irqchip, IsaCaps, VcpuState};
use triarch_arch::kvm::{DEVICE, Host, install_kick_handler};
use triarch_arch::x86_64::{self, boot, cpuid};
use triarch_boards::{Attachment, Board, DeviceKind, DeviceSlot, MachinePlan, RamRange, Segment, Source};

pub const RAM: usize = 1 << 20;
/// Where the boot vCPU starts, in 32-bit protected mode.
pub const CODE: u64 = 0x1000;
/// Where the others start, in real mode.
pub const START_UP: u64 = 0x2000;

/// mov dx,0x600; mov al,0x34; out dx,al; hlt
pub const POWER_OFF: &[u8] = &[0x66, 0xba, 0x00, 0x06, 0xb0, 0x34, 0xee, 0xf4];
/// mov al,0xfe; out 0x64,al; hlt
pub const RESET: &[u8] = &[0xb0, 0xfe, 0xe6, 0x64, 0xf4];
/// ud2, which nothing handles
pub const TRIPLE_FAULT: &[u8] = &[0x0f, 0x0b];
/// jmp to itself
pub const SPIN: &[u8] = &[0xeb, 0xfe];

/// Starts the others, then counts at 0x5000 and prints.
pub const COUNTER: &[u8] = &[
    0xbf, 0x00, 0x03, 0xe0, 0xfe, // mov edi,0xfee00300 (the LAPIC's interrupt command)
    0xc7, 0x07, 0x00, 0x45, 0x0c, 0x00, // mov dword [edi],0xc4500 (INIT to all but itself)
    0xc7, 0x07, 0x02, 0x46, 0x0c, 0x00, // mov dword [edi],0xc4602 (start-up at START_UP)
    0xff, 0x05, 0x00, 0x50, 0x00, 0x00, // inc dword [0x5000]
    0x66, 0xba, 0xf8, 0x03, 0xb0, b'B', 0xee, // mov dx,0x3f8; mov al,'B'; out dx,al
    0xeb, 0xf1, // jmp to inc
];
/// Counts at 0x5004 and prints; 16-bit code.
pub const SECOND_COUNTER: &[u8] = &[
    0x66, 0xff, 0x06, 0x04, 0x50, // inc dword [0x5004]
    0xba, 0xf8, 0x03, 0xb0, b'A', 0xee, // mov dx,0x3f8; mov al,'A'; out dx,al
    0xeb, 0xf3, // jmp to inc
];
/// mov dx,0x3f8; out dx,al; inc al; jmp to out
pub const SEQUENCE: &[u8] = &[0x66, 0xba, 0xf8, 0x03, 0xee, 0xfe, 0xc0, 0xeb, 0xfb];

/// The host's KVM, or `None` where tests can go without; and a lock, as signals reach every test of the process.
pub fn host() -> Option<(Host, MutexGuard<'static, ()>)> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    match Host::open(Path::new(DEVICE)) {
        Ok(host) => {
            install_kick_handler().unwrap();
            Some((host, ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)))
        }
        Err(error) => {
            let off = std::env::var("TRIARCH_KVM_TESTS").is_ok_and(|v| v == "off");
            let ci = std::env::var("CI").is_ok_and(|v| v == "true");
            assert!(off || !ci, "no KVM, though CI=true and TRIARCH_KVM_TESTS is not off: {error}");
            eprintln!("SKIPPED: no KVM: {error}");
            None
        }
    }
}

pub fn cpu_model(host: &Host, cpus: u32) -> CpuModel {
    let IsaCaps::X86_64(caps) = host.caps().unwrap().isa else { panic!("an x86_64 host") };
    CpuModel::X86_64(x86_64::CpuModel { cpuid: cpuid::model(&caps.cpuid, cpus) })
}

pub fn start() -> VcpuState {
    VcpuState::X86_64(Box::new(boot::protected_mode_entry(CODE, 0)))
}

pub fn plan(host: &Host, cpus: u32, code: &[u8]) -> MachinePlan {
    let segment = |name, address, bytes: &[u8]| Segment {
        name,
        address,
        size: bytes.len() as u64,
        source: Source::Bytes { bytes: bytes.to_vec() },
    };
    let slot = |name: &'static str, kind, base, size, irq| {
        let at = Attachment::Pio { base, size };
        DeviceSlot { name: name.into(), kind, at, irq }
    };
    MachinePlan {
        isa: Isa::X86_64,
        board: Board::Microvm,
        cpus,
        cpu_model: cpu_model(host, cpus),
        ram: vec![RamRange { base: 0, size: RAM as u64 }],
        device_memory: Vec::new(),
        irqchip: Irqchip::X86Split { pins: 24 },
        slots: vec![
            slot("serial0", DeviceKind::Uart16550, 0x3f8, 8, Some(IrqRoute::Pin { pin: 4 })),
            slot("i8042", DeviceKind::I8042, 0x60, 5, None),
            slot("power", DeviceKind::AcpiPower, 0x600, 4, None),
        ],
        segments: vec![segment("code", CODE, code), segment("second", START_UP, SECOND_COUNTER)],
        boot_vcpu: Some(start()),
    }
}

pub fn build(host: &Host, cpus: u32, code: &[u8], console: &Console) -> Machine {
    build_plan(host, &plan(host, cpus, code), console)
}

pub fn build_plan(host: &Host, plan: &MachinePlan, console: &Console) -> Machine {
    let parts = Parts {
        files: &BootFiles::default(),
        pages: Pages::Normal,
        console,
        devices: &[],
        watchdog: triarch_devices::Effect::Crash("its watchdog was not fed"),
        stats: Arc::default(),
    };
    builder::build(host, plan, &parts).unwrap()
}

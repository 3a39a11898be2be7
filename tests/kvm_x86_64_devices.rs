//! Devices of machines of a few bytes of code, on this host's KVM.
//!
//! Skipped, loudly, where there is no KVM; with CI=true that is a failure, unless TRIARCH_KVM_TESTS=off says that none is
//! expected.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

mod bare;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use triarch::builder::{self, Parts};
use triarch::console::{Console, SerialSpec};
use triarch::devices::{DeviceSpec, MemSpec, PmemSpec};
use triarch::loader::BootFiles;
use triarch::machine::{Outcome, Signals};
use triarch::memory::Pages;
use triarch_arch::GuestRam;
use triarch_arch::hv::IrqRoute;
use triarch_boards::{Attachment, DeviceKind, DeviceMemory, DeviceSlot};
use triarch_devices::Effect;
use triarch_devices::virtio::VirtioMmio;
use vm_memory::{Bytes, GuestAddress};

use bare::*;

#[test]
fn devices_bring_memory_that_the_guest_reaches_as_it_may() {
    const MIB: u64 = 1 << 20;
    let Some((host, _alone)) = host() else { return };
    let signals = Signals::catch().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let [own, shared] = ["own", "shared"].map(|name| dir.path().join(name));
    for path in [&own, &shared] {
        let file = File::create(path).unwrap();
        file.set_len(2 * MIB).unwrap();
        file.write_all_at(b"file", 8).unwrap();
    }
    let pmem = |path: &Path, readonly| PmemSpec { path: path.to_owned(), size: None, readonly };
    let specs: [&dyn DeviceSpec; 3] =
        [&MemSpec { max: 2 * MIB, requested: 0, block: MIB }, &pmem(&own, false), &pmem(&shared, true)];
    let devices = specs.map(|spec| spec.open().unwrap());
    let code = [
        0xa1, 0x08, 0x00, 0x60, 0x00, // mov eax,[0x600008]
        0xa3, 0x08, 0x00, 0x20, 0x00, // mov [0x200008],eax
        0xa3, 0x04, 0x00, 0x40, 0x00, // mov [0x400004],eax
        0xa3, 0x04, 0x00, 0x60, 0x00, // mov [0x600004],eax
    ];
    let mut plan = plan(&host, 1, &[&code, POWER_OFF].concat());
    for (pin, spec) in (5..).zip(&specs) {
        let (name, base) = (format!("virtio{pin}"), 2 * MIB * u64::from(pin - 4));
        plan.device_memory.push(DeviceMemory { device: name.clone().into(), base, size: 2 * MIB });
        let at = Attachment::Mmio { base: 0xd000_0000 + 0x1000 * u64::from(pin), size: VirtioMmio::SIZE };
        let kind = DeviceKind::Virtio(spec.kind().unwrap());
        plan.slots.push(DeviceSlot { name: name.into(), kind, at, irq: Some(IrqRoute::Pin { pin }) });
    }
    let mut console = Console::open(&SerialSpec::None).unwrap();
    for _ in 0..2 {
        let files = &BootFiles::default();
        let (pages, stats) = (Pages::Normal, Arc::default());
        let watchdog = Effect::Reset;
        let parts = Parts { files, pages, console: &console, devices: &devices, watchdog, stats };
        let mut machine = builder::build(&host, &plan, &parts).unwrap();
        let read = |ram: &GuestRam, address| ram.read_obj::<[u8; 4]>(GuestAddress(address)).ok();
        assert_eq!(read(machine.ram(), 0x20_0008), Some([0; 4]), "it begins anew");
        assert_eq!(machine.run(&mut console, &signals, None).unwrap(), Outcome::PowerOff);
        let found = [0x20_0008, 0x40_0004, 0x60_0008].map(|address| read(machine.ram(), address));
        assert_eq!(found, [Some(*b"file"), Some(*b"file"), None], "what can't be written is no RAM");
    }
    assert_eq!(fs::read(own).unwrap()[..12], *b"\0\0\0\0filefile");
    assert_eq!(fs::read(shared).unwrap()[..12], *b"\0\0\0\0\0\0\0\0file");
}

#[test]
fn a_panic_and_a_hungry_watchdog_end_a_run() {
    let Some((host, _alone)) = host() else { return };
    let signals = Signals::catch().unwrap();
    let mut console = Console::open(&SerialSpec::None).unwrap();
    let ecam: u32 = 0xe000_0000;
    // mov byte ptr [address], value: in the watchdog's configuration space.
    let set = |register: u32, value| {
        let [a, b, c, d] = (ecam + (1 << 15) + register).to_le_bytes();
        [0xc6, 0x05, a, b, c, d, value]
    };
    // Fast, with the timers' first values, which are two seconds.
    let watchdog = [&set(0x60, 4)[..], &set(0x68, 2), COUNTER].concat();
    let panic = [0x66, 0xba, 0x05, 0x05, 0xec, 0x24, 0x01, 0xee]; // mov dx,0x505; in al,dx; and al,1; out dx,al
    let told = [(&watchdog[..], "its watchdog was not fed"), (&panic, "vCPU 0: its kernel has panicked")];
    for (code, reason) in told {
        let mut plan = plan(&host, 1, code);
        let bridge = Attachment::HostBridge { ecam: ecam.into(), memory: 1 << 32, size: 1 << 30 };
        let slot = |name: &'static str, kind, at, irq| DeviceSlot { name: name.into(), kind, at, irq };
        let place = Attachment::Pci { device: 1, bar: 1 << 32 };
        plan.slots.extend([
            slot("pci0", DeviceKind::PciHost, bridge, Some(IrqRoute::Pin { pin: 16 })),
            slot("watchdog0", DeviceKind::I6300esb, place, None),
            slot("pvpanic", DeviceKind::Pvpanic, Attachment::Pio { base: 0x505, size: 1 }, None),
        ]);
        let mut machine = build_plan(&host, &plan, &console);
        assert_eq!(machine.run(&mut console, &signals, None).unwrap(), Outcome::Crash(reason.to_owned()));
    }
}

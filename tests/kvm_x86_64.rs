//! Whole machines of a few bytes of code on this host's KVM: built from plans, paused, moved, and ended in every way.
//!
//! Skipped, loudly, where there is no KVM; with CI=true that is a failure, unless TRIARCH_KVM_TESTS=off says that none is
//! expected.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

mod bare;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use triarch::builder::{self};
use triarch::console::{Console, SerialSpec};
use triarch::machine::{Outcome, Signals};
use triarch::platform::Platform;
use triarch::routes::Routes;
use triarch::stats::Stats;
use triarch::vcpu::{Report, Reporter, VcpuThread};
use triarch::wake::Wake;
use triarch_arch::GuestRam;
use triarch_arch::hv::{Interrupt, Irqchip, VcpuState};
use triarch_arch::kvm::VmConfig;
use triarch_arch::x86_64::{self};
use triarch_devices::{Bus, Device, Effect, Ioapic, Window, nothing_to_save};
use vm_memory::{Bytes, GuestAddress};

use bare::*;

/// Waits for something that happens soon.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Ends the test program if `work` takes long: it hangs when what it tests is broken.
fn in_time<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    let (done, wait) = mpsc::channel::<()>();
    let watch = thread::spawn(move || {
        if let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(Duration::from_secs(30)) {
            eprintln!("{what}: not within 30 s");
            std::process::abort();
        }
    });
    let result = work();
    drop(done);
    watch.join().unwrap();
    result
}

fn counters(ram: &GuestRam) -> [u32; 2] {
    [0x5000, 0x5004].map(|at| ram.read_obj(GuestAddress(at)).unwrap())
}

fn assert_same(now: &[VcpuState], saved: &[VcpuState]) {
    const TSC: u32 = 0x10;
    assert_eq!(now.len(), saved.len());
    for (vcpu, (now, saved)) in now.iter().zip(saved).enumerate() {
        let (VcpuState::X86_64(now), VcpuState::X86_64(saved)) = (now, saved) else {
            panic!("x86_64 states")
        };
        let mut differences = x86_64::differences(now, saved);
        // It counts on.
        differences.retain(|difference| !difference.starts_with(&format!("msr {TSC:#x}: ")));
        assert!(differences.is_empty(), "vCPU {vcpu} now and as saved:\n{}", differences.join("\n"));
    }
}

#[test]
fn two_vcpus_go_on_in_a_second_machine() {
    let Some((host, _alone)) = host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let console = Console::open(&SerialSpec::File(log.clone())).unwrap();
    let first = build(&host, 2, COUNTER, &console);
    assert_eq!(counters(first.ram()), [0, 0], "a machine is paused at first");
    let mut before = [0, 0];
    for _ in 0..20 {
        first.resume().unwrap();
        until("both count", || {
            counters(first.ram()).iter().zip(before).all(|(now, before)| *now > before + 3)
        });
        first.pause().unwrap();
        before = counters(first.ram());
        let len = fs::metadata(&log).unwrap().len();
        let states = first.save_vcpus().unwrap();
        thread::sleep(Duration::from_millis(2));
        assert_same(&first.save_vcpus().unwrap(), &states);
        assert_eq!((counters(first.ram()), fs::metadata(&log).unwrap().len()), (before, len));
    }
    let states = first.save_vcpus().unwrap();
    let mut memory = vec![0; RAM];
    first.ram().read_slice(&mut memory, GuestAddress(0)).unwrap();
    drop(first);
    let output = fs::read(&log).unwrap();
    for letter in *b"AB" {
        assert!(output.iter().filter(|byte| **byte == letter).count() > 20, "{}", char::from(letter));
    }

    let second = build(&host, 2, SPIN, &console);
    second.ram().write_slice(&memory, GuestAddress(0)).unwrap();
    second.restore_vcpus(states.clone()).unwrap();
    assert_same(&second.save_vcpus().unwrap(), &states);
    second.resume().unwrap();
    until("both go on", || {
        counters(second.ram()).iter().zip(before).all(|(now, before)| *now > before + 100)
    });
}

/// An instruction with two accesses to devices has no state between them, so a pause must not come there.
#[test]
fn a_pause_waits_for_the_end_of_an_instruction() {
    let Some((host, _alone)) = host() else { return };
    let code = [
        0xbe, 0x00, 0x00, 0x00, 0xd0, // mov esi,0xd0000000
        0xbf, 0x00, 0x10, 0x00, 0xd0, // mov edi,0xd0001000
        0xb9, 0x07, 0x00, 0x00, 0x00, // mov ecx,7
        0xfc, 0xf3, 0xa4, // cld; rep movsb
        0xeb, 0xec, // jmp back
    ];
    let console = Console::open(&SerialSpec::None).unwrap();
    let machine = build(&host, 1, &code, &console);
    for _ in 0..100 {
        machine.resume().unwrap();
        thread::sleep(Duration::from_micros(300));
        machine.pause().unwrap();
        machine.save_vcpus().unwrap();
    }
}

#[test]
fn runs_end_as_the_guest_wants() {
    let Some((host, _alone)) = host() else { return };
    let signals = Signals::catch().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut console = Console::open(&SerialSpec::File(log.clone())).unwrap();
    let hello = [0x66, 0xba, 0xf8, 0x03, 0xb0, b'!', 0xee]; // mov dx,0x3f8; mov al,'!'; out dx,al
    for cpus in [1, 3] {
        let mut run = |end: &[u8]| {
            let mut machine = build(&host, cpus, &[&hello, end].concat(), &console);
            machine.run(&mut console, &signals, None).unwrap()
        };
        assert_eq!(run(POWER_OFF), Outcome::PowerOff);
        assert_eq!(run(RESET), Outcome::Reset);
        match run(TRIPLE_FAULT) {
            Outcome::Crash(reason) => assert!(reason.starts_with("vCPU 0: triple fault"), "{reason}"),
            outcome => panic!("{outcome:?}"),
        }
    }
    assert_eq!(fs::read(log).unwrap(), b"!!!!!!");
}

#[test]
fn an_end_that_comes_while_the_machine_is_being_paused_is_kept() {
    let Some((host, _alone)) = host() else { return };
    let signals = Signals::catch().unwrap();
    let mut console = Console::open(&SerialSpec::None).unwrap();
    let mut machine = build(&host, 1, &[&POWER_OFF[..7], COUNTER].concat(), &console);
    machine.resume().unwrap();
    thread::sleep(Duration::from_millis(50));
    machine.pause().unwrap();
    assert_eq!(machine.run(&mut console, &signals, None).unwrap(), Outcome::PowerOff);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(counters(machine.ram()), [0, 0], "the guest did not go on");
}

#[test]
fn a_signal_ends_a_run() {
    let Some((host, _alone)) = host() else { return };
    let signals = Signals::catch().unwrap();
    let mut console = Console::open(&SerialSpec::None).unwrap();
    let mut machine = build(&host, 2, SPIN, &console);
    /// A thread's id, which some C libraries make a pointer.
    struct Control(Pthread);
    // SAFETY: nothing is reached by it, and any thread may use it while the thread that it names lives.
    unsafe impl Send for Control {}
    // To this thread: the test program's others do not block it.
    let control = Control(pthread_self());
    let killer = thread::spawn(move || {
        let Control(control) = { control };
        thread::sleep(Duration::from_millis(50));
        pthread_kill(control, Signal::SIGTERM).unwrap();
    });
    assert_eq!(machine.run(&mut console, &signals, None).unwrap(), Outcome::Signal(15));
    killer.join().unwrap();
    in_time("dropping a machine whose guest runs on", || drop(machine));
}

#[test]
fn input_reaches_the_guest_however_much_it_is() {
    let Some((host, _alone)) = host() else { return };
    let code = [
        0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74,
        0xf7, // wait: mov dx,0x3fd; in al,dx; test al,1; jz wait
        0x66, 0xba, 0xf8, 0x03, 0xec, 0xee, // mov dx,0x3f8; in al,dx; out dx,al
        0x3c, b'q', 0x75, 0xed, // cmp al,'q'; jne wait
    ];
    let signals = Signals::catch().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("console");
    let mut console = Console::open(&SerialSpec::Socket(socket.clone())).unwrap();
    let mut machine = build(&host, 1, &[&code, POWER_OFF].concat(), &console);
    let text = b"All that is typed comes back. ".repeat(20);
    let user = thread::spawn(move || {
        let mut client = UnixStream::connect(socket).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client.write_all(&text).unwrap();
        let mut heard = vec![0; text.len()];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&text));
        client.write_all(b"q").unwrap();
    });
    assert_eq!(machine.run(&mut console, &signals, None).unwrap(), Outcome::PowerOff);
    user.join().unwrap();
}

/// A console whose reader reads only when it is told to: a pipe, and its other end.
fn stalled_console(dir: &Path) -> (Console, File) {
    let path = dir.join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    rustix::pipe::fcntl_setpipe_size(&reader, 4096).unwrap();
    (Console::open(&SerialSpec::File(path)).unwrap(), reader)
}

/// Waits until nothing more fits in the pipe.
fn until_full(reader: &File) {
    until("the pipe is full", || rustix::io::ioctl_fionread(reader).unwrap() >= 4096);
    thread::sleep(Duration::from_millis(5));
}

#[test]
fn a_console_that_nobody_reads_holds_up_neither_pause_nor_end_and_loses_nothing() {
    let Some((host, _alone)) = host() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (console, mut reader) = stalled_console(dir.path());
    let machine = build(&host, 1, SEQUENCE, &console);
    let mut next = 0u8;
    let mut check = |reader: &mut File| {
        let mut bytes = vec![0; 4096];
        reader.read_exact(&mut bytes).unwrap();
        for byte in bytes {
            assert_eq!(byte, next);
            next = next.wrapping_add(1);
        }
    };
    for _ in 0..5 {
        machine.resume().unwrap();
        until_full(&reader);
        in_time("pausing", || machine.pause()).unwrap();
        machine.save_vcpus().unwrap();
        check(&mut reader);
    }
    machine.resume().unwrap();
    until_full(&reader);
    in_time("dropping the machine", || drop(machine));
    check(&mut reader);

    // With two vCPUs, one waits for the other's use of the serial port.
    let machine = build(&host, 2, COUNTER, &console);
    machine.resume().unwrap();
    until_full(&reader);
    in_time("pausing two", || machine.pause()).unwrap();
    machine.resume().unwrap();
    in_time("dropping two", || drop(machine));
}

struct Bug;

nothing_to_save!(Bug, "test");

impl Device for Bug {
    fn read(&mut self, _offset: u64, _data: &mut [u8]) -> Effect {
        panic!("a bug, as the test wants it")
    }

    fn write(&mut self, _offset: u64, _data: &[u8]) -> Effect {
        Effect::None
    }
}

#[test]
fn a_panic_of_a_vcpu_thread_is_told() {
    let Some((host, _alone)) = host() else { return };
    let irqchip = Irqchip::X86Split { pins: 24 };
    let config = VmConfig {
        irqchip,
        cpu_model: cpu_model(&host, 1),
        cpus: 1,
        address_limit: 1 << 32,
        huge_pages: false,
    };
    let mut vm = host.create_vm(config).unwrap();
    let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
    ram.write_slice(&[0xe4, 0x80], GuestAddress(CODE)).unwrap(); // in al,0x80
    vm.set_ram(&ram).unwrap();
    let vcpu = vm.create_vcpu(0).unwrap();
    vm.finish().unwrap();
    let mut pio = Bus::default();
    pio.insert(Window { base: 0x80, size: 1 }, Arc::new(Mutex::new(Bug))).unwrap();
    let platform = Arc::new(Platform { mmio: Bus::default(), pio, ioapic: None, s390x: None });
    let (reporter, reports) = Reporter::new(Arc::new(Wake::new().unwrap()));
    let thread = VcpuThread::spawn(vcpu, platform, reporter, Arc::new(Stats::default())).unwrap();
    thread.restore(start()).unwrap().unwrap();
    thread.resume().unwrap();
    let (index, report) = reports.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(index == 0 && matches!(report, Report::Panicked), "{report:?}");
    until("its orders are refused", || thread.save().is_err());
}

/// Asserts a line while it wants service, which it has had when it was written to `wanted` times.
struct Needy {
    set_line: Box<dyn Fn(bool) + Send>,
    wanted: u8,
    log: Arc<Mutex<Vec<u8>>>,
}

nothing_to_save!(Needy, "test");

impl Device for Needy {
    fn read(&mut self, _offset: u64, _data: &mut [u8]) -> Effect {
        Effect::None
    }

    fn write(&mut self, _offset: u64, data: &[u8]) -> Effect {
        self.log.lock().unwrap().extend(data);
        match data {
            [0] => (self.set_line)(true),
            _ => {
                self.wanted = self.wanted.saturating_sub(1);
                if self.wanted == 0 {
                    (self.set_line)(false);
                }
            }
        }
        Effect::None
    }
}

#[test]
fn a_level_triggered_line_interrupts_until_it_is_let_go() {
    const HANDLER: u64 = 0x2800;
    const LOOP: u64 = 0x2900;
    let setup = [
        0x0f, 0x01, 0x15, 0x20, 0x30, 0, 0, // lgdt [0x3020]
        0x0f, 0x01, 0x1d, 0x28, 0x30, 0, 0, // lidt [0x3028]
        0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0, 0, // mov dword [0xfee000f0],0x1ff (LAPIC on)
        0xc7, 0x05, 0x00, 0x00, 0xc0, 0xfe, 0x1b, 0, 0, 0, // mov dword [0xfec00000],0x1b
        0xc7, 0x05, 0x10, 0x00, 0xc0, 0xfe, 0, 0, 0, 0, // mov dword [0xfec00010],0 (pin 5: to LAPIC 0)
        0xc7, 0x05, 0x00, 0x00, 0xc0, 0xfe, 0x1a, 0, 0, 0, // mov dword [0xfec00000],0x1a
        0xc7, 0x05, 0x10, 0x00, 0xc0, 0xfe, 0x40, 0x80, 0, 0, // mov dword [0xfec00010],0x8040 (level)
        0xb0, 0xff, 0xe6,
        0x21, // mov al,0xff; out 0x21,al (the 8259, which has the line too, is silent)
        0x31, 0xc0, 0xe6, 0x80, // xor eax,eax; out 0x80,al
        0xb8, 0x00, 0x29, 0, 0, 0xff, 0xe0, // mov eax,LOOP; jmp eax
    ];
    // It does not return, as not every KVM that emulates the guest knows iret here.
    let handler = [
        0xb0, 0x40, 0xe6, 0x80, // mov al,0x40; out 0x80,al
        0xc7, 0x05, 0xb0, 0x00, 0xe0, 0xfe, 0, 0, 0, 0, // mov dword [0xfee000b0],0 (end of interrupt)
        0xb8, 0x00, 0x29, 0, 0, 0xff, 0xe0, // mov eax,LOOP; jmp eax
    ];
    let spin = [
        0xbc, 0x00, 0x70, 0, 0, 0xfb, // mov esp,0x7000; sti
        0xff, 0x05, 0x00, 0x50, 0, 0, 0xeb, 0xf8, // inc dword [0x5000]; jmp to it
    ];
    let descriptors = [0, 0, 0x00cf_9b00_0000_ffff_u64, 0x00cf_9300_0000_ffff];
    let gate = 0x0000_8e00_0010_0000 | HANDLER;
    let Some((host, _alone)) = host() else { return };
    for irqchip in [Irqchip::X86Split { pins: 24 }, Irqchip::X86Kernel { pit: false }] {
        let config = VmConfig {
            irqchip,
            cpu_model: cpu_model(&host, 1),
            cpus: 1,
            address_limit: 1 << 32,
            huge_pages: false,
        };
        let mut vm = host.create_vm(config).unwrap();
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
        let write = |address, bytes: &[u8]| ram.write_slice(bytes, GuestAddress(address)).unwrap();
        write(CODE, &setup);
        write(HANDLER, &handler);
        write(LOOP, &spin);
        write(0x3000, &descriptors.map(u64::to_le_bytes).concat());
        write(0x3020, &[31, 0, 0x00, 0x30, 0, 0]);
        write(0x3028, &[0xff, 0x07, 0x00, 0x40, 0, 0]);
        write(0x4000 + 0x40 * 8, &gate.to_le_bytes());
        vm.set_ram(&ram).unwrap();
        let vcpu = vm.create_vcpu(0).unwrap();
        vm.finish().unwrap();

        let mut platform = Platform { mmio: Bus::default(), pio: Bus::default(), ioapic: None, s390x: None };
        let interrupts = vm.interrupts();
        let set_line: Box<dyn Fn(bool) + Send> = if let Irqchip::X86Split { pins } = irqchip {
            let ioapic =
                Arc::new(Mutex::new(builder::ioapic(pins, Arc::new(Routes::new(interrupts, irqchip)))));
            platform.mmio.insert(Window { base: 0xfec0_0000, size: Ioapic::SIZE }, ioapic.clone()).unwrap();
            platform.ioapic = Some(ioapic.clone());
            Box::new(move |asserted| ioapic.lock().unwrap().set_line(5, asserted))
        } else {
            Box::new(move |asserted| interrupts.send(Interrupt::Line { pin: 5, asserted }).unwrap())
        };
        let log = Arc::default();
        let needy = Needy { set_line, wanted: 3, log: Arc::clone(&log) };
        platform.pio.insert(Window { base: 0x80, size: 1 }, Arc::new(Mutex::new(needy))).unwrap();

        let (reporter, _reports) = Reporter::new(Arc::new(Wake::new().unwrap()));
        let thread = VcpuThread::spawn(vcpu, Arc::new(platform), reporter, Arc::default()).unwrap();
        thread.restore(start()).unwrap().unwrap();
        thread.resume().unwrap();
        until("it was served", || log.lock().unwrap().len() >= 4);
        // Once more is no harm: a line that is let go just before the interrupt's end may do so on hardware, and does with the
        // kernel's IOAPIC on a KVM that emulates the guest.
        for _ in 0..2 {
            let [before, _] = counters(&ram);
            until("the guest goes on", || counters(&ram)[0] > before.saturating_add(1000));
        }
        let log = log.lock().unwrap();
        let spurious = usize::from(irqchip == Irqchip::X86Kernel { pit: false });
        assert!(log.starts_with(&[0, 0x40, 0x40, 0x40]), "{irqchip:?}: {log:?}");
        assert!(log.len() <= 4 + spurious, "{irqchip:?}: {log:?}");
    }
}

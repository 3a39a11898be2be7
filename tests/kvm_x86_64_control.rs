//! A machine of a few bytes of code on this host's KVM, and all that the command line can have it do by its control socket.
//!
//! Skipped, loudly, where there is no KVM; with CI=true that is a failure, unless TRIARCH_KVM_TESTS=off says that none is
//! expected.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use triarch_arch::kvm::{DEVICE, Host};

/// Prints `R` once, and `T` again and again.
const CODE: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03, // mov dx,0x3f8
    0xb0, b'R', 0xee, // mov al,'R'; out dx,al
    0xb0, b'T', 0xee, // mov al,'T'; out dx,al
    0xb9, 0x10, 0x27, 0x00, 0x00, // mov ecx,10000
    0x49, 0x75, 0xfd, // dec ecx; jnz to dec
    0xeb, 0xf3, // jmp to mov al,'T'
];

/// An ELF kernel, entered by PVH at `CODE`.
fn kernel() -> Vec<u8> {
    const BASE: u64 = 0x10_0000;
    const NOTE: u64 = 0xb0;
    const ENTRY: u64 = 0xd0;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    let segment = |kind: u32, offset: u64, len: u64| {
        let place = [offset, BASE + offset, BASE + offset, len, len, 4];
        [words(&[kind, 5]), place.iter().flat_map(|word| word.to_le_bytes()).collect()].concat()
    };
    let len = ENTRY + CODE.len() as u64;
    let entry = u32::try_from(BASE + ENTRY).unwrap();
    let file = [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        words(&[62 << 16 | 2, 1, entry, 0, 64, 0, 0, 0, 0, 56 << 16 | 64, 2, 0]),
        segment(1, 0, len),
        segment(4, NOTE, 20),
        [words(&[4, 4, 18]), b"Xen\0".to_vec(), words(&[entry])].concat(),
        vec![0; 12],
        CODE.to_vec(),
    ];
    file.concat()
}

/// A folder with a kernel, a console's log, and machines' folders.
struct Place(tempfile::TempDir);

impl Place {
    /// `None` where tests can go without KVM.
    fn new() -> Option<Self> {
        if let Err(error) = Host::open(Path::new(DEVICE)) {
            let off = std::env::var("TRIARCH_KVM_TESTS").is_ok_and(|v| v == "off");
            let ci = std::env::var("CI").is_ok_and(|v| v == "true");
            assert!(off || !ci, "no KVM, though CI=true and TRIARCH_KVM_TESTS is not off: {error}");
            eprintln!("SKIPPED: no KVM: {error}");
            return None;
        }
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("kernel"), kernel()).unwrap();
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        // The lab has these tests on another machine than the one that built them.
        let built = env!("CARGO_BIN_EXE_triarch");
        let mut command = Command::new(std::env::var_os("TRIARCH").unwrap_or_else(|| built.into()));
        command.args(args).stdin(Stdio::null()).env("XDG_RUNTIME_DIR", self.0.path());
        command
    }

    fn run(&self, args: &[&str]) -> Command {
        let serial = format!("file={}", self.path("log").display());
        let mut command = self.command(&["run", "--serial", &serial, "--kernel"]);
        command.arg(self.path("kernel")).args(args);
        command
    }

    /// A machine that has come up.
    fn start(&self, name: &str, args: &[&str]) -> Running {
        let running = Running(self.run(&[&["--name", name], args].concat()).spawn().unwrap());
        until("the guest prints", || self.log().contains("RT"));
        running
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command prints, which must succeed.
    fn ok(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.output(args);
        assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// What a command that must fail complains of.
    fn refused(&self, args: &[&str]) -> String {
        let Output { status, stderr, .. } = self.output(args);
        assert_eq!(status.code(), Some(1), "{args:?}");
        String::from_utf8(stderr).unwrap()
    }

    fn info(&self, name: &str) -> Value {
        serde_json::from_str(&self.ok(&["info", name, "--json"])).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn goes_on(&self) {
        let before = self.log().len();
        until("the guest goes on", || self.log().len() > before);
    }
}

/// A run that is killed at the end, if it is not over.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }

    fn status(&mut self) -> Option<i32> {
        let mut status = None;
        until("the run ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_machine_does_what_clients_ask_for() {
    let Some(place) = Place::new() else { return };
    let mut guest = place.start("guest", &["--balloon", "--cpus", "2"]);
    let mut listener = place.command(&["events", "guest"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(listener.stdout.take().unwrap()).lines();
    // Until it listens, events are not for it.
    thread::sleep(Duration::from_millis(200));

    let listed = place.ok(&["ps"]);
    let line = listed.lines().find(|line| line.starts_with("guest ")).unwrap();
    assert!(line.contains(" running ") && line.ends_with(" 2    256 MiB"), "{line}");
    assert!(place.refused(&["resume", "guest"]).contains("is not paused"));
    place.ok(&["pause", "guest"]);
    let held = place.log().len();
    assert!(place.refused(&["pause", "guest"]).contains("paused already"));
    assert!(place.refused(&["stop", "guest"]).contains("paused"));
    assert_eq!(place.info("guest")["state"], "paused");
    thread::sleep(Duration::from_millis(100));
    assert_eq!(place.log().len(), held, "a guest that is paused prints nothing");
    place.ok(&["resume", "guest"]);
    place.goes_on();

    let metrics = place.ok(&["metrics", "guest"]);
    let exits =
        metrics.lines().find_map(|line| line.strip_prefix("triarch_exits_total{kind=\"pio_write\"} "));
    assert!(exits.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");

    assert!(place.ok(&["resize", "guest", "64M"]).starts_with("virtio0: 0 bytes of 67108864 asked for"));
    assert!(place.refused(&["resize", "guest", "64M", "--device", "serial0"]).contains("no virtio device"));
    assert!(place.refused(&["resize", "guest", "4096T"]).contains("more than a balloon"));

    // Whatever was asked for last holds after a reset, which also ends a pause.
    place.ok(&["pause", "guest"]);
    place.ok(&["reset", "guest"]);
    until("the guest starts anew", || place.log().matches('R').count() == 2);
    place.goes_on();
    let info = place.info("guest");
    assert_eq!((&info["state"], &info["resets"]), (&"running".into(), &1.into()));
    assert_eq!(info["devices"].as_array().unwrap().last().unwrap()["size"]["requested"], 64 << 20);

    // It does not listen to requests to shut down.
    assert!(place.refused(&["stop", "guest"]).contains("only force can stop it"));
    place.goes_on();
    place.ok(&["stop", "guest", "--force"]);
    assert_eq!(guest.status(), Some(5));
    assert!(!place.path("triarch/guest").exists());
    assert!(place.refused(&["info", "guest"]).contains("no machine named 'guest'"));
    let mut names = Vec::new();
    for line in events.by_ref() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        names.push(event["event"].as_str().unwrap().to_owned());
    }
    let expected = ["paused", "resumed", "resized", "paused", "reset", "booted", "ended"];
    assert_eq!(names, expected);
    assert!(listener.wait().unwrap().success());
}

#[test]
fn neither_a_stuck_machine_nor_a_dead_one_holds_anybody_up() {
    let Some(place) = Place::new() else { return };
    let mut guest = place.start("guest", &[]);
    let second = place.run(&["--name", "guest"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("'guest' runs already"));

    guest.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    assert!(place.ok(&["ps"]).contains("guest  no answer"));
    assert!(begin.elapsed() < Duration::from_secs(10));
    guest.signal(Signal::SIGCONT);
    place.goes_on();
    assert!(place.ok(&["ps"]).contains("guest  running"));

    guest.signal(Signal::SIGKILL);
    assert_eq!(guest.status(), None);
    assert!(place.path("triarch/guest").exists());
    assert_eq!(place.ok(&["ps", "--json"]).trim(), "[]");
    assert!(!place.path("triarch/guest").exists());
}

#[test]
fn misuse_of_the_socket_disturbs_no_guest() {
    let Some(place) = Place::new() else { return };
    let mut guest = place.start("guest", &[]);
    let socket = place.path("triarch/guest/api.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let ask = |text: &str| {
        let mut client = UnixStream::connect(&socket).unwrap();
        client.write_all(text.as_bytes()).unwrap();
        client
    };
    // So many that their files are less than what any process may open.
    let mut idle = Vec::new();
    for number in 0..450 {
        idle.push(UnixStream::connect(&socket).unwrap());
        idle.push(ask("POST /v1/stop HTTP/1.1\r\nContent-Length: 14\r\n\r\n{\"force\":"));
        if number % 100 == 0 {
            place.goes_on();
        }
    }
    for (text, status) in [
        ("POST /v1/stop HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n{", "413"),
        ("POST /v1/stop HTTP/1.1\r\nContent-Length: 16\r\n\r\n{\"force\":\"true\"}", "422"),
        ("POST /v1/stop HTTP/1.1\r\nContent-Length: 13\r\n\r\n{\"forced\":1}\n", "422"),
        ("GET /v1/stop HTTP/1.1\r\n\r\n", "405"),
        ("\0\0\0\0\r\n\r\n", "400"),
        ("POST /v1/resume HTTP/1.1\r\n\r\n", "409"),
    ] {
        let mut answer = String::new();
        ask(text).read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{text}: {answer}");
    }
    place.goes_on();
    assert_eq!(place.info("guest")["state"], "running");
    place.ok(&["stop", "guest", "--force"]);
    assert_eq!(guest.status(), Some(5));
}

#[test]
fn a_socket_may_be_anywhere_and_there_is_none_unless_asked_for() {
    let Some(place) = Place::new() else { return };
    let socket = place.path("my.sock");
    let socket = socket.to_str().unwrap();
    let mut guest = Running(place.run(&["--api-socket", socket]).spawn().unwrap());
    until("the guest prints", || place.log().contains("RT"));
    assert_eq!(place.info(socket)["state"], "running");
    assert!(!place.path("triarch").exists());
    let threads = |guest: &Running| {
        let tasks = fs::read_dir(format!("/proc/{}/task", guest.0.id())).unwrap();
        tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap()).collect::<Vec<_>>()
    };
    assert!(threads(&guest).contains(&"api\n".to_owned()));
    guest.signal(Signal::SIGTERM);
    assert_eq!(guest.status(), Some(143));
    assert!(!Path::new(socket).exists());

    fs::remove_file(place.path("log")).unwrap();
    let guest = Running(place.run(&[]).spawn().unwrap());
    until("the guest prints", || place.log().contains("RT"));
    assert!(!threads(&guest).contains(&"api\n".to_owned()));
    assert!(!place.path("triarch").exists());
}

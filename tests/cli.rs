//! The command line: what it prints, and how it refuses what can't be done.
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

/// Carries out a command line; gives its status and output, or the error as it is printed.
fn triarch(args: &[&str]) -> Result<(u8, String), String> {
    let args = std::iter::once("triarch").chain(args.iter().copied()).map(OsString::from);
    let mut out = Vec::new();
    match triarch::cli::execute(args, &mut out) {
        Ok(status) => Ok((status, String::from_utf8(out).unwrap())),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn refusal(args: &[&str]) -> String {
    match triarch(args) {
        Err(error) => error,
        Ok((status, out)) => panic!("{args:?} was not refused: status {status}, {out}"),
    }
}

/// A folder of kernels, gone at the end.
struct Kernels(tempfile::TempDir);

impl Kernels {
    fn new() -> Self {
        let kernels = Kernels(tempfile::tempdir().unwrap());
        let mut arm64 = vec![0; 0x1000];
        arm64[16..24].copy_from_slice(&0x10_0000u64.to_le_bytes());
        arm64[24] = 0xa;
        arm64[56..60].copy_from_slice(b"ARM\x64");
        kernels.put("arm64", &arm64);
        kernels.put("big-endian", &[&arm64[..24], &[0xb], &arm64[25..]].concat());
        kernels.put(
            "garbage",
            b"This is no kernel. It is only a text that is long enough to hold a header, and some more.",
        );
        kernels.put("empty", b"");
        // A pipe that nobody ever writes to.
        mknodat(CWD, kernels.path("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        kernels.put("cut.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b]);
        let mut zboot = vec![0; 0x41];
        zboot[..8].copy_from_slice(b"MZ\0\0zimg");
        zboot[8] = 0x40;
        zboot[12] = 1;
        zboot[0x18..0x1c].copy_from_slice(b"lzma");
        kernels.put("lzma.zboot", &zboot);
        kernels
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn every_isa_is_planned_on_any_host() {
    for (isa, board) in [("x86_64", "microvm"), ("aarch64", "virt"), ("s390x", "ccw")] {
        let (status, text) = triarch(&["plan", "--isa", isa, "--memory", "512M", "--cpus", "2"]).unwrap();
        assert_eq!(status, 0);
        assert!(text.starts_with(&format!("board     {board} ({isa}), 2 vCPU(s)\n")), "{text}");
        assert!(text.contains("512 MiB"), "{text}");

        let (_, json) = triarch(&["plan", "--board", board, "--memory", "512M", "--json"]).unwrap();
        let plan: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(plan["isa"], isa);
        assert_eq!(plan["ram"][0]["size"], 512 << 20);
        assert_eq!(plan["boot_vcpu"], Value::Null);
    }
}

#[test]
fn memory_of_devices_is_planned() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::File::create(&file).unwrap().set_len(6 << 20).unwrap();
    let file = file.to_str().unwrap();
    for isa in ["x86_64", "aarch64"] {
        let args = ["plan", "--isa", isa, "--mem", "max=3G,requested=1G", "--pmem", file];
        let (_, text) = triarch(&args).unwrap();
        for line in [
            "memory    0x0100000000..0x01c0000000  3 GiB of virtio0\n",
            "memory    0x01c0000000..0x01c0600000  6 MiB of virtio1\n",
            "virtio-mem   pci 00:01.0",
            "virtio-pmem  pci 00:02.0",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
    for (option, value) in [("--mem", "max=1G"), ("--pmem", file)] {
        let error = refusal(&["plan", "--isa", "s390x", option, value]);
        assert!(error.starts_with(&format!("{option} is for x86_64 and aarch64")), "{error}");
    }
    let missing = folder.path().join("missing");
    let error = refusal(&["plan", "--pmem", missing.to_str().unwrap()]);
    assert!(error.starts_with("--pmem: ") && error.contains("missing"), "{error}");
    let error = refusal(&["plan", "--isa", "x86_64", "--mem", "max=1025K"]);
    assert!(error.contains("--mem takes multiples of 1 MiB"), "{error}");
}

#[test]
fn a_kernel_brings_segments_and_registers() {
    let kernels = Kernels::new();
    let (_, text) = triarch(&["plan", "--kernel", &kernels.arg("arm64"), "--append", "quiet"]).unwrap();
    let segment = "segment   kernel     0x0040000000..0x0040100000  kernel file 0x0000000000..0x0000001000";
    assert!(text.contains(segment), "{text}");
    assert!(text.contains("register  aarch64.registers.pc = 0x40000000"), "{text}");
}

#[test]
fn kernels_that_are_none_are_refused_by_name() {
    let kernels = Kernels::new();
    let cases = [
        ("garbage", "is not a kernel that can be booted"),
        ("empty", "is not a kernel that can be booted"),
        ("missing", "No such file or directory"),
        ("cut.gz", "bad gzip data"),
        ("lzma.zboot", "packed with 'lzma'"),
        ("big-endian", "big-endian"),
        ("", "is a directory"),
        ("pipe", "it is not a regular file"),
    ];
    for (name, why) in cases {
        for command in ["plan", "run"] {
            let error = refusal(&[command, "--kernel", &kernels.arg(name)]);
            let told = error.contains(why) && error.contains("kernel") && error.contains(&kernels.arg(name));
            assert!(told, "{name}: {error}");
        }
    }
}

#[test]
fn a_kernel_of_another_isa_is_refused() {
    let kernels = Kernels::new();
    let error = refusal(&["plan", "--board", "ccw", "--kernel", &kernels.arg("arm64")]);
    assert_eq!(error, "--kernel is an aarch64 kernel, but board ccw is s390x");
}

#[test]
fn what_does_not_fit_is_refused_with_its_option() {
    let kernels = Kernels::new();
    kernels.put("initrd", &vec![1; 1 << 20]);
    fs::File::create(kernels.path("huge")).unwrap().set_len(1 << 40).unwrap();
    let kernel = kernels.arg("arm64");
    let long = "x".repeat(5000);
    let cases: [(&[&str], &str); 12] = [
        (&["--memory", "4M"], "--memory 4M is out of range: board virt takes 64M to"),
        (&["--memory", "900T"], "--memory 943718400M is out of range"),
        (&["--memory", "65000K"], "--memory must be a multiple of 1 MiB"),
        (&["--cpus", "0"], "--cpus 0 is out of range: this machine can have 1 to 512"),
        (&["--cpus", "100000"], "--cpus 100000 is out of range"),
        (&["--append", &long], "--append is too long: 5000 bytes, and this kernel takes at most 2047"),
        (&["--initrd", &kernels.arg("huge")], "initrd of 1099511627776 bytes does not fit"),
        (&["--initrd", &kernels.arg("missing")], "--initrd: can't read initrd"),
        (&["--initrd", "/"], "is a directory"),
        (&["--initrd", &kernels.arg("pipe")], "it is not a regular file"),
        (&["--pit"], "--pit is for x86_64 only: board virt"),
        (&["--board", "ccw"], "--board ccw is s390x, but --isa is aarch64"),
    ];
    for (options, why) in cases {
        let error = refusal(&[&["plan", "--isa", "aarch64", "--kernel", &kernel], options].concat());
        assert!(error.contains(why), "{options:?}: {error}");
    }
    assert!(triarch(&["plan", "--kernel", &kernel, "--initrd", &kernels.arg("initrd")]).is_ok());
}

#[test]
fn a_wrong_command_line_has_status_2() {
    for args in [
        &["boot"][..],
        &["run", "--memory", "lots"],
        &["run", "--serial", "tty"],
        &["run", "--board", "pc"],
        &["plan", "--isa", "ppc64"],
        &["run", "--kernel", "x", "--rng=sauce=y"],
        &["run", "--kernel", "x", "--vsock", "cid=3"],
        &["run", "--kernel", "x", "--vsock", "cid=three,path=y"],
        &["run", "--kernel", "x", "--balloon=size=much"],
        &["run", "--on-reset", "halt"],
    ] {
        assert_eq!(triarch(args).map(|(status, _)| status), Ok(2), "{args:?}");
    }
    assert_eq!(triarch(&["run", "--help"]).map(|(status, _)| status), Ok(0));
}

#[test]
fn a_machine_file_says_what_options_say() {
    let files = Kernels::new();
    let toml = format!(
        "[machine]\nkernel = '{}'\nmemory = '512M'\nboard = 'virt'\ncpus = 2\nappend = 'quiet'\n[devices]\nrng = {{}}\nvsock = {{ cid = 3, path = 'x' }}\nballoon = {{ size = '64M', reporting = true }}\n",
        files.arg("arm64")
    );
    files.put("machine.toml", toml.as_bytes());
    let json = format!(
        r#"{{"machine": {{"kernel": "{}", "memory": "512M", "board": "virt", "cpus": 2, "append": "quiet"}},
            "devices": {{"rng": {{"source": "/dev/urandom"}}, "vsock": {{"cid": 3, "path": "x"}}, "balloon": {{}}}}}}"#,
        files.arg("arm64")
    );
    files.put("machine.json", json.as_bytes());
    let kernel = files.arg("arm64");
    let common = [
        "--kernel",
        &kernel,
        "--board",
        "virt",
        "--append",
        "quiet",
        "--rng",
        "--vsock",
        "cid=3,path=x",
        "--balloon",
    ];
    let options = |more: &[&str]| triarch(&[&["plan"], &common[..], more].concat()).unwrap().1;
    let two = options(&["--memory", "512M", "--cpus", "2"]);
    for file in ["machine.toml", "machine.json"] {
        assert_eq!(triarch(&["plan", &files.arg(file)]).unwrap().1, two);
        // Options are stronger.
        let four = triarch(&["plan", &files.arg(file), "--cpus", "4"]).unwrap().1;
        assert_eq!(four, options(&["--memory", "512M", "--cpus", "4"]));
    }
}

#[test]
fn a_plan_shows_where_virtio_devices_sit() {
    let plan = |board: &str, more: &[&str]| {
        let args = [&["plan", "--board", board, "--rng"], more].concat();
        triarch(&args).map(|(_, text)| text)
    };
    let bridge =
        "device    pci0       pci-host     mmio 0x00e0000000..0x00e0100000 and 0x0100000000..0x0140000000";
    let device = "device    virtio0    virtio-rng   pci 00:01.0, mmio 0x0100000000..0x0100008000\n";
    let text = plan("microvm", &[]).unwrap();
    assert!(text.contains(bridge) && text.contains(device), "{text}");
    assert_eq!(plan("microvm", &["--transport", "pci"]), Ok(text));
    for (board, base) in [("microvm", "0x00d0000000"), ("virt", "0x000a000000")] {
        let text = plan(board, &["--transport", "mmio"]).unwrap();
        assert!(text.contains(&format!("virtio-rng   mmio {base}")) && !text.contains("pci"), "{text}");
    }
    let refused = plan("ccw", &["--transport", "pci"]).unwrap_err();
    assert!(refused.contains("--transport is for x86_64 and aarch64"), "{refused}");
    assert_eq!(triarch(&["plan", "--transport", "ccw"]).map(|(status, _)| status), Ok(2));
}

#[test]
fn disks_of_a_file_come_before_those_of_options() {
    let files = Kernels::new();
    files.put("disks.toml", b"[[devices.disk]]\npath = 'a'\nreadonly = true\n[[devices.disk]]\npath = 'b'\n");
    let plan = |args: &[&str]| triarch(&[&["plan", "--board", "virt"], args].concat()).unwrap().1;
    // A plan opens no image.
    let three = plan(&["--disk", "path=a", "--disk", "path=b,format=qcow2", "--disk", "path=c", "--rng"]);
    assert_eq!(plan(&[&files.arg("disks.toml"), "--disk", "path=c,iops=5", "--rng"]), three);
    let of_virtio = three.lines().filter(|line| line.contains("virtio-"));
    let kinds: Vec<_> = of_virtio.map(|line| line.contains("virtio-blk")).collect();
    assert_eq!(kinds, [true, true, true, false], "{three}");
    let kernel = files.arg("arm64");
    let absent = format!("path={}", files.arg("absent"));
    assert_eq!(triarch(&["run", "--kernel", &kernel, "--disk", "readonly"]).map(|(status, _)| status), Ok(2));
    assert!(
        refusal(&["run", "--kernel", &kernel, "--kvm", &files.arg("no-kvm"), "--disk", &absent])
            .contains("no-kvm")
    );
}

#[test]
fn a_console_that_is_the_terminal_is_the_kernels() {
    let plan = |args: &[&str]| {
        let args = [&["plan", "--isa", "s390x"], args].concat();
        triarch(&args).unwrap().1
    };
    let kernel = |args: &[&str]| {
        let files = Kernels::new();
        let kernel = files.arg("arm64");
        let args = [&["plan", "--isa", "aarch64", "--kernel", &kernel], args].concat();
        let (_, json) = triarch(&[&args[..], &["--json"]].concat()).unwrap();
        serde_json::from_str::<Value>(&json).unwrap()["segments"].clone()
    };
    let text = plan(&["--console", "null,name=x", "--console", "pty", "--console", "stdio", "--watchdog"]);
    assert!(text.contains("virtio-console") && text.contains("diagnose 0x288"), "{text}");
    // The command line is in the tree, whose length tells.
    let (a, b) =
        (kernel(&["--console", "stdio"]), kernel(&["--console", "null", "--append", "console=hvc0"]));
    assert_eq!(a, b);
    for args in [["--console", "nowhere"], ["--watchdog=action=bark", "--rng"], ["--pvpanic", "maybe"]] {
        let args = [&["plan", "--isa", "x86_64"][..], &args].concat();
        assert_eq!(triarch(&args).map(|(status, _)| status), Ok(2), "{args:?}");
    }
}

#[test]
fn a_bad_machine_file_is_refused_by_name() {
    let files = Kernels::new();
    for (text, why) in [
        ("[machine]\nram = '1G'", "unknown field `ram`"),
        ("[machine]\nmemory = 'lots'", "'lots' is no size"),
        ("[machine]\ncpus = -1", "expected u32"),
        ("[device]", "unknown field `device`"),
        ("[devices]\nrng = 1", "invalid type"),
        ("[machine", "TOML parse error"),
        ("[machine]\ninitrd = 'x'", "--initrd needs --kernel"),
        ("\u{0}", "TOML parse error"),
    ] {
        files.put("bad.toml", text.as_bytes());
        for command in ["plan", "run"] {
            let error = refusal(&[command, &files.arg("bad.toml")]);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
    fs::File::create(files.path("huge.toml")).unwrap().set_len(1 << 40).unwrap();
    assert!(refusal(&["plan", &files.arg("huge.toml")]).contains("longer than"), "huge");
    assert!(refusal(&["plan", &files.arg("missing.toml")]).contains("missing.toml"), "missing");
    files.put("none.toml", b"");
    assert!(refusal(&["run", &files.arg("none.toml")]).contains("names no kernel"), "none");
}

#[test]
fn a_run_without_kernel_or_kvm_is_refused() {
    assert_eq!(triarch(&["run"]).map(|(status, _)| status), Ok(2));
    let kernels = Kernels::new();
    let kernel = kernels.arg("arm64");
    let missing = kernels.arg("no-kvm");
    let error = refusal(&["run", "--kernel", &kernel, "--kvm", &missing]);
    assert!(error.contains("no-kvm") && error.contains("triarch check"), "{error}");
    // A file that is no KVM.
    let error = refusal(&["run", "--kernel", &kernel, "--kvm", &kernel]);
    assert!(error.contains("KVM API version"), "{error}");
}

#[test]
fn check_tells_why_there_is_no_kvm() {
    let missing = "/nonexistent/kvm";
    let (status, text) = triarch(&["check", "--kvm", missing]).unwrap();
    assert_eq!(status, 1);
    assert!(text.contains("kvm       no: there is no /nonexistent/kvm"), "{text}");
    assert!(text.contains("verdict   this host can't run guests"), "{text}");
    let (_, json) = triarch(&["check", "--kvm", missing, "--json"]).unwrap();
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["guests"], false);
}

//! `triarch run`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use rustix::rand::GetRandomFlags;
use serde::Serialize;
use triarch_arch::Isa;
use triarch_arch::hv::HostCaps;
use triarch_arch::kvm::{self, Host, install_kick_handler};
use triarch_boards::{MachinePlan, MachineSpec};

use super::check;
use super::control::{ControlArgs, Reachable};
use super::machine_args::MachineArgs;
use crate::builder::{self, Parts};
use crate::console::{Console, SerialSpec};
use crate::control::server::Limits;
use crate::control::{About, Control};
use crate::machine::{Outcome, Signals};
use crate::memory;
use crate::stats::{ExitCounts, Stats};
use crate::tell::tell;

/// Exit statuses, printed by `--help`.
const EXIT_STATUS: &str = "\
Exit status:
  0    the guest powered off, or shut down as SIGTERM asked it to
  1    the host failed, or the input can't be used
  2    the command line is wrong
  3    the guest crashed (triple fault, disabled wait, panic told by pvpanic, a watchdog of action=exit, ...)
  4    the guest asked for a reset, with --on-reset exit
  5    the user quit (Ctrl-A X, or triarch stop --force)
  128+N  signal N ended it

Signals: SIGTERM asks the guest to shut down, if it listens to that (ACPI's power button, a power key, signal quiesce), and ends it if it does not, at the second
SIGTERM, or after 60 seconds. SIGINT, SIGHUP and SIGQUIT end it at once.

Keys on a terminal: Ctrl-A X quits, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A C is reserved.";

/// Arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS, mut_arg("kernel", |kernel| kernel.required_unless_present("file")))]
pub(super) struct RunArgs {
    #[command(flatten)]
    machine: MachineArgs,

    /// Where the board's console goes: stdio, file=PATH, pty, socket=PATH, none [default: stdio, unless a --console goes there]
    #[arg(long, value_name = "WHERE")]
    serial: Option<SerialSpec>,

    /// What a guest's reset does: start it again in place, or end with status 4
    #[arg(long, value_name = "WHAT", default_value = "reboot")]
    on_reset: OnReset,

    /// Write counters as JSON to a file at the end
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,

    #[command(flatten)]
    control: ControlArgs,

    /// KVM's device node
    #[arg(long, value_name = "PATH", default_value = kvm::DEVICE)]
    kvm: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnReset {
    Reboot,
    Exit,
}

/// Boots a guest and stays until it ends.
pub(super) fn run(args: RunArgs) -> anyhow::Result<u8> {
    let request = args.machine.read()?;
    let files = request.open_files()?;
    if files.kernel.is_none() {
        bail!("the machine file names no kernel to boot, and neither does --kernel");
    }
    let spec = request.spec(Isa::HOST, &files)?;
    let host = Host::open(&args.kvm)
        .map_err(|error| anyhow!("{} (`triarch check` tells more)", check::why_no_kvm(&error)))?;
    let caps = host.caps()?;
    // What can be refused is refused before a terminal or a file is touched.
    let mut plan = plan_anew(&spec, &caps)?;
    let pages = request.pages();
    memory::check(&plan.ram, pages)?;
    let reachable = args.control.listen()?;
    let serial = serial(args.serial, request.has_terminal())?;
    let devices = request.open_devices()?;
    let stats_file = args.stats.as_deref().map(create_stats).transpose()?;

    let signals = Signals::catch()?;
    install_kick_handler().context("can't install a signal handler")?;
    let mut console = Console::open(&serial)?;
    let mut terminal = match request.has_terminal() {
        true => Some(Console::open(&SerialSpec::Stdio)?),
        false => None,
    };
    let stats = Arc::new(Stats::default());
    let mut control = match &reachable {
        Some(Reachable { name, listener, .. }) => {
            let (about, listener) = (About::new(name.clone(), &plan), listener.try_clone()?);
            Some(
                Control::start(about, &devices, stats.clone(), listener, Limits::default())
                    .context("can't serve the control socket")?,
            )
        }
        None => None,
    };
    let outcome = loop {
        let stats = stats.clone();
        let watchdog = request.watchdog_effect();
        let parts = Parts { files: &files, pages, console: &console, devices: &devices, watchdog, stats };
        let mut machine = builder::build(&host, &plan, &parts)?;
        let terminal = terminal.as_mut().unwrap_or(&mut console);
        let outcome = machine.run(terminal, &signals, control.as_mut())?;
        drop(machine);
        match outcome {
            Outcome::Restart => {}
            Outcome::Reset if args.on_reset == OnReset::Reboot => {}
            outcome => break outcome,
        }
        plan = plan_anew(&spec, &caps)?;
    };
    drop(control);
    drop(reachable);
    drop((terminal, console));
    if let (Some(path), Some(file)) = (&args.stats, stats_file) {
        write_stats(file, &stats).with_context(|| stats_failed(path))?;
    }
    Ok(status(outcome))
}

/// Where the board's console goes. Input has one way into a machine: to a console device if that has the terminal.
fn serial(asked: Option<SerialSpec>, has_terminal: bool) -> anyhow::Result<SerialSpec> {
    match asked {
        None if has_terminal => Ok(SerialSpec::None),
        None => Ok(SerialSpec::Stdio),
        Some(spec @ (SerialSpec::None | SerialSpec::File(_))) => Ok(spec),
        Some(_) if has_terminal => bail!("beside --console stdio, --serial can only be none or file=PATH"),
        Some(spec) => Ok(spec),
    }
}

/// Plans with fresh entropy for the guest, which no two boots may share.
fn plan_anew(spec: &MachineSpec, caps: &HostCaps) -> anyhow::Result<MachinePlan> {
    let mut spec = spec.clone();
    let got = rustix::rand::getrandom(&mut spec.seed, GetRandomFlags::empty())
        .context("no entropy for the guest")?;
    if got != spec.seed.len() {
        bail!("only {got} bytes of entropy for the guest");
    }
    Ok(triarch_boards::plan(&spec, caps)?)
}

fn status(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::PowerOff => 0,
        Outcome::Crash(reason) => {
            tell(format_args!("the guest crashed: {reason}"));
            3
        }
        // A client's reset does not end a run.
        Outcome::Reset | Outcome::Restart => 4,
        Outcome::Quit => 5,
        Outcome::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
    }
}

/// The file that `--stats` writes.
#[derive(Debug, Serialize)]
struct StatsFile {
    exits: ExitCounts,
}

fn stats_failed(path: &Path) -> String {
    format!("--stats: can't write {path:?}")
}

/// Made at the start, so that a run whose counters can't be had does not begin.
fn create_stats(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| stats_failed(path))
}

fn write_stats(file: File, stats: &Stats) -> anyhow::Result<()> {
    Ok(serde_json::to_writer_pretty(file, &StatsFile { exits: stats.exits() })?)
}

//! Commands for machines that run: `triarch ps`, `info`, `pause` and the like.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::Value;

use super::{parse_size, print, unless_gone, wrong};
use crate::control::api::{ResizeRequest, SizeReply, StopRequest};
use crate::control::client::{PATIENCE, Pending, ask};
use crate::control::{Info, State, folder};

/// The commands, for the help of the whole: their own parser is made when one of them is asked for, as a guest's process would
/// otherwise keep it.
pub(super) const COMMANDS: &str = "\
Commands for machines that run (triarch run --name NAME):
  ps       List the machines that run under a name
  info     Tell about a machine that runs
  pause    Hold a machine's guest and its devices
  resume   Let a paused machine go on
  stop     Ask a machine's guest to shut down
  reset    Start a machine's guest anew
  resize   Give a device of a machine another size
  metrics  Print a machine's counters, in Prometheus' text format
  events   Print what happens to a machine, one event a line, until it ends";

/// Commands for machines that run.
#[derive(Debug, Parser)]
#[command(name = "triarch", max_term_width = 110)]
struct ClientCli {
    #[command(subcommand)]
    command: Client,
}

#[derive(Debug, Subcommand)]
enum Client {
    /// List the machines that run under a name
    Ps(PsArgs),
    /// Tell about a machine that runs
    Info(InfoArgs),
    /// Hold a machine's guest and its devices
    Pause(MachineArg),
    /// Let a paused machine go on
    Resume(MachineArg),
    /// Ask a machine's guest to shut down
    Stop(StopArgs),
    /// Start a machine's guest anew
    Reset(MachineArg),
    /// Give a device of a machine another size
    Resize(ResizeArgs),
    /// Print a machine's counters, in Prometheus' text format
    Metrics(MachineArg),
    /// Print what happens to a machine, one event a line, until it ends
    Events(MachineArg),
}

/// Carries out one of the commands, from its name on.
pub(super) fn client(args: Vec<OsString>, out: &mut dyn Write) -> anyhow::Result<u8> {
    let program = OsString::from("triarch");
    let cli = match ClientCli::try_parse_from(std::iter::once(program).chain(args)) {
        Ok(cli) => cli,
        Err(told) => return wrong(&told),
    };
    match cli.command {
        Client::Ps(args) => ps(&args, out),
        Client::Info(args) => info(&args, out),
        Client::Pause(machine) => machine.post("/v1/pause"),
        Client::Resume(machine) => machine.post("/v1/resume"),
        Client::Stop(args) => stop(&args),
        Client::Reset(machine) => machine.post("/v1/reset"),
        Client::Resize(args) => resize(&args, out),
        Client::Metrics(machine) => machine.metrics(out),
        Client::Events(machine) => machine.events(out),
    }
}

/// How long `ps` waits for all machines together.
const PS_PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of commands that need to know which machine.
#[derive(Debug, Args)]
pub(super) struct MachineArg {
    /// The machine's name (`triarch run --name`), or the path of its socket
    #[arg(value_name = "NAME")]
    name: String,
}

impl MachineArg {
    fn socket(&self) -> anyhow::Result<PathBuf> {
        if folder::is_path(&self.name) {
            return Ok(self.name.clone().into());
        }
        folder::check_name(&self.name).map_err(anyhow::Error::msg)?;
        let dir = folder::runtime_dir();
        let socket = folder::socket_of(&dir, &self.name);
        if !socket.exists() {
            anyhow::bail!("there is no machine named '{}' (`triarch ps` tells which run)", self.name);
        }
        Ok(socket)
    }

    fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        ask(&self.socket()?, "GET", path, None::<&()>)
    }

    /// Has the machine do what needs no more words.
    pub(super) fn post(&self, path: &str) -> anyhow::Result<u8> {
        ask(&self.socket()?, "POST", path, None::<&()>)?;
        Ok(0)
    }

    /// Prints counters.
    pub(super) fn metrics(&self, out: &mut dyn Write) -> anyhow::Result<u8> {
        print(out, &String::from_utf8_lossy(&self.get("/v1/metrics")?))?;
        Ok(0)
    }

    /// Prints events, one a line, until the machine ends.
    pub(super) fn events(&self, out: &mut dyn Write) -> anyhow::Result<u8> {
        Pending::send(&self.socket()?, "GET", "/v1/events", "", PATIENCE)?
            .events(|event| writeln!(out, "{event}").and_then(|()| out.flush()).map_err(anyhow::Error::from))
            .or_else(|error| match error.downcast::<std::io::Error>() {
                Ok(error) => unless_gone(Err(error)),
                Err(error) => Err(error),
            })?;
        Ok(0)
    }
}

/// Arguments of `ps`.
#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `info`.
#[derive(Debug, Args)]
pub(super) struct InfoArgs {
    #[command(flatten)]
    machine: MachineArg,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub(super) struct StopArgs {
    #[command(flatten)]
    machine: MachineArg,

    /// End the machine at once, without asking its guest
    #[arg(long)]
    force: bool,
}

/// Arguments of `resize`.
#[derive(Debug, Args)]
pub(super) struct ResizeArgs {
    #[command(flatten)]
    machine: MachineArg,

    /// The size that the device is to have, such as 128M; of a balloon, what the guest does without
    #[arg(value_name = "SIZE", value_parser = parse_size)]
    size: u64,

    /// The device, by its name or kind (`triarch info`) [default: the only one that has a size]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

/// Prints the machines of this user. One that is dead has its folder removed; one that is stuck is shown so.
pub(super) fn ps(args: &PsArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let dir = folder::runtime_dir();
    let names = folder::running(&dir)?;
    // All are asked before one is waited for.
    let send =
        |name: &String| Pending::send(&folder::socket_of(&dir, name), "GET", "/v1/info", "", PS_PATIENCE);
    let pending: Vec<_> = names.iter().map(send).collect();
    let infos = pending.into_iter().map(|pending| pending.and_then(Pending::value::<Info>).ok());
    let machines: Vec<_> = names.iter().zip(infos).collect();
    if args.json {
        let json = |(name, info): &(&String, Option<Info>)| match info {
            Some(info) => serde_json::to_value(info),
            None => Ok(serde_json::json!({ "name": name, "state": "no-answer" })),
        };
        let all = machines.iter().map(json).collect::<Result<Vec<_>, _>>()?;
        print(out, &format!("{:#}\n", Value::Array(all)))?;
        return Ok(0);
    }
    print(out, &table(&machines)?)?;
    Ok(0)
}

fn table(machines: &[(&String, Option<Info>)]) -> Result<String, std::fmt::Error> {
    let width = machines.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(4);
    let mut text =
        format!("{:<width$}  {:<9}  {:>8}  {:>5}  {:>9}\n", "NAME", "STATE", "PID", "VCPUS", "MEMORY");
    for (name, info) in machines {
        match info {
            Some(info) => writeln!(
                text,
                "{name:<width$}  {:<9}  {:>8}  {:>5}  {:>5} MiB",
                state(info.state),
                info.pid,
                info.vcpus,
                info.memory >> 20
            )?,
            None => writeln!(text, "{name:<width$}  no answer")?,
        }
    }
    Ok(text)
}

fn state(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Paused => "paused",
    }
}

/// Prints a machine.
pub(super) fn info(args: &InfoArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let answer = args.machine.get("/v1/info")?;
    if args.json {
        print(out, &format!("{:#}\n", serde_json::from_slice::<Value>(&answer)?))?;
        return Ok(0);
    }
    let info: Info = serde_json::from_slice(&answer)?;
    let mut text = String::new();
    writeln!(text, "machine   {} (triarch {}, process {})", info.name, info.version, info.pid)?;
    writeln!(text, "board     {} ({}), {} vCPU(s)", info.board, info.isa, info.vcpus)?;
    writeln!(text, "memory    {} MiB", info.memory >> 20)?;
    writeln!(
        text,
        "state     {}, for {} s, started anew {} times",
        state(info.state),
        info.uptime,
        info.resets
    )?;
    for device in &info.devices {
        write!(text, "device    {:<10} {}", device.name, device.kind)?;
        if let Some(size) = device.size {
            write!(text, ", {} bytes of {} asked for", size.actual, size.requested)?;
        }
        text.push('\n');
    }
    print(out, &text)?;
    Ok(0)
}

/// Asks a guest to shut down, or ends its machine.
pub(super) fn stop(args: &StopArgs) -> anyhow::Result<u8> {
    ask(&args.machine.socket()?, "POST", "/v1/stop", Some(&StopRequest { force: args.force }))?;
    Ok(0)
}

/// Gives a device another size.
pub(super) fn resize(args: &ResizeArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let request = ResizeRequest { device: args.device.clone(), size: args.size };
    let answer = ask(&args.machine.socket()?, "POST", "/v1/resize", Some(&request))?;
    let SizeReply { device, size } = serde_json::from_slice(&answer)?;
    print(out, &format!("{device}: {} bytes of {} asked for\n", size.actual, size.requested))?;
    Ok(0)
}

/// Where `triarch run` is to be reached, if anywhere.
#[derive(Debug, Args)]
pub(super) struct ControlArgs {
    /// Give the machine a name, and a control socket by which `triarch ps`, `info`, `stop NAME` and others reach it (docs/api.md)
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,

    /// Have the control socket at this path instead of in the runtime directory
    #[arg(long, value_name = "PATH", conflicts_with = "name")]
    api_socket: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    folder::check_name(text).map(|()| text.to_owned())
}

/// A control socket that somebody can connect to. Dropping it takes it away.
pub(super) struct Reachable {
    pub name: String,
    pub listener: std::os::unix::net::UnixListener,
    /// What is removed at the end.
    _place: Place,
}

enum Place {
    Folder { _folder: folder::Folder },
    Path(PathBuf),
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Path(path) = self
            && let Err(error) = std::fs::remove_file(&*path)
        {
            tracing::warn!("{path:?} is left behind: {error}");
        }
    }
}

impl ControlArgs {
    /// Makes the socket, if one is asked for.
    ///
    /// # Errors
    /// A machine of that name runs, or the socket is not to be had.
    pub(super) fn listen(&self) -> anyhow::Result<Option<Reachable>> {
        use anyhow::Context;
        let listen =
            |path: &Path| crate::socket::listen(path).with_context(|| format!("can't listen at {path:?}"));
        match (&self.name, &self.api_socket) {
            (None, None) => Ok(None),
            (_, Some(path)) => {
                let listener = listen(path).context("--api-socket")?;
                let name = format!("vm-{}", std::process::id());
                Ok(Some(Reachable { name, listener, _place: Place::Path(path.clone()) }))
            }
            (Some(name), None) => {
                let folder = folder::Folder::claim(&folder::runtime_dir(), name).context("--name")?;
                let listener = listen(&folder.socket()).context("--name")?;
                Ok(Some(Reachable {
                    name: name.clone(),
                    listener,
                    _place: Place::Folder { _folder: folder },
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_list_of_commands_is_that_of_the_parser() {
        let listed: Vec<_> =
            COMMANDS.lines().skip(1).map(|line| line.trim().split_once(' ').unwrap()).collect();
        let known = ClientCli::command();
        let known: Vec<_> =
            known.get_subcommands().map(|c| (c.get_name(), c.get_about().unwrap().to_string())).collect();
        assert_eq!(listed.len(), known.len());
        for ((name, about), (known, help)) in listed.into_iter().zip(known) {
            assert_eq!((name, about.trim()), (known, &*help));
        }
    }
}

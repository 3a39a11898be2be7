//! The command line.

mod check;
mod control;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod log;
mod machine_args;
mod plan;
mod run;

pub(crate) use machine_args::parse_size;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::console::restore_terminal;
use crate::tell::tell;

/// Exit status of a host failure, or of input that can't be used.
const STATUS_FAILURE: u8 = 1;

/// Triarch: a virtual machine monitor for x86_64, aarch64 and s390x on Linux KVM.
#[derive(Debug, Parser)]
#[command(name = "triarch", version, max_term_width = 110, after_help = control::COMMANDS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot a guest
    Run(Box<run::RunArgs>),
    /// Print the machine that `run` would build, without touching KVM
    Plan(Box<plan::PlanArgs>),
    /// Tell whether this host can run guests, and what it lacks
    Check(check::CheckArgs),
    /// One of the commands for machines that run
    #[command(external_subcommand)]
    Client(Vec<OsString>),
}

/// The command: runs it with the process's arguments.
pub fn main() -> ExitCode {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore_terminal();
        default_hook(info);
    }));
    let status = log::to_stderr().and_then(|()| execute(std::env::args_os(), &mut io::stdout()));
    restore_terminal();
    ExitCode::from(status.unwrap_or_else(|error| {
        tell(format_args!("{error:#}"));
        STATUS_FAILURE
    }))
}

/// Carries out a command line (the program's name first). What it prints goes to `out`, but for a guest's console. Returns
/// the exit status; an error is one of status 1.
pub fn execute(args: impl IntoIterator<Item = OsString>, out: &mut dyn Write) -> anyhow::Result<u8> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(told) => return wrong(&told),
    };
    match cli.command {
        Command::Run(args) => run::run(*args),
        Command::Plan(args) => plan::plan(*args, out),
        Command::Check(args) => check::check(&args, out),
        Command::Client(args) => control::client(args, out),
    }
}

/// Prints what clap has to say, and gives the status.
fn wrong(told: &clap::Error) -> anyhow::Result<u8> {
    // Help and version go to standard output, errors to standard error; clap knows which is which.
    unless_gone(told.print())?;
    Ok(u8::try_from(told.exit_code()).unwrap_or(STATUS_FAILURE))
}

/// Prints.
fn print(out: &mut dyn Write, text: &str) -> anyhow::Result<()> {
    unless_gone(out.write_all(text.as_bytes()))
}

/// What came of printing. A reader that has gone, as with `| head`, is no failure.
fn unless_gone(printed: io::Result<()>) -> anyhow::Result<()> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

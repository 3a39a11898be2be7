//! The command line.

mod check;
mod machine_args;
mod plan;
mod run;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::console::restore_terminal;

/// Exit status of a host failure, or of input that can't be used.
const STATUS_FAILURE: u8 = 1;

/// Triarch: a virtual machine monitor for x86_64, aarch64 and s390x on Linux KVM.
#[derive(Debug, Parser)]
#[command(name = "triarch", version, max_term_width = 110)]
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
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore_terminal();
        default_hook(info);
    }));
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(false)
        .init();
    let done = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Plan(args) => plan::plan(args),
        Command::Check(args) => check::check(args),
    };
    restore_terminal();
    done.unwrap_or_else(|error| {
        // One line a cause would hide what belongs together: "can't read kernel "x": No such file or directory".
        eprintln!("triarch: {error:#}");
        ExitCode::from(STATUS_FAILURE)
    })
}

/// Prints to standard output. A reader that has gone, as with `| head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

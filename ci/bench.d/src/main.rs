//! Measures whole runs of VMMs. `ci/bench` drives it, on this host and in the lab.

mod measure;
mod payload;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Measures whole runs of VMMs.
#[derive(Debug, Parser)]
#[command(name = "triarch-bench")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a bare-metal kernel that touches one device and powers off (or, with --stay, waits for ever)
    Payload {
        /// x86_64, aarch64 or s390x
        isa: payload::Isa,
        /// Where to
        file: PathBuf,
        /// Wait for ever instead of powering off
        #[arg(long)]
        stay: bool,
    },
    /// Run commands in turns, from exec to exit; prints a line of medians for each
    Start {
        /// How often
        #[arg(long, default_value_t = 20)]
        runs: usize,
        /// The commands, with :: between them
        #[arg(trailing_var_arg = true, required = true)]
        commands: Vec<String>,
    },
    /// Start a command, wait, and tell its resident memory without its guest's RAM; then end it
    Resident {
        /// How long to wait, in milliseconds
        #[arg(long, default_value_t = 500)]
        after: u64,
        /// Bytes of the guest's RAM: mappings that make it up don't count
        #[arg(long)]
        ram: u64,
        /// The command
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    let line = match Cli::parse().command {
        Command::Payload { isa, file, stay } => {
            std::fs::write(&file, payload::build(isa, stay))
                .with_context(|| format!("can't write {file:?}"))?;
            return Ok(());
        }
        Command::Start { runs, commands } => {
            let commands: Vec<_> = commands.split(|word| word == "::").collect();
            let lines = measure::start(&commands, runs)?.into_iter().map(|medians| medians.to_string());
            lines.collect::<Vec<_>>().join("\n")
        }
        Command::Resident { after, ram, command } => {
            let bytes = measure::resident(&command, Duration::from_millis(after), ram)?;
            format!("resident_kib={}", bytes >> 10)
        }
    };
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

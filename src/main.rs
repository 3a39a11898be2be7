//! The `triarch` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    triarch::cli::main()
}

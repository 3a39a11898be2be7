//! The command as a process: what the shell gives it, and what it leaves behind.
#![allow(clippy::unwrap_used, reason = "a test that fails is what it is for")]

use std::io;
use std::process::{Command, Stdio};

/// The command, or `None` where an emulator runs the tests, which can't run it.
fn triarch(args: &[&str]) -> Option<Command> {
    if std::env::var("TRIARCH_HOST_TOOLS").is_ok_and(|v| v == "off") {
        eprintln!("SKIPPED: TRIARCH_HOST_TOOLS=off");
        return None;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_triarch"));
    command.args(args).stdin(Stdio::null());
    Some(command)
}

/// A pipe that nobody reads any more.
fn broken_pipe() -> Stdio {
    let (_, writer) = io::pipe().unwrap();
    writer.into()
}

#[test]
fn messages_that_nobody_reads_are_lost_and_no_more() {
    let Some(mut refused) = triarch(&["plan", "--kernel", "/dev/null"]) else { return };
    assert_eq!(refused.stderr(broken_pipe()).status().unwrap().code(), Some(1));
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    for args in [&["plan"][..], &["plan", "--json"], &["--help"], &["run", "--help"]] {
        let Some(mut command) = triarch(args) else { return };
        let status = command.stdout(broken_pipe()).stderr(Stdio::inherit()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{args:?}");
    }
}

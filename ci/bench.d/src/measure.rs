//! Running a command and measuring it.

use std::fmt;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// Medians of some runs of a command, from exec to exit.
#[derive(Debug, Clone, Copy)]
pub struct Medians {
    wall: Duration,
    cpu: Duration,
}

impl fmt::Display for Medians {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "wall_ms={:.2} cpu_ms={:.2}", ms(self.wall), ms(self.cpu))
    }
}

/// Runs commands in turns, as often as `runs` says. A run that does not end with status 0 is an error, not a figure.
pub fn start(commands: &[&[String]], runs: usize) -> anyhow::Result<Vec<Medians>> {
    ensure!(runs > 0, "no runs, no medians");
    // Once for the page cache.
    commands.iter().try_for_each(|command| run_once(command).map(drop))?;
    let mut times = vec![Vec::with_capacity(runs); commands.len()];
    for _ in 0..runs {
        for (command, times) in commands.iter().zip(&mut times) {
            times.push(run_once(command)?);
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let medians = times.iter().map(|times| Medians {
        wall: median(times.iter().map(|(wall, _)| *wall).collect()),
        cpu: median(times.iter().map(|(_, cpu)| *cpu).collect()),
    });
    Ok(medians.collect())
}

fn spawn(command: &[String], output: Stdio) -> anyhow::Result<Child> {
    let (program, args) = command.split_first().context("no command")?;
    let spawned =
        Command::new(program).args(args).stdin(Stdio::null()).stdout(output).stderr(Stdio::inherit()).spawn();
    spawned.with_context(|| format!("can't run {program}"))
}

/// Wall time from before exec to after exit, and the CPU time of the process.
fn run_once(command: &[String]) -> anyhow::Result<(Duration, Duration)> {
    let cpu_before = children_cpu()?;
    let start = Instant::now();
    let ended = spawn(command, Stdio::null())?.wait()?;
    let wall = start.elapsed();
    if !ended.success() {
        bail!("{command:?} ended with {ended}");
    }
    Ok((wall, children_cpu()?.saturating_sub(cpu_before)))
}

/// CPU time of all children that have been waited for.
fn children_cpu() -> anyhow::Result<Duration> {
    // SAFETY: an all-zero rusage is a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place for a rusage.
    if unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    let time = |tv: libc::timeval| -> anyhow::Result<Duration> {
        Ok(Duration::from_secs(tv.tv_sec.try_into()?) + Duration::from_micros(tv.tv_usec.try_into()?))
    };
    Ok(time(usage.ru_utime)? + time(usage.ru_stime)?)
}

/// Resident bytes of a command that keeps running, but for mappings that are its guest's RAM: shared or anonymous ones that
/// are a large part of `ram` bytes.
pub fn resident(command: &[String], after: Duration, ram: u64) -> anyhow::Result<u64> {
    let mut child = spawn(command, Stdio::null())?;
    std::thread::sleep(after);
    let measured = match child.try_wait()? {
        Some(ended) => bail!("{command:?} has ended already, with {ended}"),
        None => fs::read_to_string(format!("/proc/{}/smaps", child.id())),
    };
    child.kill()?;
    child.wait()?;
    Ok(sum_smaps(&measured?, ram / 4))
}

/// Sums `Rss` of the mappings in an smaps file that are smaller than `too_large` bytes.
fn sum_smaps(smaps: &str, too_large: u64) -> u64 {
    let kib =
        |line: &str| line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) << 10;
    let mut size = 0;
    let mut sum = 0;
    for line in smaps.lines() {
        if line.starts_with("Size:") {
            size = kib(line);
        } else if line.starts_with("Rss:") && size < too_large {
            sum += kib(line);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_ram_does_not_count() {
        let smaps = "7f-80 rw-s /memfd:ram\nSize: 131072 kB\nRss: 4000 kB\n80-81 rw-p [heap]\nSize: 400 kB\nRss: 12 kB\n\
                     81-82 r-xp /bin/x\nSize: 800 kB\nRss: 30 kB\n";
        assert_eq!(sum_smaps(smaps, 32 << 20), 42 << 10);
    }

    #[test]
    fn a_run_that_fails_is_no_figure() {
        let command = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
        let (good, bad) = (command("exit 0"), command("exit 3"));
        assert!(start(&[&good, &bad], 1).is_err());
        assert!(start(&[&good], 0).is_err());
        let found = start(&[&good, &good], 1).unwrap();
        assert!(found.len() == 2 && found.iter().all(|medians| medians.wall > Duration::ZERO));
    }
}

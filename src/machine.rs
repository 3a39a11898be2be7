//! A running machine, and the control thread's loop.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use triarch_arch::GuestRam;
use triarch_arch::hv::{SystemEvent, VcpuState};
use triarch_arch::kvm::{self, Vm};
use triarch_devices::Input;

use crate::console::{Console, Received};
use crate::vcpu::{Gone, Report, VcpuThread};
use crate::wake::Wake;

/// How a machine's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The guest powered it off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// The guest crashed, for this reason.
    Crash(String),
    /// The user quit from the console.
    Quit,
    /// This signal ended it.
    Signal(i32),
}

/// Why a machine can't go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KVM failed.
    #[error("vCPU {vcpu} can't go on")]
    Vcpu {
        /// Its number.
        vcpu: u32,
        /// What KVM said.
        source: kvm::Error,
    },
    /// A vCPU thread does not answer.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// Waiting for events failed.
    #[error("can't wait for events")]
    Wait(#[source] io::Error),
    /// Signals can't be caught.
    #[error("can't catch signals")]
    Signals(#[source] io::Error),
}

/// The signals that end a run in good order.
const ENDING: [i32; 3] = [SIGTERM, SIGINT, SIGHUP];

/// Signals that end a run, as something to poll. One a process.
#[derive(Debug)]
pub struct Signals {
    pipes: Vec<(i32, UnixStream)>,
}

impl Signals {
    /// Catches them from now on.
    pub fn catch() -> Result<Self, Error> {
        let catch = |signal| {
            let (receive, send) = UnixStream::pair()?;
            signal_hook::low_level::pipe::register(signal, send)?;
            Ok((signal, receive))
        };
        let pipes = ENDING.into_iter().map(catch).collect::<io::Result<_>>().map_err(Error::Signals)?;
        Ok(Signals { pipes })
    }
}

/// A machine that has been built. Its vCPUs are paused at first. Dropping it ends it.
pub struct Machine {
    /// Before the VM: vCPU threads end first.
    pub(crate) vcpus: Vec<VcpuThread>,
    pub(crate) reports: Receiver<(u32, Report)>,
    /// Written for each report, and by the console's device when it has room for input again.
    pub(crate) wake: Arc<Wake>,
    pub(crate) input: Option<Arc<Mutex<dyn Input>>>,
    pub(crate) ram: GuestRam,
    pub(crate) _vm: Vm,
}

/// Input that the guest has not taken yet.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
}

impl Machine {
    /// The guest's RAM.
    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Runs the guest until its run ends, serving the console meanwhile.
    pub fn run(&mut self, console: &mut Console, signals: &Signals) -> Result<Outcome, Error> {
        self.resume()?;
        let mut pending = Pending::default();
        loop {
            let wants_input = pending.bytes.is_empty() && self.input.is_some();
            let input_fd = console.input_fd().filter(|_| wants_input);
            let ready = wait(&self.wake, signals, input_fd)?;
            if let Some(signal) = ready.signal {
                return Ok(Outcome::Signal(signal));
            }
            if ready.wake {
                self.wake.clear();
                if let Some(outcome) = self.take_report()? {
                    return Ok(outcome);
                }
            }
            if ready.input {
                match console.receive() {
                    Received::Bytes(bytes) => pending.bytes = bytes,
                    Received::Quit => return Ok(Outcome::Quit),
                }
            }
            if let Some(input) = &self.input {
                pending.offer(&mut *input.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    fn take_report(&self) -> Result<Option<Outcome>, Error> {
        match self.reports.try_recv() {
            Err(_) => Ok(None),
            Ok((_, Report::System(SystemEvent::PowerOff))) => Ok(Some(Outcome::PowerOff)),
            Ok((_, Report::System(SystemEvent::Reset))) => Ok(Some(Outcome::Reset)),
            Ok((vcpu, Report::System(SystemEvent::Crash { reason }))) => {
                Ok(Some(Outcome::Crash(format!("vCPU {vcpu}: {reason}"))))
            }
            Ok((vcpu, Report::Failed(source))) => Err(Error::Vcpu { vcpu, source }),
        }
    }

    /// Lets every vCPU run.
    pub fn resume(&self) -> Result<(), Gone> {
        self.vcpus.iter().try_for_each(VcpuThread::resume)
    }

    /// Pauses every vCPU; when it returns, none is in the guest.
    pub fn pause(&self) -> Result<(), Gone> {
        let waits: Vec<_> = self.vcpus.iter().map(VcpuThread::pause).collect::<Result<_, _>>()?;
        waits.into_iter().try_for_each(|wait| wait.recv().map_err(|_| Gone))
    }

    /// Reads the state of every vCPU, by index. They are paused.
    pub fn save_vcpus(&self) -> Result<Vec<VcpuState>, Error> {
        (0..)
            .zip(&self.vcpus)
            .map(|(vcpu, thread)| thread.save()?.map_err(|source| Error::Vcpu { vcpu, source }))
            .collect()
    }

    /// Sets the state of vCPUs, from index 0 on. They are paused.
    pub fn restore_vcpus(&self, states: Vec<VcpuState>) -> Result<(), Error> {
        for ((vcpu, thread), state) in (0..).zip(&self.vcpus).zip(states) {
            thread.restore(state)?.map_err(|source| Error::Vcpu { vcpu, source })?;
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All at once, then one after another is waited for.
        self.vcpus.iter_mut().for_each(VcpuThread::stop);
    }
}

impl Pending {
    /// Gives the device as much as it takes.
    fn offer(&mut self, device: &mut dyn Input) {
        while !self.bytes.is_empty() && device.room() > 0 {
            let taken = device.take(&self.bytes).min(self.bytes.len());
            if taken == 0 {
                break;
            }
            self.bytes.drain(..taken);
        }
    }
}

/// What [`wait`] found.
struct Ready {
    signal: Option<i32>,
    wake: bool,
    input: bool,
}

/// Waits until there is something to do.
fn wait(wake: &Wake, signals: &Signals, input: Option<BorrowedFd<'_>>) -> Result<Ready, Error> {
    let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(signals.pipes.len() + 2);
    fds.push(PollFd::new(wake, PollFlags::IN));
    fds.extend(signals.pipes.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)));
    fds.extend(input.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    while let Err(error) = poll(&mut fds, None) {
        if error != rustix::io::Errno::INTR {
            return Err(Error::Wait(error.into()));
        }
    }
    let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
    let caught = signals.pipes.iter().zip(&fds[1..]).find(|(_, fd)| ready(fd));
    Ok(Ready {
        signal: caught.map(|((signal, _), _)| *signal),
        wake: ready(&fds[0]),
        input: input.is_some() && fds.last().is_some_and(ready),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Vec<u8>, usize);

    impl Input for Slow {
        fn room(&self) -> usize {
            self.1
        }

        fn take(&mut self, bytes: &[u8]) -> usize {
            let n = bytes.len().min(2).min(self.1);
            self.0.extend(&bytes[..n]);
            self.1 -= n;
            n
        }
    }

    #[test]
    fn input_waits_until_there_is_room() {
        let mut pending = Pending { bytes: b"hello".to_vec() };
        let mut device = Slow(Vec::new(), 3);
        pending.offer(&mut device);
        assert_eq!((device.0.as_slice(), pending.bytes.as_slice()), (&b"hel"[..], &b"lo"[..]));
        device.1 = 10;
        pending.offer(&mut device);
        assert_eq!((device.0.as_slice(), pending.bytes.is_empty()), (&b"hello"[..], true));
    }
}

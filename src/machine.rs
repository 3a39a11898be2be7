//! A running machine, and the control thread's loop.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use triarch_arch::GuestRam;
use triarch_arch::hv::{SubsystemReset, SystemEvent, VcpuState};
use triarch_arch::kvm::{self, Vm};
use triarch_devices::virtio::DeviceType;
use triarch_devices::{Effect, Input, Reset, Shutdown};

use crate::console::{self, Console, OutputControl, Received};
use crate::control::{Control, Event};
use crate::ports::Terminal;
use crate::shutdown::{Next, Request};
use crate::vcpu::{Gone, Report, VcpuThread};
use crate::virtio::Virtio;
use crate::wake::Wake;
use crate::watchdog::Watch;

/// How a machine's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The guest powered it off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// A client had it reset.
    Restart,
    /// The guest crashed, for this reason.
    Crash(String),
    /// The user quit from the console, or a client ended it.
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
    /// KVM can't reset the machine.
    #[error("the machine can't be reset")]
    Reset(#[source] kvm::Error),
    /// Waiting for events failed.
    #[error("can't wait for events")]
    Wait(#[source] io::Error),
    /// Signals can't be caught.
    #[error("can't catch signals")]
    Signals(#[source] io::Error),
    /// The terminal can't be had again.
    #[error(transparent)]
    Console(#[from] console::Error),
}

/// The signals that end a run in good order.
const ENDING: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// The signals of a shell's job control: the terminal is not ours while we are stopped.
const JOB_CONTROL: [Signal; 2] = [Signal::SIGTSTP, Signal::SIGCONT];

/// The signal that the terminal's window has another size.
const RESIZED: Signal = Signal::SIGWINCH;

/// Signals that end or stop a run, as something to poll.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Catches them from now on. Called before any other thread starts: they are blocked in the calling thread and those that
    /// it starts, and a thread that does not block them would take them first.
    pub fn catch() -> Result<Self, Error> {
        let signals = SigSet::from_iter(ENDING.into_iter().chain(JOB_CONTROL).chain([RESIZED]));
        let fd = signals
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK));
        fd.map(Signals).map_err(|errno| Error::Signals(errno.into()))
    }

    /// Takes one that has come, if one has.
    fn take(&self) -> Result<Option<Signal>, Error> {
        let taken = self.0.read_signal().map_err(|errno| Error::Signals(errno.into()))?;
        Ok(taken.and_then(|info| Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()))
    }
}

/// When to look again at a device that a vCPU is busy with, perhaps because the console's reader holds it up.
const DEVICE_BUSY: Duration = Duration::from_millis(10);

/// A machine that has been built. Its vCPUs are paused at first. Dropping it ends it.
pub struct Machine {
    /// Before the VM: vCPU threads end first.
    pub(crate) vcpus: Vec<VcpuThread>,
    pub(crate) reports: Receiver<(u32, Report)>,
    /// Written for each report, and by the console's device when it has room for input again.
    pub(crate) wake: Arc<Wake>,
    pub(crate) input: Option<Arc<Mutex<dyn Input>>>,
    /// Devices that a reset reaches which leaves the machine as it is.
    pub(crate) resettable: Vec<Arc<Mutex<dyn Reset>>>,
    /// How the guest is asked to shut down, where the machine has a way.
    pub(crate) shutdown: Option<Arc<Mutex<dyn Shutdown>>>,
    /// The device that the user's terminal is given to, if it is a virtio device.
    pub(crate) terminal: Option<Terminal>,
    pub(crate) watch: Option<Watch>,
    pub(crate) output: OutputControl,
    /// A client has paused it.
    pub(crate) on_hold: bool,
    pub(crate) virtio: Virtio,
    pub(crate) ram: GuestRam,
    pub(crate) vm: Vm,
}

impl Machine {
    /// The guest's RAM.
    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Runs the guest until its run ends, serving the console meanwhile. vCPUs that the end does not concern run on, until
    /// [`Machine::pause`] or drop.
    ///
    /// The first SIGTERM asks the guest to shut down, if it listens to that; the end that it then comes to, power-off or reset, is
    /// [`Outcome::PowerOff`]. A second one ends the run, as do other signals.
    ///
    /// What clients of `control` ask for is done between two turns; they are told what happens.
    pub fn run(
        &mut self,
        console: &mut Console,
        signals: &Signals,
        control: Option<&mut Control<'_>>,
    ) -> Result<Outcome, Error> {
        let Some(control) = control else { return self.run_until_end(console, signals, None) };
        let outcome = self.run_until_end(console, signals, Some(control))?;
        control.tell_end(&outcome);
        Ok(outcome)
    }

    fn run_until_end(
        &mut self,
        console: &mut Console,
        signals: &Signals,
        control: Option<&Control<'_>>,
    ) -> Result<Outcome, Error> {
        // One that was told before, when the machine was paused already, holds still.
        if let Some(outcome) = self.take_report()? {
            return Ok(outcome);
        }
        self.resume()?;
        if let Some(control) = control {
            control.tell(Event::Booted);
        }
        let mut request = Request::default();
        self.resize(console);
        loop {
            if let Some(control) = control
                && let Some(outcome) = self.obey(control, &mut request)?
            {
                return Ok(outcome);
            }
            // A guest that is paused can't hear.
            let shutdown = self.shutdown.as_deref().filter(|_| !self.on_hold);
            let again = match request.pursue(shutdown, Instant::now()) {
                Next::Nothing => None,
                Next::Wait(time) => Some(time),
                Next::GiveUp => return Ok(Outcome::Signal(Signal::SIGTERM as i32)),
            };
            let (effect, hungry) = self.watch.as_ref().map_or((Effect::None, None), Watch::look);
            if let Some(outcome) = outcome(effect) {
                return Ok(settled(outcome, &request));
            }
            let busy = match &self.input {
                Some(input) => console.pending().offer_to(input),
                None => console.pending().discard(),
            };
            let full = console.pending().is_full();
            let pause = console.pause();
            let input_fd = if full && !console.is_terminal() { None } else { console.input_fd() };
            let waits = [again, busy.then_some(DEVICE_BUSY), pause, hungry];
            let timeout = waits.into_iter().flatten().min();
            let others = [control.map(Control::ready), input_fd];
            let ready = wait(&self.wake, signals, others, timeout)?;
            if ready.signal
                && let Some(signal) = signals.take()?
            {
                match signal {
                    Signal::SIGTSTP => stop(console)?,
                    Signal::SIGCONT => {
                        console.resume()?;
                        self.resize(console);
                    }
                    RESIZED => self.resize(console),
                    Signal::SIGTERM if request.make(Instant::now()) => {}
                    _ => return Ok(Outcome::Signal(signal as i32)),
                }
            }
            if ready.wake {
                self.wake.clear();
                if let Some(outcome) = self.take_report()? {
                    return Ok(settled(outcome, &request));
                }
            }
            if ready.input {
                match console.receive() {
                    // Keys that nobody takes; a terminal is read all the same, so that the user can quit.
                    Received::Bytes(_) if full => {}
                    Received::Bytes(bytes) => console.pending().extend(&bytes),
                    Received::Quit => return Ok(Outcome::Quit),
                }
            }
        }
    }

    /// Tells the guest the size of the terminal's window.
    fn resize(&self, console: &Console) {
        if let Some(terminal) = &self.terminal {
            terminal.set_size(console.window_size());
            self.virtio.config_changed(DeviceType::Console);
        }
    }

    fn take_report(&self) -> Result<Option<Outcome>, Error> {
        match self.reports.try_recv() {
            Err(_) => Ok(None),
            Ok((_, Report::System(SystemEvent::PowerOff))) => Ok(Some(Outcome::PowerOff)),
            Ok((_, Report::System(SystemEvent::Reset))) => Ok(Some(Outcome::Reset)),
            Ok((vcpu, Report::System(SystemEvent::SubsystemReset(reset)))) => {
                self.reset_subsystem(reset, vcpu)?;
                Ok(None)
            }
            Ok((vcpu, Report::System(SystemEvent::Crash { reason }))) => {
                Ok(Some(Outcome::Crash(format!("vCPU {vcpu}: {reason}"))))
            }
            Ok((vcpu, Report::Failed(source))) => Err(Error::Vcpu { vcpu, source }),
            Ok((_, Report::Panicked)) => Err(Gone.into()),
        }
    }

    /// Resets CPUs and devices, and lets the vCPU that asked for it go on.
    fn reset_subsystem(&self, reset: SubsystemReset, by: u32) -> Result<(), Error> {
        self.pause()?;
        // What else the guest told meanwhile is undone by the reset; what the host told is not.
        for (vcpu, report) in self.reports.try_iter() {
            match report {
                Report::System(_) => {}
                Report::Failed(source) => return Err(Error::Vcpu { vcpu, source }),
                Report::Panicked => return Err(Gone.into()),
            }
        }
        for device in &self.resettable {
            device.lock().unwrap_or_else(PoisonError::into_inner).reset();
        }
        self.vm.reset().map_err(Error::Reset)?;
        for (vcpu, thread) in (0..).zip(&self.vcpus) {
            thread.reset(reset, vcpu == by)?.map_err(|source| Error::Vcpu { vcpu, source })?;
        }
        if self.on_hold {
            return Ok(());
        }
        Ok(self.resume()?)
    }

    /// Lets every device work, and every vCPU run.
    pub fn resume(&self) -> Result<(), Gone> {
        self.output.set_hurry(false);
        self.virtio.start();
        if let Some(watch) = &self.watch {
            watch.resume();
        }
        self.vcpus.iter().try_for_each(VcpuThread::resume)
    }

    /// Pauses every vCPU and every device; when it returns, none is in the guest, and nothing touches its RAM any more. A console
    /// that does not take output does not hold it up.
    pub fn pause(&self) -> Result<(), Gone> {
        self.output.set_hurry(true);
        VcpuThread::pause_all(&self.vcpus)?;
        self.virtio.stop();
        if let Some(watch) = &self.watch {
            watch.hold();
        }
        Ok(())
    }

    /// Reads the state of every vCPU, by index. They are paused.
    pub fn save_vcpus(&self) -> Result<Vec<VcpuState>, Error> {
        (0..)
            .zip(&self.vcpus)
            .map(|(vcpu, thread)| thread.save()?.map_err(|source| Error::Vcpu { vcpu, source }))
            .collect()
    }

    /// Sets the state of vCPUs, from index 0 on. They are paused. What they told before is forgotten.
    pub fn restore_vcpus(&self, states: Vec<VcpuState>) -> Result<(), Error> {
        while self.reports.try_recv().is_ok() {}
        for ((vcpu, thread), state) in (0..).zip(&self.vcpus).zip(states) {
            thread.restore(state)?.map_err(|source| Error::Vcpu { vcpu, source })?;
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.output.set_hurry(true);
        VcpuThread::stop_all(&mut self.vcpus);
        self.vcpus.clear();
        self.output.set_hurry(false);
    }
}

/// What the end of a run is, if the guest may have been asked for it.
fn settled(outcome: Outcome, request: &Request) -> Outcome {
    match outcome {
        // It has gone down in good order; to start it again is not what was asked for.
        Outcome::Reset if request.is_made() => Outcome::PowerOff,
        outcome => outcome,
    }
}

/// What a watchdog's effect is for a run, if it ends it.
fn outcome(effect: Effect) -> Option<Outcome> {
    let outcome = match effect {
        Effect::None => return None,
        Effect::PowerOff => Outcome::PowerOff,
        Effect::Reset => Outcome::Reset,
        Effect::Crash(reason) => Outcome::Crash(reason.to_owned()),
    };
    tracing::warn!("the guest has not fed its watchdog in time");
    Some(outcome)
}

/// Stops the process, as SIGTSTP does by default, without the user's terminal. SIGCONT lets it go on.
fn stop(console: &Console) -> Result<(), Error> {
    console.suspend();
    kill(Pid::this(), Signal::SIGSTOP).map_err(|errno| Error::Signals(errno.into()))
}

/// What [`wait`] found.
struct Ready {
    wake: bool,
    signal: bool,
    input: bool,
}

/// Waits until there is something to do, for a client of the control socket as well, or the time is over.
fn wait(
    wake: &Wake,
    signals: &Signals,
    [control, input]: [Option<BorrowedFd<'_>>; 2],
    timeout: Option<Duration>,
) -> Result<Ready, Error> {
    let mut fds = vec![PollFd::new(wake, PollFlags::IN), PollFd::new(&signals.0, PollFlags::IN)];
    fds.extend([input, control].into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    let timeout =
        timeout.map(Timespec::try_from).transpose().map_err(|error| Error::Wait(io::Error::other(error)))?;
    while let Err(error) = poll(&mut fds, timeout.as_ref()) {
        if error != rustix::io::Errno::INTR {
            return Err(Error::Wait(error.into()));
        }
    }
    let ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
    Ok(Ready { wake: ready(0), signal: ready(1), input: input.is_some() && ready(2) })
}

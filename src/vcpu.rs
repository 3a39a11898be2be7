//! vCPU threads: each owns its vCPU, and is told what to do by messages.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvError, RecvTimeoutError, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use triarch_arch::hv::{Exit, SubsystemReset, SystemEvent, VcpuState};
use triarch_arch::kvm::{self, Kicker, Vcpu};
use triarch_devices::Effect;

use crate::platform::Platform;
use crate::stats::{ExitCounter, ExitKind, Stats};
use crate::wake::Wake;

/// Stack of a vCPU thread: what the deepest device access takes, with room; pages that are not used cost nothing.
const STACK_SIZE: usize = 256 << 10;

/// After how long a thread that should leave the guest, and has not, is kicked again: a kick that comes just before the thread
/// blocks in a write to the console gets it out of the guest, but not out of that write.
const RETRY: Duration = Duration::from_millis(1);

/// What a vCPU thread is told.
enum Command {
    /// Leave the guest and wait; say when that is done.
    Pause(Sender<()>),
    /// Run the guest.
    Resume,
    /// Read the state. The vCPU is paused.
    Save(Sender<kvm::Result<VcpuState>>),
    /// Set the state. The vCPU is paused.
    Restore(Box<VcpuState>, Sender<kvm::Result<()>>),
    /// Do this vCPU's part of a reset that leaves RAM as it is; whether it goes on. The vCPU is paused.
    Reset(SubsystemReset, bool, Sender<kvm::Result<()>>),
}

/// What a vCPU thread tells of its own accord. It is paused when it has told it.
#[derive(Debug)]
pub enum Report {
    /// The guest asked for something that concerns the machine, or crashed.
    System(SystemEvent),
    /// The host failed.
    Failed(kvm::Error),
    /// The thread has panicked: a bug of ours, and nobody runs this vCPU any more.
    Panicked,
}

/// Where vCPU threads report: a channel, and what wakes the control thread.
#[derive(Debug, Clone)]
pub struct Reporter {
    reports: Sender<(u32, Report)>,
    wake: Arc<Wake>,
}

impl Reporter {
    /// A reporter, and the end where its reports come out.
    pub fn new(wake: Arc<Wake>) -> (Self, Receiver<(u32, Report)>) {
        let (reports, receiver) = mpsc::channel();
        (Reporter { reports, wake }, receiver)
    }

    fn report(&self, index: u32, report: Report) {
        // The control thread has gone only when the machine is being dropped; then nobody needs to know.
        if self.reports.send((index, report)).is_ok() {
            self.wake.wake();
        }
    }
}

/// The control thread's handle to a vCPU thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct VcpuThread {
    commands: Option<Sender<Command>>,
    waiting: Arc<AtomicBool>,
    kicker: Kicker,
    /// Disconnected when the thread ends.
    ended: Receiver<()>,
    join: Option<JoinHandle<()>>,
}

/// A vCPU thread that does not answer: it has panicked.
#[derive(Debug, thiserror::Error)]
#[error("a vCPU thread is gone")]
pub struct Gone;

impl VcpuThread {
    /// Starts a thread for `vcpu`, paused.
    pub fn spawn(
        vcpu: Vcpu,
        platform: Arc<Platform>,
        reporter: Reporter,
        stats: Arc<Stats>,
    ) -> io::Result<Self> {
        let (commands, receiver) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let waiting = Arc::new(AtomicBool::new(false));
        let kicker = vcpu.kicker();
        let mut runner = Runner {
            vcpu,
            platform,
            reporter,
            exits: ExitCounter::new(stats),
            commands: receiver,
            waiting: waiting.clone(),
            paused: true,
        };
        let join = std::thread::Builder::new()
            .name(format!("vcpu{}", runner.vcpu.index()))
            .stack_size(STACK_SIZE)
            .spawn(move || {
                let _end = end;
                runner.vcpu.bind_thread();
                runner.work();
            })?;
        Ok(VcpuThread { commands: Some(commands), waiting, kicker, ended, join: Some(join) })
    }

    fn command(&self, command: Command) -> Result<(), Gone> {
        self.commands.as_ref().ok_or(Gone)?.send(command).map_err(|_| Gone)?;
        self.call();
        Ok(())
    }

    /// Makes the thread look at its orders, which have been given.
    fn call(&self) {
        // A thread that is found waiting takes the order, as it was given before.
        if !self.waiting.load(Ordering::SeqCst) {
            self.kicker.kick();
        }
    }

    /// Lets the guest run.
    pub fn resume(&self) -> Result<(), Gone> {
        self.command(Command::Resume)
    }

    /// Asks each of `threads` to leave the guest; when it returns, all have.
    pub fn pause_all(threads: &[VcpuThread]) -> Result<(), Gone> {
        let pause = |thread: &VcpuThread| {
            let (done, wait) = mpsc::channel();
            thread.command(Command::Pause(done)).map(|()| wait)
        };
        let waits = threads.iter().map(pause).collect::<Result<Vec<_>, _>>()?;
        waits.iter().try_for_each(|wait| match wait_for(wait, threads) {
            Ok(()) => Ok(()),
            Err(RecvError) => Err(Gone),
        })
    }

    /// Reads the state of the paused vCPU.
    pub fn save(&self) -> Result<kvm::Result<VcpuState>, Gone> {
        let (reply, answer) = mpsc::channel();
        self.command(Command::Save(reply))?;
        answer.recv().map_err(|RecvError| Gone)
    }

    /// Sets the state of the paused vCPU.
    pub fn restore(&self, state: VcpuState) -> Result<kvm::Result<()>, Gone> {
        let (reply, answer) = mpsc::channel();
        self.command(Command::Restore(Box::new(state), reply))?;
        answer.recv().map_err(|RecvError| Gone)
    }

    /// Does the paused vCPU's part of a reset that leaves RAM as it is.
    pub fn reset(&self, reset: SubsystemReset, goes_on: bool) -> Result<kvm::Result<()>, Gone> {
        let (reply, answer) = mpsc::channel();
        self.command(Command::Reset(reset, goes_on, reply))?;
        answer.recv().map_err(|RecvError| Gone)
    }

    /// Tells each of `threads` to end; when it returns, all have.
    pub fn stop_all(threads: &mut [VcpuThread]) {
        for thread in &mut *threads {
            thread.commands = None;
            thread.call();
        }
        for thread in &*threads {
            // Nothing is ever sent: a thread that ends disconnects.
            let _: Result<(), RecvError> = wait_for(&thread.ended, threads);
        }
    }
}

/// Waits for a thread's answer. All `threads` are called again meanwhile: one may wait for the lock of a device that another is
/// blocked in.
fn wait_for(answer: &Receiver<()>, threads: &[VcpuThread]) -> Result<(), RecvError> {
    loop {
        match answer.recv_timeout(RETRY) {
            Ok(()) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(RecvError),
            Err(RecvTimeoutError::Timeout) => threads.iter().for_each(VcpuThread::call),
        }
    }
}

impl Drop for VcpuThread {
    fn drop(&mut self) {
        Self::stop_all(std::slice::from_mut(self));
        if let Some(join) = self.join.take()
            && join.join().is_err()
        {
            tracing::error!("a vCPU thread has panicked");
        }
    }
}

/// The thread's own side.
struct Runner {
    vcpu: Vcpu,
    platform: Arc<Platform>,
    reporter: Reporter,
    exits: ExitCounter,
    commands: Receiver<Command>,
    waiting: Arc<AtomicBool>,
    paused: bool,
}

impl Runner {
    fn work(&mut self) {
        // While the guest runs, orders wait until a kick has come through: the vCPU is then between two instructions. No kick is
        // lost: one that comes while an exit is served is kept by KVM_RUN's `immediate_exit`.
        let mut interrupted = true;
        loop {
            if (self.paused || interrupted) && !self.obey() {
                break;
            }
            let report = match self.vcpu.run() {
                Ok(exit) => {
                    interrupted = matches!(exit, Exit::Interrupted);
                    self.exits.count(ExitKind::of(&exit));
                    self.platform.serve(exit).map(Report::System)
                }
                Err(error) => Some(Report::Failed(error)),
            };
            if let Some(report) = report {
                self.paused = true;
                self.reporter.report(self.vcpu.index(), report);
            }
        }
    }

    /// Carries out what has been ordered; while paused, waits for orders. `false` when the thread is to end.
    fn obey(&mut self) -> bool {
        loop {
            let command = if self.paused {
                self.waiting.store(true, Ordering::SeqCst);
                match self.commands.recv() {
                    Ok(command) => {
                        self.waiting.store(false, Ordering::SeqCst);
                        command
                    }
                    // Still as good as waiting: the guest does not run again.
                    Err(RecvError) => return false,
                }
            } else {
                match self.commands.try_recv() {
                    Ok(command) => command,
                    Err(TryRecvError::Empty) => return true,
                    Err(TryRecvError::Disconnected) => return false,
                }
            };
            // Who asked may have given up waiting; that is no failure of this thread's.
            match command {
                Command::Resume => self.paused = false,
                Command::Pause(done) => {
                    self.paused = true;
                    let _ = done.send(());
                }
                Command::Save(reply) => self.save(&reply),
                Command::Restore(state, reply) => {
                    let _ = reply.send(self.vcpu.restore(&state));
                }
                Command::Reset(reset, goes_on, reply) => {
                    let _ = reply.send(self.vcpu.reset(reset, goes_on));
                }
            }
        }
    }

    /// Not inlined: a state is pages of stack, which the thread would keep.
    #[inline(never)]
    fn save(&mut self, reply: &Sender<kvm::Result<VcpuState>>) {
        let _ = reply.send(self.vcpu.save());
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.reporter.report(self.vcpu.index(), Report::Panicked);
        }
    }
}

/// What an effect of a device access means for the machine.
pub fn system_event(effect: Effect) -> Option<SystemEvent> {
    match effect {
        Effect::None => None,
        Effect::PowerOff => Some(SystemEvent::PowerOff),
        Effect::Reset => Some(SystemEvent::Reset),
        Effect::Crash(reason) => Some(SystemEvent::Crash { reason: reason.to_owned() }),
    }
}

impl ExitKind {
    /// The kind of an exit.
    fn of(exit: &Exit<'_>) -> Self {
        match exit {
            Exit::PioRead { .. } => ExitKind::PioRead,
            Exit::PioWrite { .. } => ExitKind::PioWrite,
            Exit::MmioRead { .. } => ExitKind::MmioRead,
            Exit::MmioWrite { .. } => ExitKind::MmioWrite,
            Exit::IoapicEoi { .. } => ExitKind::IoapicEoi,
            Exit::S390x { .. } => ExitKind::Instruction,
            Exit::System(_) => ExitKind::System,
            Exit::Interrupted => ExitKind::Interrupted,
            Exit::Resume => ExitKind::Other,
        }
    }
}

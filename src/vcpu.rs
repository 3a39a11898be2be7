//! vCPU threads: each owns its vCPU, and is told what to do by messages.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvError, RecvTimeoutError, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use triarch_arch::hv::{Exit, SystemEvent, VcpuState};
use triarch_arch::kvm::{self, Kicker, Vcpu};
use triarch_devices::Effect;

use crate::platform::Platform;
use crate::stats::{ExitKind, Stats};
use crate::wake::Wake;

/// Stack of a vCPU thread: what the deepest device access takes, with room; pages that are not used cost nothing.
const STACK_SIZE: usize = 256 << 10;

/// After how long a thread that should end, and has not, is kicked again.
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
}

/// What a vCPU thread tells of its own accord. It is paused when it has told it.
#[derive(Debug)]
pub enum Report {
    /// The guest asked for something that concerns the machine, or crashed.
    System(SystemEvent),
    /// The host failed.
    Failed(kvm::Error),
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
    signs: Arc<Signs>,
    kicker: Kicker,
    /// Disconnected when the thread ends.
    ended: Receiver<()>,
    join: Option<JoinHandle<()>>,
}

/// What a vCPU's thread and its handle show each other.
#[derive(Debug, Default)]
struct Signs {
    /// There are orders.
    attention: AtomicBool,
    /// The thread waits for orders, so that it takes the next one without a kick.
    waiting: AtomicBool,
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
        let signs = Arc::new(Signs::default());
        let kicker = vcpu.kicker();
        let mut runner = Runner {
            vcpu,
            platform,
            reporter,
            stats,
            commands: receiver,
            signs: signs.clone(),
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
        Ok(VcpuThread { commands: Some(commands), signs, kicker, ended, join: Some(join) })
    }

    fn command(&self, command: Command) -> Result<(), Gone> {
        self.commands.as_ref().ok_or(Gone)?.send(command).map_err(|_| Gone)?;
        self.call();
        Ok(())
    }

    /// Makes the thread look at its orders, which have been given.
    fn call(&self) {
        self.signs.attention.store(true, Ordering::SeqCst);
        // A thread that is found waiting takes the order, as it was given before.
        if !self.signs.waiting.load(Ordering::SeqCst) {
            self.kicker.kick();
        }
    }

    /// Lets the guest run.
    pub fn resume(&self) -> Result<(), Gone> {
        self.command(Command::Resume)
    }

    /// Asks the thread to leave the guest; the receiver hears when it has. So many threads can be asked before one is waited
    /// for.
    pub fn pause(&self) -> Result<Receiver<()>, Gone> {
        let (done, wait) = mpsc::channel();
        self.command(Command::Pause(done))?;
        Ok(wait)
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

    /// Tells the thread to end, without waiting for it.
    pub fn stop(&mut self) {
        self.commands = None;
        self.call();
    }
}

impl Drop for VcpuThread {
    fn drop(&mut self) {
        self.stop();
        let Some(join) = self.join.take() else { return };
        // A console that blocks may swallow one kick; the thread looks at its orders after each.
        while self.ended.recv_timeout(RETRY) == Err(RecvTimeoutError::Timeout) {
            self.kicker.kick();
        }
        if join.join().is_err() {
            tracing::error!("a vCPU thread has panicked");
        }
    }
}

/// The thread's own side.
struct Runner {
    vcpu: Vcpu,
    platform: Arc<Platform>,
    reporter: Reporter,
    stats: Arc<Stats>,
    commands: Receiver<Command>,
    signs: Arc<Signs>,
    paused: bool,
}

impl Runner {
    fn work(&mut self) {
        let mut counts = [0; ExitKind::COUNT];
        loop {
            if (self.paused || self.signs.attention.load(Ordering::SeqCst)) && !self.obey() {
                break;
            }
            let report = match self.vcpu.run() {
                Ok(exit) => {
                    counts[ExitKind::of(&exit) as usize] += 1;
                    self.platform.serve(exit).map(Report::System)
                }
                Err(error) => Some(Report::Failed(error)),
            };
            if let Some(report) = report {
                self.paused = true;
                self.reporter.report(self.vcpu.index(), report);
            }
        }
        self.stats.add_exits(&counts);
    }

    /// Carries out what has been ordered; while paused, waits for orders. `false` when the thread is to end.
    fn obey(&mut self) -> bool {
        // Before the orders are looked at: one that comes meanwhile sets it again.
        self.signs.attention.store(false, Ordering::SeqCst);
        loop {
            let command = if self.paused {
                self.signs.waiting.store(true, Ordering::SeqCst);
                let command = self.commands.recv();
                self.signs.waiting.store(false, Ordering::SeqCst);
                match command {
                    Ok(command) => command,
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
                Command::Save(reply) => {
                    let _ = reply.send(self.vcpu.save());
                }
                Command::Restore(state, reply) => {
                    let _ = reply.send(self.vcpu.restore(&state));
                }
            }
        }
    }
}

/// What an effect of a device access means for the machine.
pub fn system_event(effect: Effect) -> Option<SystemEvent> {
    match effect {
        Effect::None => None,
        Effect::PowerOff => Some(SystemEvent::PowerOff),
        Effect::Reset => Some(SystemEvent::Reset),
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

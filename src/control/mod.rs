//! A machine's control socket: what runs outside asks for something, and the machine's own loop does it.
//!
//! Three parts, of which none waits for another without a limit: a thread of its own speaks HTTP with clients ([`server`]) and makes
//! [`Command`]s of their requests; [`Control`] brings them to the control thread, which obeys between two turns of its loop
//! ([`crate::machine::Machine::run`]) and sends answers and events back. vCPU and I/O threads know nothing of it.

pub mod api;
pub mod client;
pub mod folder;
mod http;
mod metrics;
mod serve;
pub mod server;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use triarch_boards::{DeviceKind, MachinePlan};

use crate::devices::{HostDevice, SizeReport};
use crate::machine::Outcome;
use crate::stats::Stats;
use crate::wake::Wake;

/// What a client asks of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Tell about it.
    Info,
    /// Hold the guest and its devices.
    Pause,
    /// Let them go on.
    Resume,
    /// Ask the guest to shut down; with `force`, end at once.
    Stop {
        /// Without asking.
        force: bool,
    },
    /// Start the guest anew.
    Reset,
    /// Give a device another size.
    Resize {
        /// Its name or kind; `None` for the one that has a size.
        device: Option<String>,
        /// Bytes.
        size: u64,
    },
    /// Tell its counters.
    Metrics,
}

/// What came of it.
#[derive(Debug)]
pub enum Answer {
    /// The machine.
    Info(Box<Info>),
    /// The state that it is in now.
    State(State),
    /// The guest, or the machine's loop, has been asked; that it obeys is seen when it has.
    Asked(&'static str),
    /// The device's name and its sizes.
    Size(String, SizeReport),
    /// Counters in Prometheus' text format.
    Metrics(String),
}

/// Why it was not done. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The machine is in a state in which it can't be.
    Conflict(String),
    /// There is no such device.
    NoDevice(String),
    /// It is not possible with this machine, or not with that value.
    Invalid(String),
}

/// The state of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its vCPUs run.
    Running,
    /// It was paused.
    Paused,
}

/// A machine, as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Triarch's version.
    pub version: String,
    /// The process that runs it.
    pub pid: u32,
    /// The guest's ISA.
    pub isa: String,
    /// The board.
    pub board: String,
    /// Its state.
    pub state: State,
    /// Number of vCPUs.
    pub vcpus: u32,
    /// RAM in bytes.
    pub memory: u64,
    /// Seconds since the run began.
    pub uptime: u64,
    /// How often the guest was started anew since then.
    pub resets: u64,
    /// Its devices, in the order of the board.
    pub devices: Vec<DeviceInfo>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeviceInfo {
    /// Its name, such as `virtio0`.
    pub name: String,
    /// What it is, such as `virtio-balloon`.
    pub kind: String,
    /// Its sizes, if it has one that can be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<SizeReport>,
}

/// Something that happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// The guest runs, from its first instruction on.
    Booted,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// The guest was asked to shut down.
    Stopping,
    /// A device got another size to go for.
    Resized {
        /// Its name.
        device: String,
        /// Bytes.
        size: u64,
    },
    /// The guest, or a client, reset it.
    Reset,
    /// The guest crashed.
    Crash {
        /// Why.
        reason: String,
    },
    /// The guest powered it off.
    PowerOff,
    /// It was ended from outside.
    Ended,
}

impl Event {
    /// Its name, as clients get it.
    pub const fn name(&self) -> &'static str {
        match self {
            Event::Booted => "booted",
            Event::Paused => "paused",
            Event::Resumed => "resumed",
            Event::Stopping => "stopping",
            Event::Resized { .. } => "resized",
            Event::Reset => "reset",
            Event::Crash { .. } => "crash",
            Event::PowerOff => "power-off",
            Event::Ended => "ended",
        }
    }

    /// That of an outcome.
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::PowerOff => Event::PowerOff,
            Outcome::Reset | Outcome::Restart => Event::Reset,
            Outcome::Crash(reason) => Event::Crash { reason: reason.clone() },
            Outcome::Quit | Outcome::Signal(_) => Event::Ended,
        }
    }
}

/// A command on its way to the control thread, and the number by which its answer finds the client.
#[derive(Debug)]
struct Request {
    command: Command,
    ticket: u64,
}

/// What the control thread tells the API's.
#[derive(Debug)]
enum Note {
    /// The answer to the request of this number.
    Answer(u64, Result<Answer, Refusal>),
    /// Something happened.
    Event(Event),
    /// There will be no more.
    End,
}

/// The way from the API's thread to the control thread and back, as the API's thread has it.
struct Link {
    requests: Sender<Request>,
    /// Wakes the control thread.
    control: Arc<Wake>,
    notes: Receiver<Note>,
    /// Wakes the API's thread.
    own: Arc<Wake>,
}

impl Link {
    /// `false` when the control thread has gone.
    fn send(&self, command: Command, ticket: u64) -> bool {
        let sent = self.requests.send(Request { command, ticket }).is_ok();
        self.control.wake();
        sent
    }
}

/// What does not change about a machine while it runs.
#[derive(Debug, Clone)]
pub struct About {
    name: String,
    isa: String,
    board: String,
    vcpus: u32,
    memory: u64,
    devices: Vec<DeviceInfo>,
    /// Of the virtio devices, in their order: their indices among `devices`.
    virtio: Vec<usize>,
}

impl About {
    /// The machine of a plan, under this name.
    pub fn new(name: String, plan: &MachinePlan) -> Self {
        let device = |kind: DeviceKind| match kind {
            DeviceKind::Virtio(kind) => format!("virtio-{}", kind.name()),
            kind => text_of(&kind),
        };
        let devices = plan
            .slots
            .iter()
            .map(|slot| (slot.name.clone().into_owned(), device(slot.kind)))
            .collect::<Vec<_>>();
        let is_virtio = |index: &usize| {
            plan.slots.get(*index).is_some_and(|slot| matches!(slot.kind, DeviceKind::Virtio(_)))
        };
        About {
            name,
            isa: text_of(&plan.isa),
            board: text_of(&plan.board),
            vcpus: plan.cpus,
            memory: plan.ram.iter().map(|range| range.size).sum(),
            virtio: (0..plan.slots.len()).filter(is_virtio).collect(),
            devices: devices.into_iter().map(|(name, kind)| DeviceInfo { name, kind, size: None }).collect(),
        }
    }
}

/// What a value without fields is written as.
fn text_of(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

/// The control thread's end of a machine's control socket. It outlives the machine, as that is built anew at a reset. Dropping it
/// ends the API's thread, once clients have what was sent to them.
pub struct Control<'a> {
    about: About,
    /// What the virtio devices have of the host, in their order.
    devices: &'a [Box<dyn HostDevice>],
    stats: Arc<Stats>,
    began: Instant,
    resets: u64,
    requests: Receiver<Request>,
    wake: Arc<Wake>,
    notes: Sender<Note>,
    api: Arc<Wake>,
    thread: Option<JoinHandle<()>>,
}

/// Stack of the API's thread: what the deepest request takes, with room; pages that are not used cost nothing.
const STACK_SIZE: usize = 256 << 10;

impl<'a> Control<'a> {
    /// Starts to serve `listener`, on a thread of its own.
    ///
    /// # Errors
    /// There is no thread or no descriptor left.
    pub fn start(
        about: About,
        devices: &'a [Box<dyn HostDevice>],
        stats: Arc<Stats>,
        listener: UnixListener,
        limits: server::Limits,
    ) -> io::Result<Self> {
        let (wake, api) = (Arc::new(Wake::new()?), Arc::new(Wake::new()?));
        let (to_control, requests) = mpsc::channel();
        let (notes, to_api) = mpsc::channel();
        let link = Link { requests: to_control, control: wake.clone(), notes: to_api, own: api.clone() };
        let thread = std::thread::Builder::new()
            .name("api".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(move || server::serve(&listener, &link, limits))?;
        let began = Instant::now();
        Ok(Control {
            about,
            devices,
            stats,
            began,
            resets: 0,
            requests,
            wake,
            notes,
            api,
            thread: Some(thread),
        })
    }

    /// Ready to read when there are commands.
    pub(crate) fn ready(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// The next command and its ticket, if there is one.
    pub(crate) fn take(&self) -> Option<(Command, u64)> {
        // Before the look: what comes after it wakes again.
        self.wake.clear();
        self.requests.try_recv().ok().map(|request| (request.command, request.ticket))
    }

    /// Answers the command of a ticket.
    pub(crate) fn answer(&self, ticket: u64, answer: Result<Answer, Refusal>) {
        self.note(Note::Answer(ticket, answer));
    }

    /// Tells all who listen.
    pub(crate) fn tell(&self, event: Event) {
        self.note(Note::Event(event));
    }

    /// Tells them how a run ended.
    pub(crate) fn tell_end(&mut self, outcome: &Outcome) {
        if matches!(outcome, Outcome::Reset | Outcome::Restart) {
            self.resets += 1;
        }
        self.tell(Event::of(outcome));
    }

    fn note(&self, note: Note) {
        // Without its thread there is nobody to tell; the machine runs on all the same.
        if self.notes.send(note).is_ok() {
            self.api.wake();
        }
    }
}

impl Drop for Control<'_> {
    fn drop(&mut self) {
        self.note(Note::End);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the API's thread has panicked");
        }
    }
}

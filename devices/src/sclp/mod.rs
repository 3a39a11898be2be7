//! The service-call logical processor (SCLP) of an s390x machine: what the machine has, consoles, and the request to
//! shut down.
//!
//! A guest puts a service-call control block (SCCB) into its RAM and gives its address to SERVICE CALL. The answer is in
//! the block when the service signal, an external interrupt, comes. Names of fields are those of Linux
//! (drivers/s390/char/sclp*.h), the only public description.

mod ebcdic;
mod event;
mod info;
mod input;
mod message;
mod sccb;
#[cfg(test)]
mod tests;

use event::Events;
use sccb::{Response, Sccb};

use crate::saved::{self, Save, Saved};
use crate::{Hook, Input, Reset, Shutdown, Sink};

/// Commands, without the bits that number a part of the machine.
mod command {
    pub const READ_CPU_INFO: u32 = 0x0001_0001;
    pub const READ_SCP_INFO: u32 = 0x0002_0001;
    pub const READ_SCP_INFO_FORCED: u32 = 0x0012_0001;
    pub const WRITE_EVENT_DATA: u32 = 0x0076_0005;
    pub const READ_EVENT_DATA: u32 = 0x0077_0005;
    pub const WRITE_EVENT_MASK: u32 = 0x0078_0005;
    /// The bits that tell commands apart.
    pub const MASK: u32 = 0xffff_00ff;
}

/// SCCBs lie in one page each.
const PAGE: usize = 4096;
/// The service signal's parameter: bits that are the SCCB's address, and the one that says that an event waits.
const SIGNAL_ADDRESS: u32 = !7;
const SIGNAL_EVENT_PENDING: u32 = 1;

/// What the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SclpConfig {
    /// CPUs, numbered from 0; at most [`Sclp::MAX_CPUS`] are told of.
    pub cpus: u32,
    /// RAM in bytes: a multiple of 1 MiB.
    pub memory: u64,
}

/// An SCLP. Both of its consoles, line mode and VT220, share one host end.
pub struct Sclp {
    config: SclpConfig,
    events: Events,
    signal: Box<dyn Fn(u32) + Send>,
}

impl Sclp {
    /// The most CPUs that a machine can have.
    pub const MAX_CPUS: u32 = info::MAX_CPUS;

    /// An SCLP that raises the service signal, with its parameter, by `signal` when an event comes up, and writes what both
    /// consoles put out to `sink`. `drained` is called when the guest has read input, or is ready to take some.
    pub fn new(
        config: SclpConfig,
        signal: Box<dyn Fn(u32) + Send>,
        sink: Box<dyn Sink>,
        drained: Hook,
    ) -> Self {
        let config = SclpConfig { cpus: config.cpus.min(Self::MAX_CPUS), ..config };
        Sclp { config, events: Events::new(sink, drained), signal }
    }

    /// Carries out a command. Returns the parameter of the service signal, which the caller raises once the block is back in the
    /// guest's RAM, and no sooner: any CPU may take that interrupt at once. `None`, for which the condition code is 3, if the
    /// block has no room for an answer.
    ///
    /// `sccb` is a copy of the block at `address`, as long as its length field says (bytes 0 and 1; a length below 8 is a
    /// specification exception, which is the caller's to raise). All of it goes back to the guest.
    #[must_use = "the guest waits for the service signal"]
    pub fn service_call(&mut self, command: u32, address: u32, sccb: &mut [u8]) -> Option<u32> {
        let mut sccb = Sccb::new(sccb)?;
        let response = self.execute(command, address, &mut sccb);
        sccb.respond(response);
        let pending = if self.events.pending() { SIGNAL_EVENT_PENDING } else { 0 };
        Some(address & SIGNAL_ADDRESS | pending)
    }

    fn execute(&mut self, command: u32, address: u32, sccb: &mut Sccb<'_>) -> Response {
        if !sccb.cut() {
            return Response::InsufficientLength;
        }
        let offset = usize::try_from(address).map_or(0, |address| address % PAGE);
        let crosses = offset + sccb.length() > PAGE;
        match command & command::MASK {
            // These two may cross pages (the extended-length-SCCB facility, which costs nothing to have).
            command::READ_SCP_INFO | command::READ_SCP_INFO_FORCED => info::read_scp_info(&self.config, sccb),
            command::READ_CPU_INFO => info::read_cpu_info(&self.config, sccb),
            command::WRITE_EVENT_DATA | command::READ_EVENT_DATA | command::WRITE_EVENT_MASK if crosses => {
                Response::BoundaryViolation
            }
            command::WRITE_EVENT_DATA => self.events.write(sccb),
            command::READ_EVENT_DATA => self.events.read(sccb),
            command::WRITE_EVENT_MASK => self.events.write_mask(sccb),
            _ => Response::InvalidCommand,
        }
    }

    /// Signals that an event waits, if `change` made it so. While one waits, the guest knows already.
    fn announce<T>(&mut self, change: impl FnOnce(&mut Events) -> T) -> T {
        let pending = self.events.pending();
        let result = change(&mut self.events);
        if !pending && self.events.pending() {
            (self.signal)(SIGNAL_EVENT_PENDING);
        }
        result
    }
}

/// By signal quiesce. A repeat does nothing until the guest has read the request.
impl Shutdown for Sclp {
    fn ask(&mut self) -> bool {
        self.announce(Events::quiesce)
    }
}

/// Calls end at once, and what the machine has is told by who makes it. What is left is the event facility; the guest has been
/// signalled of events that wait.
impl Save for Sclp {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::of(&self.events.state()))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        self.events.restore(saved)
    }
}

impl Reset for Sclp {
    fn reset(&mut self) {
        self.events.reset();
    }
}

/// Input goes to the VT220 console if the guest listens there, else, line by line, to line mode; if it listens on both, to
/// the one that it wrote to last.
impl Input for Sclp {
    fn room(&self) -> usize {
        self.events.room()
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        self.announce(|events| events.take(bytes))
    }
}

//! The API's thread: clients of the control socket, any number of them bound to do no harm.
//!
//! It polls, and waits for nobody: a request that asks the control thread for something is answered when the answer has come. One
//! request a connection, so there is no state between two.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::api::{self, Action};
use super::http::{self, Response};
use super::{Link, Note};

/// How much clients may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections. One more, and the one that has been without a whole request for longest is ended.
    pub connections: usize,
    /// How long a request may take to come, and a client to read its answer.
    pub client: Duration,
    /// How long the control thread may take.
    pub answer: Duration,
    /// Bytes of events that a client has not read.
    pub events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let (client, answer) = (Duration::from_secs(10), Duration::from_secs(10));
        Limits { connections: 64, client, answer, events: 64 << 10 }
    }
}

/// How long what is left of a refused request is read, so that the client gets to the answer.
const DRAIN: Duration = Duration::from_secs(1);

/// How long clients have to take what was sent to them when the machine ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long there are no new connections when there is no descriptor for one.
const NO_DESCRIPTOR: Duration = Duration::from_millis(100);

/// Bytes that are read at once.
const CHUNK: usize = 4 << 10;

/// What a connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request comes.
    Reading,
    /// The control thread has it, with this ticket.
    Waiting(u64),
    /// The answer goes.
    Answering,
    /// It has gone; the client may still be sending.
    Draining,
    /// Events go.
    Listening,
}

struct Connection {
    stream: UnixStream,
    phase: Phase,
    /// What has come.
    input: Vec<u8>,
    /// What is to go.
    output: Vec<u8>,
    /// When the phase has lasted too long; `None` where it may last for ever.
    deadline: Option<Instant>,
}

/// Serves clients until the control thread ends it.
pub(super) fn serve(listener: &UnixListener, link: &Link, limits: Limits) {
    let mut server =
        Server { link, limits, connections: Vec::new(), tickets: 0, events: 0, deaf_until: None };
    if let Err(error) = server.run(listener) {
        tracing::error!("the control socket is no longer served: {error}");
    }
}

struct Server<'a> {
    link: &'a Link,
    limits: Limits,
    connections: Vec<Connection>,
    tickets: u64,
    /// Events so far.
    events: u64,
    /// There is no descriptor for another connection until then.
    deaf_until: Option<Instant>,
}

impl Server<'_> {
    fn run(&mut self, listener: &UnixListener) -> io::Result<()> {
        loop {
            let ready = self.wait(Some(listener), None)?;
            for (index, _) in ready.iter().enumerate().skip(2).filter(|(_, ready)| **ready) {
                self.progress(index - 2);
            }
            if ready.first() == Some(&true) && !self.take_notes() {
                break;
            }
            if ready.get(1) == Some(&true) {
                self.accept(listener);
            }
            self.expire(Instant::now());
        }
        let end = Instant::now() + FAREWELL;
        // Whoever still waits for an answer or for events gets no more than what there is.
        self.connections.retain(|connection| !connection.output.is_empty());
        while !self.connections.is_empty() && Instant::now() < end {
            self.wait(None, Some(end))?;
            self.connections.iter_mut().for_each(|connection| {
                connection.send();
            });
            self.connections.retain(|connection| !connection.output.is_empty());
        }
        Ok(())
    }

    /// Waits until there is something to do: for notes, for new clients, for each client.
    fn wait(&mut self, listener: Option<&UnixListener>, end: Option<Instant>) -> io::Result<Vec<bool>> {
        let now = Instant::now();
        self.deaf_until = self.deaf_until.filter(|until| *until > now);
        let listens = listener.is_some() && self.deaf_until.is_none();
        let mut fds = vec![PollFd::new(
            &self.link.own,
            if listener.is_some() { PollFlags::IN } else { PollFlags::empty() },
        )];
        if let Some(listener) = listener {
            fds.push(PollFd::new(listener, if listens { PollFlags::IN } else { PollFlags::empty() }));
        }
        fds.extend(
            self.connections.iter().map(|connection| PollFd::new(&connection.stream, connection.interest())),
        );
        let deadlines = self.connections.iter().filter_map(|connection| connection.deadline);
        let next = deadlines.chain(self.deaf_until).chain(end).min();
        let timeout = next.map(|next| next.saturating_duration_since(now));
        let timeout = timeout.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect())
    }

    fn accept(&mut self, listener: &UnixListener) {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionAborted
                ) =>
            {
                return;
            }
            Err(error) => {
                tracing::warn!("a client of the control socket has to wait: {error}");
                self.deaf_until = Some(Instant::now() + NO_DESCRIPTOR);
                return;
            }
        };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        if self.connections.len() >= self.limits.connections {
            // The first is the oldest.
            let idle = self.connections.iter().position(|connection| connection.phase == Phase::Reading);
            self.connections.remove(idle.unwrap_or(0));
        }
        let deadline = Some(Instant::now() + self.limits.client);
        let (input, output) = (Vec::new(), Vec::new());
        self.connections.push(Connection { stream, phase: Phase::Reading, input, output, deadline });
    }

    /// A connection is ready for something.
    fn progress(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        match connection.phase {
            Phase::Reading => match connection.receive() {
                Ok(ended) => self.read_request(index, ended),
                Err(_) => connection.close(),
            },
            // Its client has gone.
            Phase::Waiting(_) => connection.close(),
            Phase::Answering | Phase::Listening => {
                connection.send();
            }
            Phase::Draining => connection.drain(),
        }
    }

    fn read_request(&mut self, index: usize, ended: bool) {
        let (limits, ticket) = (self.limits, self.tickets);
        let Some(connection) = self.connections.get_mut(index) else { return };
        let request = match http::parse(&connection.input) {
            Ok(Some(request)) => request,
            Ok(None) if ended && connection.input.is_empty() => return connection.close(),
            Ok(None) if ended => {
                return connection.answer(Response::error(400, "the request has no end"), limits.client);
            }
            Ok(None) => return,
            Err(response) => return connection.answer(response, limits.client),
        };
        connection.input = Vec::new();
        match api::route(&request) {
            Action::Answer(response) => connection.answer(response, limits.client),
            Action::Listen => {
                connection.phase = Phase::Listening;
                connection.deadline = None;
                connection.output = http::stream_head();
                connection.send();
            }
            Action::Ask(command) => {
                connection.phase = Phase::Waiting(ticket);
                connection.deadline = Some(Instant::now() + limits.answer);
                self.tickets += 1;
                if !self.link.send(command, ticket) {
                    connection.answer(Response::error(503, "the machine ends"), limits.client);
                }
            }
        }
    }

    /// Passes on what the control thread has told. `false` when there is no more to come.
    fn take_notes(&mut self) -> bool {
        self.link.own.clear();
        loop {
            match self.link.notes.try_recv() {
                Ok(Note::Answer(ticket, answer)) => {
                    let client = self.limits.client;
                    let asked = |connection: &&mut Connection| connection.phase == Phase::Waiting(ticket);
                    if let Some(connection) = self.connections.iter_mut().find(asked) {
                        connection.answer(api::response(answer), client);
                    }
                }
                Ok(Note::Event(event)) => self.tell(&event),
                Ok(Note::End) | Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
            }
        }
    }

    fn tell(&mut self, event: &super::Event) {
        self.events += 1;
        let Ok(data) = serde_json::to_string(event) else { return };
        let text = format!("id: {}\nevent: {}\ndata: {data}\n\n", self.events, event.name());
        for connection in &mut self.connections {
            if connection.phase == Phase::Listening {
                if connection.output.len() + text.len() > self.limits.events {
                    // It would not know what it has missed.
                    connection.close();
                    continue;
                }
                connection.output.extend(text.as_bytes());
                connection.send();
            }
        }
    }

    /// Ends what has lasted too long, and drops what has ended.
    fn expire(&mut self, now: Instant) {
        let limits = self.limits;
        for connection in &mut self.connections {
            if connection.deadline.is_none_or(|deadline| deadline > now) {
                continue;
            }
            match connection.phase {
                Phase::Reading => {
                    connection
                        .answer(Response::error(408, "the request did not come in time"), limits.client);
                }
                Phase::Waiting(_) => connection.answer(
                    Response::error(504, "the machine does not answer; it may still do what was asked for"),
                    limits.client,
                ),
                Phase::Answering | Phase::Draining | Phase::Listening => connection.close(),
            }
        }
        self.connections.retain(|connection| !connection.is_closed());
    }
}

impl Connection {
    fn interest(&self) -> PollFlags {
        match self.phase {
            Phase::Reading | Phase::Draining => PollFlags::IN,
            // That the client has gone shows all the same.
            Phase::Waiting(_) => PollFlags::empty(),
            Phase::Answering | Phase::Listening if self.output.is_empty() => PollFlags::empty(),
            Phase::Answering | Phase::Listening => PollFlags::OUT,
        }
    }

    /// Has it dropped in this turn of the loop.
    fn close(&mut self) {
        self.phase = Phase::Draining;
        self.output.clear();
        self.deadline = None;
    }

    fn is_closed(&self) -> bool {
        self.phase == Phase::Draining && self.deadline.is_none()
    }

    /// Takes what has come; whether that is all.
    fn receive(&mut self) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        // More than a request has is not read.
        while self.input.len() <= http::MAX_HEAD + http::MAX_BODY {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(true),
                Ok(len) => self.input.extend(chunk.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn answer(&mut self, response: Response, time: Duration) {
        self.phase = Phase::Answering;
        self.deadline = Some(Instant::now() + time);
        self.input = Vec::new();
        self.output = response.into_bytes();
        self.send();
    }

    /// Sends what the client takes.
    fn send(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(len) => drop(self.output.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.close(),
            }
        }
        if self.phase == Phase::Answering {
            // The client sees the end of the answer; what it still sends must not cut that off.
            let gone = self.stream.shutdown(std::net::Shutdown::Write).is_err();
            self.phase = Phase::Draining;
            self.deadline = Some(Instant::now() + DRAIN).filter(|_| !gone);
        } else if self.phase == Phase::Listening && self.is_gone() {
            self.close();
        }
    }

    /// Whether the client has closed its end.
    fn is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.stream, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&at_once)).is_ok() && !fds[0].revents().is_empty()
    }

    /// Takes what nobody wants, a piece in each turn.
    fn drain(&mut self) {
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(len) if len > 0 => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            _ => self.close(),
        }
    }
}

#[cfg(test)]
mod tests;

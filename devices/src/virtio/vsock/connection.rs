//! One connection between a port of the guest's and a stream of the host's (VIRTIO 1.2, 5.10.6).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use vm_memory::{ReadVolatile, VolatileMemoryError, WriteVolatile};
use vmm_sys_util::epoll::EventSet;

use super::packet::{Header, Pieces, op, shutdown};

/// What the guest may send without the host's end having taken it, in bytes; kept in memory for each connection.
pub const BUFFER: u32 = 128 << 10;

/// What becomes of a connection.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Goes,
    /// It ends, and the guest is told by an RST.
    Reset,
    /// It has ended, and the guest knows.
    Over,
}

/// A packet for the guest: the part of its header that is the connection's. Data has been written already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// What it is for.
    pub op: u16,
    /// Flags of that.
    pub flags: u32,
    /// Bytes of data.
    pub len: u32,
    /// Bytes that have left the buffer.
    pub fwd_cnt: u32,
}

/// What the guest is to be told, beside data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Due {
    request: bool,
    response: bool,
    credit_update: bool,
}

/// The guest's buffer, as far as is known.
#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    buf_alloc: u32,
    fwd_cnt: u32,
    /// Bytes that it was sent, modulo 2^32.
    sent: u32,
}

impl Peer {
    /// Bytes that may be sent.
    const fn credit(self) -> u32 {
        // What is in flight would be more than there is room for only if the guest's numbers make no sense.
        self.buf_alloc.saturating_sub(self.sent.wrapping_sub(self.fwd_cnt))
    }
}

/// A connection: bytes go between packets and a stream that never blocks. It does no more than it is asked for.
pub struct Connection {
    stream: UnixStream,
    /// Told to the stream once the guest has accepted; `None` from then on.
    greeting: Option<String>,
    due: Due,
    peer: Peer,
    /// Where the guest was with its buffer when it was last asked for credit.
    asked_at: Option<u32>,
    /// Whether the stream may have something to read: it is edge-triggered.
    readable: bool,
    /// Nothing more comes from the stream.
    ended: bool,
    /// The stream takes nothing more.
    broken: bool,
    /// Bytes of the guest's that the stream did not take yet; at most [`BUFFER`].
    pending: VecDeque<u8>,
    /// Bytes of the guest's that are not pending any more, modulo 2^32.
    forwarded: u32,
    /// The part of these that the guest knows of.
    told: u32,
    /// What the guest said it would not do any more.
    guest_shutdown: u32,
    /// What the guest was told that the host would not do any more.
    host_shutdown: u32,
    /// The part of what the guest said that the stream knows.
    stream_shutdown: u32,
    /// The guest has forgotten it; what is pending still goes to the stream.
    orphan: bool,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        Connection {
            stream,
            greeting: None,
            due: Due::default(),
            peer: Peer::default(),
            asked_at: None,
            readable: true,
            ended: false,
            broken: false,
            pending: VecDeque::new(),
            forwarded: 0,
            told: 0,
            guest_shutdown: 0,
            host_shutdown: 0,
            stream_shutdown: 0,
            orphan: false,
        }
    }

    /// One that the guest asked for with this packet, over a stream to whom it asked for.
    pub fn accepted(stream: UnixStream, request: &Header) -> Self {
        let mut connection = Self::new(stream);
        connection.due.response = true;
        connection.hear(request);
        connection
    }

    /// One that the stream's other end asks the guest for. That end gets `greeting` when the guest has accepted.
    pub fn requested(stream: UnixStream, greeting: String) -> Self {
        let mut connection = Self::new(stream);
        connection.due.request = true;
        connection.greeting = Some(greeting);
        connection
    }

    /// Whether the guest has forgotten it, so that its ports may be used again.
    pub const fn is_orphan(&self) -> bool {
        self.orphan
    }

    /// Takes a packet of the guest's, with its data.
    pub fn take(&mut self, header: &Header, data: &Pieces<'_>) -> Fate {
        self.hear(header);
        match header.op {
            op::RESPONSE => self.open(),
            op::RST => self.forget(),
            op::SHUTDOWN => {
                self.guest_shutdown |= header.flags & shutdown::BOTH;
                self.settle()
            }
            op::RW => self.take_data(header, data),
            op::CREDIT_UPDATE => Fate::Goes,
            op::CREDIT_REQUEST => {
                self.due.credit_update = true;
                Fate::Goes
            }
            _ => Fate::Reset,
        }
    }

    /// Every packet tells of the guest's buffer.
    const fn hear(&mut self, header: &Header) {
        self.peer.buf_alloc = header.buf_alloc;
        self.peer.fwd_cnt = header.fwd_cnt;
    }

    fn open(&mut self) -> Fate {
        let Some(greeting) = self.greeting.take().filter(|_| !self.due.request) else { return Fate::Reset };
        // The first bytes to go there: there is room for them, or nobody any more.
        match self.stream.write_all(greeting.as_bytes()) {
            Ok(()) => Fate::Goes,
            Err(_) => Fate::Reset,
        }
    }

    fn forget(&mut self) -> Fate {
        // A guest that has closed its socket in good order may lose patience before the stream has taken everything.
        self.orphan = self.guest_shutdown == shutdown::BOTH && !self.pending.is_empty();
        if self.orphan { Fate::Goes } else { Fate::Over }
    }

    fn take_data(&mut self, header: &Header, data: &Pieces<'_>) -> Fate {
        let kept = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
        let is_open = self.greeting.is_none() && self.guest_shutdown & shutdown::SEND == 0;
        if !is_open || kept.saturating_add(header.len) > BUFFER {
            return Fate::Reset;
        }
        for piece in data.iter() {
            let mut rest = *piece;
            while !rest.is_empty() && self.pending.is_empty() && !self.broken {
                match (&self.stream).write_volatile(&rest) {
                    Ok(count) => {
                        self.forward(count);
                        let Ok(behind) = rest.offset(count) else { return Fate::Reset };
                        rest = behind;
                    }
                    Err(error) if kind(&error) == io::ErrorKind::Interrupted => {}
                    Err(error) if kind(&error) == io::ErrorKind::WouldBlock => break,
                    Err(_) => self.broken = true,
                }
            }
            if self.broken {
                self.forward(rest.len());
                continue;
            }
            let at = self.pending.len();
            self.pending.resize(at + rest.len(), 0);
            let (_, tail) = self.pending.make_contiguous().split_at_mut(at);
            rest.copy_to(tail);
        }
        Fate::Goes
    }

    /// Bytes have left the buffer. The guest is told when it is worth a packet.
    fn forward(&mut self, count: usize) {
        // No more than the buffer's size.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.forwarded = self.forwarded.wrapping_add(count);
        let sends = self.guest_shutdown & shutdown::SEND == 0;
        if sends && self.forwarded.wrapping_sub(self.told) >= BUFFER / 2 {
            self.due.credit_update = true;
        }
    }

    /// The stream has changed: it may be read, or written, or its other end has gone.
    pub fn ready(&mut self, events: EventSet) -> Fate {
        self.readable = true;
        if events.intersects(EventSet::HANG_UP | EventSet::ERROR) {
            self.broken = true;
        }
        if self.broken && self.greeting.is_some() {
            return Fate::Reset;
        }
        self.flush();
        self.settle()
    }

    /// Gives the stream what is pending.
    fn flush(&mut self) {
        while !self.pending.is_empty() && !self.broken {
            match self.stream.write(self.pending.as_slices().0) {
                Ok(count) => {
                    self.pending.drain(..count);
                    self.forward(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.broken = true,
            }
        }
        if self.broken {
            self.forward(self.pending.len());
            self.pending.clear();
        }
    }

    /// Ends what the guest has ended: what it sent before gets to the stream first.
    fn settle(&mut self) -> Fate {
        if self.guest_shutdown & shutdown::RECEIVE != 0 {
            self.ended = true;
            self.shut_down(shutdown::RECEIVE, Shutdown::Read);
        }
        if !self.pending.is_empty() {
            return Fate::Goes;
        }
        if self.orphan {
            return Fate::Over;
        }
        if self.guest_shutdown == shutdown::BOTH {
            return Fate::Reset;
        }
        if self.guest_shutdown & shutdown::SEND != 0 {
            self.shut_down(shutdown::SEND, Shutdown::Write);
        }
        Fate::Goes
    }

    /// Shuts the stream down in one direction, once: each time is an event of the stream's.
    fn shut_down(&mut self, flag: u32, how: Shutdown) {
        if self.stream_shutdown & flag == 0 {
            self.stream_shutdown |= flag;
            // It fails when the other end has gone: then there is nothing to shut down.
            _ = self.stream.shutdown(how);
        }
    }

    /// Whether [`Connection::give`] may have something.
    pub fn has_something(&self) -> bool {
        !self.orphan
            && (self.due.request
                || self.due.response
                || self.greeting.is_none()
                    && (self.due.credit_update || self.is_readable() || self.shutdown_due() != 0))
    }

    /// Whether data may be there that the guest can take, or has to be asked to.
    fn is_readable(&self) -> bool {
        self.readable && !self.ended && (self.peer.credit() > 0 || !self.asked())
    }

    /// Whether the guest has been asked for credit that it did not give yet.
    fn asked(&self) -> bool {
        self.asked_at == Some(self.peer.fwd_cnt)
    }

    /// What the host will not do any more, unless the guest knows, or does not care.
    const fn shutdown_due(&self) -> u32 {
        let receives_no_more = self.broken && self.guest_shutdown & shutdown::SEND == 0;
        let sends_no_more = self.ended && self.guest_shutdown & shutdown::RECEIVE == 0;
        let receive = if receives_no_more { shutdown::RECEIVE } else { 0 };
        let send = if sends_no_more { shutdown::SEND } else { 0 };
        (receive | send) & !self.host_shutdown
    }

    /// The next packet for the guest, if there is one. Data goes to `room`.
    pub fn give(&mut self, room: &Pieces<'_>) -> Option<Outgoing> {
        let (op, flags, len) = self.next(room)?;
        if op == op::CREDIT_UPDATE {
            self.due.credit_update = false;
        }
        // Every packet tells of the buffer.
        self.told = self.forwarded;
        Some(Outgoing { op, flags, len, fwd_cnt: self.forwarded })
    }

    fn next(&mut self, room: &Pieces<'_>) -> Option<(u16, u32, u32)> {
        if std::mem::take(&mut self.due.request) {
            return Some((op::REQUEST, 0, 0));
        }
        if std::mem::take(&mut self.due.response) {
            return Some((op::RESPONSE, 0, 0));
        }
        if self.greeting.is_some() || self.orphan {
            return None;
        }
        if self.due.credit_update {
            return Some((op::CREDIT_UPDATE, 0, 0));
        }
        if self.is_readable() {
            if self.peer.credit() == 0 {
                self.asked_at = Some(self.peer.fwd_cnt);
                return Some((op::CREDIT_REQUEST, 0, 0));
            }
            let len = self.read(room);
            if len > 0 {
                self.peer.sent = self.peer.sent.wrapping_add(len);
                return Some((op::RW, 0, len));
            }
        }
        let due = self.shutdown_due();
        if due == 0 {
            return None;
        }
        self.host_shutdown |= due;
        Some((op::SHUTDOWN, self.host_shutdown, 0))
    }

    /// Reads from the stream into `room`, no more than the guest has credit for. Returns how many bytes.
    fn read(&mut self, room: &Pieces<'_>) -> u32 {
        let mut total = 0;
        for piece in room.iter() {
            let rest = usize::try_from(self.peer.credit() - total).unwrap_or(usize::MAX);
            let Ok(mut piece) = piece.subslice(0, piece.len().min(rest)) else { break };
            if piece.is_empty() {
                continue;
            }
            match (&self.stream).read_volatile(&mut piece) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    total += u32::try_from(count).unwrap_or(u32::MAX);
                    if count == piece.len() {
                        continue;
                    }
                    // Less than there was room for: the rest comes with the next call, or there is none.
                }
                Err(error) if kind(&error) == io::ErrorKind::Interrupted => {}
                Err(error) if kind(&error) == io::ErrorKind::WouldBlock => self.readable = false,
                Err(_) => (self.ended, self.broken) = (true, true),
            }
            break;
        }
        total
    }
}

fn kind(error: &VolatileMemoryError) -> io::ErrorKind {
    match error {
        VolatileMemoryError::IOError(error) => error.kind(),
        _ => io::ErrorKind::Other,
    }
}

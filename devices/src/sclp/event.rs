//! The event facility: messages of the guest to us, and events for the guest.

use super::input::{AsciiInput, LineInput, LineState};
use super::message;
use super::sccb::{HEADER, Response, Sccb, u16_at};
use crate::saved::{self, Saved, state};
use crate::{Hook, Sink};

/// Types of events.
mod kind {
    pub const COMMAND: u8 = 0x01;
    pub const MESSAGE: u8 = 0x02;
    pub const ASCII: u8 = 0x1a;
    pub const QUIESCE: u8 = 0x1d;
}

/// The bit of a type in an event mask: type 1 is the leftmost.
const fn mask(kind: u8) -> u32 {
    1 << (32 - kind as u32)
}

/// What we send to guests that ask for it, and what guests may send to us. Neither changes while a machine runs, so
/// there are no state-change events.
const SENDS: u32 = mask(kind::COMMAND) | mask(kind::ASCII) | mask(kind::QUIESCE);
const RECEIVES: u32 = mask(kind::MESSAGE) | mask(kind::ASCII);

/// Bytes of an event buffer's header: length, type, flags, reserved.
const EVENT_HEADER: usize = 6;
/// Offset of the flags, and the flag of an event that was taken.
const EVENT_FLAGS: usize = 3;
const EVENT_ACCEPTED: u8 = 0x80;

/// WRITE EVENT MASK: offsets of the masks' length and of the first mask, and the longest that they may be.
const MASK_LENGTH: usize = 10;
const MASKS: usize = 12;
const MAX_MASK_LENGTH: usize = 1021;
/// Bytes of a mask until the guest has one.
const INITIAL_MASK_LENGTH: usize = 4;

/// Function codes of READ EVENT DATA: whatever the guest receives, or what a mask behind the header selects.
const READ_ALL: u8 = 0;
const READ_SELECTED: u8 = 1;
/// Function code of WRITE EVENT DATA.
const WRITE_NORMAL: u8 = 0;

/// A signal-quiesce event behind its header: the time that the guest has, and its unit. It has as long as it likes.
const QUIESCE_DATA: [u8; 3] = [0; 3];
/// Input to the VT220 console begins with a byte that says so.
const ASCII_DATA: u8 = 0;

/// The consoles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Console {
    Ascii,
    Line,
}

/// State of the event facility.
pub(super) struct Events {
    /// Events that the guest receives.
    receives: u32,
    /// Bytes of a mask, as the guest last had it.
    mask_length: usize,
    quiesce: bool,
    ascii: AsciiInput,
    lines: LineInput,
    /// The console that the guest wrote to last.
    console: Console,
    sink: Box<dyn Sink>,
    drained: Hook,
}

impl Events {
    pub(super) fn new(sink: Box<dyn Sink>, drained: Hook) -> Self {
        Events {
            receives: 0,
            mask_length: INITIAL_MASK_LENGTH,
            quiesce: false,
            ascii: AsciiInput::default(),
            lines: LineInput::default(),
            console: Console::Ascii,
            sink,
            drained,
        }
    }

    /// Forgets the guest: what it listens to, and what it has not read.
    pub(super) fn reset(&mut self) {
        self.receives = 0;
        self.mask_length = INITIAL_MASK_LENGTH;
        self.quiesce = false;
        self.ascii = AsciiInput::default();
        self.lines = LineInput::default();
        self.console = Console::Ascii;
    }

    /// Events that wait and that the guest receives.
    fn ready(&self) -> u32 {
        let waits = |waits: bool, kind| if waits { mask(kind) } else { 0 };
        self.receives
            & (waits(self.quiesce, kind::QUIESCE)
                | waits(!self.ascii.is_empty(), kind::ASCII)
                | waits(!self.lines.is_empty(), kind::COMMAND))
    }

    /// Whether the guest has something to read.
    pub(super) fn pending(&self) -> bool {
        self.ready() != 0
    }

    /// Asks the guest to shut down. Returns whether it listens.
    pub(super) fn quiesce(&mut self) -> bool {
        self.quiesce = self.receives & mask(kind::QUIESCE) != 0;
        self.quiesce
    }

    /// The console that input goes to: of two the one that the guest wrote to last, as that is the one that is used.
    fn target(&self) -> Option<Console> {
        let receives = |kind| self.receives & mask(kind) != 0;
        match (receives(kind::ASCII), receives(kind::COMMAND)) {
            (true, true) => Some(self.console),
            (true, false) => Some(Console::Ascii),
            (false, true) => Some(Console::Line),
            (false, false) => None,
        }
    }

    /// Bytes of input that can be taken.
    pub(super) fn room(&self) -> usize {
        match self.target() {
            Some(Console::Ascii) => self.ascii.room(),
            Some(Console::Line) => self.lines.room(),
            None => 0,
        }
    }

    /// Takes input, as much as there is room for.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            match self.target().filter(|_| self.room() > 0) {
                Some(Console::Ascii) => self.ascii.push(*byte),
                Some(Console::Line) => self.sink.echo(&self.lines.push(*byte)),
                None => break,
            }
            taken += 1;
        }
        taken
    }

    /// WRITE EVENT MASK: the guest says what it receives and sends, and is told the same of us.
    pub(super) fn write_mask(&mut self, sccb: &mut Sccb<'_>) -> Response {
        let Some(length) = u16_at(sccb.bytes(), MASK_LENGTH).map(usize::from) else {
            return Response::InsufficientLength;
        };
        if length == 0 || length > MAX_MASK_LENGTH {
            return Response::InvalidMaskLength;
        }
        let Some(masks) = sccb.bytes().get(MASKS..MASKS + 4 * length) else {
            return Response::InsufficientLength;
        };
        let had_room = self.room() > 0;
        self.receives = read_mask(masks, length);
        self.mask_length = length;
        for (place, mask) in [(2, RECEIVES), (3, SENDS)] {
            let mask = mask.to_be_bytes().into_iter().chain(std::iter::repeat(0)).take(length);
            sccb.put(MASKS + place * length, &mask.collect::<Vec<u8>>());
        }
        if !had_room && self.room() > 0 {
            (self.drained)();
        }
        Response::Complete
    }

    /// WRITE EVENT DATA: events of the guest. All are checked before the first is carried out.
    pub(super) fn write(&mut self, sccb: &mut Sccb<'_>) -> Response {
        if sccb.function() != WRITE_NORMAL {
            return Response::InvalidFunction;
        }
        let mut rest: &[u8] = sccb.body();
        while !rest.is_empty() {
            let length = u16_at(rest, 0).map_or(0, usize::from);
            match rest.get(length..) {
                Some(next) if length >= EVENT_HEADER => rest = next,
                _ => return Response::EventSyntax,
            }
        }
        let mut rest = sccb.body();
        while let Some(length) = u16_at(rest, 0).map(usize::from) {
            let Some((event, next)) = rest.split_at_mut_checked(length) else { break };
            if let Err(response) = self.write_one(event) {
                return response;
            }
            if let Some(flags) = event.get_mut(EVENT_FLAGS) {
                *flags |= EVENT_ACCEPTED;
            }
            rest = next;
        }
        Response::Complete
    }

    fn write_one(&mut self, event: &[u8]) -> Result<(), Response> {
        let data = event.get(EVENT_HEADER..).unwrap_or_default();
        match event.get(2) {
            Some(&kind::MESSAGE) => {
                let mut text = String::new();
                for line in message::lines(data)? {
                    text.push_str(&line);
                    text.push_str("\r\n");
                }
                self.console = Console::Line;
                self.sink.put(text.as_bytes());
                Ok(())
            }
            Some(&kind::ASCII) => {
                self.console = Console::Ascii;
                self.sink.put(data);
                Ok(())
            }
            _ => Err(Response::InvalidFunction),
        }
    }

    /// READ EVENT DATA: as many of the waiting events as fit.
    pub(super) fn read(&mut self, sccb: &mut Sccb<'_>) -> Response {
        let selected = match sccb.function() {
            READ_ALL => self.receives,
            READ_SELECTED => {
                let selected = read_mask(sccb.body(), self.mask_length);
                if self.receives == 0 || selected & !self.receives != 0 {
                    return Response::InvalidSelection;
                }
                selected
            }
            _ => return Response::InvalidFunction,
        };
        if self.ready() & selected == 0 {
            return Response::NoEvents;
        }
        let had_input = self.ready() & !mask(kind::QUIESCE) & selected != 0;
        // What follows the last event is zero: a length of zero ends the list.
        let room = sccb.body().len();
        let mut events = Vec::new();
        while let Some((kind, data)) = self.next_event(selected, room - events.len()) {
            let length = u16::try_from(EVENT_HEADER + data.len()).unwrap_or(u16::MAX);
            events.extend(length.to_be_bytes());
            events.extend([kind, 0, 0, 0]);
            events.extend(data);
        }
        if events.is_empty() {
            return Response::InsufficientLength;
        }
        sccb.body().fill(0);
        sccb.put(HEADER, &events);
        sccb.shorten(HEADER + events.len());
        if had_input {
            (self.drained)();
        }
        Response::Complete
    }

    /// Takes out the next event that fits into `room` bytes: its type, and what follows its header.
    fn next_event(&mut self, selected: u32, room: usize) -> Option<(u8, Vec<u8>)> {
        let ready = self.ready() & selected;
        let room = room.checked_sub(EVENT_HEADER)?;
        if ready & mask(kind::QUIESCE) != 0 && room >= QUIESCE_DATA.len() {
            self.quiesce = false;
            return Some((kind::QUIESCE, QUIESCE_DATA.to_vec()));
        }
        if ready & mask(kind::ASCII) != 0 && room >= 2 {
            let data = std::iter::once(ASCII_DATA).chain(self.ascii.pop(room - 1)).collect();
            return Some((kind::ASCII, data));
        }
        if ready & mask(kind::COMMAND) != 0
            && self.lines.next_len().is_some_and(|len| len + message::COMMAND_OVERHEAD <= room)
        {
            return Some((kind::COMMAND, message::command(&self.lines.pop()?)));
        }
        None
    }
}

state! {
    /// [`Events`].
    pub(super) struct EventState: "sclp", 1 {
        receives: u32,
        mask_length: u16,
        quiesce: bool,
        ascii: Vec<u8>,
        lines: LineState,
        /// The console that the guest wrote to last is the one in line mode.
        in_line_mode: bool,
    }
}

impl Events {
    pub(super) fn state(&self) -> EventState {
        EventState {
            receives: self.receives,
            // At most 1021.
            mask_length: u16::try_from(self.mask_length).unwrap_or_default(),
            quiesce: self.quiesce,
            ascii: self.ascii.state(),
            lines: self.lines.state(),
            in_line_mode: self.console == Console::Line,
        }
    }

    pub(super) fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let state: EventState = saved.get()?;
        let mask_length = usize::from(state.mask_length);
        saved.check((1..=MAX_MASK_LENGTH).contains(&mask_length), "a mask's length")?;
        let too_much = saved::Error::Invalid { kind: saved.kind, what: "more input than there is room for" };
        let input = AsciiInput::restored(state.ascii).zip(LineInput::restored(state.lines));
        (self.ascii, self.lines) = input.ok_or(too_much)?;
        self.receives = state.receives;
        self.mask_length = mask_length;
        self.quiesce = state.quiesce;
        self.console = if state.in_line_mode { Console::Line } else { Console::Ascii };
        Ok(())
    }
}

/// The first 32 bits of a mask of `length` bytes; a shorter one has zeros there.
fn read_mask(bytes: &[u8], length: usize) -> u32 {
    let mut mask = [0; 4];
    mask.iter_mut().zip(bytes.iter().take(length)).for_each(|(to, from)| *to = *from);
    u32::from_be_bytes(mask)
}

//! The service-call control block: big-endian fields at offsets, none of them trusted.

/// Bytes of the header: length, function code, control mask, response code.
pub(super) const HEADER: usize = 8;
/// Offset of the function code.
const FUNCTION: usize = 2;
/// Offset of the control mask's last byte.
const CONTROL: usize = 5;
/// In it: the response may be shorter than the block, and says so in its length.
const VARIABLE_LENGTH: u8 = 0x80;
/// Offset of the response code.
const RESPONSE: usize = 6;

/// Response codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Response {
    /// Information was read.
    ReadComplete,
    /// The command is done.
    Complete,
    /// The block crosses a page where it must not.
    BoundaryViolation,
    /// The command does not exist.
    InvalidCommand,
    /// The block is too short.
    InsufficientLength,
    /// The function code, or an event's type, does not exist.
    InvalidFunction,
    /// There are no events to read.
    NoEvents,
    /// Events were asked for that the guest does not receive.
    InvalidSelection,
    /// Lengths within an event contradict each other.
    InconsistentLengths,
    /// The events do not fill the block.
    EventSyntax,
    /// Event masks can't have this length.
    InvalidMaskLength,
}

impl Response {
    const fn code(self) -> u16 {
        match self {
            Response::ReadComplete => 0x0010,
            Response::Complete => 0x0020,
            Response::BoundaryViolation => 0x0100,
            Response::InvalidCommand => 0x01f0,
            Response::InsufficientLength => 0x0300,
            Response::InvalidFunction => 0x40f0,
            Response::NoEvents => 0x60f0,
            Response::InvalidSelection => 0x70f0,
            Response::InconsistentLengths => 0x72f0,
            Response::EventSyntax => 0x73f0,
            Response::InvalidMaskLength => 0x74f0,
        }
    }
}

/// Reads a big-endian halfword; `None` beyond the end.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// A block of at least a header.
pub(super) struct Sccb<'a>(&'a mut [u8]);

impl<'a> Sccb<'a> {
    /// Takes a block; `None` if it has no room for a header.
    pub(super) fn new(bytes: &'a mut [u8]) -> Option<Self> {
        (bytes.len() >= HEADER).then_some(Sccb(bytes))
    }

    /// The length that the block says it has.
    pub(super) fn length(&self) -> usize {
        u16_at(self.0, 0).map_or(0, usize::from)
    }

    /// Cuts the block to the length that it says it has; `false` if that can't be.
    pub(super) fn cut(&mut self) -> bool {
        let length = self.length();
        let bytes = std::mem::take(&mut self.0);
        let fits = (HEADER..=bytes.len()).contains(&length);
        let end = if fits { length } else { bytes.len() };
        self.0 = bytes.split_at_mut(end).0;
        fits
    }

    /// The function code.
    pub(super) fn function(&self) -> u8 {
        self.0.get(FUNCTION).copied().unwrap_or(0)
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0
    }

    /// What follows the header.
    pub(super) fn body(&mut self) -> &mut [u8] {
        self.0.get_mut(HEADER..).unwrap_or_default()
    }

    /// Writes bytes. What does not fit is not written: callers check the length before.
    pub(super) fn put(&mut self, offset: usize, bytes: &[u8]) {
        if let Some(field) = self.0.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len())) {
            field.copy_from_slice(bytes);
        }
    }

    /// Sets the length field.
    pub(super) fn set_length(&mut self, length: usize) {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.put(0, &length.to_be_bytes());
    }

    /// Ends a response after `length` bytes, if the guest can take one that is shorter than the block.
    pub(super) fn shorten(&mut self, length: usize) {
        if let Some(control) = self.0.get_mut(CONTROL)
            && *control & VARIABLE_LENGTH != 0
        {
            *control &= !VARIABLE_LENGTH;
            self.set_length(length);
        }
    }

    /// Sets the response code.
    pub(super) fn respond(&mut self, response: Response) {
        self.put(RESPONSE, &response.code().to_be_bytes());
    }
}

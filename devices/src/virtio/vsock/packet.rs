//! Packets of the socket device (VIRTIO 1.2, 5.10.6): a header of 44 bytes, and data behind it.

use vm_memory::VolatileSlice;

/// Size of a header in bytes.
pub const HEADER_SIZE: usize = 44;

/// The host's context identifier.
pub const HOST_CID: u64 = 2;

/// The type of stream sockets.
pub const TYPE_STREAM: u16 = 1;

/// What packets are for.
pub mod op {
    /// Asks for a connection.
    pub const REQUEST: u16 = 1;
    /// Accepts it.
    pub const RESPONSE: u16 = 2;
    /// Refuses or ends a connection.
    pub const RST: u16 = 3;
    /// Announces what its sender will not do any more.
    pub const SHUTDOWN: u16 = 4;
    /// Has data.
    pub const RW: u16 = 5;
    /// Tells of buffer space.
    pub const CREDIT_UPDATE: u16 = 6;
    /// Asks for that.
    pub const CREDIT_REQUEST: u16 = 7;
}

/// Flags of [`op::SHUTDOWN`]: the sender of the packet will not receive, will not send.
pub mod shutdown {
    /// It will not receive.
    pub const RECEIVE: u32 = 1;
    /// It will not send.
    pub const SEND: u32 = 2;
    /// Both.
    pub const BOTH: u32 = RECEIVE | SEND;
}

/// A header, in the order of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Context identifier of the sender.
    pub src_cid: u64,
    /// Context identifier of the receiver.
    pub dst_cid: u64,
    /// The sender's port.
    pub src_port: u32,
    /// The receiver's port.
    pub dst_port: u32,
    /// Bytes of data behind the header.
    pub len: u32,
    /// The type of the socket.
    pub kind: u16,
    /// What it is for, one of [`op`].
    pub op: u16,
    /// Flags of that.
    pub flags: u32,
    /// Size of the sender's receive buffer in bytes.
    pub buf_alloc: u32,
    /// Bytes that have left that buffer since the connection began, modulo 2^32.
    pub fwd_cnt: u32,
}

impl Header {
    /// From its bytes.
    pub fn parse(bytes: &[u8; HEADER_SIZE]) -> Self {
        let mut rest = &bytes[..];
        Header {
            src_cid: u64::from_le_bytes(take(&mut rest)),
            dst_cid: u64::from_le_bytes(take(&mut rest)),
            src_port: u32::from_le_bytes(take(&mut rest)),
            dst_port: u32::from_le_bytes(take(&mut rest)),
            len: u32::from_le_bytes(take(&mut rest)),
            kind: u16::from_le_bytes(take(&mut rest)),
            op: u16::from_le_bytes(take(&mut rest)),
            flags: u32::from_le_bytes(take(&mut rest)),
            buf_alloc: u32::from_le_bytes(take(&mut rest)),
            fwd_cnt: u32::from_le_bytes(take(&mut rest)),
        }
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_SIZE);
        bytes.extend(self.src_cid.to_le_bytes());
        bytes.extend(self.dst_cid.to_le_bytes());
        bytes.extend(self.src_port.to_le_bytes());
        bytes.extend(self.dst_port.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.op.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.buf_alloc.to_le_bytes());
        bytes.extend(self.fwd_cnt.to_le_bytes());
        bytes
    }
}

/// The next field. All fields together are as long as a header.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((field, behind)) => {
            *rest = behind;
            *field
        }
        None => [0; N],
    }
}

/// Pieces of guest memory that together make one run of bytes.
pub struct Pieces<'a>(Vec<VolatileSlice<'a>>);

impl<'a> Pieces<'a> {
    /// Of these, in order.
    pub const fn new(pieces: Vec<VolatileSlice<'a>>) -> Self {
        Pieces(pieces)
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.0.iter().map(VolatileSlice::len).sum()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &VolatileSlice<'a>> {
        self.0.iter()
    }

    /// The first `at` bytes, and the ones behind them; `None` if there are not as many.
    pub fn split_at(self, at: usize) -> Option<(Self, Self)> {
        let (mut head, mut tail, mut rest) = (Vec::new(), Vec::new(), at);
        for piece in self.0 {
            let (front, back) = piece.split_at(rest.min(piece.len())).ok()?;
            rest -= front.len();
            head.push(front);
            tail.push(back);
        }
        (rest == 0).then_some((Pieces(head), Pieces(tail)))
    }

    /// Reads a header from the first bytes, which are as many.
    pub fn read_header(&self) -> Header {
        let (mut bytes, mut at) = ([0; HEADER_SIZE], 0);
        for piece in &self.0 {
            at += piece.copy_to(bytes.get_mut(at..).unwrap_or_default());
        }
        Header::parse(&bytes)
    }

    /// Writes a header to the first bytes, which are as many.
    pub fn write_header(&self, header: &Header) {
        self.write(&header.bytes());
    }

    /// Writes bytes from the beginning on, as many as there is room for.
    pub fn write(&self, bytes: &[u8]) {
        let mut rest = bytes;
        for piece in &self.0 {
            let (front, back) = rest.split_at(piece.len().min(rest.len()));
            piece.copy_from(front);
            rest = back;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; HEADER_SIZE] = [
        3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x80, // cids
        0x78, 0x56, 0x34, 0x12, 5, 0, 0, 0x40, // ports
        0, 2, 0, 0, 1, 0, 5, 0, 3, 0, 0, 0, // len, type, op, flags
        0, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, // buf_alloc, fwd_cnt
    ];

    #[test]
    fn a_header_is_little_endian() {
        let header = Header {
            src_cid: 0x1_0000_0003,
            dst_cid: 0x8000_0000_0000_0002,
            src_port: 0x1234_5678,
            dst_port: 0x4000_0005,
            len: 0x200,
            kind: TYPE_STREAM,
            op: op::RW,
            flags: 3,
            buf_alloc: 0x4_0000,
            fwd_cnt: u32::MAX,
        };
        assert_eq!(Header::parse(&BYTES), header);
        assert_eq!(header.bytes(), BYTES);
    }

    #[test]
    fn pieces_are_split_and_carry_headers_anywhere() {
        for cut in [0, 1, 8, 43, 44, 50] {
            let mut memory = [0u8; 60];
            let (front, back) = memory.split_at_mut(cut);
            let pieces = Pieces::new(vec![VolatileSlice::from(&mut *front), VolatileSlice::from(&mut *back)]);
            let (head, tail) = pieces.split_at(HEADER_SIZE).unwrap();
            assert_eq!((head.len(), tail.len()), (HEADER_SIZE, 16));
            head.write_header(&Header::parse(&BYTES));
            assert_eq!(head.read_header(), Header::parse(&BYTES));
            assert_eq!(memory[..HEADER_SIZE], BYTES);
        }
        let mut memory = [0u8; 4];
        let pieces = Pieces::new(vec![VolatileSlice::from(&mut memory[..])]);
        assert!(pieces.split_at(5).is_none());
    }
}

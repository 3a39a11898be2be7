//! Frames over a stream socket, each behind its length in 4 bytes, big-endian: what QEMU's `-netdev stream` speaks, and passt.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use triarch_devices::virtio::{HEADER, Link, MAX_FRAME, Offloads};
use vm_memory::VolatileSlice;

use super::scatter;

/// Bytes of the length.
const LENGTH: usize = 4;

/// Bytes that are read at once, if they are there: two of the longest frames.
const INBOX: usize = 2 * (LENGTH + MAX_FRAME);

/// A stream of frames. Clones are of the same one: it outlives the devices that use it, one after another.
#[derive(Debug, Clone)]
pub struct FrameStream(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: UnixStream,
    /// Locked by the one device that there is.
    state: Mutex<State>,
}

/// Where a stream is.
#[derive(Debug)]
struct State {
    /// What was read and not received yet is between `begin` and `end`.
    inbox: Box<[u8]>,
    begin: usize,
    end: usize,
    /// The rest of a frame of which the socket took a part.
    outbox: Vec<u8>,
    /// Whether the peer has gone, or what it says makes no sense.
    broken: bool,
}

impl FrameStream {
    /// Over a connected socket.
    ///
    /// # Errors
    /// It can't be made not to wait.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let inbox = vec![0; INBOX].into_boxed_slice();
        let state = State { inbox, begin: 0, end: 0, outbox: Vec::new(), broken: false };
        Ok(FrameStream(Arc::new(Shared { socket, state: Mutex::new(state) })))
    }

    fn state(&self) -> (&UnixStream, MutexGuard<'_, State>) {
        (&self.0.socket, self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    /// The next frame; it stays in the inbox until the next call.
    fn next(&mut self, socket: &UnixStream) -> io::Result<&[u8]> {
        loop {
            let bytes = self.inbox.get(self.begin..self.end).unwrap_or_default();
            if let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() {
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                if length > MAX_FRAME {
                    return Err(self.end_of("it sends a frame that is longer than any"));
                }
                if rest.len() >= length {
                    let at = self.begin + LENGTH;
                    self.begin = at + length;
                    return Ok(&self.inbox[at..self.begin]);
                }
            }
            self.fill(socket)?;
        }
    }

    /// Reads what there is.
    fn fill(&mut self, mut socket: &UnixStream) -> io::Result<()> {
        self.inbox.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        match socket.read(&mut self.inbox[self.end..]) {
            Ok(0) => Err(self.end_of(GONE)),
            Ok(len) => {
                self.end += len;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Nothing more comes or goes.
    fn end_of(&mut self, why: &str) -> io::Error {
        self.broken = true;
        (self.begin, self.end) = (0, 0);
        self.outbox.clear();
        io::Error::new(ErrorKind::ConnectionAborted, why)
    }

    fn receive(&mut self, socket: &UnixStream, buffers: &[VolatileSlice<'_>]) -> io::Result<usize> {
        if self.broken {
            return Err(ErrorKind::WouldBlock.into());
        }
        let frame = self.next(socket)?;
        // No checksum is left to the driver, and nothing to be cut: the header is zeros.
        let (mut rest, mut written) = ([&[0; HEADER][..], frame], 0);
        for buffer in buffers {
            let mut at = 0;
            for part in &mut rest {
                let Ok(room) = buffer.offset(at) else { break };
                let len = room.len().min(part.len());
                room.copy_from(&part[..len]);
                *part = &part[len..];
                at += len;
            }
            written += at;
        }
        Ok(written)
    }

    fn send(&mut self, socket: &UnixStream, frame: &[VolatileSlice<'_>]) -> io::Result<()> {
        self.flush(socket)?;
        if !self.outbox.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let (header, mut pieces) = behind_header(frame);
        // Neither checksums nor segments were offered, so that frames need none.
        if header[..2] != [0, 0] {
            let message = "the driver leaves work to the device that it does not do";
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }
        let len: usize = pieces.iter().map(VolatileSlice::len).sum();
        let mut length = u32::try_from(len).map_err(io::Error::other)?.to_be_bytes();
        pieces.insert(0, VolatileSlice::from(&mut length[..]));
        let mut sent = self.written(scatter::write(socket.as_fd(), &pieces))?;
        for piece in &pieces {
            let gone = sent.min(piece.len());
            sent -= gone;
            let mut rest = vec![0; piece.len() - gone];
            if let Ok(left) = piece.offset(gone) {
                left.copy_to(&mut rest);
            }
            self.outbox.append(&mut rest);
        }
        Ok(())
    }

    fn flush(&mut self, socket: &UnixStream) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, GONE));
        }
        if !self.outbox.is_empty() {
            let result = scatter::write(socket.as_fd(), &[VolatileSlice::from(&mut self.outbox[..])]);
            match self.written(result) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => drop(self.outbox.drain(..result?)),
            }
        }
        Ok(())
    }

    /// What came of writing. After an error there is no telling what the peer has got.
    fn written(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        match result {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(self.end_of(GONE))
            }
            result => result,
        }
    }
}

const GONE: &str = "the other end has gone";

impl Link for FrameStream {
    fn receive(&mut self, buffers: &[VolatileSlice<'_>]) -> io::Result<usize> {
        let (socket, mut state) = self.state();
        state.receive(socket, buffers)
    }

    fn send(&mut self, frame: &[VolatileSlice<'_>]) -> io::Result<()> {
        let (socket, mut state) = self.state();
        state.send(socket, frame)
    }

    fn flush(&mut self) -> io::Result<()> {
        let (socket, mut state) = self.state();
        if state.broken { Ok(()) } else { state.flush(socket) }
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }

    fn set_offloads(&mut self, _: Offloads) -> io::Result<()> {
        Ok(())
    }

    fn set_active(&mut self, _: bool) -> io::Result<()> {
        Ok(())
    }
}

/// The header of a frame, and the pieces of what follows it.
fn behind_header<'a>(frame: &[VolatileSlice<'a>]) -> ([u8; HEADER], Vec<VolatileSlice<'a>>) {
    let (mut header, mut at) = ([0; HEADER], 0);
    let mut pieces = Vec::with_capacity(frame.len() + 1);
    for piece in frame {
        let len = piece.copy_to(&mut header[at..]);
        at += len;
        pieces.extend(piece.offset(len).ok().filter(|rest| !rest.is_empty()));
    }
    (header, pieces)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn pair() -> (FrameStream, UnixStream) {
        let (near, far) = UnixStream::pair().unwrap();
        (FrameStream::new(near).unwrap(), far)
    }

    fn receive(stream: &mut FrameStream) -> io::Result<Vec<u8>> {
        let (mut first, mut second) = ([0xff; 5], [0xff; 20]);
        let pieces = [VolatileSlice::from(&mut first[..]), VolatileSlice::from(&mut second[..])];
        let len = stream.receive(&pieces)?;
        let all = [&first[..], &second[..]].concat();
        assert_eq!(all[..HEADER], [0; HEADER]);
        Ok(all[HEADER..len].to_vec())
    }

    fn send(stream: &mut FrameStream, header: u8, frame: &[u8]) -> io::Result<()> {
        let (mut header, mut frame) = ([header; HEADER + 1], frame.to_vec());
        header[HEADER] = 0xee;
        stream.send(&[VolatileSlice::from(&mut header[..]), VolatileSlice::from(&mut frame[..])])
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let (mut stream, mut far) = pair();
        let none = |stream: &mut FrameStream| {
            assert_eq!(receive(stream).unwrap_err().kind(), ErrorKind::WouldBlock);
        };
        none(&mut stream);
        for byte in [0, 0, 0, 3, 1, 2] {
            far.write_all(&[byte]).unwrap();
            none(&mut stream);
        }
        far.write_all(&[3, 0, 0, 0, 1, 4, 0, 0]).unwrap();
        assert_eq!(receive(&mut stream).unwrap(), [1, 2, 3]);
        assert_eq!(receive(&mut stream.clone()).unwrap(), [4]);
        none(&mut stream);
        far.write_all(&[0, 20]).unwrap();
        far.write_all(&[5; 20]).unwrap();
        assert_eq!(receive(&mut stream).unwrap(), [5; 13], "as much as there is room for");
    }

    #[test]
    fn a_peer_that_goes_or_talks_nonsense_is_told_of_once() {
        let (mut stream, mut far) = pair();
        far.write_all(&[0xff; 4]).unwrap();
        let error = receive(&mut stream).unwrap_err();
        assert!(error.to_string().contains("longer"), "{error}");
        assert_eq!(receive(&mut stream).unwrap_err().kind(), ErrorKind::WouldBlock);
        let (mut stream, far) = pair();
        drop(far);
        assert_eq!(receive(&mut stream).unwrap_err().to_string(), GONE);
        assert_eq!(receive(&mut stream).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(send(&mut stream, 0, &[]).unwrap_err().to_string(), GONE);
        let (mut stream, far) = pair();
        drop(far);
        assert_eq!(send(&mut stream, 0, &[]).unwrap_err().to_string(), GONE);
        stream.flush().unwrap();
    }

    #[test]
    fn frames_go_with_their_length_and_without_their_header() {
        let (mut stream, mut far) = pair();
        send(&mut stream, 0, &[1, 2]).unwrap();
        let mut bytes = [0; 7];
        far.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [0, 0, 0, 3, 0xee, 1, 2]);
        assert_eq!(send(&mut stream, 1, &[1, 2]).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn what_the_socket_does_not_take_at_once_goes_later() {
        let (mut stream, mut far) = pair();
        let frame = |number: u8| vec![number; 60_000 + usize::from(number)];
        let mut sent = 0;
        while send(&mut stream, 0, &frame(sent)).is_ok() {
            sent += 1;
        }
        assert!(sent > 1);
        for number in 0..sent {
            let mut length = [0; LENGTH];
            far.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
            // A part of it may still be in the outbox.
            stream.flush().unwrap();
            far.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes[1..], frame(number));
        }
        send(&mut stream, 0, &frame(0)).unwrap();
    }
}

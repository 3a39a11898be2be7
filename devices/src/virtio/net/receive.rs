//! From a link to a receive queue (VIRTIO 1.2, 5.1.6.3 and 5.1.6.4).

use std::collections::VecDeque;
use std::io::ErrorKind;

use vm_memory::VolatileSlice;

use super::{HEADER, Link};
use crate::virtio::limit::Brake;
use crate::virtio::{Chain, Queue, slices};

/// Where the number of chains that a frame takes stands in its header.
const NUM_BUFFERS: usize = 10;

/// The most pieces of memory that a frame is received into: what one `readv` takes, less the one that tells frames that are too
/// long.
const MAX_PIECES: usize = 1023;

/// A receive queue. How long a frame is, shows when it has been received, so that chains are popped ahead for the longest.
pub(super) struct Receiver {
    queue: Queue,
    /// Popped and not used, in order.
    held: VecDeque<Chain>,
    /// Bytes that fit into them.
    room: usize,
    /// Bytes of the longest frame with its header.
    longest: usize,
    /// Whether a frame may take several chains.
    mergeable: bool,
    /// Whether it has been said that the link fails, or frames do not fit.
    complained: bool,
}

/// Bytes that fit into a chain.
fn room(chain: &Chain) -> usize {
    // What is checked to be RAM of this process can be counted.
    chain.writable().iter().map(|buffer| usize::try_from(buffer.len).unwrap_or(0)).sum()
}

impl Receiver {
    pub(super) const fn new(queue: Queue, longest: usize, mergeable: bool) -> Self {
        Receiver { queue, held: VecDeque::new(), room: 0, longest, mergeable, complained: false }
    }

    /// Gives the queue back; what it holds is the driver's again.
    pub(super) fn stop(mut self) -> Queue {
        self.queue.unpop(u16::try_from(self.held.len()).unwrap_or(u16::MAX));
        self.queue
    }

    /// Receives until there is no frame, or no room for one: then the doorbell rings when there is. After as many frames as the queue is
    /// long, it rings for the rest, too, so that other queues get their turn. When `brake` lets go, it is to be called again.
    pub(super) fn run(&mut self, link: &mut impl Link, mut brake: Option<&mut Brake>) {
        let mut rest = self.queue.size();
        self.queue.mute();
        while self.gather() {
            if rest == 0 {
                self.queue.ring_again();
                break;
            }
            rest -= 1;
            if brake.as_mut().is_some_and(|brake| brake.holds()) {
                break;
            }
            match self.frame(link) {
                Ok(len) => {
                    if let Some(brake) = &mut brake {
                        brake.take(len as u64);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.complain(|| tracing::error!("nothing more comes from the network: {error}"));
                    break;
                }
            }
        }
        self.queue.notify();
    }

    /// Pops chains until there is room for any frame, or no more can come. Whether there is room.
    fn gather(&mut self) -> bool {
        let wanted = if self.mergeable { self.longest } else { 1 };
        while self.room < wanted && self.held.len() < usize::from(self.queue.size()) {
            match self.queue.pop() {
                Some(chain) => {
                    self.room += room(&chain);
                    self.held.push_back(chain);
                }
                None if self.queue.unmute() => self.queue.mute(),
                None => return false,
            }
        }
        true
    }

    /// Receives a frame. Returns its length with its header.
    fn frame(&mut self, link: &mut impl Link) -> std::io::Result<usize> {
        let usable = if self.mergeable { self.held.len() } else { 1 };
        let buffers =
            self.held.iter().take(usable).flat_map(|chain| slices(self.queue.ram(), chain.writable()));
        let mut pieces: Vec<_> = buffers.map_while(Result::ok).take(MAX_PIECES).collect();
        let room: usize = pieces.iter().map(VolatileSlice::len).sum();
        let mut beyond = [0];
        pieces.push(VolatileSlice::from(&mut beyond[..]));
        let written = link.receive(&pieces)?;
        if written > room || room < HEADER {
            self.complain(|| {
                tracing::warn!(
                    "frames are dropped that the driver's buffers of {room} bytes have no room for"
                );
            });
            return Ok(written);
        }

        let mut used = Vec::new();
        let mut rest = written;
        for chain in &self.held {
            let len = rest.min(self::room(chain));
            rest -= len;
            used.push((chain.head(), u32::try_from(len).unwrap_or(u32::MAX)));
            if rest == 0 {
                break;
            }
        }
        let count = u16::try_from(used.len()).unwrap_or(u16::MAX);
        put(&pieces, NUM_BUFFERS, &count.to_le_bytes());
        self.room -= self.held.drain(..used.len()).map(|chain| self::room(&chain)).sum::<usize>();
        self.queue.push_all(&used);
        Ok(written)
    }

    fn complain(&mut self, say: impl FnOnce()) {
        if !std::mem::replace(&mut self.complained, true) {
            say();
        }
    }
}

/// Writes `bytes` at `offset` into memory in pieces.
fn put(pieces: &[VolatileSlice<'_>], mut offset: usize, mut bytes: &[u8]) {
    for piece in pieces {
        if let Ok(rest) = piece.offset(offset) {
            let len = rest.len().min(bytes.len());
            rest.copy_from(&bytes[..len]);
            bytes = &bytes[len..];
        }
        offset = offset.saturating_sub(piece.len());
    }
}

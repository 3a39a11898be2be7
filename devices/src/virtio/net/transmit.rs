//! From a transmit queue to a link (VIRTIO 1.2, 5.1.6.2).

use std::io::ErrorKind;

use vm_memory::VolatileSlice;

use super::{HEADER, Link, MAX_FRAME};
use crate::GuestRam;
use crate::virtio::limit::Brake;
use crate::virtio::{Chain, Queue, slices};

/// A transmit queue.
pub(super) struct Transmitter {
    queue: Queue,
    /// Whether it has been said that frames are dropped.
    complained: bool,
}

impl Transmitter {
    pub(super) const fn new(queue: Queue) -> Self {
        Transmitter { queue, complained: false }
    }

    /// Gives the queue back.
    pub(super) fn stop(self) -> Queue {
        self.queue
    }

    /// Sends what is there, until the link has no room or `brake` holds: then it is to be called again when that has changed.
    pub(super) fn run(&mut self, link: &mut impl Link, mut brake: Option<&mut Brake>) {
        let complained = &mut self.complained;
        self.queue.serve_while(|ram, chain| {
            if brake.as_mut().is_some_and(|brake| brake.holds()) {
                return None;
            }
            match send(link, ram, chain) {
                Ok(len) => {
                    if let Some(brake) = &mut brake {
                        brake.take(len as u64);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => {
                    if !std::mem::replace(complained, true) {
                        tracing::warn!("a frame of the guest's is dropped: {error}");
                    }
                }
            }
            Some(0)
        });
    }
}

/// Sends a frame. Returns its length with its header.
fn send(link: &mut impl Link, ram: &GuestRam, chain: &Chain) -> std::io::Result<usize> {
    let frame: Vec<_> = slices(ram, chain.readable()).map_while(Result::ok).collect();
    let len: usize = frame.iter().map(VolatileSlice::len).sum();
    if !(HEADER + 1..=HEADER + MAX_FRAME).contains(&len) {
        let message = format!("the driver has one of {len} bytes with its header");
        return Err(std::io::Error::new(ErrorKind::InvalidData, message));
    }
    link.send(&frame).map(|()| len)
}

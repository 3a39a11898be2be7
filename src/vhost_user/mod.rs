//! Devices that another process serves: the front end of the vhost-user protocol.
//!
//! The other process, the peer, maps the guest's RAM and works on the queues by itself: it hears the driver's doorbells and
//! tells of used buffers by eventfds. What is left to triarch is the device as its driver finds it ([`Front`]), and to tell the peer of
//! queues ([`PeerBackend`]). A peer is trusted with the guest, whose RAM it has, and not with more: no answer of its is waited for
//! for long, and one that dies or talks nonsense leaves a device that fails, not a VMM.
//!
//! The protocol is that of QEMU's `docs/interop/vhost-user.rst`, by rust-vmm's crate `vhost`.

mod backend;
mod daemon;
mod front;
pub mod fuse;
mod peer;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

pub use backend::PeerBackend;
pub use daemon::{Daemon, connect};
pub use front::Front;
pub use peer::{Needs, Peer};

/// Where a peer waits while no machine uses it: a connection outlives the machine, as some peers accept one only.
#[derive(Clone, Default)]
pub struct Home(Arc<Mutex<Option<Peer>>>);

impl Home {
    /// The peer that is here, if it still is there, or another one.
    ///
    /// # Errors
    /// As of `connect`.
    pub fn take_or(&self, connect: impl FnOnce() -> io::Result<Peer>) -> io::Result<Peer> {
        let here = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        here.filter(Peer::is_there).map_or_else(connect, Ok)
    }

    /// Puts a peer here.
    pub fn put(&self, peer: Peer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(peer);
    }
}

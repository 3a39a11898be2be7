//! A link that is not there.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, MutexGuard};

use vm_memory::VolatileSlice;

use super::{Link, Net, NetBackend, NetConfig, Offloads};
use crate::virtio::testing::Inline;
use crate::virtio::{Limits, VirtioDevice, Worker};

/// A device of two pairs of queues.
pub const CONFIG: NetConfig = NetConfig {
    mac: [2, 0, 0, 0, 0, 1],
    mtu: 1500,
    pairs: 2,
    offloads: NONE,
    limits: Limits { ops: None, bytes: None },
};

pub const NONE: Offloads = Offloads { checksum: false, tso4: false, tso6: false, ecn: false, uso: false };

/// MTU, MAC, MRG_RXBUF, STATUS, CTRL_VQ, MQ.
pub const FEATURES: u64 = 1 << 3 | 1 << 5 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 22;

/// What a [`Cable`] has seen, and what it has for the guest.
#[derive(Default)]
pub struct Ends {
    pub incoming: VecDeque<Vec<u8>>,
    pub outgoing: Vec<Vec<u8>>,
    pub is_full: bool,
    pub fails: bool,
    pub offloads: Option<Offloads>,
    pub active: Option<bool>,
    pub flushed: u32,
}

/// A link whose other end a test holds.
#[derive(Clone)]
pub struct Cable {
    ends: Arc<Mutex<Ends>>,
    /// Its edges, and who makes them: it is always writable, and after the first edge readable.
    socket: Arc<(UnixDatagram, UnixDatagram)>,
    is_endless: bool,
}

impl Cable {
    pub fn new() -> Self {
        let socket = Arc::new(UnixDatagram::pair().unwrap());
        Cable { ends: Arc::default(), socket, is_endless: false }
    }

    pub fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap()
    }

    /// Has a frame come, with its header.
    pub fn deliver(&self, frame: &[u8]) {
        self.ends().incoming.push_back(frame.to_vec());
        self.edge();
    }

    /// Tells of frames, or of room.
    pub fn edge(&self) {
        self.socket.1.send(&[1]).unwrap();
    }
}

impl Link for Cable {
    fn receive(&mut self, buffers: &[VolatileSlice<'_>]) -> io::Result<usize> {
        let mut ends = self.ends();
        if ends.fails {
            return Err(io::Error::other("no"));
        }
        let frame = match ends.incoming.pop_front() {
            None if self.is_endless => vec![7; 72],
            frame => frame.ok_or(ErrorKind::WouldBlock)?,
        };
        let mut rest = &frame[..];
        for buffer in buffers {
            let len = buffer.len().min(rest.len());
            buffer.copy_from(&rest[..len]);
            rest = &rest[len..];
        }
        Ok(frame.len() - rest.len())
    }

    fn send(&mut self, frame: &[VolatileSlice<'_>]) -> io::Result<()> {
        let mut ends = self.ends();
        if ends.is_full {
            return Err(ErrorKind::WouldBlock.into());
        }
        if ends.fails {
            return Err(io::Error::other("no"));
        }
        let bytes = frame.iter().flat_map(|piece| {
            let mut bytes = vec![0; piece.len()];
            piece.copy_to(&mut bytes);
            bytes
        });
        ends.outgoing.push(bytes.collect());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.ends().flushed += 1;
        Ok(())
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.0.as_fd()
    }

    fn set_offloads(&mut self, offloads: Offloads) -> io::Result<()> {
        self.ends().offloads = Some(offloads);
        Ok(())
    }

    fn set_active(&mut self, active: bool) -> io::Result<()> {
        self.ends().active = Some(active);
        Ok(())
    }
}

/// Over links that always have a frame of 60 bytes.
pub fn endless(reactor: &Inline) -> (Box<dyn VirtioDevice>, Box<dyn Worker>) {
    let links = [(); 2].map(|()| Cable { is_endless: true, ..Cable::new() });
    (Box::new(Net::new(&CONFIG)), reactor.worker(NetBackend::new(links.to_vec(), &CONFIG).unwrap()))
}

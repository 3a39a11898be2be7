//! The connection to a peer.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use triarch_devices::GuestRam;
use triarch_devices::virtio::Ring;
use vhost::vhost_user::message::{
    VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserProtocolFeatures as Protocol,
};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};
use vmm_sys_util::eventfd::EventFd;

use super::Daemon;

/// How long a peer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// To be ready and tell what it is: it may have to be loaded first.
    pub greeting: Duration,
    /// To start or stop. A vCPU that resets a device waits for that.
    pub order: Duration,
}

const PATIENCE: Patience = Patience { greeting: Duration::from_secs(30), order: Duration::from_secs(5) };

/// Size of a page that is as good as none: the largest that hosts have by default.
const PAGE: u64 = 64 << 10;

/// Stack of the thread that watches over a wait.
const STACK_SIZE: usize = 64 << 10;

/// `VHOST_USER_F_PROTOCOL_FEATURES`: there are protocol features, and queues are enabled one by one.
const PROTOCOL_FEATURES: u64 = 1 << 30;

/// `VIRTIO_F_VERSION_1`, `VIRTIO_F_INDIRECT_DESC` and `VIRTIO_F_EVENT_IDX`: each of our devices offers these to its driver.
const NEEDED_FEATURES: u64 = 1 << 32 | 1 << 28 | 1 << 29;

/// Feature bits of device types (VIRTIO 1.2, 6).
const DEVICE_FEATURES: u64 = 0x00ff_ffff | !0 << 50;

/// What a device needs of its peer.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Number of queues.
    pub queues: u16,
    /// Size of the configuration space that it asks its peer for; 0 if it has its own.
    pub config: u32,
}

/// A queue that a peer is to serve.
pub(super) struct Vring {
    /// Its number.
    pub index: u16,
    /// Where it is.
    pub ring: Ring,
    /// Written by the driver.
    pub kick: Arc<EventFd>,
    /// Written by the peer.
    pub call: EventFd,
}

/// A peer, connected and asked what it can do. Dropping it ends the connection, and the process if it is ours.
pub struct Peer {
    frontend: Frontend,
    /// The same connection.
    socket: UnixStream,
    features: u64,
    config: Vec<u8>,
    patience: Patience,
    /// After the connection: at its end, the process is to end.
    _daemon: Option<Daemon>,
}

impl Peer {
    /// Asks what is behind `socket`.
    ///
    /// # Errors
    /// It does not answer, talks nonsense, or lacks what the device needs.
    pub fn greet(socket: UnixStream, daemon: Option<Daemon>, needs: Needs) -> io::Result<Self> {
        Peer::greet_with(PATIENCE, socket, daemon, needs)
    }

    /// [`Peer::greet`] with another patience.
    pub(super) fn greet_with(
        patience: Patience,
        socket: UnixStream,
        daemon: Option<Daemon>,
        needs: Needs,
    ) -> io::Result<Self> {
        let frontend = Frontend::from_stream(socket.try_clone()?, needs.queues.into());
        let mut peer = Peer { frontend, socket, features: 0, config: Vec::new(), patience, _daemon: daemon };
        let (features, protocol, queues) = peer.ask(patience.greeting, |frontend| {
            let features = frontend.get_features()?;
            let mut protocol = Protocol::empty();
            if features & PROTOCOL_FEATURES != 0 {
                let offered = frontend.get_protocol_features()?;
                protocol = offered.intersection(Protocol::MQ | Protocol::REPLY_ACK | Protocol::CONFIG);
                frontend.set_protocol_features(protocol)?;
            }
            if protocol.contains(Protocol::REPLY_ACK) {
                frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
            }
            frontend.set_owner()?;
            let has_many = protocol.contains(Protocol::MQ);
            let queues = if has_many { frontend.get_queue_num()? } else { u64::from(needs.queues) };
            Ok((features, protocol, queues))
        })?;
        let lacks = |what: &str| Err(io::Error::other(format!("the process behind its socket lacks {what}")));
        if features & PROTOCOL_FEATURES == 0 {
            return lacks("vhost-user's protocol features");
        }
        if features & NEEDED_FEATURES != NEEDED_FEATURES {
            return lacks("VIRTIO 1, indirect descriptors or event indices");
        }
        if queues < needs.queues.into() {
            return lacks(&format!("queues: it has {queues}, and the device {}", needs.queues));
        }
        if needs.config != 0 {
            if !protocol.contains(Protocol::CONFIG) {
                return lacks("a configuration space");
            }
            let size = usize::try_from(needs.config).map_err(io::Error::other)?;
            let config = peer.ask(patience.order, |frontend| {
                frontend.get_config(0, needs.config, VhostUserConfigFlags::empty(), &vec![0; size])
            })?;
            peer.config = config.1;
        }
        peer.features = features;
        Ok(peer)
    }

    /// Feature bits of its device type.
    pub const fn device_features(&self) -> u64 {
        self.features & DEVICE_FEATURES
    }

    /// The configuration space that it was asked for.
    pub fn config(&self) -> &[u8] {
        &self.config
    }

    /// Whether the connection holds, and nothing was said that was not asked for.
    pub fn is_there(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::IN | PollFlags::RDHUP)];
        matches!(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0))
    }

    /// Whether the other side has ended the connection.
    pub(super) fn has_hung_up(&self) -> bool {
        let mut polled = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        let polled_any = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        !matches!(polled_any, Ok(0))
    }

    /// Has it serve `vrings` of `ram`, of a driver that has taken `features`. Their addresses in messages, which the protocol has of
    /// this process's memory, are guest-physical ones: any will do that the memory table has, too.
    pub(super) fn start(&mut self, features: u64, ram: &GuestRam, vrings: &[Vring]) -> io::Result<()> {
        let regions: Vec<_> = ram
            .iter()
            .map(region)
            .collect::<Option<_>>()
            .ok_or_else(|| io::Error::other("the guest's RAM is no file that another process can map"))?;
        let features = features & self.features | PROTOCOL_FEATURES;
        self.ask(self.patience.order, |frontend| {
            frontend.set_features(features)?;
            frontend.set_mem_table(&regions)?;
            for Vring { index, ring, kick, call } in vrings {
                let index = usize::from(*index);
                let addresses = VringConfigData {
                    queue_max_size: ring.max_size,
                    queue_size: ring.size,
                    flags: 0,
                    desc_table_addr: ring.descriptors,
                    used_ring_addr: ring.used,
                    avail_ring_addr: ring.available,
                    log_addr: None,
                };
                frontend.set_vring_num(index, ring.size)?;
                frontend.set_vring_addr(index, &addresses)?;
                frontend.set_vring_base(index, ring.next_available)?;
                frontend.set_vring_call(index, call)?;
                frontend.set_vring_kick(index, kick)?;
            }
            vrings.iter().try_for_each(|vring| frontend.set_vring_enable(vring.index.into(), true))
        })
    }

    /// Has it serve `vrings` no more. Returns the position in the available ring of each where it has stopped.
    pub(super) fn stop(&mut self, vrings: &[Vring]) -> io::Result<Vec<u16>> {
        let stopped = self.ask(self.patience.order, |frontend| {
            vrings
                .iter()
                .map(|Vring { index, .. }| frontend.get_vring_base(usize::from(*index)))
                .collect::<Result<Vec<_>, _>>()
        })?;
        // What a packed ring would have in the upper half is none of ours.
        stopped.into_iter().map(|base| u16::try_from(base).map_err(io::Error::other)).collect()
    }

    /// Has it let go of the guest's RAM, while it serves no queue: it gets a page of nothing instead.
    pub(super) fn forget_ram(&mut self) -> io::Result<()> {
        let page = memfd_create("triarch-nothing", MemfdFlags::CLOEXEC)?;
        ftruncate(&page, PAGE)?;
        let mmap_handle = page.as_raw_fd();
        let region = VhostUserMemoryRegionInfo { memory_size: PAGE, mmap_handle, ..Default::default() };
        self.ask(self.patience.order, |frontend| frontend.set_mem_table(&[region]))
    }

    /// Talks to the peer, for no longer than `limit`. After an error, it is not to be talked to any more.
    fn ask<T>(
        &mut self,
        limit: Duration,
        talk: impl FnOnce(&mut Frontend) -> vhost::Result<T>,
    ) -> io::Result<T> {
        let Peer { frontend, socket, .. } = self;
        std::thread::scope(|scope| {
            let (done, watched) = channel::<()>();
            let socket = &*socket;
            let watch =
                std::thread::Builder::new().stack_size(STACK_SIZE).spawn_scoped(scope, move || {
                    let is_late = watched.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                    // Ends the wait with an error. That fails only where the connection has ended, and so has the wait.
                    is_late.then(|| socket.shutdown(Shutdown::Both))
                })?;
            let answer = talk(frontend);
            drop(done);
            match (watch.join(), answer) {
                (_, Ok(answer)) => Ok(answer),
                (Ok(None), Err(error)) => Err(io::Error::other(error)),
                (_, Err(_)) => {
                    Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {limit:?}")))
                }
            }
        })
    }
}

impl AsRawFd for Peer {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// A region of RAM as a peer maps it.
fn region(region: &impl GuestMemoryRegion) -> Option<VhostUserMemoryRegionInfo> {
    let file = region.file_offset()?;
    Some(VhostUserMemoryRegionInfo {
        guest_phys_addr: region.start_addr().raw_value(),
        memory_size: region.len(),
        userspace_addr: region.start_addr().raw_value(),
        mmap_offset: file.start(),
        mmap_handle: file.file().as_raw_fd(),
    })
}

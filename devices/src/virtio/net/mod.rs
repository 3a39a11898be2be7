//! The network device (VIRTIO 1.2, 5.1).
//!
//! Frames go between the driver's buffers and a [`Link`] with the header of 12 bytes that the driver knows (5.1.6), so that a link
//! that knows it too, such as a tap interface, leaves checksums and segmentation to whoever does them last.

mod backend;
mod control;
mod receive;
#[cfg(any(test, fuzzing))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transmit;

use std::io;
use std::os::fd::BorrowedFd;

use virtio_bindings::virtio_net as net;
use vm_memory::VolatileSlice;

pub use backend::NetBackend;

use super::limit::Limits;
use super::{DeviceType, VirtioDevice, read_bytes};
use crate::saved::{self, Save, Saved, state};

/// Entries of each queue.
const QUEUE_SIZE: u16 = 256;

/// Bytes of the header in front of each frame (VIRTIO 1.2, 5.1.6).
pub const HEADER: usize = 12;

/// Bytes of the Ethernet header, with a VLAN tag.
const ETHERNET: usize = 14 + 4;

/// The most bytes of a frame: the longest IP packet, which is what segmentation begins with.
pub const MAX_FRAME: usize = ETHERNET + 0xffff;

/// The most pairs of queues: the control queue comes on top, and s390x tells queues by 64 bits without adapter interrupts.
pub const MAX_PAIRS: u16 = 16;

/// The smallest MTU that Ethernet may have (VIRTIO 1.2, 5.1.4.1).
pub const MIN_MTU: u16 = 68;

/// The MTU where nothing else is said.
pub const DEFAULT_MTU: u16 = 1500;

const fn bit(feature: u32) -> u64 {
    1 << feature
}

/// What one side of a link may leave to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offloads {
    /// Checksums of TCP and UDP.
    pub checksum: bool,
    /// Cutting TCP over IPv4 into segments. Like the others below, only with checksums.
    pub tso4: bool,
    /// Cutting TCP over IPv6.
    pub tso6: bool,
    /// Cutting TCP with congestion notification.
    pub ecn: bool,
    /// Cutting UDP over IPv4 and IPv6 into datagrams.
    pub uso: bool,
}

impl Offloads {
    /// Everything but what kernels before Linux 6.2 don't know, [`Offloads::uso`].
    pub const COMMON: Self = Offloads { checksum: true, tso4: true, tso6: true, ecn: true, uso: false };

    /// Whether frames may be longer than the MTU says.
    const fn cuts(self) -> bool {
        self.tso4 || self.tso6 || self.uso
    }

    /// What a driver that agreed to `features` takes.
    fn taken(features: u64) -> Self {
        let has = |feature| features & bit(feature) != 0;
        let checksum = has(net::VIRTIO_NET_F_GUEST_CSUM);
        Offloads {
            checksum,
            tso4: checksum && has(net::VIRTIO_NET_F_GUEST_TSO4),
            tso6: checksum && has(net::VIRTIO_NET_F_GUEST_TSO6),
            ecn: checksum && has(net::VIRTIO_NET_F_GUEST_ECN),
            // A link has one switch for both.
            uso: checksum && has(net::VIRTIO_NET_F_GUEST_USO4) && has(net::VIRTIO_NET_F_GUEST_USO6),
        }
    }

    /// The features of a link that does and gives these.
    fn features(self) -> u64 {
        let of = |has, features: &[u32]| if has { features.iter().map(|&f| bit(f)).sum() } else { 0 };
        of(self.checksum, &[net::VIRTIO_NET_F_CSUM, net::VIRTIO_NET_F_GUEST_CSUM])
            | of(self.tso4, &[net::VIRTIO_NET_F_HOST_TSO4, net::VIRTIO_NET_F_GUEST_TSO4])
            | of(self.tso6, &[net::VIRTIO_NET_F_HOST_TSO6, net::VIRTIO_NET_F_GUEST_TSO6])
            | of(self.ecn, &[net::VIRTIO_NET_F_HOST_ECN, net::VIRTIO_NET_F_GUEST_ECN])
            | of(
                self.uso,
                &[net::VIRTIO_NET_F_HOST_USO, net::VIRTIO_NET_F_GUEST_USO4, net::VIRTIO_NET_F_GUEST_USO6],
            )
    }
}

/// Where frames come from and go to: what is behind one pair of queues. It never waits.
pub trait Link: Send {
    /// Takes the next frame, behind its header (whose `num_buffers` does not count), into `buffers`. Returns the bytes written. A frame
    /// that is longer than `buffers` is cut off.
    ///
    /// # Errors
    /// `WouldBlock`: there is none. Others: none will come for now.
    fn receive(&mut self, buffers: &[VolatileSlice<'_>]) -> io::Result<usize>;

    /// Sends a frame, behind its header. The driver wrote both: they may be anything.
    ///
    /// # Errors
    /// `WouldBlock`: there is no room; nothing was sent. Others: the frame is lost.
    fn send(&mut self, frame: &[VolatileSlice<'_>]) -> io::Result<()>;

    /// Goes on with what was left of a frame that was sent. Called when there is room again.
    ///
    /// # Errors
    /// The rest is lost.
    fn flush(&mut self) -> io::Result<()>;

    /// What is readable when there is something to receive, and writable when there is room to send.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Sets what received frames may leave to the driver. It is said to the first of a device's links, for all.
    ///
    /// # Errors
    /// The host refuses.
    fn set_offloads(&mut self, offloads: Offloads) -> io::Result<()>;

    /// Sets whether frames are to come to this one of several links. The first is always active.
    ///
    /// # Errors
    /// The host refuses.
    fn set_active(&mut self, active: bool) -> io::Result<()>;
}

/// A network device as its user wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetConfig {
    /// Its address.
    pub mac: [u8; 6],
    /// The longest IP packet in bytes, at least [`MIN_MTU`].
    pub mtu: u16,
    /// Pairs of queues, 1 to [`MAX_PAIRS`].
    pub pairs: u16,
    /// What the link does and gives.
    pub offloads: Offloads,
    /// How fast it may be used, either way.
    pub limits: Limits,
}

/// What the driver sees of a network device: its features, and its configuration space (VIRTIO 1.2, 5.1.4).
pub struct Net {
    features: u64,
    /// mac, status, max_virtqueue_pairs, mtu
    config: [u8; 12],
    queue_sizes: Vec<u16>,
}

impl Net {
    /// As configured; more pairs than there can be are not had.
    pub fn new(config: &NetConfig) -> Self {
        let pairs = config.pairs.clamp(1, MAX_PAIRS);
        let mut features = bit(net::VIRTIO_NET_F_MAC)
            | bit(net::VIRTIO_NET_F_MTU)
            | bit(net::VIRTIO_NET_F_STATUS)
            | bit(net::VIRTIO_NET_F_MRG_RXBUF)
            | config.offloads.features();
        if pairs > 1 {
            features |= bit(net::VIRTIO_NET_F_MQ) | bit(net::VIRTIO_NET_F_CTRL_VQ);
        }
        let mut bytes = [0; 12];
        bytes[..6].copy_from_slice(&config.mac);
        let words = [u16::try_from(net::VIRTIO_NET_S_LINK_UP).unwrap_or(1), pairs, config.mtu];
        for (field, word) in bytes[6..].chunks_exact_mut(2).zip(words) {
            field.copy_from_slice(&word.to_le_bytes());
        }
        // Of one pair, there is nothing to control.
        let queues = if pairs > 1 { 2 * pairs + 1 } else { 2 };
        Net { features, config: bytes, queue_sizes: vec![QUEUE_SIZE; usize::from(queues)] }
    }
}

impl VirtioDevice for Net {
    fn device_type(&self) -> DeviceType {
        DeviceType::Network
    }

    fn features(&self) -> u64 {
        self.features
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        read_bytes(&self.config, offset, data);
    }

    fn write_config(&mut self, _: u64, _: &[u8]) {}
}

state! {
    /// What the driver has been told, and goes by.
    struct NetState: "net", 1 {
        mac: [u8; 6],
        mtu: u16,
    }
}

/// The address goes along, as one that is not given is another one in each process.
impl Save for Net {
    fn save(&mut self) -> saved::Result<Saved> {
        let [a, b, c, d, e, f, _, _, _, _, low, high] = self.config;
        Ok(Saved::of(&NetState { mac: [a, b, c, d, e, f], mtu: u16::from_le_bytes([low, high]) }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let state: NetState = saved.get()?;
        saved.check(
            self.config[10..] == state.mtu.to_le_bytes(),
            "an MTU that the host's interface does not have",
        )?;
        saved.check(state.mac[0] & 1 == 0, "an address of several interfaces")?;
        self.config[..6].copy_from_slice(&state.mac);
        Ok(())
    }
}

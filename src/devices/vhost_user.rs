//! Devices that another process serves, over a vhost-user socket.

use std::io;
use std::path::PathBuf;

use anyhow::bail;
use serde::Deserialize;
use triarch_boards::VirtioKind;
use triarch_devices::virtio::DeviceType;
use virtio_bindings::{virtio_blk, virtio_net};

use super::{DeviceParts, DeviceSpec, HostDevice};
use crate::vhost_user::{Front, Home, Needs, Peer, PeerBackend, connect};

/// Entries of each queue.
const QUEUE_SIZE: u16 = 256;

/// The most queues of a disk: more than vCPUs are of no use, and each takes descriptors.
const MAX_QUEUES: u16 = 64;

/// Size of a disk's configuration space up to its write-zeroes fields (VIRTIO 1.2, 5.2.4).
const BLK_CONFIG: u32 = 60;

/// Where the number of queues is in it.
const BLK_NUM_QUEUES: usize = 34;

/// Size of a network device's configuration space up to its MTU (VIRTIO 1.2, 5.1.4).
const NET_CONFIG: u32 = 12;

/// A device that another process serves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VhostUserSpec {
    /// What it is.
    pub kind: PeerKind,
    /// Where the process listens.
    pub socket: PathBuf,
    /// Number of queues of a disk [default: 1].
    pub queues: Option<u16>,
}

/// The devices that another process can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerKind {
    /// A disk.
    Blk,
    /// A network interface with a pair of queues.
    Net,
}

const fn bits(features: &[u32]) -> u64 {
    let (mut all, mut at) = (0, 0);
    while at < features.len() {
        all |= 1 << features[at];
        at += 1;
    }
    all
}

/// Features of disks that need nothing of the front end.
const BLK_FEATURES: u64 = bits(&[
    virtio_blk::VIRTIO_BLK_F_SIZE_MAX,
    virtio_blk::VIRTIO_BLK_F_SEG_MAX,
    virtio_blk::VIRTIO_BLK_F_GEOMETRY,
    virtio_blk::VIRTIO_BLK_F_RO,
    virtio_blk::VIRTIO_BLK_F_BLK_SIZE,
    virtio_blk::VIRTIO_BLK_F_FLUSH,
    virtio_blk::VIRTIO_BLK_F_TOPOLOGY,
    virtio_blk::VIRTIO_BLK_F_DISCARD,
    virtio_blk::VIRTIO_BLK_F_WRITE_ZEROES,
]);

/// The same of network devices: no control queue, which would be the front end's to serve.
const NET_FEATURES: u64 = bits(&[
    virtio_net::VIRTIO_NET_F_CSUM,
    virtio_net::VIRTIO_NET_F_GUEST_CSUM,
    virtio_net::VIRTIO_NET_F_MTU,
    virtio_net::VIRTIO_NET_F_MAC,
    virtio_net::VIRTIO_NET_F_GUEST_TSO4,
    virtio_net::VIRTIO_NET_F_GUEST_TSO6,
    virtio_net::VIRTIO_NET_F_GUEST_ECN,
    virtio_net::VIRTIO_NET_F_GUEST_UFO,
    virtio_net::VIRTIO_NET_F_HOST_TSO4,
    virtio_net::VIRTIO_NET_F_HOST_TSO6,
    virtio_net::VIRTIO_NET_F_HOST_ECN,
    virtio_net::VIRTIO_NET_F_HOST_UFO,
    virtio_net::VIRTIO_NET_F_MRG_RXBUF,
]);

impl DeviceSpec for VhostUserSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(match self.kind {
            PeerKind::Blk => VirtioKind::Blk,
            PeerKind::Net => VirtioKind::Net,
        })
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        match (self.kind, self.queues) {
            (PeerKind::Net, Some(_)) => bail!("queues= is for kind=blk: a network device has one pair"),
            (PeerKind::Blk, Some(queues)) if !(1..=MAX_QUEUES).contains(&queues) => {
                bail!("queues={queues} is not within 1 to {MAX_QUEUES}")
            }
            _ => {}
        }
        let served = Served { spec: self.clone(), home: Home::default() };
        served.home.put(served.connect()?);
        Ok(Box::new(served))
    }
}

struct Served {
    spec: VhostUserSpec,
    home: Home,
}

impl Served {
    fn queues(&self) -> u16 {
        match self.spec.kind {
            PeerKind::Blk => self.spec.queues.unwrap_or(1),
            PeerKind::Net => 2,
        }
    }

    fn connect(&self) -> io::Result<Peer> {
        let config = match self.spec.kind {
            PeerKind::Blk => BLK_CONFIG,
            PeerKind::Net => NET_CONFIG,
        };
        let socket = &self.spec.socket;
        connect(socket)
            .and_then(|stream| Peer::greet(stream, None, Needs { queues: self.queues(), config }))
            .map_err(|error| io::Error::new(error.kind(), format!("no device at {socket:?}: {error}")))
    }
}

impl HostDevice for Served {
    fn make(&self) -> io::Result<DeviceParts> {
        let peer = self.home.take_or(|| self.connect())?;
        let mut config = peer.config().to_vec();
        let (device_type, features) = match self.spec.kind {
            PeerKind::Blk => (DeviceType::Block, BLK_FEATURES),
            PeerKind::Net => (DeviceType::Network, NET_FEATURES),
        };
        let mut features = peer.device_features() & features;
        if self.spec.kind == PeerKind::Blk && self.queues() > 1 {
            features |= bits(&[virtio_blk::VIRTIO_BLK_F_MQ]);
            config[BLK_NUM_QUEUES..BLK_NUM_QUEUES + 2].copy_from_slice(&self.queues().to_le_bytes());
        }
        let queue_sizes = vec![QUEUE_SIZE; self.queues().into()];
        let front = Front { device_type, features, queue_sizes, config };
        let backend = PeerBackend::new(&format!("device of {:?}", self.spec.socket), peer);
        Ok((Box::new(front), Box::new(backend.with_home(self.home.clone()))))
    }
}

#[cfg(test)]
mod tests {
    use triarch_devices::virtio::VirtioDevice;

    use super::super::spec;
    use super::*;
    use crate::vhost_user::testing::{FakePeer, Habits, ram};

    /// What the driver sees of the device of this kind whose process has these abilities.
    fn made(options: &str, habits: Habits) -> Box<dyn VirtioDevice> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let text = format!("{options},socket={}", path.display());
        let spec: VhostUserSpec = spec(&text).unwrap();
        let accepted = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            FakePeer::serve(&ram(), habits, stream).join();
        });
        let device = spec.open().unwrap();
        let (front, backend) = device.make().unwrap();
        drop((backend, device));
        accepted.join().unwrap();
        front
    }

    #[test]
    fn a_disk_is_as_its_process_says_with_queues_as_asked_for() {
        let config: Vec<u8> = (0..60).collect();
        // MQ and CONFIG_WCE are no features that are passed on.
        let habits =
            Habits { features: Habits::default().features | 1 << 12 | 1 << 11 | 1 << 9, ..Habits::default() };
        let habits = Habits { config: config.clone(), queues: 4, ..habits };
        let front = made("kind=blk", habits.clone());
        assert_eq!((front.device_type(), front.features()), (DeviceType::Block, 1 << 2 | 1 << 9));
        assert_eq!(front.queue_sizes(), [256]);
        let mut read = [0; 60];
        front.read_config(0, &mut read);
        assert_eq!(read[..], config);
        let front = made("kind=blk,queues=3", habits);
        assert_eq!((front.features(), front.queue_sizes().len()), (1 << 2 | 1 << 9 | 1 << 12, 3));
        front.read_config(0, &mut read);
        assert_eq!((read[33], &read[34..36], read[36]), (33, &[3, 0][..], 36));
    }

    #[test]
    fn a_network_device_has_a_pair_of_queues() {
        let habits = Habits { features: Habits::default().features | 1 << 17 | 1 << 5, ..Habits::default() };
        let front = made("kind=net", Habits { config: (0..12).collect(), ..habits });
        assert_eq!((front.device_type(), front.features()), (DeviceType::Network, 1 | 1 << 5));
        assert_eq!(front.queue_sizes(), [256, 256]);
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for (text, told) in [
            ("kind=net,socket=s,queues=2", "queues= is for kind=blk"),
            ("kind=blk,socket=s,queues=0", "queues=0 is not within 1 to 64"),
            ("kind=blk,socket=/no/such", "no device at \"/no/such\""),
        ] {
            let spec: VhostUserSpec = spec(text).unwrap();
            let error = spec.open().map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}

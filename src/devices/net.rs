//! The network device.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::str::FromStr;

use anyhow::Context;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use triarch_boards::VirtioKind;
use triarch_devices::virtio::{Limits, Link, MAX_PAIRS, MIN_MTU, Net, NetBackend, NetConfig, Offloads};

use super::{DeviceParts, DeviceSpec, HostDevice};
use crate::net::{Forward, PASST_MTU, Tap, TapName, UserNetwork};
use crate::tell::tell;

/// A network device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Keys")]
pub struct NetSpec {
    /// What is at the other end of the cable.
    pub link: LinkSpec,
    /// Its address; without one, it has a random one for as long as triarch runs.
    pub mac: Option<Mac>,
    /// The longest IP packet in bytes.
    pub mtu: Option<u16>,
    /// How fast it may be used, either way.
    pub limits: Limits,
}

/// What a network device is linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkSpec {
    /// A tap interface, with this many queues.
    Tap(TapName, u16),
    /// A network of the user's own.
    User(UserNetwork),
}

/// The keys of a specification.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    tap: Option<TapName>,
    queues: Option<u16>,
    #[serde(default)]
    user: bool,
    forward: Option<Vec<Forward>>,
    host: Option<bool>,
    mac: Option<Mac>,
    mtu: Option<u16>,
    /// Frames a second.
    pps: Option<NonZeroU64>,
    /// Bytes a second.
    #[serde(default, deserialize_with = "bytes")]
    bandwidth: Option<NonZeroU64>,
}

/// A size such as `512M`.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NonZeroU64>, D::Error> {
    let text = String::deserialize(from)?;
    let size = crate::cli::parse_size(&text).map_err(D::Error::custom)?;
    NonZeroU64::new(size).map(Some).ok_or_else(|| D::Error::custom("a network needs some bandwidth"))
}

impl TryFrom<Keys> for NetSpec {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys { tap, queues, user, forward, host, mac, mtu, pps, bandwidth } = keys;
        if let Some(queues) = queues.filter(|queues| !(1..=MAX_PAIRS).contains(queues)) {
            return Err(format!("queues={queues} is not within 1 to {MAX_PAIRS}"));
        }
        if let Some(mtu) = mtu.filter(|mtu| *mtu < MIN_MTU) {
            return Err(format!("mtu={mtu} is less than {MIN_MTU}"));
        }
        let link = match (tap, user) {
            (Some(_), true) => return Err("it is linked to tap or user, not to both".to_owned()),
            (None, false) => return Err("it needs tap=NAME, tap or user".to_owned()),
            (Some(_), false) if forward.is_some() || host.is_some() => {
                return Err("forward and host are for user".to_owned());
            }
            (Some(name), false) => LinkSpec::Tap(name, queues.unwrap_or(1)),
            (None, true) if queues.is_some() => return Err("queues is for tap".to_owned()),
            (None, true) if mtu > Some(PASST_MTU) => return Err(format!("mtu is more than {PASST_MTU}")),
            (None, true) => {
                let (forward, host) = (forward.unwrap_or_default(), host.unwrap_or(true));
                LinkSpec::User(UserNetwork { forward, host })
            }
        };
        Ok(NetSpec { link, mac, mtu, limits: Limits { ops: pps, bytes: bandwidth } })
    }
}

/// An address of one Ethernet interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mac([u8; 6]);

impl Mac {
    /// A locally administered one that no other interface has, as far as chance can tell.
    ///
    /// # Errors
    /// The host has no entropy.
    fn random() -> io::Result<Self> {
        let mut bytes = [0; 6];
        let got = getrandom(&mut bytes, GetRandomFlags::empty())?;
        bytes[0] = bytes[0] & !1 | 2;
        if got == bytes.len() { Ok(Mac(bytes)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("mac={text} is no address (example: 52:54:00:12:34:56)");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        if bytes[0] & 1 != 0 || bytes == [0; 6] {
            return Err(format!("mac={text} is not the address of one interface"));
        }
        Ok(Mac(bytes))
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mac([a, b, c, d, e, f]) = self;
        write!(to, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl DeviceSpec for NetSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Net)
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        let mac = match self.mac {
            Some(mac) => mac,
            None => Mac::random().context("no entropy for an address")?,
        };
        match &self.link {
            LinkSpec::Tap(name, queues) => {
                let tap = Tap::open(name, *queues, self.mtu)?;
                if *name == TapName::New {
                    tell(format_args!("the network interface is {}", tap.name));
                }
                tracing::debug!("the guest's interface at {} is {mac}", tap.name);
                let Tap { queues, offloads, mtu, .. } = tap;
                NetHost::boxed(queues, NetConfig { mac: mac.0, mtu, pairs: 1, offloads, limits: self.limits })
            }
            LinkSpec::User(network) => {
                let mtu = self.mtu.unwrap_or(PASST_MTU);
                let offloads = Offloads::default();
                let config = NetConfig { mac: mac.0, mtu, pairs: 1, offloads, limits: self.limits };
                NetHost::boxed(vec![network.start(mtu)?], config)
            }
        }
    }
}

/// What a network device has of the host: its links.
struct NetHost<L> {
    links: Vec<L>,
    config: NetConfig,
}

impl<L: Link + Clone + 'static> NetHost<L> {
    /// With a pair of queues for each link.
    fn boxed(links: Vec<L>, config: NetConfig) -> anyhow::Result<Box<dyn HostDevice>> {
        let pairs = u16::try_from(links.len())?;
        Ok(Box::new(NetHost { links, config: NetConfig { pairs, ..config } }))
    }
}

impl<L: Link + Clone + 'static> HostDevice for NetHost<L> {
    fn make(&self) -> io::Result<DeviceParts> {
        let NetHost { links, config } = self;
        Ok((Box::new(Net::new(config)), Box::new(NetBackend::new(links.clone(), config)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DeviceSpecs, spec};
    use super::*;

    #[test]
    fn links() {
        let parse = |text| spec::<NetSpec>(text).unwrap().link;
        assert_eq!(parse("tap"), LinkSpec::Tap(TapName::New, 1));
        assert_eq!(parse("tap=tap0,queues=4"), LinkSpec::Tap(TapName::Named("tap0".to_owned()), 4));
        assert_eq!(parse("user"), LinkSpec::User(UserNetwork { forward: Vec::new(), host: true }));
        let forward = ["8022:22", "udp:5353:53"].map(|text| text.parse().unwrap());
        let user =
            |forward: &[Forward], host| LinkSpec::User(UserNetwork { forward: forward.to_vec(), host });
        assert_eq!(parse("user,forward=8022:22"), user(&forward[..1], true));
        assert_eq!(parse("user,forward=8022:22,host=off,forward=udp:5353:53"), user(&forward, false));
    }

    #[test]
    fn a_machine_file_has_the_same_words() {
        let file = "[[net]]\ntap = \"tap0\"\nqueues = 2\n[[net]]\nuser = true\nforward = [\"8022:22\"]\n[[net]]\ntap = true\nbandwidth = \"1M\"";
        let specs: DeviceSpecs = toml::from_str(file).unwrap();
        let same = ["tap=tap0,queues=2", "user,forward=8022:22", "tap,bandwidth=1M"];
        assert_eq!(specs.net, same.map(|text| spec::<NetSpec>(text).unwrap()));
    }

    #[test]
    fn limits() {
        let limits = |text| spec::<NetSpec>(text).unwrap().limits;
        let (ops, bytes) = (NonZeroU64::new(1000), NonZeroU64::new(10 << 20));
        assert_eq!(limits("tap,pps=1000"), Limits { ops, bytes: None });
        assert_eq!(limits("tap,pps=1000,bandwidth=10M"), Limits { ops, bytes });
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, told) in [
            ("", "it needs tap=NAME, tap or user"),
            ("user=off", "it needs tap=NAME, tap or user"),
            ("tap,user", "it is linked to tap or user, not to both"),
            ("tap=", "tap= needs a name"),
            ("tap,forward=8022:22", "forward and host are for user"),
            ("user,queues=2", "queues is for tap"),
            ("user,forward=22", "forward=22 is none"),
            ("user,mtu=65521", "mtu is more than 65520"),
            ("tap,queues=0", "queues=0 is not within 1 to 16"),
            ("tap,queues=17", "queues=17 is not within 1 to 16"),
            ("tap,mtu=67", "mtu=67 is less than 68"),
            ("tap,pps=0", "invalid value: integer `0`"),
            ("tap,bandwidth=0", "a network needs some bandwidth"),
            ("tap,mac=1", "mac=1 is no address"),
            ("user,dhcp", "unknown field `dhcp`"),
            ("user,user", "duplicate field `user`"),
        ] {
            let error = spec::<NetSpec>(text).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!("52:54:00:Ab:c0:01".parse(), Ok(Mac([0x52, 0x54, 0, 0xab, 0xc0, 1])));
        assert_eq!("02:00:00:00:00:0f".parse::<Mac>().unwrap().to_string(), "02:00:00:00:00:0f");
        for bad in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52:54:0:12:34:56",
            "52:54:00:12:34:5g",
            "52:54:00:12:34:+5",
            "52-54-00-12-34-56",
            "01:00:5e:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "00:00:00:00:00:00",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        let random = [(); 64].map(|()| Mac::random().unwrap());
        assert!(random.iter().all(|Mac(bytes)| bytes[0] & 3 == 2), "of one interface, locally administered");
        assert!(random.iter().skip(1).all(|mac| *mac != random[0]));
    }
}

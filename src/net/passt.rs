//! A network of the user's own, without any privilege: passt(1), which is to the guest its router, its DHCP and DNS server, and to the
//! host a program that opens sockets.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, bail};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::Deserialize;

use super::FrameStream;

/// The program, looked for where programs are.
const PROGRAM: &str = "passt";

/// The MTU that passt announces unless it is told another: the longest that it takes.
pub const PASST_MTU: u16 = 65520;

/// A port of the host's that leads to one of the guest's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Forward {
    /// Whether it is a UDP port; else it is a TCP port.
    pub udp: bool,
    /// The host's address on which it listens.
    pub address: IpAddr,
    /// The host's port.
    pub host: u16,
    /// The guest's port.
    pub guest: u16,
}

/// `[udp:][ADDRESS:]HOST:GUEST`.
impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("forward={text} is none (examples: 8022:22, udp:5353:53, 0.0.0.0:8022:22, [::1]:8022:22)")
        };
        let (udp, rest) = match text.split_once(':') {
            Some(("udp", rest)) => (true, rest),
            Some(("tcp", rest)) => (false, rest),
            _ => (false, text),
        };
        let (rest, guest) = rest.rsplit_once(':').ok_or_else(bad)?;
        let (address, host) = match rest.rsplit_once(':') {
            None => (IpAddr::from(Ipv4Addr::LOCALHOST), rest),
            Some((address, host)) => {
                let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
                (address.parse().map_err(|_| bad())?, host)
            }
        };
        let port = |text: &str| match text.parse() {
            Ok(port) if port > 0 && !text.starts_with('+') => Ok(port),
            _ => Err(bad()),
        };
        Ok(Forward { udp, address, host: port(host)?, guest: port(guest)? })
    }
}

impl TryFrom<String> for Forward {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// As passt's options have it.
impl fmt::Display for Forward {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}:{}", self.address, self.host, self.guest)
    }
}

/// A network of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserNetwork {
    /// Ports that lead to the guest.
    pub forward: Vec<Forward>,
    /// Whether the guest reaches the host's loopback interface, at its gateway's address.
    pub host: bool,
}

impl UserNetwork {
    /// Starts passt. It goes when the stream is closed, however this process ends.
    ///
    /// # Errors
    /// There is no passt, or it can't do what it is to do.
    pub fn start(&self, mtu: u16) -> anyhow::Result<FrameStream> {
        let (ours, theirs) = UnixStream::pair().context("no sockets")?;
        // It takes a number. No other thread starts a program meanwhile, which would have the descriptor, too.
        fcntl_setfd(&theirs, FdFlags::empty()).context("no socket for passt")?;
        // It returns when it is ready, and goes on in the background.
        let output = Command::new(PROGRAM)
            .args(self.arguments(theirs.as_raw_fd(), mtu))
            .stdin(Stdio::null())
            .output()
            .map_err(explained)
            .context("can't start passt")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("passt gives up ({}): {}", output.status, last_words(&said));
        }
        Ok(FrameStream::new(ours)?)
    }

    fn arguments(&self, socket: i32, mtu: u16) -> Vec<OsString> {
        let mut words: Vec<_> = ["--quiet", "--fd"].map(OsString::from).into();
        words.push(socket.to_string().into());
        words.extend(["--mtu".into(), mtu.to_string().into()]);
        if !self.host {
            words.push("--no-map-gw".into());
        }
        for forward in &self.forward {
            let option = if forward.udp { "--udp-ports" } else { "--tcp-ports" };
            words.extend([option.into(), forward.to_string().into()]);
        }
        words
    }
}

fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::NotFound => {
            io::Error::new(ErrorKind::NotFound, "there is no passt on this host: install the package passt")
        }
        _ => error,
    }
}

/// What a program said last, in one line.
fn last_words(said: &str) -> String {
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
    if last.is_empty() { "it does not say why".to_owned() } else { last.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards() {
        for (text, udp, passt) in [
            ("8022:22", false, "127.0.0.1/8022:22"),
            ("tcp:8022:22", false, "127.0.0.1/8022:22"),
            ("udp:5353:53", true, "127.0.0.1/5353:53"),
            ("0.0.0.0:8022:22", false, "0.0.0.0/8022:22"),
            ("udp:[::1]:8022:22", true, "::1/8022:22"),
        ] {
            let forward: Forward = text.parse().unwrap();
            assert_eq!((forward.udp, forward.to_string().as_str()), (udp, passt), "{text}");
        }
        for bad in [
            "",
            "22",
            ":22",
            "22:",
            "0:22",
            "22:0",
            "70000:22",
            "+1:2",
            "host:1:2",
            "sctp:1:2",
            "::1:1:2:3:x",
        ] {
            assert!(bad.parse::<Forward>().is_err(), "{bad}");
        }
    }

    #[test]
    fn passt_is_told_what_to_do() {
        let forward = ["8022:22", "udp:5353:53"].map(|text| text.parse().unwrap()).to_vec();
        let network = UserNetwork { forward, host: false };
        let words = "--quiet --fd 5 --mtu 1500 --no-map-gw --tcp-ports 127.0.0.1/8022:22 --udp-ports 127.0.0.1/5353:53";
        assert_eq!(network.arguments(5, 1500).join(" ".as_ref()), words);
    }

    #[test]
    fn last_words_are_the_last() {
        assert_eq!(last_words("a\n\nb\nc \n d\n"), "b; c; d");
        assert_eq!(last_words(" \n"), "it does not say why");
    }
}

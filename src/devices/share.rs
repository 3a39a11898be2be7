//! A shared directory: the file system device, served by virtiofsd.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Deserialize;
use triarch_arch::Isa;
use triarch_boards::VirtioKind;
use triarch_devices::virtio::DeviceType;

use super::{DeviceParts, DeviceSpec, HostDevice};
use crate::vhost_user::{Daemon, Front, Home, Needs, Peer, PeerBackend, connect, fuse};

/// The longest tag in bytes (VIRTIO 1.2, 5.11.4).
const MAX_TAG: usize = 36;

/// One for requests that must not wait, and one for the others: as many as virtiofsd serves.
const QUEUES: u16 = 2;

/// As long as virtiofsd takes them: requests are as long as queues let them be.
const QUEUE_SIZE: u16 = 1024;

/// Where virtiofsd is, after the folders of `PATH`: in Debian's package, and in others'.
const VIRTIOFSD: [&str; 3] = ["virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd"];

/// A shared directory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ShareSpec {
    /// The directory.
    pub path: Option<PathBuf>,
    /// The name that the guest mounts it by.
    pub tag: String,
    /// The guest can't change it.
    #[serde(default)]
    pub readonly: bool,
    /// How virtiofsd confines itself.
    pub sandbox: Option<Sandbox>,
    /// Where a virtiofsd listens that runs already; it has the directory then.
    pub socket: Option<PathBuf>,
}

/// How virtiofsd confines itself to the directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// By namespaces of its own.
    #[default]
    Namespace,
    /// By a root of its own; takes root.
    Chroot,
    /// Not at all.
    None,
}

impl Sandbox {
    const fn name(self) -> &'static str {
        match self {
            Sandbox::Namespace => "namespace",
            Sandbox::Chroot => "chroot",
            Sandbox::None => "none",
        }
    }
}

impl ShareSpec {
    /// Who serves it.
    fn server(&self) -> anyhow::Result<Server> {
        match (&self.path, &self.socket) {
            (Some(path), None) => {
                let path = path.canonicalize().with_context(|| format!("can't share {path:?}"))?;
                if !path.is_dir() {
                    bail!("{path:?} is no directory");
                }
                Ok(Server::Own { path, readonly: self.readonly, sandbox: self.sandbox.unwrap_or_default() })
            }
            (None, Some(_)) if self.readonly || self.sandbox.is_some() => {
                bail!("readonly and sandbox are the choice of the virtiofsd that listens at the socket")
            }
            (None, Some(socket)) => Ok(Server::Listening(socket.clone())),
            _ => bail!("it needs a directory or socket=PATH, and not both"),
        }
    }
}

impl DeviceSpec for ShareSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Fs)
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        if self.tag.is_empty() || self.tag.len() > MAX_TAG || self.tag.contains('\0') {
            bail!("tag={} is not of 1 to {MAX_TAG} bytes", self.tag);
        }
        let server = self.server()?;
        let share = Share { tag: self.tag.clone(), server, home: Home::default() };
        // What can't work is found out before the guest runs.
        share.home.put(share.connect()?);
        Ok(Box::new(share))
    }
}

/// Who serves a shared directory.
enum Server {
    /// A virtiofsd of our own for each boot, as it serves one connection, and has the last guest's RAM and files.
    Own { path: PathBuf, readonly: bool, sandbox: Sandbox },
    /// One that listens at a socket, and stays connected.
    Listening(PathBuf),
}

struct Share {
    tag: String,
    server: Server,
    home: Home,
}

impl Share {
    fn connect(&self) -> io::Result<Peer> {
        let needs = Needs { queues: QUEUES, config: 0 };
        match &self.server {
            Server::Listening(socket) => {
                connect(socket).and_then(|stream| Peer::greet(stream, None, needs)).map_err(|error| {
                    io::Error::new(error.kind(), format!("no virtiofsd at {socket:?}: {error}"))
                })
            }
            Server::Own { path, readonly, sandbox } => {
                let (socket, daemon) = start(path, *readonly, *sandbox)?;
                Peer::greet(socket, Some(daemon), needs).map_err(|error| {
                    io::Error::new(error.kind(), format!("virtiofsd does not serve {path:?}: {error}"))
                })
            }
        }
    }
}

impl HostDevice for Share {
    fn make(&self) -> io::Result<DeviceParts> {
        let peer = self.home.take_or(|| self.connect())?;
        let mut config = vec![0; MAX_TAG];
        config[..self.tag.len()].copy_from_slice(self.tag.as_bytes());
        config.extend(u32::from(QUEUES - 1).to_le_bytes());
        let front = Front {
            device_type: DeviceType::FileSystem,
            features: 0,
            queue_sizes: vec![QUEUE_SIZE; QUEUES.into()],
            config,
        };
        let is_big_endian = Isa::HOST == Isa::S390x;
        let backend = PeerBackend::new(&format!("shared directory {}", self.tag), peer)
            .with_state()
            .with_refusals(Box::new(move |ram, chain| fuse::refuse(ram, chain, is_big_endian)));
        let backend = match &self.server {
            Server::Own { .. } => backend,
            Server::Listening(_) => backend.with_home(self.home.clone()),
        };
        Ok((Box::new(front), Box::new(backend)))
    }
}

/// Starts a virtiofsd.
fn start(
    path: &Path,
    readonly: bool,
    sandbox: Sandbox,
) -> io::Result<(std::os::unix::net::UnixStream, Daemon)> {
    let mut shared: OsString = "--shared-dir=".into();
    shared.push(path);
    let sandbox: OsString = format!("--sandbox={}", sandbox.name()).into();
    let mut arguments: Vec<&OsStr> = vec!["--fd=0".as_ref(), "--log-level=error".as_ref(), &shared, &sandbox];
    arguments.extend(readonly.then_some(OsStr::new("--readonly")));
    Daemon::start(&VIRTIOFSD.map(Path::new), &arguments).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            error.kind(),
            "there is no virtiofsd: install Debian's package virtiofsd (trixie or newer), or name the socket of one that runs by \
             socket=PATH",
        ),
        _ => io::Error::new(error.kind(), format!("can't start virtiofsd: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::path_first;
    use super::*;

    fn parse(text: &str) -> ShareSpec {
        path_first(text).unwrap()
    }

    #[test]
    fn a_share_is_a_directory_or_a_socket() {
        let plain = ShareSpec {
            path: Some("/src".into()),
            tag: "src".to_owned(),
            readonly: false,
            sandbox: None,
            socket: None,
        };
        assert_eq!(parse("/src,tag=src"), plain);
        assert_eq!(parse("tag=src,path=/src"), plain);
        let all = ShareSpec { readonly: true, sandbox: Some(Sandbox::None), ..plain.clone() };
        assert_eq!(parse("/src,tag=src,readonly,sandbox=none"), all);
        let elsewhere = ShareSpec { path: None, socket: Some("s".into()), ..plain };
        assert_eq!(parse("tag=src,socket=s"), elsewhere);
        for text in ["/src", "/src,tag=a,sandbox=some", "tag=a,b", ""] {
            assert!(path_first::<ShareSpec>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_shared_is_refused() {
        for (text, told) in [
            ("tag=a", "it needs a directory or socket=PATH"),
            ("/,tag=a,socket=s", "it needs a directory or socket=PATH"),
            ("tag=a,socket=s,readonly", "readonly and sandbox are the choice"),
            ("/,tag=", "tag= is not of 1 to 36 bytes"),
            ("/dev/null,tag=a", "\"/dev/null\" is no directory"),
            ("/no/such,tag=a", "can't share \"/no/such\""),
            ("tag=a,socket=/no/such", "no virtiofsd at \"/no/such\""),
        ] {
            let error = parse(text).open().map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with(told), "{text}: {error}");
        }
    }
}

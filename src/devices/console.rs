//! The console device and its ports.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use triarch_boards::VirtioKind;
use triarch_devices::virtio::{Console, ConsoleBackend, MAX_PORTS, PortConfig, PortKind, SharedEnd};

use super::{DeviceParts, DeviceSpec, HostDevice};
use crate::ports::{Null, Plain, Pty, Socket, Stdio, Terminal};

/// The longest name of a port.
const MAX_NAME: usize = 64;

/// A port of the console device. One of the words says where it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PortSpec {
    /// To standard input and output.
    pub stdio: bool,
    /// To a new pseudo-terminal, whose name is printed.
    pub pty: bool,
    /// Nowhere.
    pub null: bool,
    /// To a file, which is created or emptied; no input.
    pub file: Option<PathBuf>,
    /// To a Unix socket that one client at a time may connect to.
    pub socket: Option<PathBuf>,
    /// The name of a stream; without one, it is a console.
    pub name: Option<String>,
}

impl PortSpec {
    fn open(&self, port: &str, terminal: &mut Option<Terminal>) -> anyhow::Result<SharedEnd> {
        let file = self.file.as_deref();
        let socket = self.socket.as_deref();
        Ok(match (self.stdio, self.pty, self.null, file, socket) {
            (true, false, false, None, None) => {
                ensure!(terminal.is_none(), "only one port can be stdio");
                let terminal = terminal.insert(Terminal::new()?).clone();
                Arc::new(Mutex::new(Stdio::new(terminal)?))
            }
            (false, true, false, None, None) => {
                Arc::new(Mutex::new(Pty::new(port).context("can't get a pseudo-terminal")?))
            }
            (false, false, true, None, None) => Arc::new(Mutex::new(Null)),
            (false, false, false, Some(path), None) => {
                let file = Plain::create(path).with_context(|| format!("can't create {}", path.display()))?;
                Arc::new(Mutex::new(file))
            }
            (false, false, false, None, Some(path)) => {
                let socket =
                    Socket::listen(path).with_context(|| format!("can't listen at {}", path.display()))?;
                Arc::new(Mutex::new(socket))
            }
            _ => bail!("a port goes to one of stdio, pty, null, file=PATH, socket=PATH"),
        })
    }
}

/// The number of the console that is standard input and output, if one is.
pub fn terminal(ports: &[PortSpec]) -> Option<usize> {
    ports.iter().filter(|port| port.name.is_none()).position(|port| port.stdio)
}

fn check_names(ports: &[PortSpec]) -> anyhow::Result<()> {
    let names: Vec<_> = ports.iter().filter_map(|port| port.name.as_deref()).collect();
    for (index, name) in names.iter().enumerate() {
        let is_fit = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        ensure!(
            is_fit,
            "name={name} is no name for a port: up to {MAX_NAME} letters, digits and signs but /"
        );
        ensure!(!names[..index].contains(name), "two ports have the name {name}");
    }
    Ok(())
}

/// All of a machine's ports make one device.
impl DeviceSpec for Vec<PortSpec> {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Console)
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        ensure!(self.len() <= MAX_PORTS, "there can be {MAX_PORTS} ports, not {}", self.len());
        check_names(self)?;
        ensure!(
            !self.iter().any(|port| port.stdio && port.name.is_some()),
            "a port with a name can't be stdio"
        );
        let (consoles, streams): (Vec<_>, Vec<_>) = self.iter().partition(|port| port.name.is_none());
        let (mut ports, mut terminal) = (Vec::new(), None);
        // A driver that knows only one port takes the first for a console.
        for (number, spec) in consoles.into_iter().chain(streams).enumerate() {
            let (called, kind) = match &spec.name {
                Some(name) => (format!("the port {name}"), PortKind::Named(name.clone())),
                None => (format!("the console hvc{number}"), PortKind::Console),
            };
            ports.push(PortConfig { kind, end: spec.open(&called, &mut terminal)? });
        }
        Ok(Box::new(Ports { ports, terminal }))
    }
}

/// Ports with their hosts' ends.
struct Ports {
    ports: Vec<PortConfig>,
    terminal: Option<Terminal>,
}

impl HostDevice for Ports {
    fn make(&self) -> io::Result<DeviceParts> {
        let backend = ConsoleBackend::new(self.ports.clone());
        Ok((Box::new(Console::new(self.ports.clone())), Box::new(backend)))
    }

    fn terminal(&self) -> Option<Terminal> {
        self.terminal.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::options;
    use super::*;

    fn ports(texts: &[&str]) -> Vec<PortSpec> {
        texts.iter().map(|text| options::parse(text).unwrap()).collect()
    }

    #[test]
    fn each_port_goes_to_one_place() {
        let dir = tempfile::tempdir().unwrap();
        let (file, socket) = (dir.path().join("file"), dir.path().join("socket"));
        let file = format!("file={}", file.display());
        let socket = format!("socket={},name=org.example.agent", socket.display());
        let good = ports(&[&socket, "null", &file, "stdio"]);
        assert_eq!(terminal(&good), Some(2));
        let device = good.open().unwrap();
        assert!(device.terminal().is_some());
        for _ in 0..2 {
            device.make().unwrap();
        }
        for (bad, told) in [
            (&["name=x"][..], "a port goes to one of"),
            (&["null,pty"], "a port goes to one of"),
            (&["stdio", "stdio"], "only one port can be stdio"),
            (&["stdio,name=x"], "a port with a name can't be stdio"),
            (&["null,name=x", "null,name=x"], "two ports have the name x"),
            (&["null,name=a/b"], "name=a/b is no name"),
            (&["null,name="], "name= is no name"),
            (&["null"; 32], "there can be 31 ports"),
            (&["file=/nowhere/x"], "can't create /nowhere/x"),
        ] {
            let error = ports(bad).open().err().unwrap().to_string();
            assert!(error.starts_with(told), "{bad:?}: {error}");
        }
    }
}

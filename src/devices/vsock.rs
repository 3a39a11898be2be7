//! The socket device, by the Unix sockets that Firecracker and Cloud Hypervisor have, too.

use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;
use triarch_boards::VirtioKind;
use triarch_devices::virtio::{Vsock, VsockBackend};

use super::{DeviceParts, DeviceSpec, HostDevice};
use crate::socket;

/// A socket device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct VsockSpec {
    /// The guest's context identifier, its address.
    pub cid: u32,
    /// The socket that clients on the host connect to. A port P of the host's is the socket of this name with `_P` behind it.
    pub path: PathBuf,
}

impl DeviceSpec for VsockSpec {
    fn kind(&self) -> anyhow::Result<VirtioKind> {
        Ok(VirtioKind::Vsock)
    }

    fn open(&self) -> anyhow::Result<Box<dyn HostDevice>> {
        // 0 is the hypervisor, 1 is the guest itself, 2 is the host, the highest is anybody.
        ensure!(
            (3..u32::MAX).contains(&self.cid),
            "cid={} is none that a guest can have: 3 to {}",
            self.cid,
            u32::MAX - 1
        );
        let listener =
            socket::listen(&self.path).with_context(|| format!("can't listen at {}", self.path.display()))?;
        Ok(Box::new(Socket { cid: self.cid, path: self.path.clone(), listener }))
    }
}

/// The socket that clients connect to. Its file goes with it.
struct Socket {
    cid: u32,
    path: PathBuf,
    listener: UnixListener,
}

impl HostDevice for Socket {
    fn make(&self) -> io::Result<DeviceParts> {
        let path = self.path.clone();
        let connector = Box::new(move |port| socket::connect_at_once(&port_path(&path, port)));
        let backend = VsockBackend::new(self.cid, self.listener.try_clone()?, connector)?;
        Ok((Box::new(Vsock::new(self.cid)), Box::new(backend)))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("can't remove {}: {error}", self.path.display());
        }
    }
}

/// The socket of a port on the host.
fn port_path(path: &Path, port: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("_{port}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_there_as_long_as_the_device() {
        let dir = tempfile::tempdir().unwrap();
        let spec = VsockSpec { cid: 3, path: dir.path().join("vm.vsock") };
        let device = spec.open().unwrap();
        assert!(spec.open().is_err(), "somebody listens there");
        // A guest reboots: its device is made anew.
        for _ in 0..2 {
            device.make().unwrap();
        }
        assert!(spec.path.exists());
        drop(device);
        assert!(!spec.path.exists());
        for cid in [0, 1, 2, u32::MAX] {
            assert!(VsockSpec { cid, ..spec.clone() }.open().is_err());
        }
        assert_eq!(port_path(Path::new("/run/vm.vsock"), 52), Path::new("/run/vm.vsock_52"));
    }
}

//! Processes behind devices that triarch starts itself.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect as connect_socket, getsockname,
    listen, socket_with,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// How long a process may take to end once its connection has ended, and again once it is killed.
const GRACE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A process that serves one connection, and ends with it. Dropping this ends the process if the connection's end did not.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    ended: OwnedFd,
}

impl Daemon {
    /// Starts the first of `programs` that there is, with `arguments` and, as its standard input, a listening socket. Returns
    /// a connection to it.
    ///
    /// However triarch ends, the connection does, and with it the process. It has a process group of its own, as
    /// a terminal's keys are not for it.
    ///
    /// # Errors
    /// There is no such program (`NotFound`), or it can't be started.
    pub fn start(programs: &[&Path], arguments: &[&std::ffi::OsStr]) -> io::Result<(UnixStream, Self)> {
        let (listener, connection) = listener()?;
        let mut result = Err(io::Error::from(io::ErrorKind::NotFound));
        for program in programs {
            let mut command = Command::new(program);
            command.args(arguments).stdin(listener.try_clone()?).stdout(Stdio::null()).process_group(0);
            result = command.spawn();
            match &result {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                _ => break,
            }
        }
        let child = result?;
        let ended = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        Ok((connection, Daemon { child, ended }))
    }

    fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(&self.ended, PollFlags::IN)];
        !matches!(poll(&mut polled, Some(&GRACE)), Ok(0) | Err(_))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.has_ended() {
            tracing::warn!("process {} goes on without its connection; it is killed", self.child.id());
            if let Err(error) = self.child.kill() {
                return tracing::error!("process {} can't be killed: {error}", self.child.id());
            }
        }
        // Else the host keeps it from ending: it is left to itself.
        if self.has_ended()
            && let Err(error) = self.child.wait()
        {
            tracing::error!("process {} can't be waited for: {error}", self.child.id());
        }
    }
}

/// A listening socket, and the connection that is accepted from it first.
///
/// Its name is an abstract one, of the kernel's choice. There is room for one connection to wait: had another process been
/// faster, ours would be refused.
fn listener() -> io::Result<(OwnedFd, UnixStream)> {
    let socket = || socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let listener = socket()?;
    bind(&listener, &SocketAddrUnix::new_unnamed())?;
    listen(&listener, 0)?;
    let address = SocketAddrUnix::try_from(getsockname(&listener)?)?;
    Ok((listener, connected(socket()?, &address)?))
}

/// Connects to the socket at `path`, at once or not at all.
///
/// # Errors
/// Nobody listens there, or does not accept.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    connected(socket, &SocketAddrUnix::new(path)?)
}

/// Connects without a wait, to a socket whose waits are long after.
fn connected(socket: OwnedFd, address: &SocketAddrUnix) -> io::Result<UnixStream> {
    let flags = fcntl_getfl(&socket)?;
    fcntl_setfl(&socket, flags | OFlags::NONBLOCK)?;
    connect_socket(socket.as_fd(), address)?;
    fcntl_setfl(&socket, flags)?;
    Ok(UnixStream::from(socket))
}

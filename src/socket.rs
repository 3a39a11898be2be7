//! Unix sockets of the host.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, fchmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen as start, socket_with,
};

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 128;

/// A socket that clients can connect to by this path, and that does not block. Only the user who runs triarch, and root, may connect.
///
/// A socket that a crashed run left there is replaced.
///
/// # Errors
/// Somebody listens there already, or the path is not to be had.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    // Nobody listens at what a crashed run left. Anything else under that name is not ours to remove.
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        fs::remove_file(path)?;
    }
    let socket = stream()?;
    // The file gets the socket's own mode, so there is no time at which it has another one.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    start(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Connects to a socket without waiting. What it returns does not block.
///
/// # Errors
/// Nobody listens there, or too many clients wait there already.
pub fn connect_at_once(path: &Path) -> io::Result<UnixStream> {
    let socket = stream()?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

/// Waits until a socket that does not block can be read, or has ended.
///
/// # Errors
/// The time is over.
pub fn block_for(socket: &UnixStream, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    loop {
        let left =
            Timespec::try_from(end.saturating_duration_since(Instant::now())).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&left)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn stream() -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_socket_is_its_users_own_and_never_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        assert_eq!(connect_at_once(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // Nobody accepts.
        let mut clients = Vec::new();
        let refused = loop {
            match connect_at_once(&path) {
                Ok(client) => clients.push(client),
                Err(error) => break error,
            }
            assert!(clients.len() < 1000);
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        listener.accept().unwrap();
    }

    #[test]
    fn a_path_that_is_too_long_is_an_error() {
        assert!(listen(Path::new(&"x".repeat(200))).is_err());
    }
}

//! The host's end of the guest's console.

mod output;
mod pending;
mod terminal;

pub use terminal::restore_terminal;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::tcgetwinsize;

use output::Output;
pub use output::OutputControl;
pub(crate) use output::write_at_once;
pub use pending::Pending;
use terminal::{Escape, RawMode, Typed};

use crate::socket;
use crate::tell::tell;

/// Where the guest's console goes, as `--serial` names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SerialSpec {
    /// Standard input and output; a terminal is put in raw mode.
    #[default]
    Stdio,
    /// Output to a file, which is created or emptied; no input.
    File(PathBuf),
    /// A new pseudo-terminal, whose name is printed.
    Pty,
    /// A Unix socket that one client at a time may connect to.
    Socket(PathBuf),
    /// Nowhere.
    None,
}

impl FromStr for SerialSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = |path: &str| match path {
            "" => Err(format!("'{text}' names no path")),
            path => Ok(PathBuf::from(path)),
        };
        match text.split_once('=').map_or((text, None), |(kind, rest)| (kind, Some(rest))) {
            ("stdio", None) => Ok(SerialSpec::Stdio),
            ("pty", None) => Ok(SerialSpec::Pty),
            ("none", None) => Ok(SerialSpec::None),
            ("file", Some(rest)) => path(rest).map(SerialSpec::File),
            ("socket", Some(rest)) => path(rest).map(SerialSpec::Socket),
            _ => Err(format!("'{text}' is none of stdio, file=PATH, pty, socket=PATH, none")),
        }
    }
}

/// Why a console can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be created.
    #[error("--serial: can't create {path:?}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The socket can't be listened on.
    #[error("--serial: can't listen on {path:?}")]
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No pseudo-terminal can be had.
    #[error("--serial: can't get a pseudo-terminal")]
    Pty(#[source] io::Error),
    /// The terminal can't be put in raw mode.
    #[error("--serial: can't set up the terminal")]
    Terminal(#[source] io::Error),
}

/// What came of looking for input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Bytes for the guest, none perhaps.
    Bytes(Vec<u8>),
    /// The user asked to quit (Ctrl-A X).
    Quit,
}

/// Creates or empties a file. A pipe that nobody reads is refused: to wait for a reader would be to wait with signals held back.
pub(crate) fn create(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let fd = rustix::fs::open(path, flags | OFlags::NONBLOCK, mode).map_err(|error| match error {
        Errno::NXIO => io::Error::other("nobody reads from it"),
        error => error.into(),
    })?;
    fcntl_setfl(&fd, fcntl_getfl(&fd)? - OFlags::NONBLOCK)?;
    Ok(fd)
}

/// A new pseudo-terminal that passes bytes as they are: both ends, and its name.
pub(crate) fn new_pty() -> Result<(OwnedFd, OwnedFd, CString), Errno> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, Mode::empty())?;
    terminal::make_raw(slave.as_fd())?;
    Ok((master, slave, name))
}

/// The most bytes taken from the host at a time.
const CHUNK: usize = 256;

/// When to try again to let in a client for which the host had no descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Whether to look for the next client at once.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | Interrupted | WouldBlock)
}

/// The host's end of a console. It outlives reboots of the guest.
#[derive(Debug)]
pub struct Console {
    output: Arc<Output>,
    input: Input,
    pending: Pending,
    /// Restores the terminal when the console goes.
    raw: Option<RawMode>,
}

#[derive(Debug)]
enum Input {
    None,
    /// Standard input; with an escape key when it is a terminal.
    Stdin(Option<Escape>),
    /// The master of a pseudo-terminal. The slave is held open, so that the master never reads end-of-file.
    Pty {
        master: Arc<OwnedFd>,
        _slave: OwnedFd,
    },
    Socket {
        listener: UnixListener,
        client: Option<Arc<OwnedFd>>,
        path: PathBuf,
        /// Until then nobody is let in, as the host had no descriptor for the last one.
        pause: Option<Instant>,
    },
}

impl Console {
    /// Sets up the host's end of a console.
    pub fn open(spec: &SerialSpec) -> Result<Self, Error> {
        match spec {
            SerialSpec::None => Ok(Self::new(Output::null(), Input::None)),
            SerialSpec::Stdio => Self::stdio(),
            SerialSpec::File(path) => {
                let fd = create(path).map_err(|source| Error::File { path: path.clone(), source })?;
                Ok(Self::new(Output::patient(fd), Input::None))
            }
            SerialSpec::Pty => Self::pty().map_err(|error| Error::Pty(error.into())),
            SerialSpec::Socket(path) => {
                Self::socket(path).map_err(|source| Error::Socket { path: path.clone(), source })
            }
        }
    }

    fn new(output: Output, input: Input) -> Self {
        Console { output: Arc::new(output), input, pending: Pending::default(), raw: None }
    }

    fn stdio() -> Result<Self, Error> {
        let raw = RawMode::enter(rustix::stdio::stdin()).map_err(Error::Terminal)?;
        let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(Error::Terminal)?;
        let escape = raw.is_some().then(Escape::default);
        let mut console = Self::new(Output::patient(stdout), Input::Stdin(escape));
        console.raw = raw;
        Ok(console)
    }

    fn pty() -> Result<Self, Errno> {
        let (master, slave, name) = new_pty()?;
        tell(format_args!("the console is {}", name.to_string_lossy()));
        let master = Arc::new(master);
        let output = Output::impatient(Some(master.clone()));
        Ok(Self::new(output, Input::Pty { master, _slave: slave }))
    }

    fn socket(path: &Path) -> io::Result<Self> {
        let listener = socket::listen(path)?;
        let input = Input::Socket { listener, client: None, path: path.to_owned(), pause: None };
        Ok(Self::new(Output::impatient(None), input))
    }

    /// Gives the user's terminal back, if the console has it, as the process is about to be stopped.
    pub fn suspend(&self) {
        if let Some(raw) = &self.raw {
            raw.suspend();
        }
    }

    /// Takes the user's terminal again.
    pub fn resume(&self) -> Result<(), Error> {
        self.raw.as_ref().map_or(Ok(()), RawMode::resume).map_err(Error::Terminal)
    }

    /// A sink for the guest's device.
    pub fn sink(&self) -> Box<dyn triarch_devices::Sink> {
        Box::new(output::OutputSink::new(self.output.clone()))
    }

    /// What keeps the guest's output from holding up vCPU threads.
    pub fn output_control(&self) -> OutputControl {
        OutputControl::new(self.output.clone())
    }

    /// Input that the guest has not taken yet. It outlives reboots, too.
    pub fn pending(&mut self) -> &mut Pending {
        &mut self.pending
    }

    /// Whether input comes from a terminal, and with it the key to quit.
    pub const fn is_terminal(&self) -> bool {
        matches!(self.input, Input::Stdin(Some(_)))
    }

    /// The descriptor that tells of input, if there can be any.
    pub fn input_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.input {
            Input::None => None,
            Input::Stdin(_) => Some(rustix::stdio::stdin()),
            Input::Pty { master, .. } => Some(master.as_fd()),
            Input::Socket { client: Some(client), .. } => Some(client.as_fd()),
            Input::Socket { pause: Some(_), .. } => None,
            Input::Socket { listener, client: None, pause: None, .. } => Some(listener.as_fd()),
        }
    }

    /// How long [`Console::input_fd`] stays what it is though there may be input; ends that time if it is over.
    pub fn pause(&mut self) -> Option<Duration> {
        let Input::Socket { pause, .. } = &mut self.input else { return None };
        let left = pause.map(|end| end.saturating_duration_since(Instant::now()));
        let left = left.filter(|left| !left.is_zero());
        if left.is_none() {
            *pause = None;
        }
        left
    }

    /// The size of the terminal's window: columns and rows.
    pub fn window_size(&self) -> Option<(u16, u16)> {
        let size = self.raw.as_ref().and_then(|_| tcgetwinsize(rustix::stdio::stdin()).ok())?;
        Some((size.ws_col, size.ws_row))
    }

    /// Takes what there is, after [`Console::input_fd`] was found readable.
    pub fn receive(&mut self) -> Received {
        if let Input::Socket { listener, client: client @ None, pause, path } = &mut self.input {
            match listener.accept() {
                Ok((stream, _)) => {
                    let stream = Arc::new(OwnedFd::from(stream));
                    self.output.set_peer(Some(stream.clone()));
                    *client = Some(stream);
                }
                // A client that gave up meanwhile is no concern of ours.
                Err(error) if is_passing(&error) => {}
                // It is still there, and would keep us busy.
                Err(error) => {
                    tracing::error!("a client of {path:?} can't be served yet: {error}");
                    *pause = Some(Instant::now() + ACCEPT_PAUSE);
                }
            }
            return Received::Bytes(Vec::new());
        }
        let Some(fd) = self.input_fd() else { return Received::Bytes(Vec::new()) };
        let mut buf = [0; CHUNK];
        let bytes = match rustix::io::read(fd, &mut buf) {
            Ok(0) => return self.hang_up(),
            Ok(n) => &buf[..n],
            Err(Errno::INTR | Errno::AGAIN) => return Received::Bytes(Vec::new()),
            Err(_) => return self.hang_up(),
        };
        match &mut self.input {
            Input::Stdin(Some(escape)) => match escape.filter(bytes) {
                Typed::Bytes(bytes) => Received::Bytes(bytes),
                Typed::Quit => Received::Quit,
            },
            _ => Received::Bytes(bytes.to_vec()),
        }
    }

    /// The input ended: standard input for good, a socket until the next client.
    fn hang_up(&mut self) -> Received {
        match &mut self.input {
            Input::Socket { client, .. } => {
                self.output.set_peer(None);
                *client = None;
            }
            input => *input = Input::None,
        }
        Received::Bytes(Vec::new())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Input::Socket { path, .. } = &self.input
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!("can't remove {path:?}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn specs_are_parsed_or_told_off() {
        assert_eq!("stdio".parse(), Ok(SerialSpec::Stdio));
        assert_eq!("file=/tmp/a=b".parse(), Ok(SerialSpec::File("/tmp/a=b".into())));
        assert_eq!("socket=x".parse(), Ok(SerialSpec::Socket("x".into())));
        for bad in ["", "file", "file=", "socket=", "stdio=1", "tcp=:1"] {
            assert!(bad.parse::<SerialSpec>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_socket_serves_one_client_after_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        let mut console = Console::open(&SerialSpec::Socket(path.clone())).unwrap();
        let mut sink = console.sink();
        sink.put(b"nobody hears this");
        for round in 0..2u8 {
            let mut client = UnixStream::connect(&path).unwrap();
            assert_eq!(console.receive(), Received::Bytes(vec![]));
            client.write_all(&[round]).unwrap();
            assert_eq!(console.receive(), Received::Bytes(vec![round]));
            sink.put(b"hello");
            let mut heard = [0; 5];
            client.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"hello");
            drop(client);
            assert_eq!(console.receive(), Received::Bytes(vec![]));
        }
        assert!(Console::open(&SerialSpec::Socket(path.clone())).is_err(), "a live socket is not taken over");
        drop(console);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stale");
        drop(UnixListener::bind(&path).unwrap());
        drop(Console::open(&SerialSpec::Socket(path)).unwrap());
        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        assert!(matches!(Console::open(&SerialSpec::Socket(file.clone())), Err(Error::Socket { .. })));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        // A live socket that we can't connect to, such as the system log's.
        let other = dir.path().join("log");
        let log = UnixDatagram::bind(&other).unwrap();
        assert!(matches!(Console::open(&SerialSpec::Socket(other.clone())), Err(Error::Socket { .. })));
        UnixDatagram::unbound().unwrap().send_to(b"still there", &other).unwrap();
        assert_eq!(log.recv(&mut [0; 16]).unwrap(), 11);
    }

    #[test]
    fn a_client_that_can_not_be_let_in_does_not_keep_us_busy() {
        let dir = tempfile::tempdir().unwrap();
        let mut console = Console::open(&SerialSpec::Socket(dir.path().join("console"))).unwrap();
        assert_eq!((console.input_fd().is_some(), console.pause()), (true, None));
        let set = |console: &mut Console, end| {
            if let Input::Socket { pause, .. } = &mut console.input {
                *pause = Some(end);
            }
        };
        set(&mut console, Instant::now() + Duration::from_secs(1000));
        assert!(console.input_fd().is_none());
        assert!(console.pause().is_some_and(|left| left > Duration::from_secs(900)));
        set(&mut console, Instant::now());
        assert_eq!((console.pause(), console.input_fd().is_some()), (None, true));
        assert!(is_passing(&io::ErrorKind::WouldBlock.into()));
        assert!(!is_passing(&io::Error::from(Errno::MFILE)));
    }

    #[test]
    fn a_file_gets_the_output() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let console = Console::open(&SerialSpec::File(path.clone())).unwrap();
        console.sink().put(b"one ");
        console.sink().put(b"two");
        assert_eq!(fs::read(path).unwrap(), b"one two");
        assert!(console.input_fd().is_none());
    }

    #[test]
    fn a_pipe_is_a_file_if_somebody_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        let spec = SerialSpec::File(path.clone());
        let refused = Console::open(&spec).unwrap_err();
        assert!(matches!(refused, Error::File { .. }), "{refused}");
        let mut reader = File::options().read(true).write(true).open(&path).unwrap();
        Console::open(&spec).unwrap().sink().put(b"hello");
        let mut heard = [0; 5];
        reader.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hello");
    }

    #[test]
    fn a_full_peer_costs_output_and_not_time_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console");
        let mut console = Console::open(&SerialSpec::Socket(path.clone())).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        console.receive();
        let mut sink = console.sink();
        let start = std::time::Instant::now();
        for _ in 0..4096 {
            sink.put(&[b'x'; 1024]);
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
    }
}

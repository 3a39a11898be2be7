//! The runtime directory: a folder for each machine that has a name, with its socket.
//!
//! Who holds the lock on a folder's lock file has the folder; the kernel lets go of it however the process ends. So what a crash leaves
//! is told from what lives without looking at process numbers.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::fs::{FlockOperation, OFlags, flock};

/// The longest name: a socket's path has at most 107 bytes.
const MAX_NAME: usize = 64;

/// How often a folder is tried that somebody else holds: who cleans up holds it for a moment.
const TRIES: u32 = 20;

/// How long between two of them.
const PAUSE: Duration = Duration::from_millis(5);

const SOCKET: &str = "api.sock";
const LOCK: &str = "lock";

/// Where the machines of this user have their folders: `$XDG_RUNTIME_DIR/triarch`, or `/run/triarch` for root, or a folder of the
/// user's own in `/tmp`.
pub fn runtime_dir() -> PathBuf {
    let user = rustix::process::geteuid();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    match given {
        Some(path) => path.join("triarch"),
        None if user.is_root() => PathBuf::from("/run/triarch"),
        None => PathBuf::from(format!("/tmp/triarch-{}", user.as_raw())),
    }
}

/// Whether a machine can be named so.
///
/// # Errors
/// It can't; the message says why.
pub fn check_name(name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !first || name.len() > MAX_NAME || !name.bytes().all(good) {
        return Err(format!(
            "'{name}' is no name: 1 to {MAX_NAME} letters, digits, '.', '_' and '-', a letter or digit first"
        ));
    }
    Ok(())
}

/// Where a machine's socket is.
pub fn socket_of(dir: &Path, name: &str) -> PathBuf {
    dir.join(name).join(SOCKET)
}

/// A machine's folder. Dropping it removes it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held until the folder is gone.
    _lock: File,
}

impl Folder {
    /// Takes the folder of this name, which is empty then.
    ///
    /// # Errors
    /// A machine of that name runs, or the runtime directory is not to be had, or not to be trusted.
    pub fn claim(dir: &Path, name: &str) -> anyhow::Result<Self> {
        ensure_private(dir).with_context(|| format!("runtime directory {dir:?}"))?;
        let path = dir.join(name);
        for _ in 0..TRIES {
            ensure_private(&path).with_context(|| format!("machine folder {path:?}"))?;
            if let Some(lock) = lock(&path).with_context(|| format!("can't lock {path:?}"))? {
                let folder = Folder { path, _lock: lock };
                unlink(&folder.socket())?;
                return Ok(folder);
            }
            std::thread::sleep(PAUSE);
        }
        bail!("a machine named '{name}' runs already")
    }

    /// Where its socket is to be.
    pub fn socket(&self) -> PathBuf {
        self.path.join(SOCKET)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!("{:?} is left behind: {error}", self.path);
        }
    }
}

/// The names of machines that run, in alphabetical order. Folders that a crash has left are removed.
///
/// # Errors
/// The runtime directory can't be read, or is not to be trusted.
pub fn running(dir: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("can't read {dir:?}")),
    };
    check_private(dir).with_context(|| format!("runtime directory {dir:?}"))?;
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        // Anything else is not ours.
        let Some(name) = name.to_str().filter(|name| check_name(name).is_ok()) else { continue };
        let path = dir.join(name);
        match lock(&path) {
            Ok(None) => names.push(name.to_owned()),
            Ok(Some(_held)) => {
                if let Err(error) = remove(&path) {
                    tracing::warn!("{path:?} is left behind: {error}");
                }
            }
            Err(_) if !path.is_dir() => {}
            Err(error) => tracing::warn!("{path:?} is none of a machine: {error}"),
        }
    }
    names.sort();
    Ok(names)
}

/// The lock on a folder; `None` if somebody else has it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    let file = match options.read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(&path) {
        Ok(file) => file,
        // Who had it has removed it just now.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // It may have been removed between the two: then its lock means nothing.
    let (held, there) = (file.metadata()?, fs::symlink_metadata(&path));
    let is_same = there.is_ok_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino()));
    Ok(is_same.then_some(file))
}

/// Removes a folder whose lock is held. The lock file goes last but the folder: until then nobody else has it.
fn remove(folder: &Path) -> io::Result<()> {
    unlink(&folder.join(SOCKET))?;
    unlink(&folder.join(LOCK))?;
    match fs::remove_dir(folder) {
        // The next machine of that name is there already.
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}

fn unlink(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes a directory that only this user can reach, unless it is there.
fn ensure_private(path: &Path) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check_private(path),
        Err(error) => Err(error).context("can't make it"),
    }
}

/// Others must not be able to put anything there, such as a socket under a machine's name.
fn check_private(path: &Path) -> anyhow::Result<()> {
    let meta = fs::symlink_metadata(path).context("can't look at it")?;
    ensure!(meta.is_dir(), "it is not a directory");
    ensure!(meta.uid() == rustix::process::geteuid().as_raw(), "it belongs to another user");
    ensure!(meta.mode() & 0o077 == 0, "others may use it (its mode is {:o}, not 700)", meta.mode() & 0o777);
    Ok(())
}

/// Whether a text names a socket by its path, rather than a machine.
pub fn is_path(name: &str) -> bool {
    OsStr::new(name).as_encoded_bytes().contains(&b'/')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("triarch");
        (dir, path)
    }

    #[test]
    fn a_name_is_had_once_and_again_when_it_is_free() {
        let (_temp, dir) = dir();
        assert_eq!(running(&dir).unwrap(), [""; 0], "nobody has run yet");
        let web = Folder::claim(&dir, "web").unwrap();
        let _db = Folder::claim(&dir, "db.1").unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(web.socket(), socket_of(&dir, "web"));
        let refused = Folder::claim(&dir, "web").unwrap_err().to_string();
        assert!(refused.contains("'web' runs already"), "{refused}");
        assert_eq!(running(&dir).unwrap(), ["db.1", "web"]);
        drop(web);
        assert_eq!(running(&dir).unwrap(), ["db.1"]);
        assert!(!dir.join("web").exists());
        Folder::claim(&dir, "web").unwrap();
    }

    #[test]
    fn what_a_crash_has_left_is_removed_or_taken_over() {
        let (_temp, dir) = dir();
        for name in ["old", "older"] {
            let folder = Folder::claim(&dir, name).unwrap();
            drop(std::os::unix::net::UnixListener::bind(folder.socket()).unwrap());
            // As a crash: the lock goes, the files stay.
            let Folder { path, _lock } = &folder;
            assert!(path.join(LOCK).exists());
            flock(_lock, FlockOperation::Unlock).unwrap();
            std::mem::forget(folder);
        }
        fs::create_dir(dir.join("empty")).unwrap();
        fs::write(dir.join("file"), "").unwrap();
        let taken = Folder::claim(&dir, "old").unwrap();
        assert!(!taken.socket().exists());
        assert_eq!(running(&dir).unwrap(), ["old"]);
        let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }

    #[test]
    fn a_directory_of_others_is_not_trusted() {
        let (temp, dir) = dir();
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = format!("{:#}", Folder::claim(&dir, "web").unwrap_err());
        assert!(refused.contains("others may use it"), "{refused}");
        assert!(running(&dir).is_err());
        let link = temp.path().join("link");
        fs::create_dir(temp.path().join("real")).unwrap();
        symlink(temp.path().join("real"), &link).unwrap();
        let refused = format!("{:#}", Folder::claim(&link, "web").unwrap_err());
        assert!(refused.contains("not a directory"), "{refused}");
    }

    #[test]
    fn names() {
        for name in ["a", "web-1", "x_y.z", &"n".repeat(64)] {
            check_name(name).unwrap();
        }
        for name in ["", ".", "..", "-x", "_x", "a/b", "a b", "ü", "a\n", &"n".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(is_path("./x") && !is_path("x"));
    }
}

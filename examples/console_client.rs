//! Connects standard input and output to a guest's console behind `--serial socket=PATH`, until the guest's end closes it. For
//! machines without a socat; the lab's are such.

use std::io;
use std::os::unix::net::UnixStream;

fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| anyhow::anyhow!("usage: console_client PATH"))?;
    let mut from_guest = UnixStream::connect(path)?;
    let mut to_guest = from_guest.try_clone()?;
    // Not waited for: it may sit in a read of standard input when the guest is long gone.
    std::thread::spawn(move || io::copy(&mut io::stdin(), &mut to_guest));
    // Standard output of Rust keeps lines back, a plain file does not.
    let mut out = std::fs::File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?);
    io::copy(&mut from_guest, &mut out)?;
    Ok(())
}

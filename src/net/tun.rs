//! System calls for tap interfaces: /dev/net/tun (Linux, Documentation/networking/tuntap.rst) and netdevice(7).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;

use libc::{c_int, c_short, ifreq};
use rustix::ioctl::{IntegerSetter, Opcode, Updater, opcode};

/// Where tap interfaces are had.
pub(super) const DEVICE: &str = "/dev/net/tun";

const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
const TUNSETOFFLOAD: Opcode = opcode::write::<u32>(b'T', 208);
const TUNSETVNETHDRSZ: Opcode = opcode::write::<c_int>(b'T', 216);
const TUNSETQUEUE: Opcode = opcode::write::<c_int>(b'T', 217);
const TUNSETVNETLE: Opcode = opcode::write::<c_int>(b'T', 220);
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCSIFFLAGS: Opcode = 0x8914;
const SIOCGIFMTU: Opcode = 0x8921;
const SIOCSIFMTU: Opcode = 0x8922;

/// A request about the interface of this name, which is empty to have one chosen.
fn request(name: &str) -> io::Result<ifreq> {
    // SAFETY: it is integers, and a union of such and of pointers; all may be zero.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    let (last, room) = request.ifr_name.split_last_mut().ok_or(io::ErrorKind::InvalidInput)?;
    *last = 0;
    if name.len() > room.len() || name.contains(['\0', '/', '%']) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} is no name of an interface"),
        ));
    }
    for (to, from) in room.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_le_bytes([from]);
    }
    Ok(request)
}

/// The name in a request that the kernel has answered.
fn name(request: &ifreq) -> String {
    let bytes = request.ifr_name.iter().map(|char| char.to_le_bytes()[0]).take_while(|byte| *byte != 0);
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}

/// Makes a request whose argument the kernel reads, and may write.
///
/// # Safety
/// The argument of `OPCODE` is of type `T`.
unsafe fn ioctl<const OPCODE: Opcode, T>(fd: &impl AsFd, argument: &mut T) -> io::Result<()> {
    // SAFETY: as the caller says.
    Ok(unsafe { rustix::ioctl::ioctl(fd, Updater::<OPCODE, T>::new(argument)) }?)
}

/// A queue of a tap interface whose frames have the header of virtio 1, little-endian. The interface is made if there is none of this
/// name, or none is named; then it goes with its last queue. Returns the interface's name, too.
///
/// # Errors
/// What the system says. `EINVAL`: the interface is there, and has several queues where this says one, or the other way round.
pub(super) fn open(interface: &str, multi_queue: bool) -> io::Result<(File, String)> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE)?;
    let mut request = request(interface)?;
    let multi_queue = if multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    request.ifr_ifru.ifru_flags = flags(libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | multi_queue);
    // SAFETY: its argument is an `ifreq`.
    unsafe { ioctl::<TUNSETIFF, ifreq>(&file, &mut request) }?;
    let (mut header, mut little_endian): (c_int, c_int) = (12, 1);
    // SAFETY: its argument is a `c_int`.
    unsafe { ioctl::<TUNSETVNETHDRSZ, c_int>(&file, &mut header) }?;
    // SAFETY: its argument is a `c_int`.
    unsafe { ioctl::<TUNSETVNETLE, c_int>(&file, &mut little_endian) }?;
    Ok((file, name(&request)))
}

/// Interface flags, of which there are 16.
fn flags(flags: c_int) -> c_short {
    let [low, high, ..] = flags.to_le_bytes();
    c_short::from_le_bytes([low, high])
}

/// Sets what frames to this process may leave to it (`TUN_F_*`).
///
/// # Errors
/// What the system says. `EINVAL`: it does not know one of them.
pub(super) fn set_offload(file: &File, offloads: u32) -> io::Result<()> {
    let offloads = usize::try_from(offloads).map_err(io::Error::other)?;
    // SAFETY: its argument is a number.
    Ok(unsafe { rustix::ioctl::ioctl(file, IntegerSetter::<TUNSETOFFLOAD>::new_usize(offloads)) }?)
}

/// Attaches the queue to its interface, or takes it away, so that no frames come to it.
///
/// # Errors
/// What the system says.
pub(super) fn set_queue(file: &File, attached: bool) -> io::Result<()> {
    let mut request = request("")?;
    request.ifr_ifru.ifru_flags =
        flags(if attached { libc::IFF_ATTACH_QUEUE } else { libc::IFF_DETACH_QUEUE });
    // SAFETY: its argument is an `ifreq`.
    unsafe { ioctl::<TUNSETQUEUE, ifreq>(file, &mut request) }
}

/// A socket by which interfaces of this network namespace are asked: one of any kind does, and of this one nobody hears.
fn socket() -> io::Result<UnixDatagram> {
    UnixDatagram::unbound()
}

/// The MTU of an interface.
///
/// # Errors
/// What the system says.
pub(super) fn mtu(interface: &str) -> io::Result<c_int> {
    let mut request = request(interface)?;
    // SAFETY: its argument is an `ifreq`.
    unsafe { ioctl::<SIOCGIFMTU, ifreq>(&socket()?, &mut request) }?;
    // SAFETY: the request fills in this member.
    Ok(unsafe { request.ifr_ifru.ifru_mtu })
}

/// Sets the MTU of an interface.
///
/// # Errors
/// What the system says.
pub(super) fn set_mtu(interface: &str, mtu: c_int) -> io::Result<()> {
    let mut request = request(interface)?;
    request.ifr_ifru.ifru_mtu = mtu;
    // SAFETY: its argument is an `ifreq`.
    unsafe { ioctl::<SIOCSIFMTU, ifreq>(&socket()?, &mut request) }
}

/// Brings an interface up.
///
/// # Errors
/// What the system says.
pub(super) fn bring_up(interface: &str) -> io::Result<()> {
    let socket = socket()?;
    let mut request = request(interface)?;
    // SAFETY: its argument is an `ifreq`.
    unsafe { ioctl::<SIOCGIFFLAGS, ifreq>(&socket, &mut request) }?;
    // SAFETY: the request fills in this member.
    request.ifr_ifru.ifru_flags = unsafe { request.ifr_ifru.ifru_flags } | flags(libc::IFF_UP);
    // SAFETY: its argument is an `ifreq`.
    unsafe { ioctl::<SIOCSIFFLAGS, ifreq>(&socket, &mut request) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_requests() {
        for good in ["", "tap0", "fifteen-letters"] {
            assert_eq!(name(&request(good).unwrap()), good);
        }
        for bad in ["sixteen-letters-", "a/b", "tap%d", "a\0"] {
            assert_eq!(request(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
    }

    #[test]
    fn flags_are_sixteen() {
        assert_eq!(flags(libc::IFF_VNET_HDR | libc::IFF_TAP), 0x4002);
        assert_eq!(mtu("lo").unwrap_or(65536), 65536);
        assert!(mtu("no-such-iface").is_err());
    }
}

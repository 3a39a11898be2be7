//! Commands of the control queue (VIRTIO 1.2, 5.1.6.5).

use virtio_bindings::virtio_net as net;

use crate::GuestRam;
use crate::virtio::{Chain, slices};

/// Bytes of the longest command that is known: class, command, a number.
const MAX_COMMAND: usize = 4;

/// Carries out a command; `activate` sets the number of pairs of queues, and tells whether it could. Returns the bytes written.
pub(super) fn serve(ram: &GuestRam, chain: &Chain, activate: impl FnOnce(u16) -> bool) -> u32 {
    // Of a chain without room for an answer, nothing is carried out.
    let room = slices(ram, chain.writable()).map_while(Result::ok).find(|slice| !slice.is_empty());
    let Some(answer) = room else { return 0 };
    let done = match command(ram, chain).as_slice() {
        [class, command, low, high] if is(*class, *command, SET_PAIRS) => {
            activate(u16::from_le_bytes([*low, *high]))
        }
        _ => false,
    };
    let code = if done { net::VIRTIO_NET_OK } else { net::VIRTIO_NET_ERR };
    answer.copy_from(&[u8::try_from(code).unwrap_or(1)]);
    1
}

/// Class and command.
const SET_PAIRS: (u32, u32) = (net::VIRTIO_NET_CTRL_MQ, net::VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET);

fn is(class: u8, command: u8, known: (u32, u32)) -> bool {
    (u32::from(class), u32::from(command)) == known
}

/// What the driver wrote, or its beginning if it is longer than any command.
fn command(ram: &GuestRam, chain: &Chain) -> Vec<u8> {
    let mut bytes = Vec::new();
    for slice in slices(ram, chain.readable()).map_while(Result::ok) {
        let mut part = [0; MAX_COMMAND + 1];
        let len = slice.copy_to(&mut part[..=MAX_COMMAND - bytes.len()]);
        bytes.extend(&part[..len]);
        if bytes.len() > MAX_COMMAND {
            break;
        }
    }
    bytes
}

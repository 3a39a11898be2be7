//! qcow2 images of any bytes.

use triarch_devices::GuestRam;
use triarch_devices::virtio::{Buffer, Operation, Request};
use vm_memory::GuestAddress;

use super::{Engine, Format, Options, Sync, open};
use crate::fuzz::file_of;

const RAM: usize = 1 << 20;

/// Opens an image, and has requests at its start and its end carried out.
pub fn qcow2(data: &[u8]) {
    let (_file, path) = file_of(data);
    let options = Options {
        path,
        format: Some(Format::Qcow2),
        read_only: false,
        sync: Sync::Writeback,
        serial: String::new(),
        discard: true,
        queues: 1,
        io: None,
    };
    let Ok(image) = open(&options) else { return };
    let Engine::Threads(disk) = &image.engine else { panic!("qcow2 has no other") };
    let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM)]).unwrap();
    let size = image.info.sectors * 512;
    let len = size.min(1 << 16);
    for (tag, offset) in (0..).zip([0, size / 2 / 4096 * 4096, size - len]) {
        let len = len.min(size - offset);
        let buffers = || vec![Buffer { address: GuestAddress(0), len: u32::try_from(len).unwrap() }];
        let operations = [
            Operation::Read(buffers()),
            Operation::Write(buffers()),
            Operation::Flush,
            Operation::Discard(len),
            Operation::WriteZeroes { len, unmap: true },
            Operation::WriteZeroes { len, unmap: false },
            Operation::Read(buffers()),
        ];
        for operation in operations {
            // That it fails is an answer.
            let _ = disk.carry_out(&ram, &Request { tag, offset, operation });
        }
    }
    disk.settle();
}

//! Plans of board ccw, whole, and what it refuses.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails is what it is for")]

mod common;

use triarch_arch::Isa;
use triarch_arch::hv::HostCaps;
use triarch_arch::image::{Format, Kernel, Packing};
use triarch_arch::s390x::image::Header;
use triarch_boards::{Attachment, Board, Error, MachineSpec, Segment, Source, VirtioKind, plan};

use common::golden;

/// The size of Debian's 6.12 kernel.
const KERNEL: u64 = 8_597_504;

fn kernel(len: u64, cmdline_size: u64) -> Option<Kernel> {
    Some(Kernel { packing: Packing::Plain, format: Format::S390x(Header { cmdline_size }), len })
}

fn spec() -> MachineSpec {
    let spec = common::spec(Board::Ccw);
    MachineSpec { cpus: 2, kernel: kernel(KERNEL, 4096), initrd: Some(0x20_0001), ..spec }
}

fn host() -> HostCaps {
    HostCaps::typical(Isa::S390x)
}

fn segments(spec: &MachineSpec) -> Vec<Segment> {
    plan(spec, &host()).unwrap().segments
}

fn bytes(segments: &[Segment], name: &str) -> Vec<u8> {
    match segments.iter().find(|segment| segment.name == name) {
        Some(Segment { source: Source::Bytes { bytes }, .. }) => bytes.clone(),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn plans_are_golden() {
    golden("ccw", &plan(&spec(), &host()).unwrap());
    let bare = MachineSpec { kernel: None, initrd: None, ..spec() };
    golden("ccw-bare", &plan(&bare, &host()).unwrap());
}

#[test]
fn virtio_devices_are_behind_subchannels() {
    let slots = |virtio| {
        let slots = plan(&MachineSpec { virtio, ..spec() }, &host())?.slots;
        Ok::<_, Error>(
            slots
                .into_iter()
                .skip(1)
                .map(|slot| (slot.name.into_owned(), slot.at, slot.irq))
                .collect::<Vec<_>>(),
        )
    };
    let at = |number| Attachment::Subchannel { number, device: number };
    let two = [("virtio0".to_owned(), at(0), None), ("virtio1".to_owned(), at(1), None)];
    assert_eq!(slots(vec![VirtioKind::Rng; 2]).unwrap(), two);
    assert_eq!(slots(vec![VirtioKind::Rng; 256]).unwrap().len(), 256);
    let refused = slots(vec![VirtioKind::Rng; 257]).unwrap_err();
    assert!(matches!(refused, Error::Devices { devices: 257, max: 256, .. }), "{refused}");
}

#[test]
fn the_parameter_area_is_golden() {
    let segments = segments(&spec());
    #[rustfmt::skip]
    let fields = [
        0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0x00, 0xa0, 0x00, 0x00, // the initrd is at 10 MiB
        0, 0, 0, 0, 0x00, 0x20, 0x00, 0x01,
        0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(bytes(&segments, "parameters"), fields);
    assert_eq!(bytes(&segments, "cmdline"), b"console=ttysclp0\0");
}

#[test]
fn without_initrd_the_fields_are_zero() {
    let spec = MachineSpec { initrd: None, ..spec() };
    let segments = segments(&spec);
    assert_eq!(bytes(&segments, "parameters"), [0; 40]);
    assert!(segments.iter().all(|segment| segment.name != "initrd"));
}

#[test]
fn every_byte_of_the_image_has_its_place() {
    // The last ends with the command line.
    for (len, cmdline_size) in [(KERNEL, 4096), (KERNEL, 896), (0x2_0000, 4096), (0x1_0480 + 896, 896)] {
        let segments = segments(&MachineSpec { kernel: kernel(len, cmdline_size), ..spec() });
        let mut end = 0;
        for segment in &segments {
            if segment.name != "initrd" {
                assert_eq!(segment.address, end, "no gap and no overlap before {}", segment.name);
            }
            assert!(segment.address >= end && segment.size > 0 && segment.size >= segment.source.len());
            if let Source::Kernel { offset, len } = segment.source {
                assert_eq!((offset, len), (segment.address, segment.size));
            }
            end = segment.address + segment.size;
        }
        let image_end = segments.iter().rev().find(|segment| segment.name != "initrd").unwrap();
        assert_eq!(image_end.address + image_end.size, len);
        let initrd = segments.last().unwrap().address;
        assert!(initrd.is_multiple_of(4096) && initrd >= len + (1 << 20));
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let refused = |change: &dyn Fn(&mut MachineSpec)| {
        let mut spec = spec();
        change(&mut spec);
        plan(&spec, &host()).unwrap_err()
    };
    assert!(matches!(refused(&|spec| spec.memory = 63 << 20), Error::Memory { .. }));
    assert!(matches!(refused(&|spec| spec.memory = (8 << 40) + (1 << 20)), Error::Memory { .. }));
    assert!(matches!(refused(&|spec| spec.cpus = 249), Error::Cpus { max: 248, .. }));
    assert!(matches!(refused(&|spec| spec.initrd = Some(1 << 28)), Error::DoesNotFit { what: "initrd", .. }));
    assert!(matches!(
        refused(&|spec| spec.kernel = kernel(256 << 20, 4096)),
        Error::DoesNotFit { what: "kernel", .. }
    ));
    assert!(matches!(refused(&|spec| spec.cmdline = "hostname=\u{e9}".to_owned()), Error::Kernel { .. }));
}

#[test]
fn the_kernel_says_how_long_its_command_line_may_be() {
    for size in [896, 4096] {
        let with = |len: usize| {
            let spec = MachineSpec { kernel: kernel(KERNEL, size), cmdline: "x".repeat(len), ..spec() };
            plan(&spec, &host())
        };
        let max = usize::try_from(size).unwrap() - 1;
        assert_eq!(with(max + 1), Err(Error::CmdlineTooLong { len: max + 1, max }));
        assert!(with(max).is_ok());
    }
}

#[test]
fn the_host_limits_memory() {
    // One of KVM's memory slots takes a little less than the 8 TiB that the host could address.
    let most = (8 << 40) - (1 << 20);
    assert!(plan(&MachineSpec { memory: most, ..spec() }, &host()).is_ok());
    let refused = plan(&MachineSpec { memory: 8 << 40, ..spec() }, &host()).unwrap_err();
    assert!(matches!(refused, Error::Memory { max, .. } if max == most), "{refused}");
}

#[test]
fn the_largest_initrd_fits_exactly() {
    let with = |size: u64| plan(&MachineSpec { initrd: Some(size), ..spec() }, &host());
    let Err(Error::DoesNotFit { room, .. }) = with(1 << 40) else {
        panic!("a TiB does not fit");
    };
    assert!(with(room).is_ok());
    assert!(with(room + 1).is_err());
}

//! Plans of board virt, whole, and what it refuses.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails is what it is for")]

mod common;

use triarch_arch::Isa;
use triarch_arch::aarch64::HostCaps as ArmCaps;
use triarch_arch::aarch64::image::{Header, PageSize};
use triarch_arch::hv::{HostCaps, IsaCaps};
use triarch_arch::image::{Format, Kernel, Packing};
use triarch_boards::{Board, Error, MachineSpec, plan};

use common::golden;

fn spec() -> MachineSpec {
    let header = Header { text_offset: 0, image_size: 0x24f_0000, page_size: PageSize::Size4K };
    let kernel = Some(Kernel { packing: Packing::Plain, format: Format::Arm64(header), len: 0x23e_a7c0 });
    MachineSpec { cpus: 2, kernel, initrd: Some(0x20_0001), ..common::spec(Board::Virt) }
}

fn host() -> HostCaps {
    HostCaps::typical(Isa::Aarch64)
}

fn gic_v2_host() -> HostCaps {
    let caps = ArmCaps { gic_v2: true, gic_v3: false, its: false, ..ArmCaps::typical() };
    HostCaps { max_vcpus: 512, isa: IsaCaps::Aarch64(caps) }
}

#[test]
fn plans_are_golden() {
    golden("virt", &plan(&spec(), &host()).unwrap());
    golden("virt-gicv2", &plan(&spec(), &gic_v2_host()).unwrap());
    let bare = MachineSpec { kernel: None, initrd: None, ..spec() };
    golden("virt-bare", &plan(&bare, &host()).unwrap());
}

#[test]
fn what_does_not_fit_is_told() {
    let refused = |change: &dyn Fn(&mut MachineSpec)| {
        let mut spec = spec();
        change(&mut spec);
        plan(&spec, &host()).unwrap_err()
    };
    assert!(matches!(refused(&|spec| spec.memory = 63 << 20), Error::Memory { .. }));
    assert!(matches!(refused(&|spec| spec.memory = 8 << 40), Error::Memory { .. }));
    assert!(matches!(refused(&|spec| spec.cpus = 513), Error::Cpus { max: 512, .. }));
    assert!(matches!(refused(&|spec| spec.initrd = Some(1 << 28)), Error::DoesNotFit { what: "initrd", .. }));
    // A kernel that says of itself that it takes all of the window that its initrd must lie in.
    let no_window = refused(&|spec| {
        let header = Header { text_offset: 0, image_size: 33 << 30, page_size: PageSize::Unspecified };
        spec.kernel = Some(Kernel { packing: Packing::Plain, format: Format::Arm64(header), len: 64 });
        spec.memory = 64 << 30;
    });
    assert!(matches!(no_window, Error::DoesNotFit { what: "initrd", room: 0, .. }), "{no_window}");
    let long = refused(&|spec| spec.cmdline = "x".repeat(2048));
    assert_eq!(long, Error::CmdlineTooLong { len: 2048, max: 2047 });
    let huge = refused(&|spec| {
        let header = Header { text_offset: 0, image_size: 255 << 20, page_size: PageSize::Size64K };
        spec.kernel = Some(Kernel { packing: Packing::Plain, format: Format::Arm64(header), len: 1 });
    });
    assert!(matches!(huge, Error::DoesNotFit { what: "kernel", .. }));
}

#[test]
fn a_gicv2_has_eight_cpus() {
    let nine = MachineSpec { cpus: 9, ..spec() };
    assert_eq!(plan(&nine, &gic_v2_host()), Err(Error::Cpus { cpus: 9, max: 8 }));
    let no_gic = ArmCaps { gic_v2: false, gic_v3: false, ..ArmCaps::typical() };
    let no_gic = HostCaps { max_vcpus: 1, isa: IsaCaps::Aarch64(no_gic) };
    assert!(matches!(plan(&MachineSpec { cpus: 1, ..spec() }, &no_gic), Err(Error::Host { .. })));
}

#[test]
fn the_largest_initrd_fits_exactly() {
    let mut spec = spec();
    let Err(Error::DoesNotFit { room, .. }) =
        plan(&MachineSpec { initrd: Some(1 << 40), ..spec.clone() }, &host())
    else {
        panic!("a TiB does not fit");
    };
    spec.initrd = Some(room);
    assert!(plan(&spec, &host()).is_ok());
    spec.initrd = Some(room + 1);
    assert!(plan(&spec, &host()).is_err());
}

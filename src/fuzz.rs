//! Untrusted files, made of bytes: what the fuzzer (`ci/fuzz`) and the kept corpus give the command line, kernel loaders and disks.
//!
//! Each target takes any bytes, and must end soon without a panic. As a test, each runs over its corpus in `ci/fuzz.d/corpus`, on
//! every ISA. Targets for devices are in `triarch_devices::fuzz`.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};
use triarch_arch::GuestRam;
use triarch_arch::hv::HostCaps;
use triarch_arch::image::KernelFile;
use triarch_boards::{Board, IrqchipChoice, MachineSpec};
use vm_memory::GuestAddress;

use crate::loader::{self, BootFiles};

pub use crate::cli::fuzz::{file, options};
pub use crate::disk::fuzz::qcow2;

/// A file of these bytes, and a path to it while it is open.
pub(crate) fn file_of(data: &[u8]) -> (File, PathBuf) {
    use std::io::Write;

    let mut file = File::from(memfd_create(c"fuzz", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(data).unwrap();
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (file, path)
}

/// Kernels of any format, packed or not, as far as guest RAM.
pub fn kernel(data: &[u8]) {
    const MEMORY: u64 = 64 << 20;
    let (_file, path) = file_of(data);
    let Ok(kernel) = KernelFile::open(&path) else { return };
    let isa = kernel.kernel().format.isa();
    let board = Board::default_of(isa);
    let spec = MachineSpec {
        board,
        cpus: 1,
        memory: MEMORY,
        kernel: Some(kernel.kernel().clone()),
        initrd: None,
        cmdline: board.default_cmdline().to_owned(),
        irqchip: IrqchipChoice::Split,
        pit: false,
        transport: None,
        virtio: Vec::new(),
        pvpanic: None,
        watchdog: false,
        seed: [0; 40],
    };
    let Ok(plan) = triarch_boards::plan(&spec, &HostCaps::typical(isa)) else { return };
    let ranges: Vec<_> = plan
        .ram
        .iter()
        .map(|range| (GuestAddress(range.base), usize::try_from(range.size).unwrap()))
        .collect();
    let ram = GuestRam::from_ranges(&ranges).unwrap();
    let files = BootFiles { kernel: Some(kernel), initrd: None };
    loader::load(&ram, &plan.segments, &files).expect("what is planned can be loaded");
}

#[cfg(test)]
mod tests {
    use super::*;

    type Target = fn(&[u8]);
    const TARGETS: [(&str, Target); 4] =
        [("options", options), ("file", file), ("kernel", kernel), ("qcow2", qcow2)];

    #[test]
    fn the_corpus_does_no_harm() {
        for (name, target) in TARGETS {
            let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ci/fuzz.d/corpus").join(name);
            let mut files: Vec<_> =
                std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            assert!(!files.is_empty(), "{name} has a corpus");
            for path in files {
                println!("{}", path.display());
                target(&std::fs::read(&path).unwrap());
            }
        }
    }
}

//! Bare-metal guests of s390x.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::fs::File;
use std::os::fd::FromRawFd;

use triarch_arch::hv::{CpuModel, HostCaps, Irqchip, IsaCaps, VcpuState};
use triarch_arch::kvm::{Host, Vcpu, Vm, VmConfig};
use triarch_arch::s390x::{self, Call, Psw};
use triarch_arch::{GuestRam, ram};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestRegionMmap};

pub const RAM: usize = 1 << 20;
pub const CODE: u64 = 0x1_0000;
/// Of the second vCPU.
pub const CODE_1: u64 = 0x2_0000;
/// The service-call control block of the guests.
pub const SCCB: u64 = 0x4000;
/// 64-bit addresses, all interruptions off.
pub const MASK: u64 = 0x0000_0001_8000_0000;
/// New PSWs of interruptions in the prefix area (Principles of Operation, "Assigned Storage Locations").
pub const RESTART_NEW: u64 = 0x1a0;
pub const EXTERNAL_NEW: u64 = 0x1b0;
pub const PROGRAM_NEW: u64 = 0x1d0;

pub fn s390x_caps(caps: &HostCaps) -> &s390x::HostCaps {
    let IsaCaps::S390x(caps) = &caps.isa else { panic!("an s390x host") };
    caps
}

/// RAM as KVM takes it: shared, and aligned.
pub fn allocate() -> GuestRam {
    // SAFETY: the name ends in a NUL; the descriptor is new.
    let file = unsafe { File::from_raw_fd(libc::memfd_create(c"ram".as_ptr(), libc::MFD_CLOEXEC)) };
    file.set_len(RAM as u64).unwrap();
    let mapping = ram::map(&FileOffset::new(file, 0), RAM).unwrap();
    GuestRam::from_regions(vec![GuestRegionMmap::new(mapping, GuestAddress(0)).unwrap()]).unwrap()
}

pub struct Guest {
    pub vm: Vm,
    pub vcpus: Vec<Vcpu>,
    pub ram: GuestRam,
}

impl Guest {
    pub fn new(host: &Host, cpus: u32, code: &[u8]) -> Self {
        let model = s390x_caps(&host.caps().unwrap()).cpu_model();
        let config = VmConfig {
            irqchip: Irqchip::Flic,
            cpu_model: CpuModel::S390x(model),
            cpus,
            address_limit: RAM as u64,
            huge_pages: false,
        };
        let mut vm = host.create_vm(config).unwrap();
        let ram = allocate();
        ram.write_slice(code, GuestAddress(CODE)).unwrap();
        vm.set_ram(&ram).unwrap();
        let vcpus = (0..cpus).map(|index| vm.create_vcpu(index).unwrap()).collect();
        vm.finish().unwrap();
        Guest { vm, vcpus, ram }
    }

    /// Puts vCPU 0 at the start of the code, as a plan does.
    pub fn boot(mut self) -> Self {
        restore(&mut self.vcpus[0], s390x::VcpuState { psw: Some(at(CODE)), ..Default::default() });
        self
    }

    pub fn write_psw(&self, address: u64, psw: Psw) {
        let bytes = [psw.mask.to_be_bytes(), psw.addr.to_be_bytes()].concat();
        self.ram.write_slice(&bytes, GuestAddress(address)).unwrap();
    }

    pub fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.ram.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    pub fn read_u64(&self, address: u64) -> u64 {
        u64::from_be_bytes(self.read(address))
    }
}

pub fn at(addr: u64) -> Psw {
    Psw { mask: MASK, addr }
}

pub fn save(vcpu: &mut Vcpu) -> s390x::VcpuState {
    match vcpu.save().unwrap() {
        VcpuState::S390x(state) => *state,
        other => panic!("not an s390x state: {other:?}"),
    }
}

pub fn restore(vcpu: &mut Vcpu, state: s390x::VcpuState) {
    vcpu.restore(&VcpuState::S390x(Box::new(state))).unwrap();
}

/// `llilf %r2,0x00120001; lghi %r4,0x4000; servc %r2,%r4`: 14 bytes.
pub const SERVC: [u8; 14] =
    [0xc0, 0x2f, 0x00, 0x12, 0x00, 0x01, 0xa7, 0x49, 0x40, 0x00, 0xb2, 0x20, 0x00, 0x24];
pub const SERVC_CALL: Call = Call::ServiceCall { command: 0x0012_0001, sccb: SCCB };

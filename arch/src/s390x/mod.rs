//! z/Architecture: registers, memory map and boot protocols, as plain data.

use crate::Isa;

/// The ISA of this module.
pub const ISA: Isa = Isa::S390x;

mod call;
pub mod image;
pub mod intercept;
pub mod interruption;
mod model;
mod state;
pub mod stsi;

pub use call::{
    Access, Answer, Call, IoCall, IoInstruction, IplAccess, Operand, Store, ipl_response, program,
};
pub use model::{CpuModel, Facilities, HostCaps};
pub use state::{Etoken, MpState, PageFault, Psw, Timers, VcpuState};

/// The CPU's virtualization extension, by the features of `/proc/cpuinfo`: SIE. `None` when there is none, or when it
/// can't be told.
pub fn virtualization(cpuinfo: &str) -> Option<&'static str> {
    let is_features = |line: &&str| line.split(':').next().is_some_and(|key| key.trim() == "features");
    let features = cpuinfo.lines().find(is_features)?.split(':').nth(1)?;
    features.split_whitespace().any(|feature| feature == "sie").then_some("SIE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sie_is_a_feature_of_cpuinfo() {
        let host = "vendor_id       : IBM/S390\n# processors    : 1\nmax thread id   : 0\n\
                    features\t: esan3 zarch stfle msa ldisp eimm dfp edat etf3eh highgprs sie \n\
                    facilities      : 0 1 2 3 4 6 7\n";
        assert_eq!(virtualization(host), Some("SIE"));
        let guest = host.replace(" sie ", " ");
        assert_eq!(virtualization(&guest), None);
        assert_eq!(virtualization("facilities: sie\n"), None);
        assert_eq!(virtualization(""), None);
    }
}

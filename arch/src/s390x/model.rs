//! What CPUs a host has, and how a guest's look.

use serde::{Serialize, Serializer};

/// What an s390x host can give to its guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCaps {
    /// One more than the highest guest-physical address that KVM can give a guest (KVM_S390_VM_MEM_LIMIT_SIZE).
    pub max_memory: u64,
    /// The CPU identification that STIDP stores, as KVM would have it (KVM_S390_VM_CPU_MACHINE).
    pub cpuid: u64,
    /// Instruction blocking control: the host's, in the low 16 bits, and the lowest that it knows, above; 0 for none.
    pub ibc: u32,
    /// Facilities that the host has.
    pub facility_list: Facilities,
    /// Facilities that KVM can give.
    pub facility_mask: Facilities,
    /// Whether vCPUs have vector registers.
    pub vectors: bool,
}

impl HostCaps {
    /// Those of a common host: a z14 without IBC.
    pub fn typical() -> Self {
        // STFLE of a z14 under KVM: base facilities, DFP, vectors, guarded storage, transactional execution.
        let facilities =
            Facilities::new(vec![0xfbf6_ffff_fcfb_f7c2, 0xe000_0000_8c10_0000, 0x1800_0000_0000_0000]);
        HostCaps {
            max_memory: 8 << 40,
            cpuid: 0x00ff_ffff_3906_8000,
            ibc: 0,
            facility_list: facilities.clone(),
            facility_mask: facilities,
            vectors: true,
        }
    }

    /// The CPU model that comes closest to the host: every facility that the host has and KVM can give.
    pub fn cpu_model(&self) -> CpuModel {
        CpuModel {
            cpuid: self.cpuid,
            ibc: self.ibc & 0xfff,
            facilities: self.facility_list.intersection(&self.facility_mask),
        }
    }
}

/// How the vCPUs look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuModel {
    /// The CPU identification: version, identifier, machine type, format.
    #[serde(serialize_with = "hex_u64")]
    pub cpuid: u64,
    /// Instruction blocking control, 12 bits; 0 for none.
    pub ibc: u32,
    /// Facilities.
    pub facilities: Facilities,
}

/// A facility list, as STORE FACILITY LIST EXTENDED gives it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facilities {
    /// Doublewords; facility 0 is the leftmost bit of the first. No zeros at the end.
    words: Vec<u64>,
}

impl Facilities {
    /// Doublewords of the longest list.
    pub const MAX_WORDS: usize = 256;

    /// Makes a list of doublewords; those beyond [`Facilities::MAX_WORDS`] do not exist.
    pub fn new(mut words: Vec<u64>) -> Self {
        words.truncate(Facilities::MAX_WORDS);
        while words.last() == Some(&0) {
            words.pop();
        }
        Facilities { words }
    }

    /// The doublewords; those that follow are zero.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Whether facility `number` is there.
    pub fn has(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word >> (63 - number % 64) & 1 == 1)
    }

    /// The facilities that both lists have.
    pub fn intersection(&self, other: &Facilities) -> Facilities {
        Facilities::new(self.words.iter().zip(&other.words).map(|(one, two)| one & two).collect())
    }
}

impl Serialize for Facilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words.iter().map(|word| format!("{word:016x}")))
    }
}

fn hex_u64<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:#x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facility_0_is_the_leftmost_bit() {
        let list = Facilities::new(vec![0x8000_0000_0000_0001, 0x4000_0000_0000_0000, 0]);
        let numbers: Vec<usize> = (0..300).filter(|number| list.has(*number)).collect();
        assert_eq!(numbers, [0, 63, 65]);
        assert_eq!(list.words().len(), 2);
    }

    #[test]
    fn the_model_has_what_the_host_has_and_kvm_gives() {
        let mut caps = HostCaps::typical();
        caps.ibc = 0x0002_1c30;
        caps.facility_list = Facilities::new(vec![0xc000_0000_0000_0000, 1]);
        caps.facility_mask = Facilities::new(vec![0x6000_0000_0000_0000]);
        let model = caps.cpu_model();
        assert_eq!(model.facilities.words(), [0x4000_0000_0000_0000]);
        assert_eq!(model.ibc, 0xc30);
    }

    #[test]
    fn a_common_host_has_what_stock_kernels_need() {
        // Debian builds for z10 (trixie) and older: facilities 0 to 2 (z/Architecture), 7, 21, 34, 35 among others.
        let facilities = HostCaps::typical().cpu_model().facilities;
        for needed in [0, 1, 2, 7, 18, 21, 34, 35, 41, 42] {
            assert!(facilities.has(needed), "{needed}");
        }
    }
}

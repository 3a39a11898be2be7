//! CPUID: what a guest is told of its vCPUs (SDM volume 2, CPUID; APM volume 3, appendix E).

use serde::Serialize;

/// The answer to one CPUID leaf or subleaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CpuidLeaf {
    /// EAX of the question.
    pub function: u32,
    /// ECX of the question, where it matters.
    pub index: Option<u32>,
    /// The answer.
    pub eax: u32,
    /// The answer.
    pub ebx: u32,
    /// The answer.
    pub ecx: u32,
    /// The answer.
    pub edx: u32,
}

impl CpuidLeaf {
    const fn new(function: u32, index: Option<u32>, [eax, ebx, ecx, edx]: [u32; 4]) -> Self {
        CpuidLeaf { function, index, eax, ebx, ecx, edx }
    }
}

/// Highest basic leaf and the vendor.
const VENDOR: u32 = 0;
/// Version and features.
pub const FEATURES: u32 = 1;
/// Intel's caches.
const CACHES: u32 = 4;
/// Topology.
const TOPOLOGY: u32 = 0xb;
/// Topology, second version.
const TOPOLOGY_V2: u32 = 0x1f;
/// KVM's own features (Documentation/virt/kvm/x86/cpuid.rst).
const KVM_FEATURES: u32 = 0x4000_0001;
/// AMD's version and features.
const EXT_FEATURES: u32 = 0x8000_0001;
/// Address widths, and AMD's number of cores.
const ADDRESS_WIDTHS: u32 = 0x8000_0008;
/// AMD's caches.
const AMD_CACHES: u32 = 0x8000_001d;
/// AMD's topology.
const AMD_TOPOLOGY: u32 = 0x8000_001e;
/// AMD's topology, second version.
const AMD_TOPOLOGY_V2: u32 = 0x8000_0026;

/// FEATURES.ECX: VMX.
const VMX: u32 = 1 << 5;
/// FEATURES.ECX: x2APIC.
const X2APIC: u32 = 1 << 21;
/// FEATURES.ECX: the LAPIC timer's TSC-deadline mode.
pub const TSC_DEADLINE: u32 = 1 << 24;
/// FEATURES.ECX: a hypervisor is there.
const HYPERVISOR: u32 = 1 << 31;
/// FEATURES.EDX: the package has more than one logical processor.
const HTT: u32 = 1 << 28;
/// KVM_FEATURES.EAX: messages can have 15-bit destinations.
const MSI_EXT_DEST_ID: u32 = 1 << 15;
/// EXT_FEATURES.ECX: the logical processors of HTT are cores.
const CMP_LEGACY: u32 = 1 << 1;
/// EXT_FEATURES.ECX: SVM.
const SVM: u32 = 1 << 2;

/// The most vCPUs whose APIC ids all fit an IOAPIC's or a message's plain destination, which is 0 to 254; 255 means "all".
pub const MAX_XAPIC_CPUS: u32 = 255;

/// Width of physical addresses where the CPU does not tell (SDM volume 1, 3.3.1).
const DEFAULT_PHYSICAL_BITS: u32 = 36;

/// Leaves of a common host, for plans that are only looked at: x86-64-v2 and KVM's paravirtual clock.
pub(super) fn typical() -> Vec<CpuidLeaf> {
    let leaf = CpuidLeaf::new;
    let vendor = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    vec![
        leaf(VENDOR, None, [0x1f, vendor(b"Genu"), vendor(b"ntel"), vendor(b"ineI")]),
        leaf(FEATURES, None, [0x0005_0654, 0x800, 0x83ba_2203, 0x0f8b_fbff]),
        leaf(TOPOLOGY, Some(0), [0; 4]),
        leaf(TOPOLOGY_V2, Some(0), [0; 4]),
        leaf(0x4000_0000, None, [KVM_FEATURES, vendor(b"KVMK"), vendor(b"VMKV"), vendor(b"M\0\0\0")]),
        leaf(KVM_FEATURES, None, [0x0100_7efb, 0, 0, 0]),
        leaf(0x8000_0000, None, [ADDRESS_WIDTHS, 0, 0, 0]),
        leaf(EXT_FEATURES, None, [0, 0, 1, 0x2c10_0800]),
        leaf(ADDRESS_WIDTHS, None, [0x3030, 0, 0, 0]),
    ]
}

/// Width of physical addresses in bits.
pub(super) fn physical_address_bits(leaves: &[CpuidLeaf]) -> u32 {
    let told = leaves.iter().find(|leaf| leaf.function == ADDRESS_WIDTHS).map(|leaf| leaf.eax & 0xff);
    told.filter(|bits| (32..=52).contains(bits)).unwrap_or(DEFAULT_PHYSICAL_BITS)
}

/// What `host` can show, made fit for a guest of `cpus` vCPUs: what our saved state does not hold is taken out, and what the
/// in-kernel LAPIC brings is put in.
pub fn model(host: &[CpuidLeaf], cpus: u32) -> Vec<CpuidLeaf> {
    let mut leaves: Vec<CpuidLeaf> = host
        .iter()
        .filter(|leaf| !matches!(leaf.function, TOPOLOGY | TOPOLOGY_V2 | AMD_TOPOLOGY_V2))
        .copied()
        .collect();
    let has_v2 = host.iter().any(|leaf| leaf.function == TOPOLOGY_V2);
    for function in [Some(TOPOLOGY), has_v2.then_some(TOPOLOGY_V2)].into_iter().flatten() {
        leaves.extend((0..3).map(|index| CpuidLeaf::new(function, Some(index), [0; 4])));
    }
    for leaf in &mut leaves {
        match leaf.function {
            VENDOR => leaf.eax = leaf.eax.max(TOPOLOGY),
            FEATURES => {
                leaf.ecx |= X2APIC | HYPERVISOR;
                leaf.ecx &= !VMX;
            }
            EXT_FEATURES => leaf.ecx &= !SVM,
            KVM_FEATURES if cpus > MAX_XAPIC_CPUS => leaf.eax |= MSI_EXT_DEST_ID,
            _ => {}
        }
    }
    leaves.sort_by_key(|leaf| (leaf.function, leaf.index));
    leaves
}

/// `model` with what vCPU `index` of `cpus` is told of itself and its neighbours: one package of `cpus` cores with one thread
/// each, whose APIC ids are their indices.
pub fn of_vcpu(model: &[CpuidLeaf], index: u32, cpus: u32) -> Vec<CpuidLeaf> {
    let topology = Topology { index, cpus, amd: is_amd(model) };
    let mut leaves = model.to_vec();
    leaves.iter_mut().for_each(|leaf| topology.fill(leaf));
    leaves
}

/// Whether the vendor is AMD or one that follows its manual.
fn is_amd(leaves: &[CpuidLeaf]) -> bool {
    let name = |leaf: &CpuidLeaf| [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat();
    leaves
        .iter()
        .filter(|leaf| leaf.function == VENDOR)
        .any(|leaf| matches!(name(leaf).as_slice(), b"AuthenticAMD" | b"HygonGenuine"))
}

struct Topology {
    index: u32,
    cpus: u32,
    amd: bool,
}

impl Topology {
    /// Bits of an APIC id that number the cores of the package.
    fn core_bits(&self) -> u32 {
        self.cpus.next_power_of_two().trailing_zeros()
    }

    fn fill(&self, leaf: &mut CpuidLeaf) {
        let multi = self.cpus > 1;
        match leaf.function {
            FEATURES => {
                // Logical processor count and initial APIC id: 8 bits each, the first rounded up by software.
                leaf.ebx = (leaf.ebx & 0xffff) | self.cpus.min(0xff) << 16 | (self.index & 0xff) << 24;
                leaf.edx = (leaf.edx & !HTT) | if multi { HTT } else { 0 };
            }
            CACHES if leaf.eax & 0x1f != 0 => {
                let cores = (self.cpus.next_power_of_two() - 1).min(0x3f);
                leaf.eax = (leaf.eax & 0x3fff) | self.cache_sharers(leaf.eax) << 14 | cores << 26;
            }
            AMD_CACHES if leaf.eax & 0x1f != 0 => {
                leaf.eax = (leaf.eax & 0x3fff) | self.cache_sharers(leaf.eax) << 14;
            }
            TOPOLOGY | TOPOLOGY_V2 => self.fill_topology(leaf),
            EXT_FEATURES if self.amd => {
                leaf.ecx = (leaf.ecx & !CMP_LEGACY) | if multi { CMP_LEGACY } else { 0 };
            }
            ADDRESS_WIDTHS if self.amd => {
                let cores = (self.cpus - 1).min(0xff);
                leaf.ecx = (leaf.ecx & !0xf0ff) | cores | self.core_bits().min(0xf) << 12;
            }
            AMD_TOPOLOGY => {
                // One thread a core, one node a package.
                [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx] = [self.index, self.index & 0xff, 0, 0];
            }
            _ => {}
        }
    }

    /// The field "how many share the cache, less one": level 3 belongs to the package, others to a core.
    fn cache_sharers(&self, eax: u32) -> u32 {
        let level = eax >> 5 & 7;
        if level >= 3 { (self.cpus.next_power_of_two() - 1).min(0xfff) } else { 0 }
    }

    fn fill_topology(&self, leaf: &mut CpuidLeaf) {
        const THREAD: u32 = 1;
        const CORE: u32 = 2;
        let level = leaf.index.unwrap_or(0);
        let (shift, count, kind) = match level {
            0 => (0, 1, THREAD),
            1 => (self.core_bits(), self.cpus.min(0xffff), CORE),
            _ => (0, 0, 0),
        };
        [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx] = [shift, count, kind << 8 | level & 0xff, self.index];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(function: u32, index: Option<u32>, answer: [u32; 4]) -> CpuidLeaf {
        CpuidLeaf::new(function, index, answer)
    }

    fn find(leaves: &[CpuidLeaf], function: u32, index: Option<u32>) -> [u32; 4] {
        let found: Vec<_> =
            leaves.iter().filter(|l| l.function == function && l.index == index).copied().collect();
        let [one] = found.as_slice() else { panic!("{function:#x} {index:?}: {found:x?}") };
        [one.eax, one.ebx, one.ecx, one.edx]
    }

    fn intel() -> Vec<CpuidLeaf> {
        vec![
            leaf(0, None, [0x1f, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
            leaf(1, None, [0x50654, 0xaa20_0800, 1 << 5 | 1, 0x0f8b_fbff]),
            // Caches of the host: L1 shared by 2 threads, L2 by 2, L3 by 32; and the end of the list.
            leaf(4, Some(0), [0x7c00_4121, 0x01c0_003f, 0x3f, 0]),
            leaf(4, Some(2), [0x7c00_4143, 0x03c0_003f, 0x3ff, 0]),
            leaf(4, Some(3), [0x7c07_c163, 0x0280_003f, 0xcfff, 4]),
            leaf(4, Some(4), [0; 4]),
            leaf(0xb, Some(0), [1, 2, 0x100, 0x55]),
            leaf(0xb, Some(1), [6, 64, 0x201, 0x55]),
            leaf(0x1f, Some(0), [1, 2, 0x100, 0x55]),
            leaf(0x4000_0001, None, [0x0100_7efb, 0, 0, 0]),
            leaf(0x8000_0001, None, [0, 0, 0x121, 0]),
            leaf(0x8000_0008, None, [0x3934, 0, 0, 0]),
        ]
    }

    fn amd() -> Vec<CpuidLeaf> {
        vec![
            leaf(0, None, [0xd, 0x6874_7541, 0x444d_4163, 0x6974_6e65]),
            leaf(1, None, [0xa0_0f11, 0, 0, 0x178b_fbff]),
            leaf(0x8000_0001, None, [0, 0, 1 << 22 | 1 << 2 | 1 << 1, 0]),
            leaf(0x8000_0008, None, [0x3030, 0x1000, 0x703f, 7]),
            leaf(0x8000_001d, Some(0), [0x4121, 0x01c0_003f, 0x3f, 0]),
            leaf(0x8000_001d, Some(3), [0x3c163, 0x03c0_003f, 0x7fff, 1]),
            leaf(0x8000_001e, None, [0x11, 0x105, 0x301, 0]),
            leaf(0x8000_0026, Some(0), [1, 2, 0x100, 0x11]),
        ]
    }

    #[test]
    fn the_model_is_what_a_guest_can_have() {
        let leaves = model(&intel(), 4);
        let [_, _, ecx, _] = find(&leaves, 1, None);
        assert_eq!(ecx, 1 << 31 | 1 << 21 | 1, "no VMX; x2APIC and a hypervisor");
        assert_eq!(find(&leaves, 0x4000_0001, None)[0], 0x0100_7efb);
        let leaves = model(&amd(), 4);
        assert_eq!(find(&leaves, 0, None)[0], 0xd);
        assert_eq!(find(&leaves, 0x8000_0001, None)[2] & 1 << 2, 0, "no SVM");
        assert!(leaves.iter().all(|leaf| !matches!(leaf.function, 0x1f | 0x8000_0026)));
        let old = [leaf(0, None, [7, 0, 0, 0])];
        assert_eq!(find(&model(&old, 1), 0, None)[0], 0xb, "the topology leaf can be reached");
    }

    #[test]
    fn wide_destinations_come_with_wide_ids() {
        for (cpus, bit) in [(255, 0), (256, 1 << 15)] {
            let features = find(&model(&intel(), cpus), 0x4000_0001, None)[0];
            assert_eq!(features & 1 << 15, bit, "{cpus}");
        }
    }

    #[test]
    fn topology_is_one_package_of_cores() {
        for (cpus, bits) in [(1, 0), (2, 1), (3, 2), (8, 3), (9, 4), (256, 8), (257, 9), (1024, 10)] {
            for index in [0, cpus / 2, cpus - 1] {
                let leaves = of_vcpu(&model(&intel(), cpus), index, cpus);
                for function in [0xb, 0x1f] {
                    assert_eq!(find(&leaves, function, Some(0)), [0, 1, 0x100, index]);
                    assert_eq!(find(&leaves, function, Some(1)), [bits, cpus, 0x201, index]);
                    assert_eq!(find(&leaves, function, Some(2)), [0, 0, 2, index]);
                }
                let [_, ebx, _, edx] = find(&leaves, 1, None);
                assert_eq!((ebx >> 24, ebx >> 16 & 0xff), (index & 0xff, cpus.min(255)), "{cpus} {index}");
                assert_eq!((ebx & 0xffff, edx >> 28 & 1), (0x800, (cpus > 1).into()));
            }
        }
    }

    #[test]
    fn caches_are_shared_as_intel_tells_it() {
        let leaves = of_vcpu(&model(&intel(), 6), 5, 6);
        let fields = |index| {
            let [eax, ..] = find(&leaves, 4, Some(index));
            (eax & 0x3fff, eax >> 14 & 0xfff, eax >> 26)
        };
        assert_eq!(fields(0), (0x121, 0, 7));
        assert_eq!(fields(2), (0x143, 0, 7));
        assert_eq!(fields(3), (0x163, 7, 7));
        assert_eq!(find(&leaves, 4, Some(4)), [0; 4], "the end stays the end");
        let leaves = of_vcpu(&model(&intel(), 1024), 0, 1024);
        assert_eq!(find(&leaves, 4, Some(3))[0], 63 << 26 | 1023 << 14 | 0x163);
    }

    #[test]
    fn topology_is_told_as_amd_does() {
        for (cpus, index, widths) in [(1, 0, 0), (6, 5, 0x3005), (8, 2, 0x3007), (300, 299, 0x90ff)] {
            let leaves = of_vcpu(&model(&amd(), cpus), index, cpus);
            assert_eq!(find(&leaves, 0x8000_0008, None), [0x3030, 0x1000, widths, 7]);
            assert_eq!(find(&leaves, 0x8000_001e, None), [index, index & 0xff, 0, 0]);
            assert_eq!(find(&leaves, 0x8000_0001, None)[2] & 2, if cpus > 1 { 2 } else { 0 });
            assert_eq!(find(&leaves, 0x8000_001d, Some(0))[0], 0x121);
            let shared = cpus.next_power_of_two() - 1;
            assert_eq!(find(&leaves, 0x8000_001d, Some(3))[0], 0x163 | shared << 14);
        }
        // Intel's reserved bits stay as they are.
        let leaves = of_vcpu(&model(&intel(), 8), 1, 8);
        assert_eq!(find(&leaves, 0x8000_0008, None)[2], 0);
        assert_eq!(find(&leaves, 0x8000_0001, None)[2], 0x121);
    }

    #[test]
    fn address_widths_that_can_not_be_are_not_believed() {
        let bits = |eax| physical_address_bits(&[leaf(0x8000_0008, None, [eax, 0, 0, 0])]);
        assert_eq!((bits(0x3934), bits(0x302e), bits(0x3020)), (52, 46, 32));
        assert_eq!((bits(0), bits(0xff), bits(31), bits(53)), (36, 36, 36, 36));
        assert_eq!(physical_address_bits(&[]), 36);
    }
}

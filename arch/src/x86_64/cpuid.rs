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

/// Highest APIC id that fits an IOAPIC's or a message's plain destination; one more means "all".
pub const MAX_XAPIC_ID: u32 = 254;

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
            KVM_FEATURES if cpus > MAX_XAPIC_ID + 1 => leaf.eax |= MSI_EXT_DEST_ID,
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

//! What both boot protocols need: the memory map, tables that the CPU reads, and the boot vCPU's registers.

use super::{MpState, Regs, Segment, Sregs, TableRegister, VcpuState};

/// What a range of memory is (ACPI 6.5, table 15.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum E820Kind {
    /// Usable RAM.
    Ram,
    /// Not to be touched.
    Reserved,
}

/// A range of memory, as the guest is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct E820Entry {
    /// Guest-physical address.
    pub base: u64,
    /// Size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: E820Kind,
}

impl E820Kind {
    /// Its number, in the E820 map and in PVH's alike.
    pub const fn number(self) -> u32 {
        match self {
            E820Kind::Ram => 1,
            E820Kind::Reserved => 2,
        }
    }
}

impl E820Entry {
    /// As it stands in the zero page.
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.base.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.size.to_le_bytes());
        bytes[16..].copy_from_slice(&self.kind.number().to_le_bytes());
        bytes
    }
}

/// `__BOOT_CS` of the boot protocol.
const BOOT_CS: u16 = 0x10;
/// `__BOOT_DS` of the boot protocol.
const BOOT_DS: u16 = 0x18;

/// Bytes of [`gdt`].
pub const GDT_SIZE: u16 = 4 * 8;

/// A global descriptor table with the boot protocol's flat 64-bit code and data segments.
pub fn gdt() -> Vec<u8> {
    // Code: present, ring 0, read, execute, accessed, 4 KiB granularity, 64-bit. Data: the same with write, 32-bit.
    let (code, data) = (0x00af_9b00_0000_ffff_u64, 0x00cf_9300_0000_ffff_u64);
    [0, 0, code, data].iter().flat_map(|descriptor| descriptor.to_le_bytes()).collect()
}

const PAGE: u64 = 4096;
const LARGE_PAGE: u64 = 2 << 20;
const TABLE_ENTRIES: u64 = 512;
/// Page directories: 4, for 1 GiB each.
const DIRECTORIES: u64 = 4;

/// Bytes of [`page_tables`].
pub const PAGE_TABLES_SIZE: u64 = (2 + DIRECTORIES) * PAGE;

/// Page tables at `base` that map the lower 4 GiB, where everything lies that the boot protocol wants mapped, to themselves.
pub fn page_tables(base: u64) -> Vec<u8> {
    const PRESENT_WRITABLE: u64 = 0b11;
    const LARGE: u64 = 1 << 7;
    let pad = |count: u64| (count..TABLE_ENTRIES).map(|_| 0);
    let level_4 = [(base + PAGE) | PRESENT_WRITABLE].into_iter().chain(pad(1));
    let level_3 =
        (0..DIRECTORIES).map(|n| (base + (2 + n) * PAGE) | PRESENT_WRITABLE).chain(pad(DIRECTORIES));
    let level_2 = (0..DIRECTORIES * TABLE_ENTRIES).map(|n| (n * LARGE_PAGE) | PRESENT_WRITABLE | LARGE);
    level_4.chain(level_3).chain(level_2).flat_map(u64::to_le_bytes).collect()
}

/// IA32_APIC_BASE of the boot processor after reset: at 0xfee00000, enabled.
const APIC_BASE: u64 = 0xfee0_0900;
/// IA32_APIC_BASE: x2APIC mode, if the LAPIC is enabled.
const APIC_X2APIC: u64 = 1 << 10;
/// IA32_APIC_BASE: the LAPIC is enabled.
const APIC_ENABLED: u64 = 1 << 11;

const CR0_PE: u64 = 1 << 0;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
/// The bit of RFLAGS that is always set. All else is clear: no interrupts.
const RFLAGS: u64 = 1 << 1;

/// A flat code segment, 32-bit.
const CODE_32: Segment = Segment {
    base: 0,
    limit: 0xffff_ffff,
    selector: BOOT_CS,
    kind: 0xb,
    present: true,
    dpl: 0,
    db: true,
    s: true,
    l: false,
    g: true,
    avl: false,
    unusable: false,
};
/// The same, 64-bit.
const CODE_64: Segment = Segment { db: false, l: true, ..CODE_32 };
/// A flat data segment.
const DATA: Segment = Segment { selector: BOOT_DS, kind: 3, ..CODE_32 };
/// The task register as after reset; hardware demands a busy one.
const TASK: Segment =
    Segment { limit: 0xffff, selector: 0, kind: 0xb, db: false, s: false, g: false, ..CODE_32 };
/// The LDT as after reset.
const LDT: Segment = Segment { kind: 2, ..TASK };

fn sregs(code: Segment) -> Sregs {
    Sregs {
        cs: code,
        ds: DATA,
        es: DATA,
        fs: DATA,
        gs: DATA,
        ss: DATA,
        tr: TASK,
        ldt: LDT,
        cr0: CR0_PE | CR0_ET,
        apic_base: APIC_BASE,
        ..Sregs::default()
    }
}

fn state(regs: Regs, sregs: Sregs) -> VcpuState {
    VcpuState {
        regs: Some(regs),
        sregs: Some(sregs),
        mp_state: Some(MpState::Runnable),
        ..VcpuState::default()
    }
}

/// Puts the LAPIC into x2APIC mode, as a firmware does where there are APIC ids beyond 254: a kernel that finds xAPIC mode passes
/// over them.
pub fn enable_x2apic(sregs: &mut Sregs) {
    sregs.apic_base |= APIC_ENABLED | APIC_X2APIC;
}

/// Registers at the kernel's 64-bit entry `rip`, as the boot protocol wants them ("64-bit Boot Protocol"): RSI points to the
/// zero page, [`gdt`] lies at `gdt`, and [`page_tables`] at `cr3`.
pub fn long_mode_entry(rip: u64, rsi: u64, gdt: u64, cr3: u64) -> VcpuState {
    let flat = sregs(CODE_64);
    let sregs = Sregs {
        gdt: TableRegister { base: gdt, limit: GDT_SIZE - 1 },
        cr0: flat.cr0 | CR0_PG,
        cr3,
        cr4: CR4_PAE,
        efer: EFER_LME | EFER_LMA,
        ..flat
    };
    state(Regs { rip, rsi, rflags: RFLAGS, ..Regs::default() }, sregs)
}

/// Registers at a PVH entry `rip`: 32-bit protected mode without paging, EBX points to the start information (Xen,
/// docs/misc/pvh.pandoc).
pub fn protected_mode_entry(rip: u64, rbx: u64) -> VcpuState {
    state(Regs { rip, rbx, rflags: RFLAGS, ..Regs::default() }, sregs(CODE_32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_tables_map_4_gib_to_themselves() {
        let base = 0x9000;
        let tables = page_tables(base);
        assert_eq!(tables.len() as u64, PAGE_TABLES_SIZE);
        let entry = |table: u64, index: u64| {
            let at = usize::try_from(table - base + index * 8).unwrap();
            u64::from_le_bytes(tables[at..at + 8].try_into().unwrap())
        };
        for address in [0, 0x1f_ffff, 0x100_0000, 0x4000_0000, 0xbfff_ffff, 0xffff_ffff_u64] {
            let mut table = base;
            for shift in [39, 30] {
                let found = entry(table, address >> shift & 511);
                assert_eq!(found & 0xfff, 3, "{address:#x}");
                table = found & !0xfff;
            }
            let page = entry(table, address >> 21 & 511);
            assert_eq!(page, address & !0x1f_ffff | 0x83, "{address:#x}");
        }
        assert_eq!((entry(base, 1), entry(base + 0x1000, 4)), (0, 0));
    }

    #[test]
    fn x2apic_is_enabled_beside_what_is_there() {
        let mut sregs = sregs(CODE_64);
        enable_x2apic(&mut sregs);
        assert_eq!(sregs.apic_base, 0xfee0_0d00);
    }

    #[test]
    fn the_gdt_agrees_with_the_segment_registers() {
        let gdt = gdt();
        assert_eq!(gdt.len(), usize::from(GDT_SIZE));
        for segment in [CODE_64, DATA] {
            let at = usize::from(segment.selector);
            let d = u64::from_le_bytes(gdt[at..at + 8].try_into().unwrap());
            let bit = |n: u32| d >> n & 1 == 1;
            assert_eq!(u64::from(segment.kind), d >> 40 & 0xf);
            assert_eq!((segment.s, segment.present), (bit(44), bit(47)));
            assert_eq!((segment.l, segment.db, segment.g), (bit(53), bit(54), bit(55)));
            assert_eq!(d & 0xffff | d >> 32 & 0xf_0000, 0xf_ffff);
        }
    }
}

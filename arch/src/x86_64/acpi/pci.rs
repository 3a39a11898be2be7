//! A PCI host bridge in ACPI's tables.

use acpi_tables::mcfg::MCFG;
use acpi_tables::{Aml, aml};

use super::{OEM_ID, OEM_REVISION, OEM_TABLE_ID};

/// A PCI host bridge with bus 0, for the MCFG and the DSDT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcpiPci {
    /// Guest-physical address of configuration space, 1 MiB.
    pub ecam: u32,
    /// Guest-physical address and size of the window of BARs.
    pub memory: (u64, u64),
    /// Pins of the IOAPIC, level-triggered: that of pin A of device n is the one at n modulo 4.
    pub intx: [u32; 4],
}

/// MCFG (PCI Firmware Specification 3.3, 4.1.2): where configuration space is.
pub(super) fn mcfg(pci: &AcpiPci) -> Vec<u8> {
    let mut mcfg = MCFG::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    mcfg.add_ecam(pci.ecam.into(), 0, 0, 0);
    let mut bytes = Vec::new();
    mcfg.to_aml_bytes(&mut bytes);
    bytes
}

/// The host bridge. It has no _OSC: there is nothing among PCI Express's features that a kernel could be given.
pub(super) fn bridge(pci: &AcpiPci) -> Vec<u8> {
    const ECAM_SIZE: u32 = 1 << 20;
    const DEVICES: u32 = 32;
    let (base, size) = pci.memory;
    let last = base.saturating_add(size.saturating_sub(1));
    let buses = aml::AddressSpace::new_bus_number(0u16, 0u16);
    let memory =
        aml::AddressSpace::new_memory(aml::AddressSpaceCacheable::NotCacheable, true, base, last, None);
    let windows = aml::ResourceTemplate::new(vec![&buses, &memory]);
    // A device's pin A, and the IOAPIC's that it leads to: level-triggered and active low, as PCI has it.
    let mut routes = aml::PackageBuilder::new();
    for (device, pin) in (0..DEVICES).zip(pci.intx.iter().cycle()) {
        let all_functions = device << 16 | 0xffff;
        routes.add_element(&aml::Package::new(vec![&all_functions, &aml::ZERO, &aml::ZERO, pin]));
    }
    // Kernels believe the MCFG only if something of this kind reserves what it names.
    let ecam = aml::Memory32Fixed::new(true, pci.ecam, ECAM_SIZE);
    let reserved = aml::ResourceTemplate::new(vec![&ecam]);
    let hid = aml::Name::new("_HID".into(), &aml::EISAName::new("PNP0C02"));
    let crs = aml::Name::new("_CRS".into(), &reserved);
    let motherboard = aml::Device::new("ECAM".into(), vec![&hid, &crs]);
    let mut bytes = Vec::new();
    aml::Device::new(
        "_SB_.PCI0".into(),
        vec![
            &aml::Name::new("_HID".into(), &aml::EISAName::new("PNP0A08")),
            &aml::Name::new("_CID".into(), &aml::EISAName::new("PNP0A03")),
            &aml::Name::new("_UID".into(), &aml::ZERO),
            &aml::Name::new("_SEG".into(), &aml::ZERO),
            &aml::Name::new("_BBN".into(), &aml::ZERO),
            &aml::Name::new("_CBA".into(), &pci.ecam),
            &aml::Name::new("_CCA".into(), &aml::ONE),
            &aml::Name::new("_CRS".into(), &windows),
            &aml::Name::new("_PRT".into(), &routes),
            &motherboard,
        ],
    )
    .to_aml_bytes(&mut bytes);
    bytes
}

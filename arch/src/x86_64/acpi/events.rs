//! The generic event device and the power button (ACPI 6.5, 5.6.9 and 4.8.2.2.1.2), for the DSDT.

use acpi_tables::{Aml, aml};

/// A register of one byte among the ports, which tells what has happened and is cleared by reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcpiEventRegister {
    /// Its port.
    pub port: u16,
    /// Pin of the IOAPIC, edge-triggered.
    pub gsi: u32,
    /// The bit that says that the power button was pressed.
    pub power_button: u8,
}

/// The event device, and the button that it notifies.
pub(super) fn devices(register: &AcpiEventRegister) -> Vec<u8> {
    /// The button's notification: pressed (ACPI 6.5, 5.6.6).
    const PRESSED: u8 = 0x80;
    let mut bytes = Vec::new();
    let hid = aml::Name::new("_HID".into(), &aml::EISAName::new("PNP0C0C"));
    aml::Device::new("_SB_.PWRB".into(), vec![&hid]).to_aml_bytes(&mut bytes);

    // consumer, edge-triggered, active high, exclusive
    let interrupt = aml::Interrupt::new(true, true, false, false, register.gsi);
    let resources = aml::ResourceTemplate::new(vec![&interrupt]);
    let hid = aml::Name::new("_HID".into(), &"ACPI0013");
    let uid = aml::Name::new("_UID".into(), &aml::ZERO);
    let crs = aml::Name::new("_CRS".into(), &resources);
    let region = aml::OpRegion::new("EREG".into(), aml::OpRegionSpace::SystemIO, &register.port, &aml::ONE);
    let field = aml::Field::new(
        "EREG".into(),
        aml::FieldAccessType::Byte,
        aml::FieldLockRule::NoLock,
        aml::FieldUpdateRule::WriteAsZeroes,
        vec![aml::FieldEntry::Named(*b"ESTS", 8)],
    );
    // A read clears the register, so there is one.
    let status = aml::Path::new("ESTS");
    let read = aml::Store::new(&aml::Local(0), &status);
    let pressed = aml::And::new(&aml::ZERO, &aml::Local(0), &register.power_button);
    let button = aml::Path::new("PWRB");
    let notify = aml::Notify::new(&button, &PRESSED);
    let tell = aml::If::new(&pressed, vec![&notify]);
    let event = aml::Method::new("_EVT".into(), 1, true, vec![&read, &tell]);
    aml::Device::new("_SB_.GED_".into(), vec![&hid, &uid, &crs, &region, &field, &event])
        .to_aml_bytes(&mut bytes);
    bytes
}

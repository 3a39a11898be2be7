//! What only PCI has.

use super::*;
use crate::virtio::testing::pci::{BAR, FIRST_BAR, MEMORY, PciDriver, Way};
use crate::virtio::testing::{Driver, Inline, ram};
use crate::virtio::{Notifier, Rng, RngBackend};
use crate::{MsiMessage, Save};

fn driver(way: Way) -> PciDriver {
    let reactor = Inline::new();
    PciDriver::new(Box::new(Rng), reactor.worker(RngBackend::new(std::io::empty())), ram(), way)
}

fn untouched() -> PciDriver {
    let reactor = Inline::new();
    PciDriver::untouched(Box::new(Rng), reactor.worker(RngBackend::new(std::io::empty())), ram(), Way::Msix)
}

fn doorbells(driver: &PciDriver) -> Vec<u64> {
    driver.host.0.lock().unwrap().doorbells.clone()
}

/// Whether anything answers at a BAR's address.
fn answers(driver: &mut PciDriver, bar: u64) -> bool {
    let mut queues = [0; 2];
    driver.pci.read_memory(bar + 0x12 - MEMORY.base, &mut queues);
    queues == [1, 0]
}

#[test]
fn the_header_is_that_of_an_entropy_device() {
    let mut driver = untouched();
    #[rustfmt::skip]
    let header = [
        0xf4, 0x1a, 0x44, 0x10, 0, 0, 0x10, 0, 1, 0, 0, 0xff, 0, 0, 0, 0,
        0x04, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf4, 0x1a, 0x00, 0x11,
        0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
    ];
    assert_eq!(driver.config::<64>(0), header);
    driver.write_config(0, &[0xff; 16]);
    let after: [u8; 16] = driver.config(0);
    assert_eq!(after, [0xf4, 0x1a, 0x44, 0x10, 6, 4, 0x10, 0, 1, 0, 0, 0xff, 0, 0, 0, 0]);
}

#[test]
fn a_bar_is_sized_moved_and_turned_off() {
    let mut driver = untouched();
    assert!(!answers(&mut driver, FIRST_BAR), "not before the driver turns it on");
    driver.write_config(0x10, &[0xff; 4]);
    driver.write_config(0x14, &[0xff; 4]);
    assert_eq!(driver.config(0x10), [0x04, 0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    driver.write_config(0x10, &FIRST_BAR.to_le_bytes());
    driver.write_config(0x04, &[2, 0]);
    assert!(answers(&mut driver, FIRST_BAR) && !answers(&mut driver, BAR));
    assert_eq!(doorbells(&driver), [FIRST_BAR + 0x3000]);
    driver.write_config(0x10, &[0, 0, 1, 0]);
    assert!(answers(&mut driver, BAR) && !answers(&mut driver, FIRST_BAR));
    assert_eq!(doorbells(&driver), [BAR + 0x3000]);
    driver.write_config(0x04, &[0, 0]);
    assert!(!answers(&mut driver, BAR));
    assert_eq!(doorbells(&driver), [0; 0]);
}

#[test]
fn a_bar_outside_the_bridges_window_is_nowhere() {
    let mut driver = untouched();
    driver.write_config(0x04, &[2, 0]);
    for bar in [0, 0x8000, 0xffff_8000, MEMORY.base - 0x8000, MEMORY.base + MEMORY.size, u64::MAX - 0x7fff] {
        driver.write_config(0x10, &bar.to_le_bytes());
        assert_eq!(doorbells(&driver), [0; 0], "{bar:#x}");
        assert!(driver.function().window().is_none(), "{bar:#x}");
    }
    for bar in [MEMORY.base, MEMORY.base + MEMORY.size - 0x8000] {
        driver.write_config(0x10, &bar.to_le_bytes());
        assert!(answers(&mut driver, bar));
    }
}

#[test]
fn messages_are_set_when_they_can_be_sent() {
    let mut driver = driver(Way::Msix);
    let message = MsiMessage { address: 0xfee0_1000, data: 0x40 };
    let take = |driver: &PciDriver| std::mem::take(&mut driver.host.0.lock().unwrap().set);
    assert_eq!(take(&driver), [(0, message), (1, message)]);
    // Masked, changed, unmasked; and the same again, which is nothing new.
    let entry = driver.table + 16;
    for data in [0x41, 0x41] {
        driver.write(entry + 12, &[1, 0, 0, 0]);
        driver.write(entry + 8, &[data, 0, 0, 0]);
        driver.write(entry + 12, &[0, 0, 0, 0]);
    }
    assert_eq!(take(&driver), [(1, MsiMessage { data: 0x41, ..message })]);
}

#[test]
fn vectors_that_are_not_there_are_none() {
    let mut driver = driver(Way::Msix);
    for register in [0x10, 0x1a] {
        assert_eq!(driver.common(register), [0xff, 0xff]);
        driver.write_common(register, &[1, 0]);
        assert_eq!(driver.common(register), [1, 0]);
        for none in [[2, 0], [0xff, 0xff], [0, 2]] {
            driver.write_common(register, &none);
            assert_eq!(driver.common(register), [0xff, 0xff]);
        }
        driver.write_common(register, &[1, 0]);
    }
    // Those of a queue that is not there, too.
    driver.write_common(0x16, &[1, 0]);
    driver.write_common(0x1a, &[0, 0]);
    assert_eq!(driver.common(0x1a), [0xff, 0xff]);
    driver.set_status(0);
    assert_eq!(driver.common(0x10), [0xff, 0xff], "a reset forgets them");
}

#[test]
fn without_a_vector_nothing_is_sent() {
    let mut driver = driver(Way::Msix);
    let notifier = driver.function().notifier.clone();
    notifier.queue(0);
    notifier.queue(7);
    notifier.config();
    assert_eq!(driver.host.0.lock().unwrap().sent, [0; 0]);
    assert_eq!(driver.isr(), 2, "the status tells of a changed configuration all the same");
}

#[test]
fn a_pin_that_may_not_be_asserted_waits() {
    let mut driver = driver(Way::Pin);
    let asserted = |driver: &PciDriver| driver.host.0.lock().unwrap().line;
    driver.write_config(0x04, &[6, 4]);
    driver.function().notifier.queue(0);
    let [status, _] = driver.config(0x06);
    assert_eq!((asserted(&driver), status & 8), (false, 8));
    driver.write_config(0x04, &[6, 0]);
    assert!(asserted(&driver));
    driver.write_config(driver.msix + 2, &[0, 0x80]);
    assert!(!asserted(&driver), "MSI-X takes its place");
    driver.write_config(driver.msix + 2, &[0, 0]);
    assert!(asserted(&driver));
    assert_eq!((driver.isr(), asserted(&driver)), (1, false));
}

#[test]
fn a_doorbell_takes_a_write_of_any_size() {
    let mut driver = driver(Way::Msix);
    let event = driver.host.0.lock().unwrap().events[0].clone();
    for size in [1, 2, 4] {
        driver.write(driver.notify, &[0; 4][..size]);
        assert_eq!(event.read().unwrap(), 1);
    }
    // That of no queue.
    driver.write(driver.notify + driver.step, &[0, 0]);
    assert!(event.read().is_err());
}

#[test]
fn the_way_through_configuration_space_leads_only_to_the_bar() {
    let mut driver = driver(Way::Msix);
    let mut lead = |bar: u8, offset: u32, len: u32| {
        driver.write_config(driver.window + 4, &[bar]);
        driver.write_config(driver.window + 8, &offset.to_le_bytes());
        driver.write_config(driver.window + 12, &len.to_le_bytes());
        driver.config::<2>(driver.window + 16)
    };
    assert_eq!(lead(0, 0x12, 2), [1, 0]);
    let lost =
        [(1, 0x12, 2), (6, 0x12, 2), (0, 0x12, 4), (0, 0x12, 0), (0, 0x12, 3), (0, 0x13, 2), (0, 0x8000, 2)];
    for (bar, offset, len) in lost.into_iter().chain([(0, u32::MAX - 1, 2), (0, 0x12, u32::MAX)]) {
        assert_eq!(lead(bar, offset, len), [0, 0], "{bar} {offset:#x} {len}");
    }
}

#[test]
fn accesses_of_odd_sizes_read_zeroes() {
    let mut driver = driver(Way::Msix);
    for (offset, len) in
        [(0x12, 1), (0x12, 4), (0x14, 2), (0x20, 8), (0x3e, 4), (0x1000, 2), (0x0ffe, 4), (0x7000, 4)]
    {
        let mut data = [0xa5; 8];
        driver.read(offset, &mut data[..len]);
        assert_eq!(data[..len], [0; 8][..len], "{offset:#x} {len}");
        driver.write(offset, &data[..len]);
    }
    assert_eq!(driver.status(), 0);
}

/// Accesses that no sane driver makes, of every size and more, all over configuration space and the BAR.
#[test]
fn a_storm_of_accesses_leaves_a_device_that_can_be_reset() {
    const SIZES: [usize; 8] = [0, 1, 2, 3, 4, 5, 8, 16];
    let (mut one, mut other) = (driver(Way::Msix), driver(Way::Msix));
    let mut state = 0x1234_5678_9abc_def1_u64;
    // xorshift64.
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..60_000 {
        let [which, size, ..] = random().to_le_bytes();
        let len = SIZES[usize::from(size % 8)];
        let value = [random().to_le_bytes(), random().to_le_bytes()].concat();
        let offset = match which % 4 {
            // The header and the capabilities, all of configuration space, the common configuration, the BAR.
            0 => random() % 0xc0,
            1 => random() % 0x1010,
            2 => random() % 0x48,
            _ => random() % 0x8010,
        };
        let mut seen = [[0u8; 16], [0xff; 16]];
        for (driver, seen) in [&mut one, &mut other].into_iter().zip(&mut seen) {
            if which % 4 < 2 {
                driver.pci.read_config(5 << 15 | offset, &mut seen[..len]);
                driver.pci.write_config(5 << 15 | offset, &value[..len]);
            } else {
                driver.pci.read_memory(BAR + offset - MEMORY.base, &mut seen[..len]);
                driver.pci.write_memory(BAR + offset - MEMORY.base, &value[..len]);
            }
            driver.function().notifier.queue(u16::from(size) % 3);
            // Back to where it is found.
            if round % 4 == 0 {
                driver.pci.write_config(5 << 15 | 0x10, &BAR.to_le_bytes());
                driver.pci.write_config(5 << 15 | 0x04, &[6, 0]);
            }
        }
        assert_eq!(seen[0][..len], seen[1][..len], "{len} bytes at {offset:#x}");
    }
    one.write_config(0x10, &BAR.to_le_bytes());
    one.write_config(0x04, &[6, 0]);
    one.set_status(0);
    assert_eq!((one.status(), one.device_id(), one.max_size(0)), (0, 4, 64));
}

#[test]
fn a_restored_device_tells_its_host_where_things_are() {
    let mut before = driver(Way::Msix);
    before.write_config(before.window + 8, &[0x12, 0, 0, 0, 2, 0, 0, 0]);
    before.write_config(0x3c, &[11]);
    // Pending while it is masked.
    before.write_common(0x10, &[1, 0]);
    before.write(before.table + 16 + 12, &[1, 0, 0, 0]);
    before.function().notifier.config();
    let saved = before.pci.save().unwrap();
    let mut after = untouched();
    after.find_structures();
    after.bar = BAR;
    after.pci.restore(&saved).unwrap();
    assert_eq!(doorbells(&after), [BAR + 0x3000]);
    assert_eq!(after.config::<2>(after.window + 16), [1, 0]);
    assert_eq!((after.config::<2>(0x3c), after.isr()), ([11, 1], 2));
    let message = MsiMessage { address: 0xfee0_1000, data: 0x40 };
    let (set, sent) = {
        let log = after.host.0.lock().unwrap();
        (log.set.clone(), log.sent.clone())
    };
    assert_eq!((set, sent), (vec![(0, message)], vec![]), "nothing is sent");
    after.write(after.table + 16 + 12, &[0, 0, 0, 0]);
    assert_eq!(after.host.0.lock().unwrap().sent, [1]);
}

#[test]
fn registers_that_no_driver_can_write_are_refused() {
    let saved = driver(Way::Msix).function().save().unwrap();
    let restore = |at: usize, value: u8| {
        let mut saved = saved.clone();
        assert_ne!(saved.bytes[at], value);
        saved.bytes[at] = value;
        untouched().function().restore(&saved)
    };
    // Command, BAR, line, MSI-X's control; bar, offset and length of the way; selectors; the vectors that are chosen.
    assert_eq!(saved.bytes[..13], [6, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0x80]);
    assert_eq!(saved.bytes[32..42], [0xff, 0xff, 1, 0, 0, 0, 0xff, 0xff, 2, 0]);
    restore(8, 7).unwrap();
    restore(32 + 22 + 4, 0x41).unwrap();
    for (what, at, value) in [
        ("ports", 0, 7),
        ("a BAR that is not aligned", 3, 0x10),
        ("a BAR's type", 2, 4),
        ("another MSI-X", 11, 1),
        ("a vector that there is not", 33, 0),
        ("pending and not masked", 32 + 12 + 13, 1),
    ] {
        assert!(restore(at, value).is_err(), "{what}");
    }
    // A line's causes are behind the second vector.
    let causes = 32 + 12 + 2 * 14;
    restore(causes, 3).unwrap();
    assert!(restore(causes, 4).is_err(), "a cause that there is not");
}

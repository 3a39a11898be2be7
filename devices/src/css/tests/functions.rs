//! Instructions, one by one.

use super::*;

/// NO-OPERATION; with the suspend flag; and chained to it.
const NOP: [u8; 8] = [0x03, 0x20, 0, 0, 0, 0, 0, 0];
const SUSPENDED_NOP: [u8; 8] = [0x03, 0x22, 0, 0, 0, 0, 0, 0];

#[test]
fn a_subchannel_after_a_reset() {
    let mut expected = [0; 52];
    // Flags: device number valid. Device number. Masks of paths: logical, installed; operational, available.
    expected[5] = 0x01;
    expected[6..8].copy_from_slice(&[0x0a, 0xbc]);
    expected[8..12].copy_from_slice(&[0x80, 0, 0, 0x80]);
    expected[14..16].copy_from_slice(&[0xff, 0x80]);
    assert_eq!(Fixture::disabled().css.stsch(ID), Ok((0, Some(expected))));
}

#[test]
fn subchannels_are_found() {
    let fixture = Fixture::new();
    for number in 0..3 {
        assert_eq!(fixture.css.stsch(0x1_0000 | number), Ok((0, Some([0; 52]))), "a gap");
    }
    assert_eq!(fixture.css.stsch(0x1_0004), Ok((3, None)), "behind the last");
    // Without the one; another subchannel set; another image, with and without its mark.
    for id in [3, 0x3_0003, 0x0109_0003, 0x0101_0003, 0x9_0003] {
        assert_eq!(fixture.css.stsch(id), Err(Operand), "{id:#x}");
    }
    let empty = Css::new(fixture.ram.clone(), fixture.floating.clone());
    assert_eq!(empty.stsch(0x1_0000), Ok((3, None)));
}

#[test]
fn instructions_for_a_subchannel_that_is_not_there() {
    let mut css = Fixture::new().css;
    for (id, answer) in [(0x1_0002, Ok(3)), (0x1_0004, Ok(3)), (0x4, Err(Operand))] {
        assert_eq!(css.msch(id, &[0; 52]), answer);
        assert_eq!(css.ssch(id, &[0; 12]), answer);
        assert_eq!(css.csch(id), answer);
        assert_eq!(css.hsch(id), answer);
        assert_eq!(css.xsch(id), answer);
        assert_eq!(css.rsch(id), answer);
        assert_eq!(css.tsch(id), answer.map(|cc| (cc, None)));
    }
}

#[test]
fn instructions_for_a_subchannel_that_is_not_enabled() {
    let mut fixture = Fixture::disabled();
    assert_eq!(fixture.start(0x0080), 3);
    assert_eq!(fixture.css.csch(ID), Ok(3));
    assert_eq!(fixture.css.hsch(ID), Ok(3));
    assert_eq!(fixture.css.xsch(ID), Ok(3));
    assert_eq!(fixture.css.rsch(ID), Ok(3));
    assert_eq!(fixture.css.tsch(ID), Ok((3, None)));
    fixture.attention.raise();
    assert_eq!(fixture.interruption(), None);
    assert_eq!(fixture.log(), []);
}

#[test]
fn what_a_program_may_modify() {
    let mut fixture = Fixture::disabled();
    fixture.modify(|schib| {
        schib[..24].fill(0xff);
        // Flags without those that must be zero, and a limit mode that there is.
        schib[4..6].copy_from_slice(&[0xf8, 0xdf]);
        // Concurrent sense, and the format of the measurement block, whose address follows the status word.
        schib[27] = 0x05;
        schib[28..40].fill(0xff);
        schib[40..48].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 0x40]);
        schib[48..].fill(0xff);
    });
    let mut expected = [0; 52];
    expected[0..4].fill(0xff);
    expected[4..6].copy_from_slice(&[0x38, 0xdd]);
    expected[6..8].copy_from_slice(&[0x0a, 0xbc]);
    expected[8..12].copy_from_slice(&[0xff, 0, 0, 0x80]);
    expected[12..16].copy_from_slice(&[0xff, 0xff, 0xff, 0x80]);
    expected[27] = 0x05;
    expected[40..48].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 0x40]);
    assert_eq!(fixture.schib(), expected);
    assert_eq!(fixture.log(), [(0, vec![1])], "the device knows that it is enabled");
    fixture.modify(|schib| schib[5] &= !0x80);
    assert_eq!(fixture.log(), [(0, vec![0])]);
}

#[test]
fn a_block_that_can_not_be_is_an_operand_exception() {
    let mut fixture = Fixture::new();
    let before = fixture.schib();
    let cases: [(usize, u8); 9] = [
        (4, 0x01),
        (4, 0x04),
        (5, 0xe0),
        (24, 0x80),
        (25, 0x10),
        (26, 0x01),
        (27, 0x80),
        (27, 0x08),
        (27, 0x02),
    ];
    for (byte, bits) in cases {
        let mut schib = before;
        schib[byte] |= bits;
        assert_eq!(fixture.css.msch(ID, &schib), Err(Operand), "byte {byte}");
        assert_eq!(fixture.schib(), before);
    }
    let mut schib = before;
    (schib[27], schib[47]) = (0x04, 0x20);
    assert_eq!(fixture.css.msch(ID, &schib), Err(Operand), "the measurement block is not aligned");
}

#[test]
fn a_program_is_started_and_tested() {
    let mut fixture = Fixture::new();
    fixture.write(PROGRAM, &NOP);
    assert_eq!(fixture.start(0xf8f8), 0);
    let schib = fixture.schib();
    assert_eq!(
        schib[0..4],
        [0x99, 0xaa, 0xbb, 0xcc],
        "the block's parameter replaces that of the subchannel"
    );
    assert_eq!(schib[10], 0x80, "the last path used");
    // Initial status was asked for, so there is an intermediate one and the bit for it.
    let scsw = [0xf8, 0xfc, 0x40, 0x0f, 0, 0, 0x10, 0x08, 0x0c, 0, 0, 0];
    assert_eq!(schib[28..40], scsw);
    // While a status is pending, nothing is started, and the subchannel is not modified.
    assert_eq!(fixture.start(0x0080), 1);
    assert_eq!(fixture.css.msch(ID, &schib), Ok(1));
    assert_eq!(fixture.css.hsch(ID), Ok(1));
    assert_eq!(fixture.css.xsch(ID), Ok(1));
    assert_eq!(fixture.css.rsch(ID), Ok(1));
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x99aa_bbcc, 6)));
    let (cc, irb) = fixture.test();
    let mut expected = [0; 64];
    expected[..12].copy_from_slice(&scsw);
    expected[13] = 0x80;
    assert_eq!((cc, irb), (0, expected));
    // Then there is none.
    assert_eq!(fixture.test(), (1, [0; 64]));
    assert_eq!(fixture.css.xsch(ID), Ok(2));
    assert_eq!(fixture.css.rsch(ID), Ok(2));
    assert_eq!(fixture.interruption(), None);
    assert_eq!(fixture.start(0x0080), 0);
}

#[test]
fn a_request_that_can_not_be_is_an_operand_exception() {
    let mut fixture = Fixture::new();
    let orb = [0, 0, 0, 0, 0, 0x80, 0x80, 0, 0, 0, 0x10, 0];
    // Transport mode; modified indirect addressing; reserved bits; a program beyond 2 GiB.
    for (byte, bits) in [(5, 0x04), (7, 0x40), (7, 0x20), (7, 0x02), (8, 0x80)] {
        let mut orb = orb;
        orb[byte] |= bits;
        assert_eq!(fixture.css.ssch(ID, &orb), Err(Operand), "byte {byte}");
        // The block is looked at before the subchannel is.
        assert_eq!(fixture.css.ssch(0x1_0004, &orb), Err(Operand));
    }
    assert_eq!(fixture.interruption(), None);
}

#[test]
fn a_path_that_may_not_be_used_is_a_deferred_condition_code_3() {
    let mut fixture = Fixture::new();
    fixture.write(PROGRAM, &NOP);
    let orb = [0x99, 0xaa, 0xbb, 0xcc, 0, 0x80, 0x7f, 0, 0, 0, 0x10, 0];
    assert_eq!(fixture.css.ssch(ID, &orb), Ok(0));
    assert_eq!(fixture.schib()[28..30], [0x03, 0x80]);
    assert_eq!(fixture.status(), (0x4011, 0, 0, 0, 0));
    // The same if the subchannel's mask says so.
    fixture.modify(|schib| schib[8] = 0x7f);
    assert_eq!(fixture.start(0x0080), 0);
    assert_eq!(fixture.status(), (0x4011, 0, 0, 0, 0));
}

#[test]
fn clear_ends_whatever_there_is() {
    let mut fixture = Fixture::new();
    // Nothing; a pending status; an alert; a suspended program.
    for before in 0..4 {
        match before {
            1 => {
                fixture.write(PROGRAM, &NOP);
                assert_eq!(fixture.start(0x0080), 0);
            }
            2 => fixture.attention.raise(),
            3 => {
                fixture.write(PROGRAM, &SUSPENDED_NOP);
                assert_eq!(fixture.start(0x0880), 0);
            }
            _ => {}
        }
        assert_eq!(fixture.css.csch(ID), Ok(0));
        let (id, ..) = fixture.interruption().unwrap();
        assert_eq!((id, fixture.interruption()), (0x0001_0003, None), "one interruption is left");
        let (cc, irb) = fixture.test();
        assert_eq!((cc, &irb[..12]), (0, &[0, 0, 0x10, 0x01, 0, 0, 0, 0, 0, 0, 0, 0][..]));
        if before == 2 {
            assert!(fixture.interruption().is_some(), "the device still wants attention");
            assert_eq!(fixture.test().1[2..4], [0, 0x11]);
        }
        assert_eq!((fixture.test().0, fixture.css.rsch(ID)), (1, Ok(2)));
    }
}

#[test]
fn halt_ends_a_suspension() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.css.hsch(ID), Ok(0));
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x1122_3344, 6)));
    assert_eq!(fixture.test().1[..12], [0, 0, 0x20, 0x01, 0, 0, 0, 0, 0, 0, 0, 0]);

    fixture.write(PROGRAM, &SUSPENDED_NOP);
    assert_eq!(fixture.start(0x0880), 0);
    assert_eq!(fixture.css.hsch(ID), Ok(0));
    assert_eq!(fixture.css.hsch(ID), Ok(1));
    assert_eq!(fixture.status(), (0x6001, 0x1008, 0, 0, 0));
    assert_eq!(fixture.css.rsch(ID), Ok(2));
    fixture.attention.raise();
    assert_eq!(fixture.css.hsch(ID), Ok(1), "not over an alert");
}

#[test]
fn a_suspended_program_is_resumed_where_it_was() {
    let mut fixture = Fixture::new();
    // control, chained; NO-OPERATION that suspends, chained; control.
    let program =
        [[0x07, 0x60, 0, 0, 0, 0, 0, 0], [0x03, 0x62, 0, 0, 0, 0, 0, 0], [0x07, 0x20, 0, 0, 0, 0, 0, 0]];
    fixture.write(PROGRAM, program.as_flattened());
    assert_eq!(fixture.start(0x0880), 0);
    assert_eq!(fixture.log(), [(7, vec![])]);
    // Busy, and a status is pending: what there is to see is seen first.
    assert_eq!((fixture.css.rsch(ID), fixture.start(0x0080)), (Ok(1), 1));
    assert_eq!(fixture.status(), (0x4029, 0x1010, 0, 0, 0));
    assert_eq!(fixture.start(0x0080), 2);
    let schib = fixture.schib();
    assert_eq!(schib[28..32], [0x08, 0x80, 0x40, 0x20], "still suspended");
    assert_eq!(fixture.css.msch(ID, &schib), Ok(2));
    // The CCW is read again, and suspends again.
    assert_eq!(fixture.css.rsch(ID), Ok(0));
    assert_eq!(fixture.status(), (0x4029, 0x1010, 0, 0, 0));
    // An alert waits for the program's end.
    fixture.attention.raise();
    assert_eq!(fixture.interruption(), None);
    fixture.write(PROGRAM + 9, &[0x60]);
    assert_eq!(fixture.css.rsch(ID), Ok(0));
    assert_eq!(fixture.log(), [(7, vec![])]);
    assert_eq!(fixture.status().0, 0x4007);
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x99aa_bbcc, 6)));
    assert_eq!(fixture.test().1[2..4], [0, 0x11]);
}

#[test]
fn a_suspension_may_be_quiet_and_be_cancelled() {
    let mut fixture = Fixture::new();
    fixture.write(PROGRAM, &SUSPENDED_NOP);
    assert_eq!(fixture.start(0x0888), 0);
    assert_eq!(fixture.interruption(), None);
    assert_eq!(fixture.schib()[28..32], [0x08, 0x88, 0x40, 0x20]);
    fixture.attention.raise();
    assert_eq!(fixture.css.xsch(ID), Ok(0));
    assert_eq!(fixture.schib()[30..32], [0, 0x11], "the alert has waited for that");
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x99aa_bbcc, 6)));
    assert_eq!((fixture.css.xsch(ID), fixture.test().0, fixture.css.xsch(ID)), (Ok(1), 0, Ok(2)));
}

#[test]
fn an_alert_is_a_status_of_its_own() {
    let mut fixture = Fixture::new();
    fixture.attention.raise();
    fixture.attention.raise();
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x1122_3344, 6)));
    assert_eq!(fixture.interruption(), None, "one at a time");
    let schib = fixture.schib();
    assert_eq!(schib[28..40], [0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((fixture.start(0x0080), fixture.css.msch(ID, &schib)), (1, Ok(1)));
    let mut expected = [0; 64];
    (expected[3], expected[13]) = (0x11, 0x80);
    assert_eq!(fixture.test(), (0, expected));
    assert_eq!(fixture.test(), (1, [0; 64]));
    // One that comes while another status is pending is not lost in it.
    fixture.write(PROGRAM, &NOP);
    assert_eq!(fixture.start(0x0080), 0);
    fixture.attention.raise();
    assert_eq!(fixture.status().0, 0x4007);
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x99aa_bbcc, 6)));
    assert_eq!(fixture.test().1[..12], [0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_reset_forgets_everything() {
    let mut fixture = Fixture::new();
    let initial = Fixture::disabled().schib();
    fixture.write(PROGRAM, &SUSPENDED_NOP);
    assert_eq!(fixture.start(0x0880), 0);
    fixture.attention.raise();
    assert_eq!(fixture.css.rchp(0), Ok(0));
    fixture.css.reset();
    assert_eq!(fixture.log(), [(0, b"reset".to_vec())]);
    assert_eq!(fixture.schib(), initial);
    assert_eq!((fixture.interruption(), fixture.css.stcrw()), (None, (1, [0; 4])));
    fixture.modify(|schib| schib[5] |= 0x80);
    assert_eq!(fixture.test(), (1, [0; 64]));
}

#[test]
fn devices_come_and_go() {
    let mut fixture = Fixture::new();
    let attention = |number| Arc::new(Attention::new(number, fixture.floating.clone()));
    let device = || Box::new(Recorder(Log::default()));
    assert_eq!(fixture.css.add(0x1, device(), attention(3)), Err(Taken { number: 3, device: 1 }));
    assert_eq!(fixture.css.add(0xabc, device(), attention(4)), Err(Taken { number: 4, device: 0xabc }));
    assert_eq!(fixture.css.plug(0x1, device(), attention(9)), Ok(()));
    assert_eq!(fixture.floating.take_reports(), 1);
    fixture.attention.raise();
    assert!(fixture.css.unplug(3).is_some());
    assert!(fixture.css.unplug(3).is_none());
    assert_eq!(fixture.interruption(), None, "it went with its subchannel");
    assert_eq!(fixture.floating.take_reports(), 0, "the program knows already that there are reports");
    assert_eq!(fixture.css.stsch(ID), Ok((0, Some([0; 52]))));
    assert_eq!((fixture.css.tsch(ID), fixture.css.stsch(0x1_0009).unwrap().0), (Ok((3, None)), 0));
    // Installed parameters initialized, of subchannels 9 and 3.
    assert_eq!(fixture.css.stcrw(), (0, [0x03, 0x04, 0, 9]));
    assert_eq!(fixture.css.stcrw(), (0, [0x03, 0x04, 0, 3]));
    assert_eq!(fixture.css.stcrw(), (1, [0; 4]));
    assert!(fixture.css.unplug(9).is_some());
    assert_eq!(fixture.floating.take_reports(), 1);
}

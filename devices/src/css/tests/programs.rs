//! Channel programs: literal CCWs, and how they end.

use super::*;

#[test]
fn data_goes_out_and_comes_in() {
    let mut fixture = Fixture::new();
    fixture.write(DATA, b"to the device");
    assert_eq!(fixture.run(&[0x01, 0, 0, 13, 0, 0, 0x20, 0]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.log(), [(1, b"to the device".to_vec())]);
    assert_eq!(fixture.run(&[0x02, 0, 0, 4, 0, 0, 0x20, 2]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.read(DATA), *b"to\x01\x02\x03\x04 ");
    // Of format 0: command, address, flags, a byte that does not matter, count.
    assert_eq!(fixture.run_0(&[0x02, 0, 0x20, 0, 0, 0xff, 0, 3]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.read(DATA), *b"\x01\x02\x03\x02");
}

#[test]
fn common_commands() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.run(&[0x03, 0, 0, 0, 0, 0, 0, 0]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.run(&[0xe4, 0, 0, 7, 0, 0, 0x20, 0]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.read(DATA), [0xff, 0x39, 0x90, 0xe9, 0x33, 0x90, 0x0a]);
    // More than there is: what is left shows, and with the flag does not matter.
    assert_eq!(fixture.run(&[0xe4, 0x20, 0, 64, 0, 0, 0x20, 0]), (ENDED, 0x1008, 0x0c, 0, 57));
    assert_eq!(fixture.run(&[0xe4, 0, 0, 64, 0, 0, 0x20, 0]), (ENDED, 0x1008, 0x0c, 0x40, 57));
    assert_eq!(fixture.log(), [], "the device has nothing to do with them");
}

#[test]
fn a_refusal_is_explained_by_sense() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.run(&[0x47, 0x60, 0, 0, 0, 0, 0, 0]), (ALERT, 0x1008, 0x02, 0, 0));
    let sense = [0x04, 0, 0, 32, 0, 0, 0x20, 0];
    fixture.write(DATA, &[0xa5; 32]);
    assert_eq!(fixture.run(&sense), (ENDED, 0x1008, 0x0c, 0, 0));
    let mut rejected = [0; 32];
    rejected[0] = 0x80;
    assert_eq!(fixture.read(DATA), rejected);
    assert_eq!(fixture.run(&sense), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.read(DATA), [0; 32], "told once");
    // A few bytes will do, with or without a word about the length.
    assert_eq!(fixture.run(&[0x04, 0x20, 0, 1, 0, 0, 0x20, 0]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.run(&[0x04, 0, 0, 1, 0, 0, 0x20, 0]), (ENDED, 0x1008, 0x0c, 0x40, 0));
}

#[test]
fn sense_may_come_with_the_status() {
    let mut fixture = Fixture::new();
    fixture.modify(|schib| schib[27] = 1);
    fixture.write(PROGRAM, &[0x47, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fixture.start(0x0080), 0);
    assert_eq!(fixture.schib()[28..30], [0, 0x80], "the block says so, the subchannel does not");
    let (cc, irb) = fixture.test();
    let mut expected = [0; 64];
    // Extended status and control; the path; 32 bytes of sense data, which follow.
    expected[..12].copy_from_slice(&[0x04, 0x82, 0x40, 0x17, 0, 0, 0x10, 0x08, 0x02, 0, 0, 0]);
    expected[12..20].copy_from_slice(&[0, 0x80, 0, 0, 0x01, 0x20, 0, 0]);
    expected[32] = 0x80;
    assert_eq!((cc, irb), (0, expected));
    fixture.interruption();
    fixture.run(&[0x04, 0, 0, 32, 0, 0, 0x20, 0]);
    assert_eq!(fixture.read(DATA), [0; 32], "so it has been told");
}

#[test]
fn commands_are_chained() {
    let mut fixture = Fixture::new();
    let program = [
        [0x01, 0x40, 0, 2, 0, 0, 0x20, 0],
        // TRANSFER IN CHANNEL to the last but one; a CCW that is passed over; two commands.
        [0x08, 0, 0, 0, 0, 0, 0x10, 0x18],
        [0x47, 0, 0, 0, 0, 0, 0, 0],
        [0x07, 0x40, 0, 0, 0, 0, 0, 0],
        [0x02, 0, 0, 2, 0, 0, 0x20, 0x10],
    ];
    assert_eq!(fixture.run(program.as_flattened()), (ENDED, 0x1028, 0x0c, 0, 0));
    assert_eq!(fixture.log(), [(1, vec![0, 0]), (7, vec![]), (2, vec![])]);
    // The other half of the command and the rest of the word are nothing to format 0.
    let program = [
        [0x01, 0, 0x20, 0, 0x40, 0, 0, 1],
        [0xf8, 0, 0x10, 0x10, 0xff, 0xff, 0xff, 0xff],
        [0x07, 0, 0, 0, 0x20, 0, 0, 1],
    ];
    assert_eq!(fixture.run_0(program.as_flattened()), (ENDED, 0x1018, 0x0c, 0, 1));
    assert_eq!(fixture.log(), [(1, vec![0]), (7, vec![])]);
}

#[test]
fn a_chain_ends_at_a_refusal_and_at_a_wrong_length() {
    let mut fixture = Fixture::new();
    let then = |first: [u8; 8]| [first, [0x07, 0, 0, 0, 0, 0, 0, 0]].concat();
    assert_eq!(fixture.run(&then([0x47, 0x40, 0, 0, 0, 0, 0, 0])), (ALERT, 0x1008, 0x02, 0, 0));
    assert_eq!(fixture.log(), []);
    assert_eq!(fixture.run(&then([0x12, 0x40, 0, 9, 0, 0, 0x20, 0])), (ENDED, 0x1008, 0x0c, 0x40, 1));
    assert_eq!(fixture.log(), [(0x12, vec![])]);
    assert_eq!(fixture.run(&then([0x12, 0x60, 0, 9, 0, 0, 0x20, 0])), (ENDED, 0x1010, 0x0c, 0, 0));
    assert_eq!(fixture.log(), [(0x12, vec![]), (7, vec![])]);
}

#[test]
fn lengths_are_checked_unless_that_is_suppressed() {
    let mut fixture = Fixture::new();
    let cases = [
        // The device takes 8 bytes of 9, and of 8.
        ([0x11, 0, 0, 9, 0, 0, 0x20, 0], (ENDED, 0x1008, 0x0c, 0x40, 1)),
        ([0x11, 0x20, 0, 9, 0, 0, 0x20, 0], (ENDED, 0x1008, 0x0c, 0, 1)),
        ([0x11, 0, 0, 8, 0, 0, 0x20, 0], (ENDED, 0x1008, 0x0c, 0, 0)),
        // Too few for it: the command is rejected.
        ([0x11, 0, 0, 7, 0, 0, 0x20, 0], (ALERT, 0x1008, 0x02, 0x40, 0)),
        ([0x11, 0x20, 0, 7, 0, 0, 0x20, 0], (ALERT, 0x1008, 0x02, 0, 0)),
        // It wants to put 8 bytes.
        ([0x12, 0x20, 0, 7, 0, 0, 0x20, 0], (ALERT, 0x1008, 0x02, 0, 0)),
        // It does not look at the data.
        ([0x07, 0, 0, 1, 0, 0, 0x20, 0], (ENDED, 0x1008, 0x0c, 0x40, 1)),
        ([0x07, 0x20, 0, 1, 0, 0, 0x20, 0], (ENDED, 0x1008, 0x0c, 0, 1)),
    ];
    for (ccw, status) in cases {
        assert_eq!(fixture.run(&ccw), status, "{ccw:02x?}");
    }
    // The length of an immediate command does not matter if the request says so, nor with format 0.
    fixture.write(PROGRAM, &[0x07, 0, 0, 1, 0, 0, 0x20, 0]);
    let orb = [0x99, 0xaa, 0xbb, 0xcc, 0, 0x80, 0x80, 0x80, 0, 0, 0x10, 0];
    assert_eq!(fixture.css.ssch(ID, &orb), Ok(0));
    assert_eq!(fixture.status(), (ENDED, 0x1008, 0x0c, 0, 1));
    assert_eq!(fixture.run_0(&[0x07, 0, 0x20, 0, 0, 0, 0, 1]), (ENDED, 0x1008, 0x0c, 0, 1));
}

#[test]
fn data_is_chained() {
    let mut fixture = Fixture::new();
    fixture.write(DATA, b"one, two");
    // Three areas, with a transfer in channel between; commands of the others don't matter.
    let program = [
        [0x01, 0x80, 0, 3, 0, 0, 0x20, 0],
        [0x47, 0x80, 0, 1, 0, 0, 0x20, 4],
        [0x08, 0, 0, 0, 0, 0, 0x10, 0x20],
        [0; 8],
        [0x00, 0, 0, 3, 0, 0, 0x20, 5],
    ];
    assert_eq!(fixture.run(program.as_flattened()), (ENDED, 0x1028, 0x0c, 0, 0));
    assert_eq!(fixture.log(), [(1, b"one two".to_vec())]);
    // Input, of which 8 bytes come: the rest is that of the area where they end. With chained data, the flag does not help.
    let reads = |flags, first, second| {
        [[0x12, 0xa0, 0, first, 0, 0, 0x20, 0], [0, flags, 0, second, 0, 0, 0x30, 0]].concat()
    };
    assert_eq!(fixture.run(&reads(0, 5, 3)), (ENDED, 0x1010, 0x0c, 0, 0));
    assert_eq!(fixture.read(DATA + 3), [4, 5, b't']);
    assert_eq!(fixture.read(DATA + 0x1000), [6, 7, 8, 0]);
    assert_eq!(fixture.run(&reads(0, 5, 4)), (ENDED, 0x1010, 0x0c, 0x40, 1));
    assert_eq!(fixture.run(&reads(0x20, 5, 4)), (ENDED, 0x1010, 0x0c, 0, 1));
    assert_eq!(fixture.run(&reads(0x20, 9, 4)), (ENDED, 0x1008, 0x0c, 0x40, 1));
}

#[test]
fn skipped_data_is_not_stored() {
    let mut fixture = Fixture::new();
    fixture.write(DATA, &[0xa5; 8]);
    // 3 bytes stored, 2 skipped, whose address is nothing that could be, 3 stored.
    let program = [
        [0x12, 0x80, 0, 3, 0, 0, 0x20, 0],
        [0, 0x90, 0, 2, 0xff, 0xff, 0xff, 0xff],
        [0, 0, 0, 3, 0, 0, 0x20, 4],
    ];
    assert_eq!(fixture.run(program.as_flattened()), (ENDED, 0x1018, 0x0c, 0, 0));
    assert_eq!(fixture.read(DATA), [1, 2, 3, 0xa5, 6, 7, 8, 0xa5]);
    fixture.log();
    // To output the flag means nothing.
    assert_eq!(fixture.run(&[0x01, 0x10, 0, 2, 0, 0, 0x20, 1]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.log(), [(1, vec![2, 3])]);
}

#[test]
fn a_ccw_may_ask_for_an_interruption() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.run(&[0x07, 0x08, 0, 0, 0, 0, 0, 0]), (0x400f, 0x1008, 0x0c, 0x80, 0));
    // One that chained data comes to counts, one that it does not come to does not.
    let reads = |first| [[0x12, 0x80, 0, first, 0, 0, 0x20, 0], [0, 0x28, 0, 8, 0, 0, 0x30, 0]].concat();
    assert_eq!(fixture.run(&reads(7)), (0x400f, 0x1010, 0x0c, 0x80, 7));
    assert_eq!(fixture.run(&reads(9)), (ENDED, 0x1008, 0x0c, 0x40, 1));
    // With a suspension, it is told of even if that is quiet.
    let program = [[0x07, 0x48, 0, 0, 0, 0, 0, 0], [0x03, 0x02, 0, 0, 0, 0, 0, 0]];
    fixture.write(PROGRAM, program.as_flattened());
    assert_eq!(fixture.start(0x0888), 0);
    assert_eq!(fixture.status(), (0x4029, 0x1010, 0, 0x80, 0));
}

#[test]
fn data_is_addressed_indirectly() {
    let mut fixture = Fixture::new();
    fixture.write(0x5000, &[7; 0x2000]);
    // Format 1: words, blocks of 2 KiB. From the last 2 bytes of one to all of a second and a byte of a third.
    fixture.write(0x3000, &[0, 0, 0x57, 0xfe, 0, 0, 0x60, 0, 0, 0, 0x50, 0]);
    assert_eq!(fixture.run(&[0x02, 0x04, 0x08, 0x03, 0, 0, 0x30, 0]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.read(0x57fd), [7, 1, 2, 7]);
    assert_eq!(fixture.read(0x6000), [3, 4]);
    // The 2051st byte.
    assert_eq!(fixture.read(0x5000), [11, 7]);
    // Format 2: doublewords, blocks of 4 KiB.
    fixture.write(0x3008, &[0, 0, 0, 0, 0, 0, 0x5f, 0xff, 0, 0, 0, 0, 0, 0, 0x70, 0]);
    fixture.write(PROGRAM, &[0x02, 0x04, 0, 3, 0, 0, 0x30, 8]);
    assert_eq!(fixture.start(0x0082), 0);
    assert_eq!(fixture.status(), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!((fixture.read(0x5ffe), fixture.read(0x7000)), ([7, 1], [2, 3, 0]));
    // The same with blocks of 2 KiB: the first ends where the second begins.
    fixture.write(0x3008, &[0, 0, 0, 0, 0, 0, 0x57, 0xff, 0, 0, 0, 0, 0, 0, 0x78, 0]);
    assert_eq!(fixture.start(0x0083), 0);
    assert_eq!(fixture.status(), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!((fixture.read(0x57ff), fixture.read(0x7800)), ([1], [2, 3, 0]));
}

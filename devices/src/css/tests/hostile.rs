//! Channel programs and data that no well-meaning program has.

use super::*;

/// The end of RAM.
const END: u32 = 1 << 20;

/// A program check at a CCW, before its command got anywhere.
fn check_at(ccw: u32) -> Status {
    (ALERT, ccw + 8, 0, 0x20, 0)
}

fn without_count((control, ccw, device, subchannel, _): Status) -> Status {
    (control, ccw, device, subchannel, 0)
}

#[test]
fn a_first_ccw_that_can_not_be_is_a_program_check() {
    let mut fixture = Fixture::new();
    let cases = [
        ("no command", [0x00, 0, 0, 0, 0, 0, 0, 0]),
        ("another without one", [0xf0, 0x20, 0, 1, 0, 0, 0x20, 0]),
        ("a transfer in channel", [0x08, 0, 0, 0, 0, 0, 0x10, 0]),
        ("modified indirect addressing", [0x02, 0x01, 0, 8, 0, 0, 0x20, 0]),
        ("a suspension that the request does not allow", [0x03, 0x02, 0, 0, 0, 0, 0, 0]),
        ("chained data without a count", [0x02, 0x80, 0, 0, 0, 0, 0x20, 0]),
    ];
    for (what, ccw) in cases {
        assert_eq!(without_count(fixture.run(&ccw)), check_at(PROGRAM), "{what}");
    }
    assert_eq!(fixture.run_0(&[0x03, 0, 0, 0, 0, 0, 0, 0]), check_at(PROGRAM), "no count in format 0");
    assert_eq!(fixture.log(), [], "nothing reaches the device");
}

#[test]
fn a_program_outside_of_where_it_can_be_is_a_program_check() {
    let mut fixture = Fixture::new();
    let nop = [0x03, 0x20, 0, 1, 0, 0, 0, 1];
    for (format, at) in [(0x80, PROGRAM + 4), (0x80, END), (0x80, 0x7fff_fff8), (0, 0x0100_0000)] {
        let [a, b, c, d] = at.to_be_bytes();
        let orb = [0x99, 0xaa, 0xbb, 0xcc, 0, format, 0x80, 0, a, b, c, d];
        if at + 8 <= END {
            fixture.write(at, &nop);
        }
        assert_eq!(fixture.css.ssch(ID, &orb), Ok(0));
        assert_eq!(fixture.status(), check_at(at), "{at:#x}");
    }
    // The last CCW of RAM chains to the end of it.
    fixture.write(END - 8, &[0x07, 0x40, 0, 0, 0, 0, 0, 0]);
    let [a, b, c, d] = (END - 8).to_be_bytes();
    let orb = [0x99, 0xaa, 0xbb, 0xcc, 0, 0x80, 0x80, 0, a, b, c, d];
    assert_eq!(fixture.css.ssch(ID, &orb), Ok(0));
    assert_eq!(without_count(fixture.status()), check_at(END));
    assert_eq!(fixture.log(), [(7, vec![])]);
}

#[test]
fn transfers_in_channel_that_can_not_be() {
    let mut fixture = Fixture::new();
    let cases = [
        ("to itself", [0x08, 0, 0, 0, 0, 0, 0x10, 8], 8),
        ("to another", [0x08, 0, 0, 0, 0, 0, 0x10, 0x10], 0x10),
        ("to an odd place", [0x08, 0, 0, 0, 0, 0, 0x10, 4], 4),
        ("with a flag", [0x08, 0x40, 0, 0, 0, 0, 0x10, 0x18], 8),
        ("with a count", [0x08, 0, 0, 1, 0, 0, 0x10, 0x18], 8),
        ("by half a command", [0x18, 0, 0, 0, 0, 0, 0x10, 0x18], 8),
    ];
    for (what, transfer, at) in cases {
        let program = [
            [0x07, 0x40, 0, 0, 0, 0, 0, 0],
            transfer,
            [0x08, 0, 0, 0, 0, 0, 0x10, 0x18],
            [0x07, 0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(without_count(fixture.run(program.as_flattened())), check_at(PROGRAM + at), "{what}");
        assert_eq!(fixture.log(), [(7, vec![])], "{what}");
    }
    let outside = [[0x07, 0x40, 0, 0, 0, 0, 0, 0], [0x08, 0, 0, 0, 0x80, 0, 0x10, 0]];
    assert_eq!(without_count(fixture.run(outside.as_flattened())), check_at(0x8000_1000));
}

#[test]
fn a_program_without_an_end_is_ended() {
    let mut fixture = Fixture::new();
    // Commands in a circle.
    let circle = [[0x07, 0x40, 0, 0, 0, 0, 0, 0], [0x08, 0, 0, 0, 0, 0, 0x10, 0]];
    let (control, _, device, subchannel, _) = fixture.run(circle.as_flattened());
    assert_eq!((control, device, subchannel), (ALERT, 0, 0x20));
    assert_eq!(fixture.log().len(), 2048, "half of the CCWs that a program may have");
    // Data in a circle: the device takes all there are.
    let circle = [[0x02, 0x80, 0, 16, 0, 0, 0x20, 0], [0x08, 0, 0, 0, 0, 0, 0x10, 0]];
    let (control, _, device, subchannel, _) = fixture.run(circle.as_flattened());
    assert_eq!((control, device, subchannel), (ALERT, 0x0c, 0x20));
    // The subchannel is as good as before.
    assert_eq!(fixture.run(&[0x03, 0, 0, 0, 0, 0, 0, 0]), (ENDED, 0x1008, 0x0c, 0, 0));
}

#[test]
fn data_outside_of_where_it_can_be_is_a_program_check() {
    let mut fixture = Fixture::new();
    let [_, b, c, d] = (END - 4).to_be_bytes();
    let cases = [
        ("beyond 2 GiB", [0x12, 0, 0, 8, 0x80, 0, 0x20, 0], 8),
        ("outside of RAM", [0x12, 0, 0, 8, 0x40, 0, 0, 0], 8),
        ("across the end of RAM", [0x12, 0, 0, 8, 0, b, c, d], 8),
        ("across 2 GiB", [0x12, 0, 0, 8, 0x7f, 0xff, 0xff, 0xfc], 8),
        ("output from outside", [0x11, 0, 0, 8, 0x40, 0, 0, 0], 8),
        ("a list outside", [0x12, 0x04, 0, 8, 0x40, 0, 0, 0], 8),
        ("an odd list", [0x12, 0x04, 0, 8, 0, 0, 0x30, 2], 8),
    ];
    for (what, ccw, count) in cases {
        assert_eq!(fixture.run(&ccw), (ALERT, 0x1008, 0x0c, 0x20, count), "{what}");
    }
    // The end of a format-0 address: RAM or not, there is nothing behind it.
    let ccw = [0x12, 0xff, 0xff, 0xfc, 0, 0, 0, 8];
    assert_eq!(fixture.run_0(&ccw), (ALERT, 0x1008, 0x0c, 0x20, 8));
    // An address that is not used does not matter.
    assert_eq!(fixture.run(&[0x07, 0x20, 0, 8, 0xff, 0xff, 0xff, 0xff]), (ENDED, 0x1008, 0x0c, 0, 8));
}

#[test]
fn addresses_of_blocks_that_can_not_be_are_a_program_check() {
    let mut fixture = Fixture::new();
    let indirect = [0x12, 0x04, 0, 8, 0, 0, 0x30, 0];
    for (words, left) in [
        // Beyond 2 GiB; a second that is not at a block's beginning; one of those outside of RAM.
        ([0x80, 0, 0x20, 0, 0, 0, 0x20, 0], 8),
        ([0, 0, 0x27, 0xfe, 0, 0, 0x20, 1], 6),
        ([0, 0, 0x27, 0xfe, 0x40, 0, 0, 0], 6),
        ([0x7f, 0xff, 0xff, 0xff, 0, 0, 0x20, 0], 8),
    ] {
        fixture.write(0x3000, &words);
        assert_eq!(fixture.run(&indirect), (ALERT, 0x1008, 0x0c, 0x20, left), "{words:02x?}");
    }
    // The list ends with RAM, before the data does.
    fixture.write(END - 4, &[0, 0, 0x27, 0xfe]);
    let [_, b, c, d] = (END - 4).to_be_bytes();
    assert_eq!(fixture.run(&[0x12, 0x04, 0, 8, 0, b, c, d]), (ALERT, 0x1008, 0x0c, 0x20, 6));
    // Format 2: the whole of 64 bits, and a list of doublewords.
    fixture.write(0x3000, &[0xff; 8]);
    fixture.write(PROGRAM, &indirect);
    assert_eq!(fixture.start(0x0082), 0);
    assert_eq!(fixture.status(), (ALERT, 0x1008, 0x0c, 0x20, 8));
    fixture.write(PROGRAM, &[0x12, 0x04, 0, 8, 0, 0, 0x30, 4]);
    assert_eq!(fixture.start(0x0082), 0);
    assert_eq!(fixture.status(), (ALERT, 0x1008, 0x0c, 0x20, 8));
}

#[test]
fn addresses_end_where_their_bits_do() {
    /// The end of what 24 bits reach, and of what 31 do. There is RAM on either side.
    const ENDS: [(u16, u32); 2] = [(0, 0x0100_0000), (0x0080, 0x8000_0000)];
    for (format, end) in ENDS {
        let ranges = [(GuestAddress(0), RAM_SIZE), (GuestAddress(u64::from(end) - 0x1000), 0x2000)];
        let mut fixture = Fixture::with_ram(&ranges).enabled();
        let ccw = |command, flags, count, data: u32| {
            let [a, b, c, d] = data.to_be_bytes();
            if format == 0 {
                [command, b, c, d, flags, 0, 0, count]
            } else {
                [command, flags, 0, count, a, b, c, d]
            }
        };
        let mut run = |at: u32, program: &[u8]| {
            fixture.write(at, program);
            let ([a, b, c, d], [high, low]) = (at.to_be_bytes(), format.to_be_bytes());
            let orb = [0x99, 0xaa, 0xbb, 0xcc, high, low, 0x80, 0, a, b, c, d];
            assert_eq!(fixture.css.ssch(ID, &orb), Ok(0));
            fixture.status()
        };
        // A chain of commands; data, of which 4 bytes can be reached; a list, of which one word can.
        let chain = [ccw(0x07, 0x60, 1, 0), ccw(0x07, 0x20, 1, 0)];
        assert_eq!(without_count(run(end - 8, chain.as_flattened())), check_at(end));
        assert_eq!(run(PROGRAM, &ccw(0x12, 0, 8, end - 4)), (ALERT, 0x1008, 0x0c, 0x20, 4));
        // No program can be there; it is for what it writes.
        run(end - 4, &[0, 0, 0x27, 0xfe, 0, 0, 0x28, 0]);
        assert_eq!(run(PROGRAM, &ccw(0x12, 0x04, 8, end - 4)), (ALERT, 0x1008, 0x0c, 0x20, 6));
    }
}

#[test]
fn chained_data_that_can_not_be() {
    let mut fixture = Fixture::new();
    let chained = |second: [u8; 8]| [[0x12, 0x80, 0, 5, 0, 0, 0x20, 0], second].concat();
    let cases = [
        ("no count", [0, 0, 0, 0, 0, 0, 0x20, 0]),
        ("a suspension", [0, 0x02, 0, 8, 0, 0, 0x20, 0]),
        ("modified indirect addressing", [0, 0x01, 0, 8, 0, 0, 0x20, 0]),
        ("a transfer to an odd place", [0x08, 0, 0, 0, 0, 0, 0x20, 1]),
    ];
    for (what, second) in cases {
        let (control, _, device, subchannel, _) = fixture.run(&chained(second));
        assert_eq!((control, device, subchannel), (ALERT, 0x0c, 0x20), "{what}");
        assert_eq!(fixture.log(), [(0x12, vec![])]);
    }
    // It is found when the data before it have gone, even if the device does not want more, and not before.
    let exact = [[0x12, 0x80, 0, 8, 0, 0, 0x20, 0], [0; 8]].concat();
    assert_eq!(fixture.run(&exact), (ALERT, 0x1010, 0x0c, 0x20, 0));
    let enough = [[0x12, 0x80, 0, 9, 0, 0, 0x20, 0], [0; 8]].concat();
    assert_eq!(fixture.run(&enough), (ENDED, 0x1008, 0x0c, 0x40, 1));
}

#[test]
fn reports_are_bounded() {
    let mut fixture = Fixture::new();
    for _ in 0..100 {
        assert_eq!(fixture.css.rchp(0), Ok(0));
    }
    assert_eq!(fixture.floating.take_reports(), 1);
    for _ in 0..64 {
        assert_eq!(fixture.css.stcrw(), (0, [0x04, 0x02, 0, 0]));
    }
    assert_eq!(fixture.css.stcrw(), (1, [0; 4]));
    assert_eq!(fixture.css.rchp(0), Ok(0));
    assert_eq!(fixture.css.stcrw(), (0, [0x24, 0x02, 0, 0]), "others were lost before it");
}

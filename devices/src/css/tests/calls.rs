//! Instructions that concern no subchannel.

use super::*;

fn call(request: [u8; 16]) -> (usize, Vec<u8>) {
    Fixture::new().css.chsc(&request).unwrap()
}

#[test]
fn the_path_is_described() {
    let first = [0, 16, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0];
    let short = [0, 16, 0, 1, 0, 0, 0, 0, 0x80, 0, 0x32, 0, 0, 0, 0, 0];
    assert_eq!(call(first), (16, short.to_vec()));
    let mut long = first;
    (long[4], long[6]) = (0x10, 0x01);
    let mut expected = vec![0, 40, 0, 1, 0, 0, 0, 1, 0x80, 0, 0x32];
    expected.resize(40, 0);
    assert_eq!(call(long), (16, expected));
    // Of others there is nothing to describe.
    let mut others = first;
    others[7] = 1;
    assert_eq!(call(others), (16, vec![0, 8, 0, 1, 0, 0, 0, 0]));
}

#[test]
fn characteristics_are_stored() {
    let (at, bytes) = call([0, 16, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut expected = vec![0x0f, 0xf0, 0, 1, 0, 0, 0, 0];
    expected.resize(4080, 0);
    expected[8 + 5] = 0x02;
    assert_eq!((at, bytes), (16, expected));
}

#[test]
fn other_calls_have_answers() {
    let cases = [
        // No event; subchannel sets can't be enabled; subchannel descriptions are not there.
        ([0, 16, 0, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0005),
        ([4, 0, 0, 0x31, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0], 0x0101),
        ([0, 16, 0, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0004),
        // Requests that can't be: lengths, reserved bits, formats, other images.
        ([0, 24, 0, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0003),
        ([0, 16, 0, 0x02, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 0x0003),
        ([0, 16, 0, 0x02, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0003),
        ([0, 16, 0, 0x02, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0007),
        ([0, 16, 0, 0x02, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0007),
        ([0, 16, 0, 0x02, 0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0008),
        ([0, 24, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0003),
        ([0, 16, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 0x0003),
        ([0, 16, 0, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0007),
        ([0, 16, 0, 0x10, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0x0008),
        ([0, 16, 0, 0x31, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0], 0x0003),
        ([4, 0, 0, 0x31, 0x01, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0], 0x0007),
    ];
    for (request, code) in cases {
        let [high, low] = u16::to_be_bytes(code);
        let len = usize::from(u16::from_be_bytes([request[0], request[1]]));
        assert_eq!(call(request), (len, vec![0, 8, high, low, 0, 0, 0, 0]), "{request:02x?}");
    }
    for len in [0, 8, 15, 17, 4089, 4096, 0xfff8] {
        let [high, low] = u16::to_be_bytes(len);
        let request = [high, low, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Fixture::new().css.chsc(&request), Err(Operand), "{len}");
    }
    let request = [0x0f, 0xf8, 0, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(call(request), (4088, vec![0, 8, 0, 5, 0, 0, 0, 0]), "the last place in the page");
}

#[test]
fn a_response_fits_into_the_page() {
    let css = Fixture::disabled().css;
    for code in 0..=255 {
        for len in (16..=4088u16).step_by(8) {
            let [high, low] = len.to_be_bytes();
            let request = [high, low, 0, code, 0, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0];
            let (at, bytes) = css.chsc(&request).unwrap();
            assert!(at + bytes.len() <= 4096, "{request:02x?}");
        }
    }
}

#[test]
fn a_path_is_reset() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.css.rchp(0xffff_ffff_0000_0000), Ok(0));
    assert_eq!(fixture.floating.take_reports(), 1);
    assert_eq!(fixture.css.stcrw(), (0, [0x04, 0x02, 0, 0]));
    assert_eq!(fixture.css.rchp(1), Ok(3));
    for register in [0x0001_0000, 0x0100_0000, 0x0100] {
        assert_eq!(fixture.css.rchp(register), Err(Operand), "{register:#x}");
    }
    assert_eq!(fixture.floating.take_reports(), 0);
}

#[test]
fn limits_and_monitoring_are_taken_if_they_can_be() {
    let css = Fixture::new().css;
    assert_eq!(css.sal(0x7fff_0000), Ok(()));
    assert_eq!((css.sal(0x8000_0000), css.sal(1)), (Err(Operand), Err(Operand)));
    assert_eq!(css.schm(0xf000_0003, 0x20), Ok(()));
    assert_eq!(css.schm(0, 1), Ok(()), "the address is not used");
    assert_eq!((css.schm(4, 0), css.schm(2, 0x10)), (Err(Operand), Err(Operand)));
    assert_eq!(css.stcps(), [0; 32]);
}

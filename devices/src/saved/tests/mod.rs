//! The bytes of fields, in literals.

mod devices;

use super::*;
use crate::{Save, nothing_to_save};

state! {
    #[derive(Debug, PartialEq)]
    struct Part {
        flag: bool,
        offset: i64,
    }
}

state! {
    #[derive(Debug, PartialEq)]
    struct Whole: "whole", 3 {
        byte: u8,
        half: u16,
        word: u32,
        long: u64,
        parts: Vec<Part>,
        none: Option<u16>,
        some: Option<(u8, u16)>,
        array: [u8; 3],
        inner: Saved,
    }
}

fn whole() -> Whole {
    Whole {
        byte: 0x01,
        half: 0x0203,
        word: 0x0405_0607,
        long: 0x0809_0a0b_0c0d_0e0f,
        parts: vec![Part { flag: true, offset: -2 }, Part { flag: false, offset: 0x10 }],
        none: None,
        some: Some((0x11, 0x1213)),
        array: [0x14, 0x15, 0x16],
        inner: Saved { kind: Kind::new("eight888"), version: 0x0102_0304, bytes: vec![0x17, 0x18] },
    }
}

#[rustfmt::skip]
const BYTES: [u8; 63] = [
    0x01,
    0x03, 0x02,
    0x07, 0x06, 0x05, 0x04,
    0x0f, 0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08,
    2, 0, 0, 0,
        1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0, 0x10, 0, 0, 0, 0, 0, 0, 0,
    0,
    1, 0x11, 0x13, 0x12,
    0x14, 0x15, 0x16,
    b'e', b'i', b'g', b'h', b't', b'8', b'8', b'8', 4, 3, 2, 1, 2, 0, 0, 0, 0x17, 0x18,
];

#[test]
fn fields_are_little_endian_and_without_gaps() {
    let saved = Saved::of(&whole());
    assert_eq!((saved.kind, saved.version), (Kind::new("whole"), 3));
    assert_eq!(saved.bytes, BYTES);
    assert_eq!(saved.get::<Whole>().unwrap(), whole());
}

#[test]
fn a_state_has_a_kind_and_a_version_around_it() {
    let saved = Saved { kind: Kind::new("ab"), version: 2, bytes: vec![9] };
    let bytes = [b'a', b'b', 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9];
    assert_eq!(saved.encode(), bytes);
    assert_eq!(Saved::decode(&bytes).unwrap(), saved);
    assert_eq!(
        (saved.kind.to_string(), Kind(*b"\0\n\xff     ").to_string()),
        ("ab".into(), "\\x00\\n\\xff     ".into())
    );
}

#[test]
fn what_does_not_fit_says_why() {
    let saved = Saved::of(&whole());
    let error = |saved: &Saved| saved.get::<Whole>().unwrap_err().to_string();
    for len in 0..saved.bytes.len() {
        let cut = Saved { bytes: saved.bytes[..len].to_vec(), ..saved.clone() };
        assert_eq!(error(&cut), "the state of whole is cut off");
    }
    let longer = Saved { bytes: [&saved.bytes[..], &[0, 0]].concat(), ..saved.clone() };
    assert_eq!(error(&longer), "the state of whole has 2 bytes too many");
    let other = Saved { kind: Kind::new("other"), ..saved.clone() };
    assert_eq!(error(&other), "there is the state of other where that of whole belongs");
    let newer = Saved { version: 4, ..saved.clone() };
    assert_eq!(error(&newer), "the state of whole is of version 4; the newest that is known is 3");
    let mut flag = saved.clone();
    flag.bytes[19] = 2;
    assert_eq!(error(&flag), "the state of whole can't be: a flag that is neither 0 nor 1");
    let checked = saved.check(false, "a number").unwrap_err().to_string();
    assert_eq!(checked, "the state of whole can't be: a number");
}

#[test]
fn counts_do_not_make_room_for_what_is_not_there() {
    for count in [9, 0x8000_0000, u32::MAX] {
        let mut saved = Saved::of(&whole());
        saved.bytes[15..19].copy_from_slice(&count.to_le_bytes());
        assert!(saved.get::<Whole>().is_err());
        let mut inner = Saved::of(&whole());
        let at = inner.bytes.len() - 6;
        inner.bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
        assert!(inner.get::<Whole>().is_err());
    }
}

struct Nothing;

nothing_to_save!(Nothing, "nothing");

#[test]
fn nothing_is_said_out_loud() {
    let saved = Nothing.save().unwrap();
    assert_eq!(saved.encode(), *b"nothing\0\x01\0\0\0\0\0\0\0");
    testing::refuses_what_is_cut_off(&saved, || Nothing);
}

#[test]
fn mutations_are_survived() {
    struct Any(Option<Whole>);
    impl Save for Any {
        fn save(&mut self) -> Result<Saved> {
            Ok(Saved::of(self.0.as_ref().unwrap()))
        }

        fn restore(&mut self, saved: &Saved) -> Result<()> {
            self.0 = Some(saved.get()?);
            Ok(())
        }
    }
    testing::mutations(&Saved::of(&whole()), 5000, || Any(None), |_| ());
}

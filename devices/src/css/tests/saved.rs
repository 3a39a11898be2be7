//! Subchannels that go on in another channel subsystem.

use super::*;
use crate::saved::testing::{golden, mutations, refuses_what_is_cut_off};
use crate::saved::{Error, Save, Saved};

impl Fixture {
    /// Another one over the same RAM, with what interruptions are pending.
    fn moved(mut self) -> Self {
        let saved = self.css.save().unwrap();
        let (floating, log) = (Arc::new(Pending::default()), Log::default());
        let attention = Arc::new(Attention::new(3, floating.clone()));
        let mut css = Css::new(self.ram.clone(), floating.clone());
        css.add(0x0abc, Box::new(Recorder(log.clone())), attention.clone()).unwrap();
        css.restore(&saved).unwrap();
        assert_eq!(css.save().unwrap(), saved);
        assert_eq!((floating.take(), std::mem::take(&mut *log.lock().unwrap())), (None, vec![]));
        std::iter::from_fn(|| self.floating.take()).for_each(|interruption| floating.pend(interruption));
        Fixture { css, floating, attention, ram: self.ram, log }
    }

    /// With a program that is suspended, and of which the program has seen that.
    fn suspended() -> Self {
        let mut fixture = Fixture::new();
        let program =
            [[0x07, 0x60, 0, 0, 0, 0, 0, 0], [0x03, 0x62, 0, 0, 0, 0, 0, 0], [0x07, 0x20, 0, 0, 0, 0, 0, 0]];
        fixture.write(PROGRAM, program.as_flattened());
        assert_eq!(fixture.start(0x0880), 0);
        fixture
    }
}

impl Save for Fixture {
    fn save(&mut self) -> crate::saved::Result<Saved> {
        self.css.save()
    }

    fn restore(&mut self, saved: &Saved) -> crate::saved::Result<()> {
        self.css.restore(saved)
    }
}

#[test]
fn a_subchannel_goes_on_as_it_was() {
    let disabled = Fixture::disabled().moved();
    assert_eq!(disabled.schib(), Fixture::disabled().schib());
    let mut fixture = disabled.enabled().moved();
    let schib = fixture.schib();
    assert_eq!(fixture.run(&[0x03, 0, 0, 0, 0, 0, 0, 0]), (ENDED, 0x1008, 0x0c, 0, 0));
    // A status that is pending.
    assert_eq!(fixture.start(0x0080), 0);
    let mut fixture = fixture.moved();
    assert_eq!(fixture.start(0x0080), 1);
    assert_eq!(fixture.status(), (ENDED, 0x1008, 0x0c, 0, 0));
    // Sense data.
    fixture.write(PROGRAM, &[0x55, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fixture.start(0x0080), 0);
    assert_eq!(fixture.status().2, 0x02);
    let mut fixture = fixture.moved();
    assert_eq!(fixture.run(&[0x04, 0, 0, 32, 0, 0, 0x20, 0]), (ENDED, 0x1008, 0x0c, 0, 0));
    assert_eq!(fixture.read(DATA), [0x80, 0]);
    // The parameter is the last program's, and the path has been used.
    let (mut expected, found) = (schib, fixture.schib());
    expected[0..4].copy_from_slice(&[0x99, 0xaa, 0xbb, 0xcc]);
    expected[10] = 0x80;
    assert_eq!(found, expected);
}

#[test]
fn an_alert_is_neither_lost_nor_told_twice() {
    let fixture = Fixture::new();
    fixture.attention.raise();
    let mut fixture = fixture.moved();
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x1122_3344, 6)));
    assert_eq!((fixture.interruption(), fixture.test().1[2..4].to_vec()), (None, vec![0, 0x11]));
    // One that waits for a program's end.
    fixture.write(PROGRAM, &[0x03, 0x20, 0, 0, 0, 0, 0, 0]);
    assert_eq!(fixture.start(0x0080), 0);
    fixture.attention.raise();
    let mut fixture = fixture.moved();
    fixture.attention.raise();
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x99aa_bbcc, 6)));
    assert_eq!((fixture.interruption(), fixture.test().1[2..4].to_vec()), (None, vec![0x40, 0x07]));
    assert_eq!(fixture.interruption(), Some((0x0001_0003, 0x99aa_bbcc, 6)));
    assert_eq!(fixture.test().1[2..4], [0, 0x11]);
}

#[test]
fn a_cancelled_program_leaves_nothing_behind() {
    let mut fixture = Fixture::suspended();
    fixture.status();
    assert_eq!(fixture.css.xsch(ID), Ok(0));
    let mut fixture = fixture.moved();
    assert_eq!(fixture.css.xsch(ID), Ok(2));
}

#[test]
fn a_suspended_program_is_resumed_elsewhere() {
    let mut fixture = Fixture::suspended().moved();
    assert_eq!(fixture.status(), (0x4029, 0x1010, 0, 0, 0));
    let mut fixture = fixture.moved();
    assert_eq!(fixture.start(0x0080), 2);
    fixture.write(PROGRAM + 9, &[0x60]);
    assert_eq!(fixture.css.rsch(ID), Ok(0));
    assert_eq!(fixture.log(), [(7, vec![])], "the third command");
    assert_eq!(fixture.status().0, ENDED);
}

#[test]
fn reports_stay() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.css.rchp(0), Ok(0));
    assert_eq!(fixture.floating.take_reports(), 1);
    let mut fixture = fixture.moved();
    assert_eq!((fixture.css.rchp(0), fixture.floating.take_reports()), (Ok(0), 0), "it knows already");
    let report = (0, [0x04, 0x02, 0, 0]);
    assert_eq!([(); 3].map(|()| fixture.css.stcrw()), [report, report, (1, [0; 4])]);
    let mut fixture = fixture.moved();
    assert_eq!((fixture.css.rchp(0), fixture.floating.take_reports()), (Ok(0), 1));
}

#[test]
fn other_subchannels_are_refused() {
    let saved = Fixture::new().save().unwrap();
    let fixture = Fixture::new();
    let with = |device: u16, numbers: &[u16]| {
        let mut css = Css::new(fixture.ram.clone(), fixture.floating.clone());
        for (at, number) in (0..).zip(numbers) {
            let attention = Arc::new(Attention::new(*number, fixture.floating.clone()));
            css.add(device + at, Box::new(Recorder(Log::default())), attention).unwrap();
        }
        css.restore(&saved)
    };
    with(0x0abc, &[3]).unwrap();
    for (device, numbers) in [(0x0abc, &[][..]), (0x0abc, &[4]), (0x0abc, &[3, 4]), (0x0abd, &[3])] {
        assert!(matches!(with(device, numbers), Err(Error::Invalid { .. })), "{device:#x} at {numbers:?}");
    }
}

/// Offset of the block of the one subchannel: behind reports (6 bytes), number of subchannels, number, kind, version, length.
const SCHIB: usize = 6 + 4 + 2 + 16;

#[test]
fn a_subchannel_that_can_not_be_is_refused() {
    let saved = Fixture::suspended().save().unwrap();
    let orb = SCHIB + 52 + 1;
    let cases = [
        ("a reserved flag", SCHIB + 4, 0x07),
        ("a limit of both kinds", SCHIB + 5, 0xe1),
        ("no device number", SCHIB + 5, 0x80),
        ("paths that are not installed", SCHIB + 11, 0xc0),
        ("a path that was never used", SCHIB + 10, 0x40),
        ("a path's identifier", SCHIB + 16, 1),
        ("measurements that there are not", SCHIB + 27, 0x02),
        ("disabled, and yet pending", SCHIB + 5, 0x01),
        ("not suspended", SCHIB + 28 + 3, 0x08),
        ("a reserved byte", SCHIB + 48, 1),
        ("a request that may not suspend", orb + 4, 0),
        ("a request in transport mode", orb + 5, 0x84),
        ("a request with what is not kept", orb + 7, 0x01),
    ];
    for (what, at, value) in cases {
        let mut bad = saved.clone();
        assert_ne!(bad.bytes[at], value, "{what}");
        bad.bytes[at] = value;
        assert!(matches!(Fixture::disabled().restore(&bad), Err(Error::Invalid { .. })), "{what}");
    }
    // Idle, but with a status.
    let mut bad = Fixture::new().save().unwrap();
    bad.bytes[SCHIB + 28 + 8] = 0x0c;
    assert!(matches!(Fixture::disabled().restore(&bad), Err(Error::Invalid { .. })));
    // More reports than are kept.
    let mut bad = Fixture::new().save().unwrap();
    bad.bytes.splice(0..4, [&65_u32.to_le_bytes()[..], &[0; 65 * 4]].concat());
    assert!(matches!(Fixture::disabled().restore(&bad), Err(Error::Invalid { .. })));
}

#[test]
fn states_are_golden_and_mutations_do_no_harm() {
    let mut fixture = Fixture::suspended();
    assert_eq!(fixture.css.rchp(0), Ok(0));
    fixture.attention.raise();
    let saved = fixture.save().unwrap();
    golden("css-suspended-1", &saved, &mut Fixture::disabled());
    refuses_what_is_cut_off(&saved, Fixture::disabled);
    mutations(&saved, 2000, Fixture::disabled, |fixture| {
        let css = &mut fixture.css;
        let orb = [0, 0, 0, 0, 0x08, 0x80, 0xff, 0, 0, 0, 0x10, 0];
        for _ in 0..2 {
            fixture.attention.raise();
            css.rsch(ID).unwrap();
            css.tsch(ID).unwrap();
            css.ssch(ID, &orb).unwrap();
            css.hsch(ID).unwrap();
            css.csch(ID).unwrap();
            css.tsch(ID).unwrap();
            css.save().unwrap();
        }
        while css.stcrw().0 == 0 {}
        assert_eq!(
            css.ssch(ID, &orb),
            css.stsch(ID).map(|(_, schib)| if schib.unwrap()[5] & 0x80 == 0 { 3 } else { 0 })
        );
    });
}

//! A guest that writes literal SCCBs.

mod hostile;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

/// Where the guest has its SCCB.
const ADDRESS: u32 = 0x0001_1000;

const READ_CPU_INFO: u32 = 0x0001_0001;
const READ_SCP_INFO: u32 = 0x0002_0001;
const READ_SCP_INFO_FORCED: u32 = 0x0012_0001;
const WRITE_EVENT_DATA: u32 = 0x0076_0005;
const READ_EVENT_DATA: u32 = 0x0077_0005;
const WRITE_EVENT_MASK: u32 = 0x0078_0005;

const COMMANDS: [u32; 6] =
    [READ_CPU_INFO, READ_SCP_INFO, READ_SCP_INFO_FORCED, WRITE_EVENT_DATA, READ_EVENT_DATA, WRITE_EVENT_MASK];

/// Masks of the events that the guest receives.
const COMMAND: u32 = 0x8000_0000;
const ASCII: u32 = 0x0000_0040;
const QUIESCE: u32 = 0x0000_0008;

/// What was put, and what was echoed.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>, Arc<Mutex<Vec<u8>>>);

impl Sink for Output {
    fn put(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap().extend(bytes);
    }

    fn echo(&mut self, bytes: &[u8]) {
        self.1.lock().unwrap().extend(bytes);
    }
}

struct Guest {
    sclp: Sclp,
    signals: Arc<Mutex<Vec<u32>>>,
    output: Output,
    drained: Arc<AtomicUsize>,
}

impl Guest {
    fn new(cpus: u32, memory: u64) -> Self {
        let signals = Arc::new(Mutex::new(Vec::new()));
        let output = Output::default();
        let drained = Arc::new(AtomicUsize::new(0));
        let (raised, hook) = (signals.clone(), drained.clone());
        let sclp = Sclp::new(
            SclpConfig { cpus, memory },
            Box::new(move |parameter| raised.lock().unwrap().push(parameter)),
            Box::new(output.clone()),
            Box::new(move || {
                hook.fetch_add(1, Ordering::Relaxed);
            }),
        );
        Guest { sclp, signals, output, drained }
    }

    fn receiving(mask: u32) -> Self {
        let mut guest = Guest::new(1, 64 << 20);
        guest.set_mask(mask);
        guest.signals();
        guest
    }

    fn set_mask(&mut self, mask: u32) {
        let mut sccb = [0; 28];
        sccb[1] = 28;
        sccb[11] = 4;
        sccb[12..16].copy_from_slice(&mask.to_be_bytes());
        self.call(WRITE_EVENT_MASK, &mut sccb);
        assert_eq!(sccb[6..8], [0x00, 0x20]);
    }

    fn call(&mut self, command: u32, sccb: &mut [u8]) {
        self.call_at(command, ADDRESS, sccb);
    }

    /// Calls, and raises the signal as the SCLP's caller does.
    fn call_at(&mut self, command: u32, address: u32, sccb: &mut [u8]) {
        let signal = self.sclp.service_call(command, address, sccb).unwrap();
        self.signals.lock().unwrap().push(signal);
    }

    /// Reads events into a block of `len` bytes that takes a shorter response; returns the response.
    fn read(&mut self, len: u16) -> Vec<u8> {
        let mut sccb = vec![0xee; usize::from(len)];
        sccb[..8].copy_from_slice(&[0, 0, 0, 0, 0, 0x80, 0, 0]);
        sccb[..2].copy_from_slice(&len.to_be_bytes());
        self.call(READ_EVENT_DATA, &mut sccb);
        sccb.truncate(u16::from_be_bytes([sccb[0], sccb[1]]).into());
        sccb
    }

    /// Signals since the last time.
    fn signals(&self) -> Vec<u32> {
        std::mem::take(&mut self.signals.lock().unwrap())
    }

    fn output(&self) -> Vec<u8> {
        std::mem::take(&mut self.output.0.lock().unwrap())
    }

    fn echo(&self) -> Vec<u8> {
        std::mem::take(&mut self.output.1.lock().unwrap())
    }
}

/// What a kernel's MSG event looks like: a general object, then lines "Hi" and "".
const MESSAGE: [u8; 62] = [
    0x00, 0x3e, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // SCCB: length 62
    0x00, 0x36, 0x02, 0x00, 0x00, 0x00, // event: length 54, a message
    0x00, 0x30, 0x00, 0x01, 0xd4, 0xc4, 0xc2, 0x40, 0x00, 0x00, 0x00, 0x01, // MDB: length 48
    0x00, 0x0e, 0x00, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, // general object: length 14
    0x00, 0x0c, 0x00, 0x04, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc8, 0x89, // text "Hi"
    0x00, 0x0a, 0x00, 0x04, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, // no text
];

/// A VT220 event "ok\r\n".
const TERMINAL: [u8; 18] = [
    0x00, 0x12, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // SCCB: length 18
    0x00, 0x0a, 0x1a, 0x00, 0x00, 0x00, b'o', b'k', b'\r', b'\n',
];

/// WRITE EVENT MASK with masks of 8 bytes: receives command and VT220, sends message and VT220.
const MASKS: [u8; 44] = [
    0x00, 0x2c, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // SCCB: length 44
    0x00, 0x00, 0x00, 0x08, // masks of 8 bytes
    0x80, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, // the guest receives
    0x40, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, 0x00, // the guest sends
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, //
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, //
];

#[test]
fn scp_info_is_golden() {
    for command in [READ_SCP_INFO, READ_SCP_INFO_FORCED] {
        let mut guest = Guest::new(2, 512 << 20);
        let mut sccb = vec![0xaa; 4096];
        sccb[..8].copy_from_slice(&[0x10, 0x00, 0x80, 0x00, 0x00, 0x80, 0x00, 0x00]);
        guest.call(command, &mut sccb);
        #[rustfmt::skip]
        let golden = [
            0x10, 0x00, 0x80, 0x00, 0x00, 0x80, 0x00, 0x10, // 0: header, response 0x0010
            0x02, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, // 8: 512 increments of 1 MiB
            0x00, 0x02, 0x00, 0x80, 0x00, 0x00, 0x00, 0x00, // 16: 2 CPUs at 128
            0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40, // 24: load parameter
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // 48: facilities
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0,                         // 104: wide increment count
            0, 0, 0, 0, 0, 0, 0, 0,
            0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // 120: highest CPU address
            0x00, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(sccb[..golden.len()], golden);
        assert!(sccb[golden.len()..].iter().all(|byte| *byte == 0xaa));
        assert_eq!(guest.signals(), [ADDRESS]);
    }
}

#[test]
fn much_memory_is_counted_in_the_wide_field() {
    let mut guest = Guest::new(1, 65_536 << 20);
    let mut sccb = vec![0; 4096];
    sccb[0] = 0x10;
    guest.call(READ_SCP_INFO, &mut sccb);
    assert_eq!(sccb[6..11], [0x00, 0x10, 0, 0, 0]);
    assert_eq!(sccb[100..112], [0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
    let mut guest = Guest::new(1, 65_535 << 20);
    guest.call(READ_SCP_INFO, &mut sccb);
    assert_eq!(sccb[8..11], [0xff, 0xff, 1]);
    assert_eq!(sccb[100..112], [0; 12]);
}

#[test]
fn cpu_info_is_golden() {
    let mut guest = Guest::new(3, 64 << 20);
    let mut sccb = vec![0xaa; 80];
    sccb[..8].copy_from_slice(&[0, 80, 0, 0, 0, 0, 0, 0]);
    guest.call(READ_CPU_INFO, &mut sccb);
    #[rustfmt::skip]
    let golden = [
        0, 80, 0, 0, 0, 0, 0x00, 0x10,
        0, 3, 0, 24, 0, 0, 0, 72, // 3 configured, at 24; none on standby, at 72
        0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
    ];
    assert_eq!(sccb, golden);
}

#[test]
fn as_many_cpus_as_a_page_holds() {
    for cpus in [248, 249, u32::MAX] {
        let mut guest = Guest::new(cpus, 64 << 20);
        let mut sccb = vec![0; 4096];
        sccb[0] = 0x10;
        guest.call(READ_SCP_INFO, &mut sccb);
        assert_eq!(sccb[6..8], [0x00, 0x10]);
        assert_eq!(sccb[16..18], [0, 248]);
        assert_eq!(sccb[120..122], [0, 247]);
        assert_eq!(sccb[4080], 247);
    }
}

#[test]
fn a_short_block_is_told_what_it_needs() {
    let mut guest = Guest::new(2, 64 << 20);
    for (command, needed) in [(READ_SCP_INFO, 160_u8), (READ_CPU_INFO, 56)] {
        let mut sccb = vec![0; usize::from(needed) - 1];
        sccb[1] = needed - 1;
        guest.call(command, &mut sccb);
        assert_eq!(sccb[..8], [0, needed, 0, 0, 0, 0, 0x03, 0x00]);
        assert!(sccb[8..].iter().all(|byte| *byte == 0));
        let mut sccb = vec![0; usize::from(needed)];
        sccb[1] = needed;
        guest.call(command, &mut sccb);
        assert_eq!(sccb[..8], [0, needed, 0, 0, 0, 0, 0x00, 0x10]);
    }
}

#[test]
fn masks_are_golden() {
    let mut guest = Guest::new(1, 64 << 20);
    let mut sccb = MASKS;
    guest.call(WRITE_EVENT_MASK, &mut sccb);
    let mut golden = MASKS;
    golden[7] = 0x20;
    golden[28..36].copy_from_slice(&[0x40, 0, 0, 0x40, 0, 0, 0, 0]);
    golden[36..44].copy_from_slice(&[0x80, 0, 0, 0x48, 0, 0, 0, 0]);
    assert_eq!(sccb, golden);
    assert_eq!(guest.drained.load(Ordering::Relaxed), 1, "there is room for input now");

    // The form of older kernels, and the shortest.
    let mut sccb = [0, 28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9];
    guest.call(WRITE_EVENT_MASK, &mut sccb);
    assert_eq!(
        sccb,
        [0, 28, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0x40, 0x80, 0, 0, 0x48]
    );
    assert_eq!(guest.sclp.room(), 0);
    let mut sccb = [0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x80, 0, 9, 9];
    guest.call(WRITE_EVENT_MASK, &mut sccb);
    assert_eq!(sccb, [0, 16, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 1, 0x80, 0, 0x40, 0x80]);
    assert!(guest.sclp.room() > 0);
}

#[test]
fn masks_of_impossible_lengths_are_refused() {
    let mut guest = Guest::receiving(ASCII);
    for (length, code) in [(0_u16, 0x74f0_u16), (1022, 0x74f0), (0xffff, 0x74f0), (5, 0x0300)] {
        let mut sccb = [0; 28];
        sccb[1] = 28;
        sccb[10..12].copy_from_slice(&length.to_be_bytes());
        guest.call(WRITE_EVENT_MASK, &mut sccb);
        assert_eq!(sccb[6..8], code.to_be_bytes(), "{length}");
    }
    assert!(guest.sclp.room() > 0, "the old masks stay");
}

#[test]
fn line_mode_output_is_lines() {
    let mut guest = Guest::new(1, 64 << 20);
    let mut sccb = MESSAGE;
    guest.call(WRITE_EVENT_DATA, &mut sccb);
    let mut golden = MESSAGE;
    golden[7] = 0x20;
    golden[11] = 0x80;
    assert_eq!(sccb, golden);
    assert_eq!(guest.output(), b"Hi\r\n\r\n");
    assert_eq!(guest.signals(), [ADDRESS]);
}

#[test]
fn terminal_output_is_bytes() {
    let mut guest = Guest::new(1, 64 << 20);
    let mut sccb = TERMINAL;
    guest.call(WRITE_EVENT_DATA, &mut sccb);
    let mut golden = TERMINAL;
    golden[7] = 0x20;
    golden[11] = 0x80;
    assert_eq!(sccb, golden);
    assert_eq!(guest.output(), b"ok\r\n");
}

#[test]
fn events_before_a_bad_one_are_taken() {
    let mut guest = Guest::new(1, 64 << 20);
    let mut sccb = vec![0, 28, 0, 0, 0, 0, 0, 0];
    sccb.extend([0, 7, 0x1a, 0, 0, 0, b'a']);
    sccb.extend([0, 6, 0x55, 0, 0, 0]); // no such type
    sccb.extend([0, 7, 0x1a, 0, 0, 0, b'b']);
    guest.call(WRITE_EVENT_DATA, &mut sccb);
    assert_eq!(sccb[6..8], [0x40, 0xf0]);
    assert_eq!([sccb[11], sccb[18], sccb[24]], [0x80, 0, 0]);
    assert_eq!(guest.output(), b"a");
}

#[test]
fn bad_events_are_refused_whole() {
    let mut guest = Guest::new(1, 64 << 20);
    let mut refused = |change: &dyn Fn(&mut [u8]), code: u16| {
        let mut sccb = MESSAGE;
        change(&mut sccb);
        guest.call(WRITE_EVENT_DATA, &mut sccb);
        assert_eq!(sccb[6..8], code.to_be_bytes());
        assert_eq!(sccb[11], 0);
        assert_eq!(guest.output(), b"");
    };
    refused(&|sccb| sccb[2] = 1, 0x40f0); // function
    refused(&|sccb| sccb[9] = 0x37, 0x73f0); // event longer than the block
    refused(&|sccb| sccb[9] = 0x35, 0x73f0); // a byte behind it
    refused(&|sccb| sccb[9] = 5, 0x73f0);
    refused(&|sccb| sccb[9] = 0, 0x73f0);
    refused(&|sccb| sccb[15] = 0x31, 0x72f0); // MDB longer than the event
    refused(&|sccb| sccb[15] = 11, 0x72f0);
    refused(&|sccb| sccb[27] = 0, 0x72f0); // object without length
    refused(&|sccb| sccb[27] = 3, 0x72f0);
    refused(&|sccb| sccb[53] = 9, 0x72f0); // text object without room for its fields
}

#[test]
fn terminal_input_is_golden() {
    let mut guest = Guest::receiving(ASCII | COMMAND);
    assert_eq!(guest.sclp.take(b"ls\r"), 3);
    assert_eq!(guest.signals(), [1]);
    assert_eq!(guest.sclp.take(b"x"), 1);
    assert!(guest.signals().is_empty(), "the guest knows");
    let golden = [
        0, 19, 0, 0, 0, 0, 0x00,
        0x20, // the guest can take a short response: 19 bytes, and the bit is off
        0, 11, 0x1a, 0, 0, 0, 0, b'l', b's', b'\r', b'x',
    ];
    assert_eq!(guest.read(4096), golden);
    assert_eq!(guest.signals(), [ADDRESS], "nothing is pending any more");
    assert_eq!(guest.drained.load(Ordering::Relaxed), 2, "by the mask, and by the read");
    let mut sccb = [0, 8, 0, 0, 0, 0, 0, 0];
    guest.call(READ_EVENT_DATA, &mut sccb);
    assert_eq!(sccb, [0, 8, 0, 0, 0, 0, 0x60, 0xf0]);
}

#[test]
fn without_the_bit_the_response_has_the_blocks_length() {
    let mut guest = Guest::receiving(ASCII);
    guest.sclp.take(b"a");
    let mut sccb = [0xee; 24];
    sccb[..8].copy_from_slice(&[0, 24, 0, 0, 0, 0, 0, 0]);
    guest.call(READ_EVENT_DATA, &mut sccb);
    assert_eq!(
        sccb,
        [0, 24, 0, 0, 0, 0, 0, 0x20, 0, 8, 0x1a, 0, 0, 0, 0, b'a', 0, 0, 0, 0, 0, 0, 0, 0],
        "a length of zero ends the events"
    );
}

#[test]
fn line_mode_input_is_golden() {
    let mut guest = Guest::receiving(COMMAND);
    assert_eq!(guest.sclp.take(b"lx\x7fs [a]"), 8);
    assert!(guest.signals().is_empty(), "the line is not complete");
    assert_eq!(guest.sclp.take(b"\r\n"), 2);
    assert_eq!(guest.signals(), [1]);
    assert_eq!(guest.echo(), b"lx\x08 \x08s [a]\r\n");
    let golden = [
        0x00, 0x24, 0, 0, 0, 0, 0x00, 0x20, // SCCB: length 36
        0x00, 0x1c, 0x01, 0, 0, 0, // event: length 28, operator command
        0x00, 0x16, 0x13, 0x10, // MDS message unit
        0x00, 0x12, 0x12, 0x12, // CP message unit
        0x00, 0x0e, 0x13, 0x20, // text command
        0x0a, 0x31, // self-defining text message
        0x08, 0x30, // text message: "ls [a]"
        0x93, 0xa2, 0x40, 0x4a, 0x81, 0x5a,
    ];
    assert_eq!(guest.read(4096), golden);
    assert_eq!(guest.sclp.take(b"\n"), 1);
    assert_eq!(guest.read(4096).len(), 30, "an empty line is a line");
}

#[test]
fn several_lines_are_several_events() {
    let mut guest = Guest::receiving(COMMAND);
    guest.sclp.take(b"a\rbb\rccc\r");
    guest.signals();
    // Room for two events of 23 and 24 bytes.
    let first = guest.read(8 + 23 + 24);
    assert_eq!((first.len(), first[9], first[8 + 24]), (55, 23, 24));
    assert_eq!(guest.signals(), [ADDRESS | 1], "there is more");
    assert_eq!(guest.read(8 + 24)[6..8], [0x03, 0x00], "the third line does not fit");
    assert_eq!(guest.read(8 + 25).len(), 33);
    assert_eq!(guest.read(4096)[6..8], [0x60, 0xf0]);
}

#[test]
fn line_editing() {
    let mut guest = Guest::receiving(COMMAND);
    guest.sclp.take(b"\x7fab\x15c\r");
    assert_eq!(guest.echo(), b"ab\x08 \x08\x08 \x08c\r\n");
    assert_eq!(guest.read(4096)[30..], [0x83]);
    // A line that is too long keeps what the event has room for.
    guest.sclp.take(&[b'x'; 300]);
    assert_eq!(guest.echo(), [[b'x'; 251].as_slice(), &[7; 49]].concat());
    guest.sclp.take(b"\r");
    let event = guest.read(4096);
    assert_eq!(event.len(), 8 + 22 + 251);
    assert_eq!(event[26..30], [0xff, 0x31, 0xfd, 0x30]);
}

#[test]
fn input_goes_where_the_guest_listens() {
    let mut guest = Guest::receiving(0);
    assert_eq!((guest.sclp.room(), guest.sclp.take(b"x")), (0, 0));
    guest.set_mask(ASCII | COMMAND);
    guest.sclp.take(b"a\r");
    assert_eq!(guest.read(4096)[10], 0x1a, "VT220 at first");
    guest.call(WRITE_EVENT_DATA, &mut MESSAGE.clone());
    guest.sclp.take(b"a\r");
    assert_eq!(guest.read(4096)[10], 0x01, "line mode once it is used");
    guest.call(WRITE_EVENT_DATA, &mut TERMINAL.clone());
    guest.sclp.take(b"a\r");
    assert_eq!(guest.read(4096)[10], 0x1a);
    guest.set_mask(COMMAND);
    guest.sclp.take(b"a\r");
    assert_eq!(guest.read(4096)[10], 0x01);
}

#[test]
fn input_waits_while_the_guest_does_not_listen() {
    let mut guest = Guest::receiving(ASCII);
    guest.sclp.take(b"a");
    assert_eq!(guest.signals(), [1]);
    guest.set_mask(0);
    assert_eq!(guest.signals(), [ADDRESS], "what it does not receive is not pending");
    assert_eq!(guest.read(4096)[6..8], [0x60, 0xf0]);
    guest.signals();
    guest.set_mask(ASCII);
    assert_eq!(guest.signals(), [ADDRESS | 1]);
    assert_eq!(guest.read(4096)[15..], [b'a']);
}

#[test]
fn input_is_bounded() {
    for mask in [ASCII, COMMAND] {
        let mut guest = Guest::receiving(mask);
        let room = guest.sclp.room();
        assert_eq!(guest.sclp.take(&vec![b'\r'; 10_000]), room);
        assert_eq!((guest.sclp.room(), guest.sclp.take(b"x")), (0, 0));
        let drained = guest.drained.load(Ordering::Relaxed);
        guest.read(4096);
        assert_eq!(guest.drained.load(Ordering::Relaxed), drained + 1);
        assert!(guest.sclp.room() > 0);
    }
}

#[test]
fn much_input_takes_several_reads() {
    let mut guest = Guest::receiving(ASCII);
    guest.sclp.take(b"abcde");
    guest.signals();
    assert_eq!(guest.read(8 + 9)[8..], [0, 9, 0x1a, 0, 0, 0, 0, b'a', b'b']);
    assert_eq!(guest.signals(), [ADDRESS | 1]);
    assert_eq!(guest.read(8 + 7)[6..8], [0x03, 0x00], "no room for a byte");
    assert_eq!(guest.read(4096)[8..], [0, 10, 0x1a, 0, 0, 0, 0, b'c', b'd', b'e']);
}

#[test]
fn quiesce_is_golden() {
    let mut guest = Guest::receiving(ASCII);
    assert!(!guest.sclp.ask(), "the guest does not listen");
    assert!(guest.signals().is_empty());
    guest.set_mask(ASCII | QUIESCE);
    guest.signals();
    assert!(guest.sclp.ask());
    assert!(guest.sclp.ask());
    assert_eq!(guest.signals(), [1]);
    assert_eq!(guest.read(4096), [0, 17, 0, 0, 0, 0, 0, 0x20, 0, 9, 0x1d, 0, 0, 0, 0, 0, 0]);
    assert_eq!(guest.read(4096)[6..8], [0x60, 0xf0]);
}

#[test]
fn a_reset_forgets_the_guest() {
    let mut guest = Guest::receiving(ASCII | COMMAND | QUIESCE);
    guest.sclp.take(b"a");
    guest.call(WRITE_EVENT_DATA, &mut MESSAGE.clone());
    guest.sclp.take(b"b\rc");
    guest.sclp.ask();
    guest.signals();
    guest.sclp.reset();
    assert_eq!((guest.sclp.room(), guest.sclp.ask()), (0, false), "it does not listen");
    guest.set_mask(ASCII | COMMAND | QUIESCE);
    assert_eq!(guest.signals(), [ADDRESS], "nothing waits");
    assert_eq!(guest.read(4096)[6..8], [0x60, 0xf0]);
    guest.sclp.take(b"d\r");
    assert_eq!(guest.read(4096)[8..], [0, 9, 0x1a, 0, 0, 0, 0, b'd', b'\r'], "VT220 at first");
}

#[test]
fn selective_reads_select() {
    let mut guest = Guest::receiving(ASCII | QUIESCE);
    guest.sclp.take(b"a");
    guest.sclp.ask();
    let mut select = |mask: u32| {
        let mut sccb = [0; 32];
        sccb[..8].copy_from_slice(&[0, 32, 1, 0, 0, 0x80, 0, 0]);
        sccb[8..12].copy_from_slice(&mask.to_be_bytes());
        guest.call(READ_EVENT_DATA, &mut sccb);
        sccb
    };
    assert_eq!(select(COMMAND)[6..8], [0x70, 0xf0], "the guest does not receive it");
    assert_eq!(select(0)[6..8], [0x60, 0xf0]);
    assert_eq!(select(ASCII)[..16], [0, 16, 1, 0, 0, 0, 0, 0x20, 0, 8, 0x1a, 0, 0, 0, 0, b'a']);
    assert_eq!(select(ASCII | QUIESCE)[..11], [0, 17, 1, 0, 0, 0, 0, 0x20, 0, 9, 0x1d]);
    let mut sccb = [0, 8, 2, 0, 0, 0, 0, 0];
    guest.call(READ_EVENT_DATA, &mut sccb);
    assert_eq!(sccb[6..8], [0x40, 0xf0]);
}

#[test]
fn unknown_commands_are_refused() {
    let mut guest = Guest::new(1, 64 << 20);
    for command in [0, 0x0004_0001, 0x0011_0001, 0x0078_0006, 0xffff_ffff] {
        let mut sccb = [0, 8, 0, 0, 0, 0, 0, 0];
        guest.call(command, &mut sccb);
        assert_eq!(sccb, [0, 8, 0, 0, 0, 0, 0x01, 0xf0], "{command:#x}");
    }
    assert_eq!(guest.signals(), [ADDRESS; 5]);
}

#[test]
fn only_information_may_cross_a_page() {
    let mut guest = Guest::new(1, 64 << 20);
    for command in [WRITE_EVENT_DATA, READ_EVENT_DATA, WRITE_EVENT_MASK] {
        let mut sccb = MASKS;
        guest.call_at(command, ADDRESS + 4096 - 40, &mut sccb);
        assert_eq!(sccb[6..8], [0x01, 0x00]);
    }
    let mut sccb = MASKS;
    guest.call_at(WRITE_EVENT_MASK, ADDRESS + 4096 - 48, &mut sccb);
    assert_eq!(sccb[6..8], [0x00, 0x20]);
    let mut sccb = vec![0; 3 * 4096];
    sccb[0] = 0x30;
    guest.call(READ_SCP_INFO, &mut sccb);
    assert_eq!(sccb[6..8], [0x00, 0x10]);
}

#[test]
fn a_block_without_header_has_no_answer() {
    let mut guest = Guest::new(1, 64 << 20);
    for len in 0..8 {
        assert_eq!(guest.sclp.service_call(READ_SCP_INFO, ADDRESS, &mut vec![0; len]), None);
    }
}

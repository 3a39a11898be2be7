//! What tests look at saved state with.

use std::fmt::Write as _;
use std::path::Path;

use super::{Field, Kind, Reader, Save, Saved};

impl Saved {
    /// All of it: kind, version, length, bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    /// The reverse, of nothing but that.
    pub fn decode(bytes: &[u8]) -> super::Result<Self> {
        let mut reader = Reader::new(Kind::new("file"), bytes);
        let saved = Self::take(&mut reader)?;
        reader.end()?;
        Ok(saved)
    }
}

/// Lines of 16 bytes as hexadecimal digits and, if they are ASCII, characters.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(16) {
        let hex: String = line.iter().map(|byte| format!("{byte:02x} ")).collect();
        let shown = line.iter().map(|&byte| if (b' '..=b'~').contains(&byte) { byte.into() } else { '.' });
        writeln!(text, "{hex:48} {}", shown.collect::<String>()).unwrap();
    }
    text
}

fn parse(text: &str) -> Vec<u8> {
    let digits = text.lines().flat_map(|line| line.get(..48).unwrap_or_default().split_ascii_whitespace());
    digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// Compares a state with `src/golden/NAME.hex`, the whole, and has `other`, a device as it was made, take on what is in the file.
/// `TRIARCH_BLESS=1 cargo test -p triarch-devices` writes the files anew: only when a new kind or version has come.
pub fn golden(name: &str, saved: &Saved, other: &mut dyn Save) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/golden/{name}.hex"));
    let found = dump(&saved.encode());
    if std::env::var_os("TRIARCH_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} differs; the state is now:\n{found}", path.display());
    let read = Saved::decode(&parse(&expected)).unwrap();
    assert_eq!(read, *saved);
    other.restore(&read).unwrap();
    assert_eq!(other.save().unwrap(), *saved, "what is restored is what was saved");
}

/// Numbers that look random (xorshift64).
pub struct Random(u64);

impl Random {
    /// The same in each run.
    pub(crate) const fn new() -> Self {
        Random(0x1234_5678_9abc_def1)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn byte(&mut self) -> u8 {
        const LIKELY: [u8; 6] = [0, 1, 2, 0x7f, 0x80, 0xff];
        match self.below(2) {
            0 => LIKELY[self.below(LIKELY.len())],
            _ => u8::try_from(self.below(256)).unwrap(),
        }
    }

    /// Changes some of the bytes, or cuts them off, or adds some.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 if at < bytes.len() => _ = bytes.remove(at),
                3 => {
                    let value = self.byte();
                    bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = value);
                }
                4 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.byte()),
            }
        }
    }
}

/// Mutates the state of a device many times. What is refused does no harm; what a fresh device accepts is a state that it can be
/// in: saved, it is the same, and `then` may do with it what is done with devices.
pub fn mutations<D: Save>(saved: &Saved, rounds: u32, make: impl Fn() -> D, then: impl Fn(&mut D)) {
    let mut random = Random::new();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..rounds {
        let mut bytes = saved.encode();
        random.mutate(&mut bytes);
        let mut device = make();
        let Some(mutated) = Saved::decode(&bytes).ok().filter(|state| device.restore(state).is_ok()) else {
            refused += 1;
            continue;
        };
        accepted += 1;
        assert_eq!(device.save().unwrap(), mutated, "what is accepted is what is saved again");
        then(&mut device);
    }
    println!("{:?}: {accepted} mutations accepted, {refused} refused", saved.kind);
    assert!(refused > 0);
}

/// Cuts a state off at every length, adds to it, and gives it another kind and version: all refused.
pub fn refuses_what_is_cut_off<D: Save>(saved: &Saved, make: impl Fn() -> D) {
    for len in 0..saved.bytes.len() {
        let cut = Saved { bytes: saved.bytes[..len].to_vec(), ..saved.clone() };
        assert!(make().restore(&cut).is_err(), "{len} of {} bytes", saved.bytes.len());
    }
    let longer = Saved { bytes: [&saved.bytes[..], &[0]].concat(), ..saved.clone() };
    assert!(make().restore(&longer).is_err(), "a byte too many");
    let other = Saved { kind: Kind::new("other"), ..saved.clone() };
    assert!(make().restore(&other).is_err(), "another kind");
    for version in [0, 2, u32::MAX] {
        assert!(make().restore(&Saved { version, ..saved.clone() }).is_err(), "version {version}");
    }
    make().restore(saved).unwrap();
}

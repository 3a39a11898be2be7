//! Blocks that no sane guest makes.

use super::*;

/// Marks a response code that nobody sets, so that its change shows.
const UNSET: [u8; 2] = [0xab, 0xcd];

fn answered(guest: &mut Guest, command: u32, address: u32, sccb: &mut [u8]) {
    sccb[6..8].copy_from_slice(&UNSET);
    guest.call_at(command, address, sccb);
    assert_ne!(sccb[6..8], UNSET, "{command:#x}");
}

#[test]
fn every_truncation_is_answered() {
    for valid in [MESSAGE.as_slice(), &TERMINAL, &MASKS] {
        for len in 8..valid.len() {
            for command in COMMANDS {
                // With the length that the whole one had, and with its own.
                for own in [false, true] {
                    let mut guest = Guest::receiving(ASCII | COMMAND | QUIESCE);
                    guest.sclp.take(b"hello\r");
                    let mut sccb = valid[..len].to_vec();
                    if own {
                        sccb[1] = u8::try_from(len).unwrap();
                    }
                    answered(&mut guest, command, ADDRESS, &mut sccb);
                }
            }
        }
    }
}

#[test]
fn random_blocks_are_answered() {
    // xorshift64.
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut guest = Guest::new(4, 256 << 20);
    for round in 0..20_000_usize {
        let [command, len, address, shape, fill, mask, ..] = random();
        let len = 8 + usize::from(len);
        let mut sccb: Vec<u8> = std::iter::repeat_with(&mut random).flatten().take(len).collect();
        // Mostly plausible: the right length, small numbers, the usual function.
        if shape & 3 != 0 {
            sccb[..6].copy_from_slice(&[u8::try_from(len >> 8).unwrap(), 0, 0, 0, 0, shape & 0x80]);
            sccb[1] = u8::try_from(len & 0xff).unwrap();
        }
        if shape & 4 != 0 {
            sccb[8..].iter_mut().for_each(|byte| *byte &= fill & 0x1f);
        }
        if shape & 8 != 0 && len > 12 {
            sccb[10] = 0;
        }
        guest.sclp.take(&[mask, b'\r']);
        guest.sclp.ask();
        let command = COMMANDS.get(usize::from(command) % 7).copied().unwrap_or(u32::from(shape) << 16);
        answered(&mut guest, command, ADDRESS | u32::from(address) << 3, &mut sccb);
        if round % 64 == 0 {
            guest.set_mask(u32::from_be_bytes([mask, 0, 0, mask]));
            guest.signals();
            guest.output();
            guest.echo();
        }
    }
}

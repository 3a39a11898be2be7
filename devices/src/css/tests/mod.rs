//! Literal control blocks, and what the channel subsystem makes of them.

use std::sync::{Arc, Mutex};

use vm_memory::{Bytes, GuestAddress};

use super::testing::Pending;
use super::*;
use crate::nothing_to_save;

mod calls;
mod functions;
mod hostile;
mod programs;
mod saved;

/// Subchannel 0.0.0003 in general register 1; the left half does not count.
const ID: u64 = 0xffff_ffff_0001_0003;
const RAM_SIZE: usize = 1 << 20;
/// Where tests put channel programs and data.
const PROGRAM: u32 = 0x1000;
const DATA: u32 = 0x2000;

/// What the device was told: commands with the data that they brought.
type Log = Arc<Mutex<Vec<(u8, Vec<u8>)>>>;

/// A device. Its commands:
///
/// - 0x01 writes all the data there are, 0x11 just 8 bytes;
/// - 0x02 reads the bytes 1, 2, 3 and so on, as many as there is room for, 0x12 just 8;
/// - 0x07 is a control command without data.
struct Recorder(Log);

nothing_to_save!(Recorder, "recorder");

impl ControlUnit for Recorder {
    fn identity(&self) -> Identity {
        Identity { unit_type: 0x3990, unit_model: 0xe9, device_type: 0x3390, device_model: 0x0a }
    }

    fn execute(&mut self, command: u8, data: &mut Data<'_>) -> Result<(), Refusal> {
        let len = if command & 0x10 == 0 { data.remaining() } else { 8 };
        match command {
            0x01 | 0x11 => {
                let mut bytes = vec![0; len];
                data.take(&mut bytes)?;
                self.0.lock().unwrap().push((command, bytes));
                Ok(())
            }
            0x02 | 0x12 => {
                self.0.lock().unwrap().push((command, Vec::new()));
                let bytes: Vec<u8> = (1..=255).cycle().take(len).collect();
                Ok(data.put(&bytes)?)
            }
            0x07 => {
                self.0.lock().unwrap().push((command, Vec::new()));
                Ok(())
            }
            _ => Err(Refusal::COMMAND_REJECT),
        }
    }

    fn set_enabled(&mut self, enabled: bool) {
        self.0.lock().unwrap().push((0, vec![u8::from(enabled)]));
    }

    fn reset(&mut self) {
        self.0.lock().unwrap().push((0, b"reset".to_vec()));
    }
}

/// A channel subsystem with one device, 0.0.0abc at subchannel 3.
struct Fixture {
    css: Css,
    floating: Arc<Pending>,
    attention: Arc<Attention>,
    ram: GuestRam,
    log: Log,
}

/// The parts of a status that matter: functions, activities and status; address of the CCW; device and subchannel status; count.
type Status = (u16, u32, u8, u8, u16);

/// A primary and secondary status, pending, of a start function: a program has ended.
const ENDED: u16 = 0x4007;
/// The same with an alert.
const ALERT: u16 = 0x4017;

impl Fixture {
    fn disabled() -> Self {
        Self::with_ram(&[(GuestAddress(0), RAM_SIZE)])
    }

    fn with_ram(ranges: &[(GuestAddress, usize)]) -> Self {
        let ram = GuestRam::from_ranges(ranges).unwrap();
        let (floating, log) = (Arc::new(Pending::default()), Log::default());
        let attention = Arc::new(Attention::new(3, floating.clone()));
        let mut css = Css::new(ram.clone(), floating.clone());
        css.add(0x0abc, Box::new(Recorder(log.clone())), attention.clone()).unwrap();
        Fixture { css, floating, attention, ram, log }
    }

    fn new() -> Self {
        Self::disabled().enabled()
    }

    /// With the subchannel enabled: interruption parameter 0x11223344, interruption subclass 6.
    fn enabled(mut self) -> Self {
        self.modify(|schib| schib[0..6].copy_from_slice(&[0x11, 0x22, 0x33, 0x44, 0x30, 0x80]));
        self.log();
        self
    }

    fn schib(&self) -> [u8; 52] {
        self.css.stsch(ID).unwrap().1.unwrap()
    }

    fn modify(&mut self, change: impl FnOnce(&mut [u8; 52])) {
        let mut schib = self.schib();
        change(&mut schib);
        assert_eq!(self.css.msch(ID, &schib), Ok(0));
    }

    fn write(&self, address: u32, bytes: &[u8]) {
        self.ram.write_slice(bytes, GuestAddress(address.into())).unwrap();
    }

    fn read<const N: usize>(&self, address: u32) -> [u8; N] {
        let mut bytes = [0; N];
        self.ram.read_slice(&mut bytes, GuestAddress(address.into())).unwrap();
        bytes
    }

    /// What the device was told since the last call.
    fn log(&self) -> Vec<(u8, Vec<u8>)> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// Starts the program at [`PROGRAM`], with interruption parameter 0x99aabbcc and these two bytes of control bits.
    fn start(&mut self, control: u16) -> u8 {
        let [high, low] = control.to_be_bytes();
        self.css.ssch(ID, &[0x99, 0xaa, 0xbb, 0xcc, high, low, 0x80, 0, 0, 0, 0x10, 0]).unwrap()
    }

    /// The interruption that is pending, as identification, parameter, subclass.
    fn interruption(&self) -> Option<(u32, u32, u32)> {
        let Interruption { id, parameter, word } = self.floating.take()?;
        Some((id, parameter, word >> 27))
    }

    /// Tests the subchannel: condition code, and the whole block.
    fn test(&mut self) -> (u8, [u8; 64]) {
        let (cc, irb) = self.css.tsch(ID).unwrap();
        (cc, irb.unwrap())
    }

    /// Takes the interruption, and the status that it tells of.
    fn status(&mut self) -> Status {
        assert_eq!(self.interruption(), Some((0x0001_0003, 0x99aa_bbcc, 6)));
        assert_eq!(self.interruption(), None);
        let (cc, irb) = self.test();
        assert_eq!(cc, 0);
        let word = |at: usize| u32::from_be_bytes(irb[at..at + 4].try_into().unwrap());
        let half = |at: usize| u16::from_be_bytes(irb[at..at + 2].try_into().unwrap());
        (half(2), word(4), irb[8], irb[9], half(10))
    }

    /// Runs a program of format 1, and gives its status.
    fn run(&mut self, program: &[u8]) -> Status {
        self.write(PROGRAM, program);
        assert_eq!(self.start(0x0080), 0);
        self.status()
    }

    /// The same of format 0.
    fn run_0(&mut self, program: &[u8]) -> Status {
        self.write(PROGRAM, program);
        assert_eq!(self.start(0), 0);
        self.status()
    }
}

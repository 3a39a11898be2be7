//! A guest's driver over channel I/O, in literal bytes (VIRTIO 1.2, 4.3; Principles of Operation, chapters 14 to 16).

use std::any::Any;
use std::sync::Arc;

use vm_memory::{Bytes, GuestAddress};

use super::Driver;
use crate::css::testing::Pending;
use crate::css::{Attention, Css, Floating, Interruption};
use crate::virtio::{AdapterRoute, AdapterRoutes, CcwWiring, Core, VirtioCcw, VirtioDevice, Worker};
use crate::{GuestRam, Save, Trigger};

/// Subchannel 0.0.0007 in general register 1.
pub const ID: u64 = 0x0001_0007;
const PROGRAM: u64 = 0xc_0000;
pub const BLOCK: u64 = 0xc_1000;
const CLASSIC: u64 = 0xc_2000;
const CONFIG: u64 = 0xc_2008;
const SUMMARY: u64 = 0xc_2013;
const INDICATORS: u64 = 0xc_2020;
/// The adapter's bits begin in the middle of a byte.
const FIRST_BIT: u64 = 13;
const ISC: u8 = 5;

/// How the driver wants to be told of used buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Classic,
    Adapter,
}

/// A host that leaves indicators to the device.
pub struct NoRoutes;

impl AdapterRoutes for NoRoutes {
    fn set(&self, _: Option<&AdapterRoute>) -> Vec<Box<dyn Trigger>> {
        Vec::new()
    }
}

/// How a command ended: device status, subchannel status, what is left of the count.
pub type Ended = (u8, u8, u16);
pub const GOOD: Ended = (0x0c, 0, 0);
/// A unit check of a command whose data was not looked at, or not all.
pub const REFUSED: u8 = 0x02;

/// Over channel I/O, with interrupts of one kind.
pub struct CcwDriver {
    pub css: Css,
    pub floating: Arc<Pending>,
    ram: GuestRam,
    told: Told,
    /// Whether there was an interrupt that no command has asked for.
    interrupted: bool,
}

impl CcwDriver {
    pub fn new(device: Box<dyn VirtioDevice>, worker: Box<dyn Worker>, ram: GuestRam, told: Told) -> Self {
        let mut driver = Self::without_revision(device, worker, ram, Box::new(NoRoutes), told);
        driver.enable_subchannel(true);
        assert_eq!(driver.send(0x83, &[0, 2, 0, 0]), GOOD);
        driver
    }

    pub fn without_revision(
        device: Box<dyn VirtioDevice>,
        worker: Box<dyn Worker>,
        ram: GuestRam,
        routes: Box<dyn AdapterRoutes>,
        told: Told,
    ) -> Self {
        let floating = Arc::new(Pending::default());
        let attention = Arc::new(Attention::new(7, floating.clone()));
        let wiring = CcwWiring { attention: attention.clone(), floating: floating.clone(), routes };
        let unit = VirtioCcw::new(device, worker, ram.clone(), wiring).unwrap();
        let mut css = Css::new(ram.clone(), floating.clone());
        css.add(0x1234, Box::new(unit), attention).unwrap();
        CcwDriver { css, floating, ram, told, interrupted: false }
    }

    /// Enables or disables the subchannel, with interruption parameter 0xabcd0123 and interruption subclass 3.
    pub fn enable_subchannel(&mut self, enabled: bool) {
        let (cc, schib) = self.css.stsch(ID).unwrap();
        assert_eq!(cc, 0);
        let mut schib = schib.unwrap();
        schib[0..4].copy_from_slice(&[0xab, 0xcd, 0x01, 0x23]);
        schib[4..6].copy_from_slice(&[0x18, if enabled { 0x80 } else { 0 }]);
        // Concurrent sense.
        schib[27] |= 1;
        assert_eq!(self.css.msch(ID, &schib), Ok(0));
    }

    pub fn write(&self, address: u64, bytes: &[u8]) {
        self.ram.write_slice(bytes, GuestAddress(address)).unwrap();
    }

    pub fn read<const N: usize>(&self, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.ram.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    /// Tests the subchannel; the first twelve bytes of the answer.
    fn test(&mut self) -> Option<[u8; 12]> {
        let (cc, irb) = self.css.tsch(ID).unwrap();
        (cc == 0).then(|| irb.unwrap()[..12].try_into().unwrap())
    }

    /// Takes what is pending that no command has asked for.
    fn drain(&mut self) {
        while let Some(interruption) = self.floating.take() {
            self.interrupted = true;
            if interruption.id == 0 {
                assert_eq!((interruption.parameter, interruption.word), (0, 0x8000_0000 | 5 << 27));
                continue;
            }
            assert_eq!((interruption.id, interruption.word), (0x0001_0007, 3 << 27));
            let status = self.test().expect("an interruption has a status");
            assert_eq!(status[2..4], [0, 0x11], "an alert, and nothing else");
            assert_eq!(status[8..], [0; 4]);
        }
    }

    /// Runs a command whose data are at [`BLOCK`].
    pub fn command(&mut self, command: u8, flags: u8, count: u16) -> Ended {
        self.drain();
        let [high, low] = count.to_be_bytes();
        self.write(PROGRAM, &[command, flags, high, low, 0, 0x0c, 0x10, 0]);
        // Format 1, all paths.
        let orb = [0x55, 0x66, 0x77, 0x88, 0, 0x80, 0xff, 0, 0, 0x0c, 0, 0];
        assert_eq!(self.css.ssch(ID, &orb), Ok(0));
        let interruption = self.floating.take().expect("a command ends with an interruption");
        assert_eq!(
            (interruption.id, interruption.parameter, interruption.word),
            (0x0001_0007, 0x5566_7788, 3 << 27)
        );
        let status = self.test().expect("an interruption has a status");
        assert_eq!(status[3] & 7, 7, "primary, secondary, pending");
        (status[8], status[9], u16::from_be_bytes([status[10], status[11]]))
    }

    /// Runs a command with these data.
    pub fn send(&mut self, command: u8, data: &[u8]) -> Ended {
        self.write(BLOCK, data);
        self.command(command, 0, data.len().try_into().unwrap())
    }

    /// Runs a command that ends well, and gives the data that it leaves.
    fn ask<const N: usize>(&mut self, command: u8, data: [u8; N]) -> [u8; N] {
        assert_eq!(self.send(command, &data), GOOD, "command {command:#x}");
        self.read(BLOCK)
    }

    pub fn unit(&mut self) -> &mut VirtioCcw {
        let unit: &mut dyn Any = self.css.unit(7).unwrap();
        unit.downcast_mut().unwrap()
    }

    fn set_up_indicators(&mut self) {
        self.write(CLASSIC, &[0; 16]);
        self.write(SUMMARY, &[0]);
        self.write(INDICATORS, &[0; 16]);
        match self.told {
            Told::Classic => assert_eq!(self.send(0x43, &CLASSIC.to_be_bytes()), GOOD),
            Told::Adapter => {
                let [summary, indicators] = [SUMMARY, INDICATORS].map(u64::to_be_bytes);
                let block = [&summary[..], &indicators, &FIRST_BIT.to_be_bytes(), &[ISC]].concat();
                assert_eq!(self.send(0x73, &block), GOOD);
            }
        }
        assert_eq!(self.send(0x53, &CONFIG.to_be_bytes()), GOOD);
    }
}

impl Driver for CcwDriver {
    fn device_id(&mut self) -> u32 {
        let [marker, high, low, model, rest @ ..] = self.ask(0xe4, [0xa5; 7]);
        assert_eq!((marker, high, low, rest), (0xff, 0x38, 0x32, [0; 3]));
        model.into()
    }

    fn features(&mut self) -> u64 {
        let [a, b, c, d, 0] = self.ask(0x12, [0xa5, 0xa5, 0xa5, 0xa5, 0]) else { panic!("the index stays") };
        let [e, f, g, h, 1] = self.ask(0x12, [0xa5, 0xa5, 0xa5, 0xa5, 1]) else { panic!("the index stays") };
        assert_eq!(self.ask(0x12, [0xa5, 0xa5, 0xa5, 0xa5, 2]), [0, 0, 0, 0, 2]);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn set_features(&mut self, features: u64) {
        let [a, b, c, d, e, f, g, h] = features.to_le_bytes();
        self.ask(0x11, [a, b, c, d, 0]);
        self.ask(0x11, [e, f, g, h, 1]);
    }

    fn status(&mut self) -> u8 {
        let [status] = self.ask(0x72, [0xa5]);
        status
    }

    fn set_status(&mut self, status: u8) {
        if status == 0 {
            assert_eq!(self.command(0x33, 0, 0), GOOD);
            return;
        }
        let before = self.status();
        let ended = self.send(0x31, &[status]);
        let after = self.status() & !0x40;
        if status & !after == 0 {
            assert_eq!(ended, GOOD);
        } else {
            assert_eq!((ended, after), ((REFUSED, 0, 0), before), "what is refused changes nothing");
        }
    }

    fn max_size(&mut self, queue: u16) -> u16 {
        let [high, low] = queue.to_be_bytes();
        let [a, b, c, d] = self.ask(0x32, [high, low, 0xa5, 0xa5]);
        assert_eq!([a, b], [high, low]);
        u16::from_be_bytes([c, d])
    }

    fn enable(&mut self, queue: u16, size: u16, [descriptors, available, used]: [u64; 3]) {
        self.set_up_indicators();
        let numbers = [queue.to_be_bytes(), size.to_be_bytes()].concat();
        let [descriptors, available, used] = [descriptors, available, used].map(u64::to_be_bytes);
        let block = [&descriptors[..], &[0xa5; 4], &numbers, &available, &used].concat();
        assert_eq!(self.send(0x13, &block), GOOD);
    }

    fn ring(&mut self, queue: u16) {
        self.core().ring(queue.into());
    }

    fn reset_queue(&mut self, _: u16) {
        panic!("channel I/O resets all queues only");
    }

    fn told(&mut self) -> (bool, bool) {
        self.drain();
        let used = match self.told {
            Told::Classic => match self.read::<8>(CLASSIC) {
                [0, 0, 0, 0, 0, 0, 0, bits] => bits,
                other => panic!("{other:x?}"),
            },
            Told::Adapter => match (self.read(SUMMARY), self.read::<3>(INDICATORS)) {
                // From bit 13 from the left on, one a queue.
                ([1], [0, bits @ 0..8, more]) if (bits, more) != (0, 0) => 1,
                ([0], [0, 0, 0]) => 0,
                other => panic!("{other:x?}"),
            },
        };
        let changed = match self.read::<8>(CONFIG) {
            [0, 0, 0, 0, 0, 0, 0, bits] => bits,
            other => panic!("{other:x?}"),
        };
        let told = (used != 0, changed == 1);
        assert_eq!(std::mem::take(&mut self.interrupted), told.0 || told.1, "an interrupt has a cause");
        self.write(CLASSIC, &[0; 16]);
        self.write(SUMMARY, &[0]);
        self.write(INDICATORS, &[0; 16]);
        told
    }

    fn read_config(&mut self, offset: u64, data: &mut [u8]) {
        let end = usize::try_from(offset).unwrap() + data.len();
        assert_eq!(self.command(0x22, 0, end.try_into().unwrap()), GOOD);
        self.ram.read_slice(data, GuestAddress(BLOCK + offset)).unwrap();
    }

    fn core(&mut self) -> &mut Core {
        self.unit().core()
    }

    /// Refused operands, condition codes and interruptions are as they come.
    fn attack(&mut self, how: u8, at: u64, data: &mut [u8]) {
        let mut orb = [0x55, 0x66, 0x77, 0x88, 0, 0x80, 0xff, 0, 0, 0x0c, 0, 0];
        let mut schib = [0; 52];
        let css = &mut self.css;
        let _ = match how % 16 {
            // A program that lies where the driver has its own.
            0..6 => {
                let end = data.len().min(0x1000);
                self.ram.write_slice(&data[..end], GuestAddress(PROGRAM)).unwrap();
                [orb[5], orb[4]] = [at.to_be_bytes()[7] | 0x80, at.to_be_bytes()[6]];
                css.ssch(ID, &orb)
            }
            6 => {
                orb.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
                css.ssch(ID, &orb)
            }
            7 => {
                schib.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
                css.msch(ID, &schib)
            }
            8 => css.tsch(ID).map(|(cc, _)| cc),
            9 => css.csch(ID),
            10 => css.hsch(ID),
            11 => css.xsch(ID),
            12 => css.rsch(ID),
            13 => css.rchp(at).map(|cc| cc + css.stcrw().0),
            14 => {
                let mut request = [0; crate::css::CHSC_REQUEST_SIZE];
                request.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
                css.chsc(&request).map(|(offset, response)| {
                    assert!(offset + response.len() <= 0x1000, "a response stays in its page");
                    0
                })
            }
            _ => css.stsch(at).map(|(cc, _)| cc),
        };
        while self.floating.take().is_some() {}
    }

    fn saved(&mut self) -> &mut dyn Save {
        &mut self.css
    }

    fn take_interrupts(&mut self) -> Box<dyn Any> {
        let pending: Vec<_> = std::iter::from_fn(|| self.floating.take()).collect();
        Box::new((pending, self.interrupted))
    }

    fn give_interrupts(&mut self, interrupts: Box<dyn Any>) {
        let (pending, interrupted): (Vec<Interruption>, bool) = *interrupts.downcast().unwrap();
        pending.into_iter().for_each(|interruption| self.floating.pend(interruption));
        self.interrupted = interrupted;
    }
}

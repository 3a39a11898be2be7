//! Arm's PL011 serial port (ARM DDI 0183).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::saved::{self, Save, Saved, state};
use crate::{Device, Effect, Hook, Input, Line, Sink};

/// Depth of the receive FIFO when it is enabled (revision r1p5).
const FIFO_DEPTH: usize = 32;

/// Register offsets.
mod register {
    pub const DATA: u64 = 0x00;
    pub const RECEIVE_STATUS: u64 = 0x04;
    pub const FLAGS: u64 = 0x18;
    pub const IRDA_COUNTER: u64 = 0x20;
    pub const INTEGER_BAUD: u64 = 0x24;
    pub const FRACTIONAL_BAUD: u64 = 0x28;
    pub const LINE_CONTROL: u64 = 0x2c;
    pub const CONTROL: u64 = 0x30;
    pub const FIFO_LEVELS: u64 = 0x34;
    pub const MASK: u64 = 0x38;
    pub const RAW_STATUS: u64 = 0x3c;
    pub const MASKED_STATUS: u64 = 0x40;
    pub const CLEAR: u64 = 0x44;
    pub const DMA_CONTROL: u64 = 0x48;
    pub const IDENTITY: u64 = 0xfe0;
}

/// UARTPeriphID0 to 3 and UARTPCellID0 to 3 of a PL011 r1p5.
const IDENTITY: [u8; 8] = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];

/// UARTFR: transmit FIFO empty, receive FIFO full, receive FIFO empty.
const FLAG_TX_EMPTY: u32 = 1 << 7;
const FLAG_RX_FULL: u32 = 1 << 6;
const FLAG_RX_EMPTY: u32 = 1 << 4;

/// Interrupts: receive, transmit, receive time-out, overrun.
const INT_RX: u32 = 1 << 4;
const INT_TX: u32 = 1 << 5;
const INT_RX_TIMEOUT: u32 = 1 << 6;
const INT_ALL: u32 = 0x7ff;

/// Bits that there are of registers that keep what is written.
const IRDA_COUNTER: u32 = 0xff;
const INTEGER_BAUD: u32 = 0xffff;
const FRACTIONAL_BAUD: u32 = 0x3f;
const LINE_CONTROL: u32 = 0xff;
const CONTROL: u32 = 0xffff;
const FIFO_LEVELS: u32 = 0x3f;
const DMA_CONTROL: u32 = 7;

/// UARTLCR_H: FIFOs enabled.
const LINE_FIFO: u32 = 1 << 4;

/// UARTCR: the port, its receiver and its transmitter enabled; loop-back.
const CONTROL_ENABLE: u32 = 1;
const CONTROL_LOOPBACK: u32 = 1 << 7;
const CONTROL_TX: u32 = 1 << 8;
const CONTROL_RX: u32 = 1 << 9;

/// A PL011. Its interrupt is level-triggered. Output leaves at once, so the transmitter is always empty.
pub struct Pl011 {
    received: VecDeque<u8>,
    raw: u32,
    mask: u32,
    line_control: u32,
    control: u32,
    fifo_levels: u32,
    /// Registers that only keep what is written: IrDA counter, baud rate divisors, DMA control.
    irda: u32,
    integer_baud: u32,
    fractional_baud: u32,
    dma: u32,
    line: Arc<dyn Line>,
    sink: Box<dyn Sink>,
    drained: Hook,
}

impl Pl011 {
    /// Size of the register window in bytes.
    pub const SIZE: u64 = 0x1000;

    /// A port that interrupts by `line`, sends to `sink`, and calls `drained` when the guest has read all
    /// input, or is ready to take some.
    pub fn new(line: Arc<dyn Line>, sink: Box<dyn Sink>, drained: Hook) -> Self {
        Pl011 {
            received: VecDeque::with_capacity(FIFO_DEPTH),
            raw: 0,
            mask: 0,
            line_control: 0,
            control: CONTROL_TX | CONTROL_RX,
            fifo_levels: 0x12,
            irda: 0,
            integer_baud: 0,
            fractional_baud: 0,
            dma: 0,
            line,
            sink,
            drained,
        }
    }

    fn depth(&self) -> usize {
        if self.line_control & LINE_FIFO != 0 { FIFO_DEPTH } else { 1 }
    }

    /// Bytes in the receive FIFO from which on it interrupts at once (UARTIFLS.RXIFLSEL).
    fn trigger_level(&self) -> usize {
        match (self.depth(), self.fifo_levels >> 3 & 7) {
            (1, _) => 1,
            (depth, 0) => depth / 8,
            (depth, 1) => depth / 4,
            (depth, 2) => depth / 2,
            (depth, 3) => depth * 3 / 4,
            (depth, _) => depth * 7 / 8,
        }
    }

    fn update_line(&self) {
        self.line.set(self.raw & self.mask != 0);
    }

    fn push(&mut self, byte: u8) {
        self.received.push_back(byte);
        if self.received.len() >= self.trigger_level() {
            self.raw |= INT_RX;
        }
        // No time passes between bytes here, so what is below the level times out at once.
        self.raw |= INT_RX_TIMEOUT;
    }

    fn pop(&mut self) -> u8 {
        let byte = self.received.pop_front();
        if self.received.len() < self.trigger_level() {
            self.raw &= !INT_RX;
        }
        if self.received.is_empty() {
            self.raw &= !INT_RX_TIMEOUT;
            if byte.is_some() {
                (self.drained)();
            }
        }
        self.update_line();
        byte.unwrap_or(0)
    }

    fn transmit(&mut self, byte: u8) {
        if self.control & (CONTROL_ENABLE | CONTROL_TX) != CONTROL_ENABLE | CONTROL_TX {
            // Early consoles write without enabling the port; what they say matters more than the reset state.
            self.sink.put(&[byte]);
            return;
        }
        if self.control & CONTROL_LOOPBACK != 0 {
            if self.received.len() < self.depth() {
                self.push(byte);
            }
        } else {
            self.sink.put(&[byte]);
        }
        self.raw |= INT_TX;
        self.update_line();
    }

    fn flags(&self) -> u32 {
        let full = if self.received.len() >= self.depth() { FLAG_RX_FULL } else { 0 };
        let empty = if self.received.is_empty() { FLAG_RX_EMPTY } else { 0 };
        FLAG_TX_EMPTY | full | empty
    }

    fn read_register(&mut self, offset: u64) -> u32 {
        match offset {
            register::DATA => self.pop().into(),
            register::FLAGS => self.flags(),
            register::IRDA_COUNTER => self.irda,
            register::INTEGER_BAUD => self.integer_baud,
            register::FRACTIONAL_BAUD => self.fractional_baud,
            register::LINE_CONTROL => self.line_control,
            register::CONTROL => self.control,
            register::FIFO_LEVELS => self.fifo_levels,
            register::MASK => self.mask,
            register::RAW_STATUS => self.raw,
            register::MASKED_STATUS => self.raw & self.mask,
            register::DMA_CONTROL => self.dma,
            // RECEIVE_STATUS among them: no errors are ever received.
            _ => offset
                .checked_sub(register::IDENTITY)
                .and_then(|at| IDENTITY.get(usize::try_from(at / 4).ok()?))
                .map_or(0, |id| (*id).into()),
        }
    }

    fn write_register(&mut self, offset: u64, value: u32) {
        match offset {
            register::DATA => self.transmit(value.to_le_bytes()[0]),
            register::IRDA_COUNTER => self.irda = value & IRDA_COUNTER,
            register::INTEGER_BAUD => self.integer_baud = value & INTEGER_BAUD,
            register::FRACTIONAL_BAUD => self.fractional_baud = value & FRACTIONAL_BAUD,
            register::LINE_CONTROL => {
                // Switching the FIFOs empties them.
                if (self.line_control ^ value) & LINE_FIFO != 0 {
                    self.empty();
                }
                self.line_control = value & LINE_CONTROL;
            }
            register::CONTROL => {
                let had_room = self.room() > 0;
                self.control = value & CONTROL;
                if !had_room && self.room() > 0 {
                    (self.drained)();
                }
            }
            register::FIFO_LEVELS => self.fifo_levels = value & FIFO_LEVELS,
            register::MASK => self.mask = value & INT_ALL,
            register::CLEAR => self.raw &= !value,
            register::DMA_CONTROL => self.dma = value & DMA_CONTROL,
            register::RECEIVE_STATUS => {}
            _ => {}
        }
        self.update_line();
    }

    fn empty(&mut self) {
        if !self.received.is_empty() {
            self.received.clear();
            (self.drained)();
        }
        self.raw &= !(INT_RX | INT_RX_TIMEOUT);
    }
}

impl Device for Pl011 {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        // Registers are at multiples of 4; narrow reads get the low bytes, as Linux reads with 16 or 32 bits.
        let value = if offset.is_multiple_of(4) { self.read_register(offset) } else { 0 };
        data.fill(0);
        for (byte, value) in data.iter_mut().zip(value.to_le_bytes()) {
            *byte = value;
        }
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        if offset.is_multiple_of(4) {
            let mut value = [0; 4];
            for (to, from) in value.iter_mut().zip(data) {
                *to = *from;
            }
            self.write_register(offset, u32::from_le_bytes(value));
        }
        Effect::None
    }
}

impl Input for Pl011 {
    fn room(&self) -> usize {
        // A port that is off takes nothing; input waits until a driver has set it up.
        let on = CONTROL_ENABLE | CONTROL_RX;
        if self.control & (on | CONTROL_LOOPBACK) != on {
            return 0;
        }
        self.depth().saturating_sub(self.received.len())
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        bytes[..taken].iter().for_each(|byte| self.push(*byte));
        self.update_line();
        taken
    }
}

state! {
    /// Registers by their names in ARM DDI 0183.
    struct Pl011State: "pl011", 1 {
        /// What waits in the receive FIFO.
        received: Vec<u8>,
        /// UARTRIS, UARTIMSC, UARTLCR_H, UARTCR, UARTIFLS.
        raw: u32,
        mask: u32,
        line_control: u32,
        control: u32,
        fifo_levels: u32,
        /// UARTILPR, UARTIBRD, UARTFBRD, UARTDMACR.
        irda: u32,
        integer_baud: u32,
        fractional_baud: u32,
        dma: u32,
    }
}

impl Save for Pl011 {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::of(&Pl011State {
            received: self.received.iter().copied().collect(),
            raw: self.raw,
            mask: self.mask,
            line_control: self.line_control,
            control: self.control,
            fifo_levels: self.fifo_levels,
            irda: self.irda,
            integer_baud: self.integer_baud,
            fractional_baud: self.fractional_baud,
            dma: self.dma,
        }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let state: Pl011State = saved.get()?;
        saved.check(state.raw & !INT_ALL == 0 && state.mask & !INT_ALL == 0, "an interrupt")?;
        saved.check(state.line_control & !LINE_CONTROL == 0, "line control")?;
        saved.check(state.control & !CONTROL == 0, "control")?;
        saved.check(state.fifo_levels & !FIFO_LEVELS == 0, "FIFO levels")?;
        saved.check(state.irda & !IRDA_COUNTER == 0, "an IrDA counter")?;
        let is_baud =
            state.integer_baud & !INTEGER_BAUD == 0 && state.fractional_baud & !FRACTIONAL_BAUD == 0;
        saved.check(is_baud, "a baud rate")?;
        saved.check(state.dma & !DMA_CONTROL == 0, "DMA control")?;
        self.line_control = state.line_control;
        saved.check(state.received.len() <= self.depth(), "a longer FIFO than there is")?;
        self.received = state.received.into();
        self.raw = state.raw;
        self.mask = state.mask;
        self.control = state.control;
        self.fifo_levels = state.fifo_levels;
        self.irda = state.irda;
        self.integer_baud = state.integer_baud;
        self.fractional_baud = state.fractional_baud;
        self.dma = state.dma;
        self.update_line();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[derive(Clone, Default)]
    struct Host {
        level: Arc<AtomicBool>,
        output: Arc<Mutex<Vec<u8>>>,
        drained: Arc<AtomicUsize>,
    }

    impl Host {
        fn interrupts(&self) -> bool {
            self.level.load(Ordering::Relaxed)
        }
    }

    impl Line for Host {
        fn set(&self, asserted: bool) {
            self.level.store(asserted, Ordering::Relaxed);
        }
    }

    impl Sink for Host {
        fn put(&mut self, bytes: &[u8]) {
            self.output.lock().unwrap().extend(bytes);
        }

        fn echo(&mut self, _: &[u8]) {
            panic!("a serial port shows nothing of its own accord");
        }
    }

    fn port() -> (Pl011, Host) {
        let host = Host::default();
        let drained = host.drained.clone();
        let hook = Box::new(move || {
            drained.fetch_add(1, Ordering::Relaxed);
        });
        (Pl011::new(Arc::new(host.clone()), Box::new(host.clone()), hook), host)
    }

    /// As Linux sets it up: FIFOs, receive and time-out interrupts, enabled.
    fn running() -> (Pl011, Host) {
        let (mut port, host) = port();
        write(&mut port, 0x2c, 0x70);
        write(&mut port, 0x30, 0x301);
        write(&mut port, 0x38, 0x50);
        (port, host)
    }

    fn write(port: &mut Pl011, offset: u64, value: u16) {
        assert_eq!(port.write(offset, &value.to_le_bytes()), Effect::None);
    }

    fn read(port: &mut Pl011, offset: u64) -> u32 {
        let mut value = [0xff; 4];
        assert_eq!(port.read(offset, &mut value), Effect::None);
        u32::from_le_bytes(value)
    }

    #[test]
    fn it_is_found_by_its_identity() {
        let (mut port, _) = port();
        let ids: Vec<u32> = (0..8).map(|n| read(&mut port, 0xfe0 + 4 * n)).collect();
        assert_eq!(ids, [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1]);
        assert_eq!(read(&mut port, 0x1000), 0);
        assert_eq!(read(&mut port, 0x18), 0x90);
    }

    #[test]
    fn output_leaves_at_once_and_may_interrupt() {
        let (mut port, host) = running();
        write(&mut port, 0, u16::from(b'h'));
        assert!(!host.interrupts(), "the transmit interrupt is masked");
        write(&mut port, 0x38, 0x70);
        assert!(host.interrupts());
        write(&mut port, 0x44, 0x20);
        assert!(!host.interrupts());
        assert_eq!(*host.output.lock().unwrap(), b"h");
    }

    #[test]
    fn an_early_console_is_heard_before_the_port_is_enabled() {
        let (mut port, host) = port();
        write(&mut port, 0, u16::from(b'e'));
        assert_eq!(*host.output.lock().unwrap(), b"e");
        assert_eq!(read(&mut port, 0x3c), 0);
    }

    #[test]
    fn input_interrupts_until_it_is_read() {
        let (mut port, host) = running();
        assert_eq!(port.take(b"ab"), 2);
        assert!(host.interrupts());
        assert_eq!(read(&mut port, 0x40), 0x40, "below the level: time-out only");
        assert_eq!(read(&mut port, 0), u32::from(b'a'));
        assert!(host.interrupts());
        let before = host.drained.load(Ordering::Relaxed);
        assert_eq!(read(&mut port, 0), u32::from(b'b'));
        assert!(!host.interrupts());
        assert_eq!(host.drained.load(Ordering::Relaxed), before + 1);
        assert_eq!(read(&mut port, 0), 0, "nothing is there to read");
        assert_eq!(host.drained.load(Ordering::Relaxed), before + 1);
    }

    #[test]
    fn the_fifo_takes_what_fits() {
        let (mut port, _) = running();
        assert_eq!(port.take(&[b'x'; 100]), 32);
        assert_eq!(port.room(), 0);
        assert_eq!(read(&mut port, 0x3c), 0x50);
        assert_eq!(read(&mut port, 0x18) & 0x50, 0x40, "full");
        for _ in 0..17 {
            read(&mut port, 0);
        }
        assert_eq!(read(&mut port, 0x3c), 0x40, "below half");
        write(&mut port, 0x2c, 0x60);
        assert_eq!(port.room(), 1, "without FIFO, and emptied");
    }

    #[test]
    fn a_port_that_is_off_takes_no_input() {
        let (mut port, host) = port();
        assert_eq!((port.room(), port.take(b"x")), (0, 0));
        write(&mut port, 0x30, 0x381);
        assert_eq!(port.room(), 0, "loop-back");
        assert_eq!(host.drained.load(Ordering::Relaxed), 0);
        write(&mut port, 0x30, 0x301);
        assert_eq!(
            (port.room(), host.drained.load(Ordering::Relaxed)),
            (1, 1),
            "input that waits may come now"
        );
    }

    #[test]
    fn loop_back_stays_inside() {
        let (mut port, host) = running();
        write(&mut port, 0x30, 0x381);
        for _ in 0..100 {
            write(&mut port, 0, 7);
        }
        assert!(host.output.lock().unwrap().is_empty());
        assert_eq!(read(&mut port, 0), 7);
    }

    #[test]
    fn odd_accesses_are_defined() {
        let (mut port, host) = running();
        for offset in [1, 2, 3, 0x19, u64::MAX] {
            let _ = port.write(offset, &[0xff; 8]);
            let mut eight = [0xff; 8];
            let _ = port.read(offset, &mut eight);
            assert_eq!(eight, [0; 8], "{offset:#x}");
        }
        let _ = port.write(0, b"!");
        let _ = port.write(0, &[]);
        assert_eq!(*host.output.lock().unwrap(), b"!\0");
    }
}

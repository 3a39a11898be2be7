//! A 16550A serial port, by vm-superio.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;

use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, SerialState, Trigger};

use crate::saved::{self, Error, Save, Saved, state};
use crate::{Device, Effect, Hook, Input, Line, Sink, byte_offsets};

/// Number of registers.
const REGISTERS: u64 = 8;

/// A 16550A (National Semiconductor, PC16550D). Its interrupt is a pulse, for an edge-triggered pin.
pub struct Uart16550 {
    /// The chip; what it wants of the host is carried out when it has been accessed.
    serial: Serial<Wanted, Wanted, Vec<u8>>,
    /// The line is cut off: what the guest sends comes back.
    loop_back: bool,
    line: Arc<dyn Line>,
    sink: Box<dyn Sink>,
    drained: Hook,
}

/// Interrupts that can be enabled, and the bits that identify those that there are: none, transmitter, receiver.
const INTERRUPTS: u8 = 0x0f;
const IDENTIFICATION: u8 = 0x07;
/// Of the line status: there is something to read.
const DATA_READY: u8 = 1 << 0;

/// Offset of the modem control register.
const MODEM_CONTROL: u8 = 4;
/// Its bit for loop-back.
const LOOP_BACK: u8 = 1 << 4;

/// Whether the chip wants something: an interrupt; to tell that all input has been read.
#[derive(Default)]
struct Wanted(Cell<bool>);

impl Trigger for Wanted {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.set(true);
        Ok(())
    }
}

impl SerialEvents for Wanted {
    fn buffer_read(&self) {}
    fn out_byte(&self) {}
    fn tx_lost_byte(&self) {}

    fn in_buffer_empty(&self) {
        self.0.set(true);
    }
}

impl Uart16550 {
    /// A port that interrupts by `line`, sends to `sink`, and calls `drained` when the guest has read all input.
    pub fn new(line: Arc<dyn Line>, sink: Box<dyn Sink>, drained: Hook) -> Self {
        let serial = Serial::with_events(Wanted::default(), Wanted::default(), Vec::new());
        Uart16550 { serial, loop_back: false, line, sink, drained }
    }

    /// Carries out what the chip wants.
    fn settle(&mut self) {
        let output = self.serial.writer_mut();
        if !output.is_empty() {
            self.sink.put(output);
            output.clear();
        }
        if self.serial.events().0.take() {
            (self.drained)();
        }
        if self.serial.interrupt_evt().0.take() {
            self.line.set(true);
            self.line.set(false);
        }
    }
}

/// The registers that an access at `offset` touches: the bus is 8 bits wide, so a wider access is several.
fn registers(offset: u64) -> impl Iterator<Item = Option<u8>> {
    byte_offsets(offset).map(|at| u8::try_from(at).ok().filter(|_| at < REGISTERS))
}

impl Device for Uart16550 {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        for (register, byte) in registers(offset).zip(data) {
            *byte = register.map_or(0xff, |register| self.serial.read(register));
            self.settle();
        }
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        for (register, byte) in registers(offset).zip(data) {
            if let Some(register) = register
                && let Err(error) = self.serial.write(register, *byte)
            {
                // Neither an interrupt nor output can fail; a full loop-back buffer can, and loses the byte as hardware does.
                tracing::debug!("serial port: {error}");
            }
            self.settle();
            if register == Some(MODEM_CONTROL) {
                let was_cut_off = std::mem::replace(&mut self.loop_back, byte & LOOP_BACK != 0);
                if was_cut_off && !self.loop_back {
                    (self.drained)();
                }
            }
        }
        Effect::None
    }
}

impl Input for Uart16550 {
    fn room(&self) -> usize {
        // Nothing comes in by a line that is cut off; the host hears when it is connected again.
        if self.loop_back { 0 } else { self.serial.fifo_capacity() }
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        // In loop-back mode nothing is taken, as `room` says.
        let taken = self.serial.enqueue_raw_bytes(bytes).unwrap_or(0);
        self.settle();
        taken
    }
}

state! {
    /// Registers, as vm-superio keeps them.
    struct UartState: "uart", 1 {
        baud_divisor_low: u8,
        baud_divisor_high: u8,
        interrupt_enable: u8,
        interrupt_identification: u8,
        line_control: u8,
        line_status: u8,
        modem_control: u8,
        modem_status: u8,
        scratch: u8,
        /// What waits to be read.
        received: Vec<u8>,
    }
}

impl Save for Uart16550 {
    fn save(&mut self) -> saved::Result<Saved> {
        let SerialState {
            baud_divisor_low,
            baud_divisor_high,
            interrupt_enable,
            interrupt_identification,
            line_control,
            line_status,
            modem_control,
            modem_status,
            scratch,
            in_buffer: received,
        } = self.serial.state();
        Ok(Saved::of(&UartState {
            baud_divisor_low,
            baud_divisor_high,
            interrupt_enable,
            interrupt_identification,
            line_control,
            line_status,
            modem_control,
            modem_status,
            scratch,
            received,
        }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let state: UartState = saved.get()?;
        let initial = SerialState::default();
        saved.check(state.interrupt_enable & !INTERRUPTS == 0, "enabled interrupts")?;
        saved.check(state.interrupt_identification & !IDENTIFICATION == 0, "an interrupt")?;
        let is_received = if state.received.is_empty() { 0 } else { DATA_READY };
        saved.check(state.line_status == initial.line_status | is_received, "a line status")?;
        saved.check(state.modem_status == initial.modem_status, "a modem status")?;
        let state = SerialState {
            baud_divisor_low: state.baud_divisor_low,
            baud_divisor_high: state.baud_divisor_high,
            interrupt_enable: state.interrupt_enable,
            interrupt_identification: state.interrupt_identification,
            line_control: state.line_control,
            line_status: state.line_status,
            modem_control: state.modem_control,
            modem_status: state.modem_status,
            scratch: state.scratch,
            in_buffer: state.received,
        };
        let too_long = |_| Error::Invalid { kind: saved.kind, what: "a longer FIFO than there is" };
        let serial = Serial::from_state(&state, Wanted::default(), Wanted::default(), Vec::new());
        self.serial = serial.map_err(too_long)?;
        self.loop_back = state.modem_control & LOOP_BACK != 0;
        // A pending interrupt was sent when it became so.
        self.serial.interrupt_evt().0.take();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Clone, Default)]
    struct Host {
        pulses: Arc<AtomicUsize>,
        output: Arc<Mutex<Vec<u8>>>,
        drained: Arc<AtomicUsize>,
    }

    impl Line for Host {
        fn set(&self, asserted: bool) {
            self.pulses.fetch_add(asserted.into(), Ordering::Relaxed);
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

    fn port() -> (Uart16550, Host) {
        let host = Host::default();
        let drained = host.drained.clone();
        let hook = Box::new(move || {
            drained.fetch_add(1, Ordering::Relaxed);
        });
        (Uart16550::new(Arc::new(host.clone()), Box::new(host.clone()), hook), host)
    }

    fn read(port: &mut Uart16550, register: u64) -> u8 {
        let mut byte = [0];
        assert_eq!(port.read(register, &mut byte), Effect::None);
        byte[0]
    }

    #[test]
    fn output_reaches_the_sink() {
        let (mut port, host) = port();
        for byte in b"hi" {
            assert_eq!(port.write(0, &[*byte]), Effect::None);
        }
        assert_eq!(*host.output.lock().unwrap(), b"hi");
        assert_eq!(read(&mut port, 5) & 0x60, 0x60, "the transmitter is empty");
    }

    #[test]
    fn input_interrupts_and_tells_when_it_is_read() {
        let (mut port, host) = port();
        let _ = port.write(1, &[1]);
        let room = port.room();
        assert_eq!(port.take(b"abc"), 3);
        assert_eq!(port.room(), room - 3);
        assert!(host.pulses.load(Ordering::Relaxed) > 0);
        let got: Vec<u8> = (0..3).map(|_| read(&mut port, 0)).collect();
        assert_eq!(got, b"abc");
        assert_eq!(host.drained.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn input_waits_for_the_end_of_loop_back() {
        let (mut port, host) = port();
        let _ = port.write(4, &[0x1b]);
        assert_eq!((port.room(), port.take(b"x")), (0, 0));
        let _ = port.write(4, &[0x1b]);
        assert_eq!(host.drained.load(Ordering::Relaxed), 0);
        let _ = port.write(4, &[0x0b]);
        assert_eq!(host.drained.load(Ordering::Relaxed), 1, "there is room again");
        assert_eq!(port.take(b"x"), 1);
        let _ = port.write(4, &[0x0b]);
        assert_eq!(host.drained.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn more_input_than_fits_is_not_taken() {
        let (mut port, _) = port();
        assert!(port.take(&[7; 1000]) < 1000);
        assert_eq!(port.room(), 0);
        assert_eq!(port.take(b"x"), 0);
    }

    #[test]
    fn wide_accesses_are_several() {
        let (mut port, host) = port();
        let _ = port.write(7, &[0x5a, b'!']);
        assert_eq!(read(&mut port, 7), 0x5a);
        assert!(host.output.lock().unwrap().is_empty(), "beyond the last register there is nothing");
        let mut wide = [0; 4];
        let _ = port.read(6, &mut wide);
        assert_eq!((wide[1], wide[2], wide[3]), (0x5a, 0xff, 0xff));
        let _ = port.read(u64::MAX, &mut wide);
        assert_eq!(wide[0], 0xff);
    }
}

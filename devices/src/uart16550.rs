//! A 16550A serial port, by vm-superio.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::Arc;

use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, Trigger};

use crate::{Device, Effect, Hook, Input, Line, Sink, byte_offsets};

/// Number of registers.
const REGISTERS: u64 = 8;

/// A 16550A (National Semiconductor, PC16550D). Its interrupt is a pulse, for an edge-triggered pin.
pub struct Uart16550 {
    serial: Serial<Pulse, Drained, Output>,
    /// The line is cut off: what the guest sends comes back.
    loop_back: bool,
}

/// Offset of the modem control register.
const MODEM_CONTROL: u8 = 4;
/// Its bit for loop-back.
const LOOP_BACK: u8 = 1 << 4;

struct Pulse(Arc<dyn Line>);

impl Trigger for Pulse {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.set(true);
        self.0.set(false);
        Ok(())
    }
}

struct Drained(Hook);

impl SerialEvents for Drained {
    fn buffer_read(&self) {}
    fn out_byte(&self) {}
    fn tx_lost_byte(&self) {}

    fn in_buffer_empty(&self) {
        (self.0)();
    }
}

struct Output(Box<dyn Sink>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Uart16550 {
    /// A port that interrupts by `line`, sends to `sink`, and calls `drained` when the guest has read all input.
    pub fn new(line: Arc<dyn Line>, sink: Box<dyn Sink>, drained: Hook) -> Self {
        let serial = Serial::with_events(Pulse(line), Drained(drained), Output(sink));
        Uart16550 { serial, loop_back: false }
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
        }
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        for (register, byte) in registers(offset).zip(data) {
            if let Some(register) = register
                && let Err(error) = self.serial.write(register, *byte)
            {
                // Neither the line nor the sink can fail; a full loop-back buffer can, and loses the byte as hardware does.
                tracing::debug!("serial port: {error}");
            }
            if register == Some(MODEM_CONTROL) {
                let was_cut_off = std::mem::replace(&mut self.loop_back, byte & LOOP_BACK != 0);
                if was_cut_off && !self.loop_back {
                    (self.serial.events().0)();
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
        self.serial.enqueue_raw_bytes(bytes).unwrap_or(0)
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

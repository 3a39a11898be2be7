//! What happens to a machine of hardware-reduced ACPI, told by a generic event device (ACPI 6.5, 5.6.9): its power button.

use crate::saved::{self, Save, Saved, state};
use crate::{Device, Effect, Shutdown, Trigger, byte_offsets};

/// A status register of one byte, which the tables' `_EVT` method reads when the interrupt has come. A read clears it.
pub struct AcpiEvents {
    status: u8,
    /// The guest has read the register, so that it knows what to do.
    heard: bool,
    trigger: Box<dyn Trigger>,
    listens: Listens,
}

/// Whether the guest takes the device's interrupt.
pub type Listens = Box<dyn Fn() -> bool + Send>;

impl AcpiEvents {
    /// Size of the window in bytes.
    pub const SIZE: u16 = 1;
    /// Bit of the status register: the power button was pressed.
    pub const POWER_BUTTON: u8 = 1;

    /// Nothing has happened.
    pub fn new(trigger: Box<dyn Trigger>, listens: Listens) -> Self {
        AcpiEvents { status: 0, heard: false, trigger, listens }
    }
}

impl Device for AcpiEvents {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        for (at, byte) in byte_offsets(offset).zip(data) {
            *byte = 0;
            if at == 0 {
                *byte = std::mem::take(&mut self.status);
                self.heard = true;
            }
        }
        Effect::None
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Effect {
        Effect::None
    }
}

impl Shutdown for AcpiEvents {
    fn ask(&mut self) -> bool {
        // A guest that is at it may have the interrupt masked for that time.
        if !self.heard && !(self.listens)() {
            return false;
        }
        self.status |= Self::POWER_BUTTON;
        self.trigger.trigger();
        true
    }
}

state! {
    struct AcpiEventsState: "acpi-evt", 1 {
        /// The status register.
        status: u8,
        /// The guest has read it: 0 or 1.
        heard: u8,
    }
}

impl Save for AcpiEvents {
    fn save(&mut self) -> saved::Result<Saved> {
        Ok(Saved::of(&AcpiEventsState { status: self.status, heard: self.heard.into() }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let AcpiEventsState { status, heard } = saved.get()?;
        saved.check(status & !Self::POWER_BUTTON == 0 && heard <= 1, "an event")?;
        (self.status, self.heard) = (status, heard == 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    #[derive(Clone, Default)]
    struct Edges(Arc<AtomicUsize>);

    impl Trigger for Edges {
        fn trigger(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn status(events: &mut AcpiEvents) -> u8 {
        let mut data = [0xa5; 2];
        assert_eq!(events.read(0, &mut data), Effect::None);
        assert_eq!(data[1], 0, "nothing lies behind the register");
        data[0]
    }

    #[test]
    fn a_guest_that_listens_is_told_and_finds_out_why_once() {
        let (edges, unmasked) = (Edges::default(), Arc::new(AtomicBool::new(false)));
        let listens = unmasked.clone();
        let mut events =
            AcpiEvents::new(Box::new(edges.clone()), Box::new(move || listens.load(Ordering::Relaxed)));
        assert!(!events.ask());
        assert_eq!(edges.0.load(Ordering::Relaxed), 0);
        unmasked.store(true, Ordering::Relaxed);
        assert!(events.ask() && events.ask());
        assert_eq!(edges.0.load(Ordering::Relaxed), 2);
        assert_eq!(events.write(0, &[0xff]), Effect::None);
        assert_eq!(status(&mut events), AcpiEvents::POWER_BUTTON);
        assert_eq!(status(&mut events), 0);
        unmasked.store(false, Ordering::Relaxed);
        assert!(events.ask(), "it has listened before");
    }
}

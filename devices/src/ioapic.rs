//! The I/O APIC (Intel 82093AA, with the EOI register of later ones), for machines whose LAPICs are in the kernel and whose
//! IOAPIC is not.

use crate::saved::{self, Save, Saved, state};
use crate::{Device, Effect};

/// A message-signalled interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsiMessage {
    /// Address that the message is written to.
    pub address: u64,
    /// Its data.
    pub data: u32,
}

/// Where an I/O APIC's interrupts go.
pub type Deliver = Box<dyn Fn(MsiMessage) + Send>;

/// Is told the messages of all level-triggered pins when one has changed; the index is the pin. The end of these is wanted, by
/// [`Ioapic::end_of_interrupt`].
pub type Mirror = Box<dyn Fn(&[Option<MsiMessage>]) + Send>;

/// Offset of the register select register.
const SELECT: u64 = 0x00;
/// Offset of the window to the selected register.
const WINDOW: u64 = 0x10;
/// Offset of the EOI register (from version 0x20 on).
const EOI: u64 = 0x40;

const INDEX_ID: u8 = 0;
const INDEX_VERSION: u8 = 1;
const INDEX_ARBITRATION: u8 = 2;
const INDEX_REDIRECTION: u8 = 0x10;

/// The version that has an EOI register.
const VERSION: u32 = 0x20;

/// Where LAPICs take messages.
const MSI_BASE: u64 = 0xfee0_0000;
const MSI_END: u64 = 0xfef0_0000;

/// Bits of the identification register.
const ID: u32 = 0x0f00_0000;

/// The most pins that the index register can reach.
const MAX_PINS: u32 = 120;

/// A redirection table entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry(u64);

impl Entry {
    const REMOTE_IRR: u64 = 1 << 14;
    const LEVEL: u64 = 1 << 15;
    const MASKED: u64 = 1 << 16;
    const DELIVERY_STATUS: u64 = 1 << 12;
    const READ_ONLY: u64 = Self::DELIVERY_STATUS | Self::REMOTE_IRR;

    fn has(self, bits: u64) -> bool {
        self.0 & bits == bits
    }

    fn vector(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// What of it is mirrored; `None` if that stays as it is.
    fn mirrored(self) -> Option<Option<MsiMessage>> {
        match (self.has(Self::LEVEL), self.has(Self::MASKED)) {
            (false, _) => Some(None),
            (true, false) => Some(Some(self.message())),
            // An interrupt that was sent before may yet have to end; and masks come and go often.
            (true, true) => None,
        }
    }

    /// Whether guest and chip together can bring it about: no message waits to be sent, and edges have no end.
    fn can_be(self) -> bool {
        !self.has(Self::DELIVERY_STATUS) && (self.has(Self::LEVEL) || !self.has(Self::REMOTE_IRR))
    }

    /// The message that the entry stands for (Intel SDM 3A, 12.11: message address and data).
    fn message(self) -> MsiMessage {
        let destination = self.0 >> 56;
        // Bits 48 to 55 of the entry go to bits 4 to 11: KVM's extended destination id is there.
        let extended = self.0 >> 48 & 0xff;
        let mode = self.0 >> 11 & 1;
        let address = MSI_BASE | destination << 12 | extended << 4 | mode << 2;
        let [vector, delivery, ..] = self.0.to_le_bytes();
        let trigger = u32::from(self.has(Self::LEVEL)) * (1 << 15 | 1 << 14);
        MsiMessage { address, data: u32::from(vector) | u32::from(delivery & 7) << 8 | trigger }
    }
}

#[derive(Debug, Clone, Copy)]
struct Pin {
    entry: Entry,
    asserted: bool,
}

/// An I/O APIC. Pins are active while their line is asserted, whatever polarity the guest chose.
pub struct Ioapic {
    select: u8,
    id: u32,
    pins: Vec<Pin>,
    deliver: Deliver,
    /// What `mirror` was told last.
    mirrored: Vec<Option<MsiMessage>>,
    mirror: Mirror,
}

impl Ioapic {
    /// Size of the register window in bytes.
    pub const SIZE: u64 = 0x1000;

    /// An I/O APIC with `pins` pins (1 to 120), all masked.
    pub fn new(pins: u32, deliver: Deliver, mirror: Mirror) -> Self {
        let pin = Pin { entry: Entry(Entry::MASKED), asserted: false };
        let pins: Vec<Pin> = (0..pins.clamp(1, MAX_PINS)).map(|_| pin).collect();
        let mirrored = vec![None; pins.len()];
        Ioapic { select: 0, id: 0, pins, deliver, mirrored, mirror }
    }

    /// Whether the guest takes interrupts of a pin. One that is not there has none.
    pub fn is_unmasked(&self, pin: u32) -> bool {
        let pin = usize::try_from(pin).ok().and_then(|pin| self.pins.get(pin));
        pin.is_some_and(|pin| !pin.entry.has(Entry::MASKED))
    }

    /// Sets the level of a pin's line. A pin that is not there is ignored.
    pub fn set_line(&mut self, pin: u32, asserted: bool) {
        let index = usize::try_from(pin).unwrap_or(usize::MAX);
        let Some(state) = self.pins.get_mut(index) else { return };
        let rising = asserted && !state.asserted;
        state.asserted = asserted;
        if state.entry.has(Entry::LEVEL) {
            self.service_level(index);
        } else if rising && !state.entry.has(Entry::MASKED) {
            // An edge at a masked pin is lost (82093AA, 3.2.4, bit 16).
            (self.deliver)(state.entry.message());
        }
    }

    /// A LAPIC has ended the interrupt with this vector.
    pub fn end_of_interrupt(&mut self, vector: u8) {
        for index in 0..self.pins.len() {
            let entry = &mut self.pins[index].entry;
            if entry.vector() == vector && entry.has(Entry::LEVEL | Entry::REMOTE_IRR) {
                entry.0 &= !Entry::REMOTE_IRR;
                self.service_level(index);
            }
        }
    }

    /// Tells `mirror` if a pin's message is another than it was told.
    fn update_mirror(&mut self, index: usize) {
        let Some(message) = self.pins[index].entry.mirrored() else { return };
        if self.mirrored[index] != message {
            self.mirrored[index] = message;
            (self.mirror)(&self.mirrored);
        }
    }

    /// Sends a level-triggered pin's interrupt, if it is due.
    fn service_level(&mut self, index: usize) {
        let pin = &mut self.pins[index];
        let due = pin.asserted && pin.entry.0 & (Entry::MASKED | Entry::REMOTE_IRR) == 0;
        if due {
            pin.entry.0 |= Entry::REMOTE_IRR;
            (self.deliver)(pin.entry.message());
        }
    }

    /// The pin and the half (0 low, 1 high) that the select register points to.
    fn selected_entry(&self) -> Option<(usize, usize)> {
        let at = usize::from(self.select.checked_sub(INDEX_REDIRECTION)?);
        (at / 2 < self.pins.len()).then_some((at / 2, at % 2))
    }

    fn read_window(&self) -> u32 {
        let last = u32::try_from(self.pins.len() - 1).unwrap_or(u32::MAX);
        match (self.select, self.selected_entry()) {
            (INDEX_ID | INDEX_ARBITRATION, _) => self.id,
            (INDEX_VERSION, _) => last << 16 | VERSION,
            (_, Some((pin, half))) => {
                let bytes = self.pins[pin].entry.0.to_le_bytes();
                let (low, high) = bytes.split_at(4);
                let half = if half == 0 { low } else { high };
                u32::from_le_bytes([half[0], half[1], half[2], half[3]])
            }
            (_, None) => u32::MAX,
        }
    }

    fn write_window(&mut self, value: u32) {
        if self.select == INDEX_ID {
            self.id = value & ID;
        }
        let Some((index, half)) = self.selected_entry() else { return };
        let entry = &mut self.pins[index].entry;
        let shift = half * 32;
        let written = entry.0 & !(u64::from(u32::MAX) << shift) | u64::from(value) << shift;
        let kept = entry.0 & Entry::READ_ONLY;
        entry.0 = written & !Entry::READ_ONLY | kept;
        if !entry.has(Entry::LEVEL) {
            // Linux clears a stuck remote IRR by switching to edge and back.
            entry.0 &= !Entry::REMOTE_IRR;
        }
        // Before the interrupt is sent, as nobody would be told of its end.
        self.update_mirror(index);
        if self.pins[index].entry.has(Entry::LEVEL) {
            self.service_level(index);
        }
    }
}

impl Device for Ioapic {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Effect {
        let value = match offset {
            SELECT => u32::from(self.select),
            WINDOW => self.read_window(),
            _ => 0,
        };
        data.fill(0);
        // Registers are 32 bits wide; a narrower read gets the low bytes.
        for (byte, value) in data.iter_mut().zip(value.to_le_bytes()) {
            *byte = value;
        }
        Effect::None
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Effect {
        match (offset, data) {
            (SELECT, [select, ..]) => self.select = *select,
            // The window takes whole registers only.
            (WINDOW, &[a, b, c, d]) => self.write_window(u32::from_le_bytes([a, b, c, d])),
            (EOI, [vector, ..]) => self.end_of_interrupt(*vector),
            _ => {}
        }
        Effect::None
    }
}

state! {
    struct IoapicState: "ioapic", 1 {
        select: u8,
        id: u32,
        /// Of each pin, its entry in the redirection table and the level of its line.
        pins: Vec<(u64, bool)>,
        /// Of each pin, address and data of the message whose end is wanted.
        mirrored: Vec<Option<(u64, u32)>>,
    }
}

impl Save for Ioapic {
    fn save(&mut self) -> saved::Result<Saved> {
        let message =
            |message: &Option<MsiMessage>| message.map(|MsiMessage { address, data }| (address, data));
        Ok(Saved::of(&IoapicState {
            select: self.select,
            id: self.id,
            pins: self.pins.iter().map(|pin| (pin.entry.0, pin.asserted)).collect(),
            mirrored: self.mirrored.iter().map(message).collect(),
        }))
    }

    /// The messages are mirrored again. None is sent: LAPICs have their own state.
    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        let IoapicState { select, id, pins, mirrored } = saved.get()?;
        saved.check(id & !ID == 0, "an identifier")?;
        let pins: Vec<_> =
            pins.iter().map(|&(entry, asserted)| Pin { entry: Entry(entry), asserted }).collect();
        saved.check(pins.len() == self.pins.len() && mirrored.len() == pins.len(), "a number of pins")?;
        saved.check(pins.iter().all(|pin| pin.entry.can_be()), "an entry of the redirection table")?;
        let is_message = |message: &(u64, u32)| (MSI_BASE..MSI_END).contains(&message.0);
        saved.check(mirrored.iter().flatten().all(is_message), "a message's address")?;
        let message = |(address, data)| MsiMessage { address, data };
        let mirrored: Vec<_> = mirrored.iter().map(|mirrored| mirrored.map(message)).collect();
        let is_told = |(pin, told): (&Pin, &_)| pin.entry.mirrored().is_none_or(|message| message == *told);
        saved.check(pins.iter().zip(&mirrored).all(is_told), "a message that is not its pin's")?;
        (self.select, self.id, self.pins, self.mirrored) = (select, id, pins, mirrored);
        (self.mirror)(&self.mirrored);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Sent = Arc<Mutex<Vec<MsiMessage>>>;

    fn ioapic() -> (Ioapic, Sent) {
        let sent = Sent::default();
        let log = sent.clone();
        let deliver = Box::new(move |message| log.lock().unwrap().push(message));
        (Ioapic::new(24, deliver, Box::new(|_| {})), sent)
    }

    fn write(chip: &mut Ioapic, index: u8, value: u32) {
        assert_eq!(chip.write(0, &[index, 0, 0, 0]), Effect::None);
        assert_eq!(chip.write(0x10, &value.to_le_bytes()), Effect::None);
    }

    fn read(chip: &mut Ioapic, index: u8) -> u32 {
        let _ = chip.write(0, &[index]);
        let mut value = [0; 4];
        assert_eq!(chip.read(0x10, &mut value), Effect::None);
        u32::from_le_bytes(value)
    }

    fn take(sent: &Sent) -> Vec<MsiMessage> {
        std::mem::take(&mut sent.lock().unwrap())
    }

    #[test]
    fn identity_and_reset_values() {
        let (mut chip, _) = ioapic();
        assert_eq!(read(&mut chip, 1), 0x0017_0020);
        assert_eq!(read(&mut chip, 0x10), 0x1_0000);
        assert_eq!(read(&mut chip, 0x3f), 0);
        assert_eq!(read(&mut chip, 0x40), u32::MAX);
        write(&mut chip, 0, 0xffff_ffff);
        assert_eq!(read(&mut chip, 0), 0x0f00_0000);
    }

    #[test]
    fn an_edge_is_sent_once_and_lost_while_masked() {
        let (mut chip, sent) = ioapic();
        chip.set_line(4, true);
        chip.set_line(4, false);
        write(&mut chip, 0x19, 0x0300_0000); // pin 4 to APIC 3
        write(&mut chip, 0x18, 0x0000_0031); // vector 0x31, fixed, physical, edge, unmasked
        assert_eq!(take(&sent), []);
        chip.set_line(4, true);
        chip.set_line(4, true);
        chip.set_line(4, false);
        assert_eq!(take(&sent), [MsiMessage { address: 0xfee0_3000, data: 0x31 }]);
    }

    #[test]
    fn a_level_is_sent_again_after_its_end_while_it_stays() {
        let (mut chip, sent) = ioapic();
        write(&mut chip, 0x1a, 0x0000_8840); // pin 5: vector 0x40, logical, level
        chip.set_line(5, true);
        chip.set_line(5, true);
        let message = MsiMessage { address: 0xfee0_0004, data: 0xc040 };
        assert_eq!(take(&sent), [message]);
        assert_eq!(read(&mut chip, 0x1a), 0x0000_c840, "remote IRR");
        chip.end_of_interrupt(0x41);
        assert_eq!(take(&sent), []);
        chip.end_of_interrupt(0x40);
        assert_eq!(take(&sent), [message]);
        chip.set_line(5, false);
        let _ = chip.write(0x40, &[0x40, 0, 0, 0]);
        assert_eq!(take(&sent), []);
        assert_eq!(read(&mut chip, 0x1a), 0x0000_8840);
    }

    #[test]
    fn a_level_waits_for_its_unmasking_and_edge_mode_clears_remote_irr() {
        let (mut chip, sent) = ioapic();
        write(&mut chip, 0x10, 0x0001_8050);
        chip.set_line(0, true);
        assert_eq!(take(&sent), []);
        write(&mut chip, 0x10, 0x0000_8050);
        assert_eq!(take(&sent).len(), 1);
        write(&mut chip, 0x10, 0x0001_0050);
        write(&mut chip, 0x10, 0x0000_8050);
        assert_eq!(take(&sent).len(), 1);
    }

    #[test]
    fn extended_destinations_reach_beyond_255() {
        let (mut chip, sent) = ioapic();
        write(&mut chip, 0x11, 0x01 << 24 | 0x02 << 16);
        write(&mut chip, 0x10, 0x0000_0060);
        chip.set_line(0, true);
        assert_eq!(take(&sent), [MsiMessage { address: 0xfee0_1020, data: 0x60 }]);
    }

    #[test]
    fn level_triggered_messages_are_mirrored_before_they_are_sent() {
        #[derive(Debug, PartialEq)]
        enum Event {
            Sent(MsiMessage),
            Mirrored(Vec<(usize, MsiMessage)>),
        }
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let take = || std::mem::take(&mut *events.lock().unwrap());
        let (log, mirror_log) = (events.clone(), events.clone());
        let deliver = move |message| log.lock().unwrap().push(Event::Sent(message));
        let mirror = move |all: &[Option<MsiMessage>]| {
            assert_eq!(all.len(), 24);
            let some = all.iter().enumerate().filter_map(|(pin, message)| Some((pin, (*message)?)));
            mirror_log.lock().unwrap().push(Event::Mirrored(some.collect()));
        };
        let mut chip = Ioapic::new(24, Box::new(deliver), Box::new(mirror));
        write(&mut chip, 0x12, 0x0000_0041); // pin 1, edge
        assert_eq!(take(), []);
        chip.set_line(5, true);
        write(&mut chip, 0x1a, 0x0001_8040); // pin 5, level, masked
        assert_eq!(take(), []);
        write(&mut chip, 0x1a, 0x0000_8040);
        let message = MsiMessage { address: 0xfee0_0000, data: 0xc040 };
        assert_eq!(take(), [Event::Mirrored(vec![(5, message)]), Event::Sent(message)]);
        write(&mut chip, 0x1a, 0x0001_8040);
        write(&mut chip, 0x1a, 0x0000_8040);
        assert_eq!(take(), [], "a mask changes nothing");
        write(&mut chip, 0x1b, 0x0700_0000);
        let moved = MsiMessage { address: 0xfee0_7000, ..message };
        assert_eq!(take(), [Event::Mirrored(vec![(5, moved)])]);
        write(&mut chip, 0x1a, 0x0001_0040);
        assert_eq!(take(), [Event::Mirrored(vec![])]);
    }

    #[test]
    fn nonsense_does_nothing() {
        let (mut chip, sent) = ioapic();
        chip.set_line(24, true);
        chip.set_line(u32::MAX, true);
        let _ = chip.write(0, &[]);
        let _ = chip.write(0x10, &[1]);
        let _ = chip.write(u64::MAX, &[1, 2, 3, 4]);
        let mut eight = [0xaa; 8];
        let _ = chip.read(0x10, &mut eight);
        assert_eq!(eight, [0; 8]);
        write(&mut chip, 0xff, 5);
        assert_eq!(take(&sent), []);
    }
}

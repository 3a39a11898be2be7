//! A power key: an interrupt line that says that it was pressed, and nothing else.

use crate::{Shutdown, Trigger};

/// The key. It has no registers, and so no state: who sends its interrupt keeps what is pending.
pub struct PowerKey(Box<dyn Trigger>);

impl PowerKey {
    /// On this line.
    pub fn new(trigger: Box<dyn Trigger>) -> Self {
        PowerKey(trigger)
    }
}

impl Shutdown for PowerKey {
    /// Presses it. Whether the guest listens does not show, so it is taken to.
    fn ask(&mut self) -> bool {
        self.0.trigger();
        true
    }
}

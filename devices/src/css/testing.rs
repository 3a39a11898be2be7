//! What tests look at the channel subsystem with.

use std::sync::{Mutex, PoisonError};

use super::{Floating, Interruption};

/// A floating interrupt controller that is looked into.
#[derive(Debug, Default)]
pub struct Pending {
    interruptions: Mutex<Vec<Interruption>>,
    reports: Mutex<u32>,
}

impl Pending {
    /// What a CPU would take next.
    pub fn take(&self) -> Option<Interruption> {
        let mut pending = self.interruptions.lock().unwrap();
        if pending.is_empty() { None } else { Some(pending.remove(0)) }
    }

    /// The machine checks since the last call.
    pub fn take_reports(&self) -> u32 {
        std::mem::take(&mut self.reports.lock().unwrap())
    }
}

impl Floating for Pending {
    fn pend(&self, interruption: Interruption) {
        self.interruptions.lock().unwrap_or_else(PoisonError::into_inner).push(interruption);
    }

    fn withdraw(&self, id: u32) {
        self.interruptions.lock().unwrap().retain(|pending| pending.id != id);
    }

    fn report(&self) {
        *self.reports.lock().unwrap() += 1;
    }
}

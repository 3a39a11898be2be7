//! The state machine as it is saved.

use super::{Core, QueueSetup, status};
use crate::saved::{self, Save, Saved, state};

state! {
    /// A [`QueueSetup`]; what is not here does not change.
    struct QueueState {
        size: u16,
        ready: bool,
        descriptors: u64,
        available: u64,
        used: u64,
        next_available: u16,
        next_used: u16,
    }
}

state! {
    /// The state machine, with both parts of the device.
    struct CoreState: "virtio", 1 {
        status: u8,
        needs_reset: bool,
        generation: u8,
        driver_features: u64,
        queues: Vec<QueueState>,
        device: Saved,
        backend: Saved,
    }
}

impl QueueSetup {
    const fn state(&self) -> QueueState {
        let QueueSetup { size, ready, descriptors, available, used, .. } = *self;
        let (next_available, next_used) = self.progress;
        QueueState { size, ready, descriptors, available, used, next_available, next_used }
    }

    const fn restored(max_size: u16, state: &QueueState) -> Self {
        let QueueState { size, ready, descriptors, available, used, next_available, next_used } = *state;
        let progress = (next_available, next_used);
        QueueSetup { max_size, size, ready, descriptors, available, used, progress }
    }
}

/// Saving stops the device, as [`Core::stop`] does; restored, it goes on by [`Core::start`].
impl Save for Core {
    fn save(&mut self) -> saved::Result<Saved> {
        self.stop();
        Ok(Saved::of(&CoreState {
            status: self.status,
            needs_reset: self.fault.is_set(),
            generation: self.generation,
            driver_features: self.driver_features,
            queues: self.queues.iter().map(QueueSetup::state).collect(),
            device: self.device.save()?,
            backend: self.worker.save()?,
        }))
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        self.reset();
        let state: CoreState = saved.get()?;
        saved.check(state.status & status::NEEDS_RESET == 0, "a status")?;
        let is_agreed = state.status & status::FEATURES_OK != 0;
        saved.check(is_agreed || state.status & status::DRIVER_OK == 0, "a driver without features")?;
        saved.check(state.queues.len() == self.queues.len(), "a number of virtqueues")?;
        self.driver_features = state.driver_features;
        saved.check(!is_agreed || self.agrees(), "features that the device does not have")?;
        let has_started = state.status & status::DRIVER_OK != 0 && !state.needs_reset;
        for (queue, state) in self.queues.iter_mut().zip(&state.queues) {
            *queue = QueueSetup::restored(queue.max_size, state);
            let can_start = !has_started || !queue.ready || queue.ring(&self.ram, false).is_some();
            saved.check(can_start, "the rings of a virtqueue")?;
        }
        self.worker.restore(&state.backend)?;
        self.device.restore(&state.device)?;
        self.status = state.status;
        self.generation = state.generation;
        self.fault.restore(state.needs_reset);
        Ok(())
    }
}

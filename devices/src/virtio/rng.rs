//! The entropy device (VIRTIO 1.2, 5.4).

use std::io::{self, Read};

use event_manager::{EventOps, Events};

use super::{Backend, Chain, DeviceType, Queue, VirtioDevice, slices};
use crate::{GuestRam, nothing_to_save};

/// Entries of its one queue.
const QUEUE_SIZE: u16 = 64;

/// The most bytes that one request gets. Drivers ask for less (Linux: a cache line at a time); more would only keep the worker.
const MAX_REQUEST: usize = 64 << 10;

/// What the driver sees of an entropy device. It has no configuration space.
#[derive(Debug, Default)]
pub struct Rng;

impl VirtioDevice for Rng {
    fn device_type(&self) -> DeviceType {
        DeviceType::Entropy
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &[QUEUE_SIZE]
    }

    fn read_config(&self, _: u64, data: &mut [u8]) {
        data.fill(0);
    }

    fn write_config(&mut self, _: u64, _: &[u8]) {}
}

// There are no registers.
nothing_to_save!(Rng, "rng");

/// What fills the driver's buffers.
pub struct RngBackend<S> {
    source: S,
    queue: Option<Queue>,
}

impl<S: Read> RngBackend<S> {
    /// With the entropy of `source`, which never ends.
    pub const fn new(source: S) -> Self {
        RngBackend { source, queue: None }
    }
}

impl<S: Read + Send> Backend for RngBackend<S> {
    fn start(&mut self, _: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        self.queue = queues.into_iter().flatten().next();
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        self.queue.take().into_iter().collect()
    }

    fn doorbell(&mut self, _: u16) {
        if let Some(queue) = &mut self.queue {
            queue.serve(|ram, chain| fill(&mut self.source, ram, chain));
        }
    }

    fn watch(&mut self, _: &mut EventOps<'_>) -> event_manager::Result<()> {
        Ok(())
    }

    fn event(&mut self, _: Events, _: &mut EventOps<'_>) {}
}

// Entropy is the host's: what comes next is not told by what came before.
nothing_to_save!(RngBackend<S>, "rng-back");

/// Fills the chain's buffers, from the first on, with bytes of `source`. Returns how many were written.
fn fill(source: &mut impl Read, ram: &GuestRam, chain: &Chain) -> u32 {
    let mut chunk = [0; 256];
    let mut written = 0;
    for slice in slices(ram, chain.writable()).map_while(Result::ok) {
        let mut at = 0;
        while at < slice.len() && written < MAX_REQUEST {
            let bytes = &mut chunk[..(slice.len() - at).min(256).min(MAX_REQUEST - written)];
            if let Err(error) = source.read_exact(bytes) {
                tracing::error!("no entropy for the guest: {error}");
                return u32::try_from(written).unwrap_or(u32::MAX);
            }
            let Ok(rest) = slice.offset(at) else { break };
            rest.copy_from(bytes);
            at += bytes.len();
            written += bytes.len();
        }
    }
    u32::try_from(written).unwrap_or(u32::MAX)
}

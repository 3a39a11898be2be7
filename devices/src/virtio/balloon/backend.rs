//! The queues of a balloon.

use std::io;
use std::time::Duration;

use event_manager::{EventOps, Events};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::timerfd::TimerFd;

use super::feature;
use super::pages::{Giver, Release};
use crate::GuestRam;
use crate::nothing_to_save;
use crate::virtio::{Backend, Chain, OWN_EVENTS, Queue};

/// The most statistics that are read at a time; VIRTIO 1.2 knows 10.
const MAX_STATS: usize = 32;

/// A statistic: 2 bytes of what, 8 bytes of how much (VIRTIO 1.2, 5.5.6.3).
const STAT_SIZE: usize = 10;

/// What gives the driver's pages back to the host.
pub struct BalloonBackend {
    giver: Giver,
    /// Rings when statistics are due.
    timer: Option<Timer>,
    queues: Vec<(Role, Queue)>,
    /// The driver's buffer with statistics, which the device gives back to get new ones. It is the last one that was popped.
    held: Option<Chain>,
}

struct Timer {
    descriptor: TimerFd,
    interval: Duration,
}

/// What a queue is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Inflate,
    Deflate,
    Stats,
    Report,
}

impl BalloonBackend {
    /// Whose pages are freed by `release`. Statistics, if the device offers them, are logged in this interval.
    ///
    /// # Errors
    /// There is no timer left.
    pub fn new(release: Release, stats: Option<Duration>) -> io::Result<Self> {
        let timer = match stats {
            Some(interval) => Some(Timer { descriptor: TimerFd::new()?, interval }),
            None => None,
        };
        Ok(BalloonBackend { giver: Giver::new(release), timer, queues: Vec::new(), held: None })
    }

    /// The driver has put statistics into its buffer. The device keeps it until they are due again.
    fn take_stats(&mut self) {
        let Some((_, queue)) = self.queues.iter_mut().find(|(role, _)| *role == Role::Stats) else { return };
        for _ in 0..queue.size() {
            match queue.pop() {
                Some(chain) => {
                    tracing::info!("the guest's memory: {}", stats(queue.ram(), &chain));
                    // There is to be one.
                    if let Some(other) = self.held.replace(chain) {
                        queue.push(other.head(), 0);
                    }
                }
                None if queue.unmute() => {}
                None => return queue.notify(),
            }
        }
        queue.notify();
        queue.ring_again();
    }

    /// Asks the driver for statistics.
    fn ask_for_stats(&mut self) {
        let Some((_, queue)) = self.queues.iter_mut().find(|(role, _)| *role == Role::Stats) else { return };
        if let Some(chain) = self.held.take() {
            queue.push(chain.head(), 0);
            queue.notify();
        }
    }
}

/// Statistics of a chain, for people: the names are VIRTIO's, sizes are in bytes.
fn stats(ram: &GuestRam, chain: &Chain) -> String {
    const NAMES: [&str; 10] = [
        "swap-in",
        "swap-out",
        "major-faults",
        "minor-faults",
        "free",
        "total",
        "available",
        "caches",
        "huge-pages",
        "huge-page-failures",
    ];
    let mut bytes = [0; MAX_STATS * STAT_SIZE];
    let mut len = 0;
    for buffer in chain.readable() {
        let rest = bytes.get_mut(len..).unwrap_or_default();
        let count = usize::try_from(buffer.len).unwrap_or(usize::MAX).min(rest.len());
        // The chain was checked when it was popped.
        if ram.read_slice(&mut rest[..count], GuestAddress(buffer.address.0)).is_err() {
            break;
        }
        len += count;
    }
    let (stats, _) = bytes.get(..len).unwrap_or_default().as_chunks::<STAT_SIZE>();
    let told = stats.iter().filter_map(|[tag @ .., v0, v1, v2, v3, v4, v5, v6, v7]| {
        let name = NAMES.get(usize::from(u16::from_le_bytes(*tag)))?;
        Some(format!("{name} {}", u64::from_le_bytes([*v0, *v1, *v2, *v3, *v4, *v5, *v6, *v7])))
    });
    told.collect::<Vec<_>>().join(", ")
}

impl Backend for BalloonBackend {
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        // Linux counts only the queues of features that it has agreed to, whatever their numbers in VIRTIO are.
        let roles = [
            (Role::Inflate, true),
            (Role::Deflate, true),
            (Role::Stats, features & feature::STATS != 0),
            (Role::Report, features & feature::REPORTING != 0),
        ];
        let roles = roles.into_iter().filter(|(_, is_there)| *is_there).map(|(role, _)| role);
        self.queues = roles.zip(queues).filter_map(|(role, queue)| Some((role, queue?))).collect();
        match &mut self.timer {
            Some(Timer { descriptor, interval }) => Ok(descriptor.reset(*interval, Some(*interval))?),
            None => Ok(()),
        }
    }

    fn stop(&mut self) -> Vec<Queue> {
        let is_held = self.held.take().is_some();
        let queues = std::mem::take(&mut self.queues).into_iter();
        let queues = queues.map(|(role, mut queue)| {
            if role == Role::Stats && is_held {
                // The driver's to fill, the device's to read: it is read again.
                queue.unpop(1);
            }
            queue
        });
        queues.collect()
    }

    fn doorbell(&mut self, queue: u16) {
        let found = self.queues.iter_mut().find(|(_, found)| found.index() == queue);
        let Some((role, queue)) = found else { return };
        match role {
            Role::Inflate => queue.serve(|ram, chain| {
                self.giver.give_listed(ram, chain);
                0
            }),
            // The host gives pages when they are touched.
            Role::Deflate => queue.serve(|_, _| 0),
            Role::Report => queue.serve(|ram, chain| {
                self.giver.give_reported(ram, chain);
                0
            }),
            Role::Stats => self.take_stats(),
        }
    }

    fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
        match &self.timer {
            Some(timer) => ops.add(Events::with_data(&timer.descriptor, OWN_EVENTS, EventSet::IN)),
            None => Ok(()),
        }
    }

    fn event(&mut self, _: Events, _: &mut EventOps<'_>) {
        if let Some(timer) = &mut self.timer
            && let Err(error) = timer.descriptor.wait()
        {
            return tracing::error!("a balloon's timer can't be read: {error}");
        }
        self.ask_for_stats();
    }
}

// What is in the balloon is the driver's to know, and what is not in RAM is not saved with it.
nothing_to_save!(BalloonBackend, "ball-bk");

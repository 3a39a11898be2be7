//! Reactors: threads that own devices' queues while their drivers are ready.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use event_manager::{EventManager, RemoteEndpoint, SubscriberId};
use triarch_devices::saved;
use triarch_devices::virtio::{Backend, Queue, Station, Worker};
use triarch_devices::{Save, Saved};

/// Stack of a reactor's thread: what the deepest backend takes, with room; pages that are not used cost nothing.
const STACK_SIZE: usize = 256 << 10;

/// Events that are taken from the kernel at once.
const EVENTS: usize = 64;

/// A thread that serves the events of any number of backends. Dropping it ends the thread.
pub struct Reactor {
    endpoint: RemoteEndpoint<Station>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reactor {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread or no descriptor left.
    pub fn spawn(name: &str) -> io::Result<Self> {
        let mut manager = EventManager::new_with_capacity(EVENTS).map_err(io::Error::other)?;
        let endpoint = manager.remote_endpoint();
        let ends = Arc::new(AtomicBool::new(false));
        let ending = ends.clone();
        let thread =
            std::thread::Builder::new().name(name.to_owned()).stack_size(STACK_SIZE).spawn(move || {
                while !ending.load(Ordering::Acquire) {
                    if let Err(error) = manager.run() {
                        return tracing::error!("a reactor can't wait for events: {error}");
                    }
                }
            })?;
        Ok(Reactor { endpoint, ends, thread: Some(thread) })
    }

    /// A worker whose backend runs on this reactor's thread, while the reactor lives.
    pub fn worker(&self, backend: Box<dyn Backend>) -> Box<dyn Worker> {
        let place = Place::Idle(Station::new(backend));
        Box::new(ReactorWorker { endpoint: self.endpoint.clone(), place: Some(place) })
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        let kicked = self.endpoint.kick();
        if let (Ok(()), Some(thread)) = (kicked, self.thread.take())
            && thread.join().is_err()
        {
            tracing::error!("a reactor's thread has panicked");
        }
    }
}

/// Where a backend is.
enum Place {
    Idle(Station),
    Running(SubscriberId),
}

struct ReactorWorker {
    endpoint: RemoteEndpoint<Station>,
    /// `None` when the thread has gone with the backend.
    place: Option<Place>,
}

impl ReactorWorker {
    fn idle(&mut self) -> io::Result<&mut Station> {
        match &mut self.place {
            Some(Place::Idle(station)) => Ok(station),
            _ => Err(io::Error::other("its backend is not there")),
        }
    }
}

impl Save for ReactorWorker {
    fn save(&mut self) -> saved::Result<Saved> {
        self.idle()?.save()
    }

    fn restore(&mut self, saved: &Saved) -> saved::Result<()> {
        self.idle()?.restore(saved)
    }
}

impl Worker for ReactorWorker {
    fn start(&mut self, features: u64, queues: Vec<Option<Queue>>) -> io::Result<()> {
        let mut station = match self.place.take() {
            Some(Place::Idle(station)) => station,
            running => {
                self.place = running;
                return Err(io::Error::other("its backend is not there"));
            }
        };
        if let Err(error) = station.start(features, queues) {
            self.place = Some(Place::Idle(station));
            return Err(error);
        }
        let id = self
            .endpoint
            .call_blocking(|manager| Ok::<_, event_manager::Error>(manager.add_subscriber(station)))
            .map_err(io::Error::other)?;
        self.place = Some(Place::Running(id));
        Ok(())
    }

    fn stop(&mut self) -> Vec<Queue> {
        let mut station = match self.place.take() {
            Some(Place::Running(id)) => {
                match self.endpoint.call_blocking(move |manager| manager.remove_subscriber(id)) {
                    Ok(station) => station,
                    Err(error) => {
                        tracing::error!("a device's backend is lost: {error}");
                        return Vec::new();
                    }
                }
            }
            idle => {
                self.place = idle;
                return Vec::new();
            }
        };
        let queues = station.stop();
        self.place = Some(Place::Idle(station));
        queues
    }

    fn reset(&mut self) {
        if let Some(Place::Idle(station)) = &mut self.place {
            station.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use event_manager::{EventOps, EventSet, Events};
    use triarch_devices::nothing_to_save;
    use triarch_devices::virtio::OWN_EVENTS;
    use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

    use super::*;

    /// Tells on which thread its descriptor was found ready.
    struct Probe {
        event: Arc<EventFd>,
        told: Sender<Option<String>>,
    }

    nothing_to_save!(Probe, "probe");

    impl Backend for Probe {
        fn start(&mut self, features: u64, _: Vec<Option<Queue>>) -> io::Result<()> {
            if features == 0 { Err(io::Error::other("no")) } else { Ok(()) }
        }

        fn stop(&mut self) -> Vec<Queue> {
            Vec::new()
        }

        fn doorbell(&mut self, _: u16) {}

        fn watch(&mut self, ops: &mut EventOps<'_>) -> event_manager::Result<()> {
            ops.add(Events::with_data(&*self.event, OWN_EVENTS, EventSet::IN))
        }

        fn event(&mut self, _: Events, _: &mut EventOps<'_>) {
            self.event.read().unwrap();
            self.told.send(std::thread::current().name().map(str::to_owned)).unwrap();
        }
    }

    #[test]
    fn a_backend_is_on_the_thread_while_it_runs_and_only_then() {
        let reactor = Reactor::spawn("io0").unwrap();
        let event = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        let (told, heard) = channel();
        let mut worker = reactor.worker(Box::new(Probe { event: event.clone(), told }));
        assert!(worker.start(0, Vec::new()).is_err());
        event.write(1).unwrap();
        for _ in 0..3 {
            worker.start(1, Vec::new()).unwrap();
            assert_eq!(heard.recv_timeout(Duration::from_secs(10)).unwrap().as_deref(), Some("io0"));
            assert!(worker.save().is_err(), "it is on its thread");
            worker.stop();
            let saved = worker.save().unwrap();
            worker.restore(&saved).unwrap();
            // Rung for while nobody listens: heard at the next start.
            event.write(1).unwrap();
        }
        assert!(heard.try_recv().is_err());
    }

    #[test]
    fn a_worker_without_its_reactor_says_so() {
        let reactor = Reactor::spawn("io0").unwrap();
        let event = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        let mut worker = reactor.worker(Box::new(Probe { event, told: channel().0 }));
        drop(reactor);
        assert!(worker.start(1, Vec::new()).is_err());
        assert!(worker.stop().is_empty());
        assert!(worker.save().is_err());
    }
}

//! A machine's virtio devices.

use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use triarch_arch::kvm::DoorbellWatch;
use triarch_devices::css::Css;
use triarch_devices::pci::PciHost;
use triarch_devices::virtio::{Core, DeviceType, VirtioCcw, VirtioMmio, VirtioPci};

use crate::reactor::Reactor;

/// How a device is reached.
pub(crate) enum Transport {
    /// By memory-mapped registers.
    Mmio(Arc<Mutex<VirtioMmio>>),
    /// As the device of this number on the PCI bus.
    Pci(Arc<Mutex<PciHost>>, u8),
    /// By the subchannel of this number.
    Ccw(Arc<Mutex<Css>>, u16),
}

impl Transport {
    fn with_core(&self, act: impl FnOnce(&mut Core)) {
        match self {
            Transport::Mmio(transport) => act(lock(transport).core()),
            Transport::Pci(host, device) => {
                let mut host = lock(host);
                let function: Option<&mut dyn Any> = host.function(*device).map(|function| function as _);
                if let Some(function) = function.and_then(|function| function.downcast_mut::<VirtioPci>()) {
                    act(function.core());
                }
            }
            Transport::Ccw(css, number) => {
                let mut css = lock(css);
                let unit: Option<&mut dyn Any> = css.unit(*number).map(|unit| unit as _);
                if let Some(unit) = unit.and_then(|unit| unit.downcast_mut::<VirtioCcw>()) {
                    act(unit.core());
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a machine has of virtio: transports, and the thread that works on their queues.
#[derive(Default)]
pub struct Virtio {
    pub(crate) transports: Vec<Transport>,
    pub(crate) doorbells: Vec<DoorbellWatch>,
    /// After the transports: devices stop before their thread ends.
    reactor: Option<Reactor>,
}

impl Virtio {
    /// The thread of all devices, which there is from the first device on.
    pub(crate) fn reactor(&mut self) -> io::Result<&Reactor> {
        match &mut self.reactor {
            Some(reactor) => Ok(reactor),
            none => Ok(none.insert(Reactor::spawn("io0")?)),
        }
    }

    /// Lets devices work whose drivers are ready.
    pub fn start(&self) {
        self.each(Core::start);
    }

    /// Takes the queues from all devices; when it returns, no buffer of the guest's is touched any more.
    pub fn stop(&self) {
        self.each(Core::stop);
    }

    /// Changes what the device of this number has in its configuration space, and tells its driver if that was done. The driver
    /// sees all of it or nothing.
    pub(crate) fn change_config<E>(
        &self,
        index: usize,
        change: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(transport) = self.transports.get(index) else { return change() };
        let mut changed = Ok(());
        transport.with_core(|core| {
            changed = change();
            if changed.is_ok() {
                core.config_changed();
            }
        });
        changed
    }

    /// The configuration of devices of a type has changed.
    pub fn config_changed(&self, of: DeviceType) {
        self.each(|core| {
            if core.device_type() == of {
                core.config_changed();
            }
        });
    }

    fn each(&self, act: impl Fn(&mut Core)) {
        self.transports.iter().for_each(|transport| transport.with_core(&act));
    }
}

impl Drop for Virtio {
    fn drop(&mut self) {
        self.stop();
    }
}

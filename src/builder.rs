//! The VM builder: carries out a plan.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use triarch_arch::GuestRam;
use triarch_arch::hv::{Interrupt, IrqRoute, Irqchip};
use triarch_arch::kvm::{self, Host, Interrupts, VmConfig};
use triarch_boards::{Attachment, DeviceKind, DeviceSlot, MachinePlan};
use triarch_devices::{
    AcpiPower, Bus, BusError, Device, Hook, I8042, Input, Ioapic, Line, MsiMessage, Pl011, Pl031, Reset,
    Sclp, SclpConfig, Shutdown, Uart16550, Window,
};

use crate::console::Console;
use crate::loader::{self, BootFiles};
use crate::machine::Machine;
use crate::memory::{self, Pages};
use crate::platform::Platform;
use crate::s390x::Calls;
use crate::stats::Stats;
use crate::vcpu::{Gone, Reporter, VcpuThread};
use crate::wake::Wake;

/// Why a machine can't be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KVM failed.
    #[error(transparent)]
    Kvm(#[from] kvm::Error),
    /// There is no RAM.
    #[error(transparent)]
    Memory(#[from] memory::Error),
    /// RAM can't be filled.
    #[error(transparent)]
    Load(#[from] loader::Error),
    /// The plan's windows clash.
    #[error("device {name} has no place")]
    Bus {
        /// The slot's name.
        name: &'static str,
        /// Why.
        source: BusError,
    },
    /// The plan gives a device an attachment or interrupt that it can't have.
    #[error("the plan of device {name} can't be carried out: {what}")]
    Slot {
        /// The slot's name.
        name: &'static str,
        /// Why.
        what: &'static str,
    },
    /// A thread or a pipe can't be had.
    #[error("can't start the machine's threads")]
    Threads(#[source] std::io::Error),
    /// A vCPU thread does not answer.
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// All that goes into a machine besides its plan.
pub struct Parts<'a> {
    /// The files that it boots from.
    pub files: &'a BootFiles,
    /// The pages that its RAM is made of.
    pub pages: Pages,
    /// The host's end of its console.
    pub console: &'a Console,
    /// Where it counts.
    pub stats: Arc<Stats>,
}

/// Builds the machine of `plan`, with its vCPUs paused at the first instruction.
pub fn build(host: &Host, plan: &MachinePlan, parts: &Parts<'_>) -> Result<Machine, Error> {
    let config = VmConfig {
        irqchip: plan.irqchip,
        cpu_model: plan.cpu_model.clone(),
        cpus: plan.cpus,
        address_limit: address_limit(plan),
        huge_pages: parts.pages != Pages::Normal,
    };
    let mut vm = host.create_vm(config)?;
    let ram = memory::allocate(&plan.ram, parts.pages)?;
    vm.set_ram(&ram)?;
    let mut vcpus = (0..plan.cpus).map(|index| vm.create_vcpu(index)).collect::<kvm::Result<Vec<_>>>()?;
    vm.finish()?;
    loader::load(&ram, &plan.segments, parts.files)?;
    if let (Some(boot), Some(state)) = (vcpus.first_mut(), &plan.boot_vcpu) {
        boot.restore(state)?;
    }

    let wake = Arc::new(Wake::new().map_err(Error::Threads)?);
    let mut devices = DeviceBuilder {
        plan,
        ram: &ram,
        interrupts: vm.interrupts(),
        console: parts.console,
        wake: wake.clone(),
        platform: Platform { mmio: Bus::default(), pio: Bus::default(), ioapic: None, s390x: None },
        input: None,
        resettable: Vec::new(),
        shutdown: None,
    };
    if let Irqchip::X86Split { pins } = plan.irqchip {
        devices.platform.ioapic = Some(Arc::new(Mutex::new(ioapic(pins, vm.interrupts()))));
    }
    plan.slots.iter().try_for_each(|slot| devices.add(slot))?;
    let DeviceBuilder { platform, input, resettable, shutdown, .. } = devices;

    let platform = Arc::new(platform);
    let (reporter, reports) = Reporter::new(wake.clone());
    let spawn = |vcpu| VcpuThread::spawn(vcpu, platform.clone(), reporter.clone(), parts.stats.clone());
    let vcpus = vcpus.into_iter().map(spawn).collect::<Result<Vec<_>, _>>().map_err(Error::Threads)?;
    let output = parts.console.output_control();
    Ok(Machine { vcpus, reports, wake, input, resettable, shutdown, output, ram, vm })
}

/// One more than the highest guest-physical address of a plan.
fn address_limit(plan: &MachinePlan) -> u64 {
    let ram = plan.ram.iter().map(|range| range.base.saturating_add(range.size));
    let slots = plan.slots.iter().filter_map(|slot| match slot.at {
        Attachment::Mmio { base, size } => Some(base.saturating_add(size)),
        Attachment::Pio { .. } | Attachment::ServiceCall => None,
    });
    ram.chain(slots).max().unwrap_or(0)
}

/// The IOAPIC of a split irqchip.
pub fn ioapic(pins: u32, interrupts: Interrupts) -> Ioapic {
    let routes = interrupts.clone();
    let deliver = move |MsiMessage { address, data }| {
        send(&interrupts, Interrupt::Msi { address, data, requester: 0 });
    };
    // The kernel's LAPICs tell only the ends of messages that are among the routes of the IOAPIC's pins.
    let mirror = move |messages: &[Option<MsiMessage>]| {
        let route = |MsiMessage { address, data }| IrqRoute::Msi { address, data, requester: 0 };
        let all: Vec<_> = messages.iter().map(|message| message.map(route)).collect();
        if let Err(error) = routes.set_routes(&all) {
            tracing::error!("level-triggered interrupts will not end: {error}");
        }
    };
    Ioapic::new(pins, Box::new(deliver), Box::new(mirror))
}

/// Sends an interrupt; that the host fails to is nothing that a device or the guest can do anything about.
fn send(interrupts: &Interrupts, interrupt: Interrupt) {
    if let Err(error) = interrupts.send(interrupt) {
        tracing::error!("{interrupt:?} is lost: {error}");
    }
}

/// Makes devices of slots.
struct DeviceBuilder<'a> {
    plan: &'a MachinePlan,
    ram: &'a GuestRam,
    interrupts: Interrupts,
    console: &'a Console,
    wake: Arc<Wake>,
    platform: Platform,
    input: Option<Arc<Mutex<dyn Input>>>,
    resettable: Vec<Arc<Mutex<dyn Reset>>>,
    shutdown: Option<Arc<Mutex<dyn Shutdown>>>,
}

impl DeviceBuilder<'_> {
    fn add(&mut self, slot: &DeviceSlot) -> Result<(), Error> {
        let device: Arc<Mutex<dyn Device>> = match slot.kind {
            DeviceKind::Uart16550 => {
                self.console_device(Uart16550::new(self.line(slot)?, self.console.sink(), self.drained()))
            }
            DeviceKind::Pl011 => {
                self.console_device(Pl011::new(self.line(slot)?, self.console.sink(), self.drained()))
            }
            DeviceKind::I8042 => Arc::new(Mutex::new(I8042::new())),
            DeviceKind::AcpiPower => Arc::new(Mutex::new(AcpiPower::new())),
            DeviceKind::Pl031 => Arc::new(Mutex::new(Pl031::new())),
            DeviceKind::Ioapic => match &self.platform.ioapic {
                Some(ioapic) => ioapic.clone(),
                None => return Err(Error::Slot { name: slot.name, what: "the irqchip is not split" }),
            },
            DeviceKind::Sclp => return self.sclp(slot),
        };
        let (bus, window) = match slot.at {
            Attachment::Mmio { base, size } => (&mut self.platform.mmio, Window { base, size }),
            Attachment::Pio { base, size } => {
                (&mut self.platform.pio, Window { base: base.into(), size: size.into() })
            }
            Attachment::ServiceCall => {
                return Err(Error::Slot { name: slot.name, what: "it needs a window on a bus" });
            }
        };
        bus.insert(window, device).map_err(|source| Error::Bus { name: slot.name, source })
    }

    fn sclp(&mut self, slot: &DeviceSlot) -> Result<(), Error> {
        if slot.at != Attachment::ServiceCall || slot.irq != Some(IrqRoute::ServiceSignal) {
            return Err(Error::Slot {
                name: slot.name,
                what: "it is called by SERVC and signals by the service signal",
            });
        }
        let config =
            SclpConfig { cpus: self.plan.cpus, memory: self.plan.ram.iter().map(|range| range.size).sum() };
        let signal =
            |interrupts: Interrupts| move |parameter| send(&interrupts, Interrupt::Service { parameter });
        let own = Box::new(signal(self.interrupts.clone()));
        let sclp = Arc::new(Mutex::new(Sclp::new(config, own, self.console.sink(), self.drained())));
        self.input = Some(sclp.clone());
        self.resettable.push(sclp.clone());
        self.shutdown = Some(sclp.clone());
        let completed = Box::new(signal(self.interrupts.clone()));
        self.platform.s390x = Some(Calls::new(sclp, self.ram.clone(), completed));
        Ok(())
    }

    fn console_device<D: Device + Input + 'static>(&mut self, device: D) -> Arc<Mutex<dyn Device>> {
        let device = Arc::new(Mutex::new(device));
        self.input = Some(device.clone());
        device
    }

    /// Tells the control thread that a device has room for input again.
    fn drained(&self) -> Hook {
        let wake = self.wake.clone();
        Box::new(move || wake.wake())
    }

    fn line(&self, slot: &DeviceSlot) -> Result<Arc<dyn Line>, Error> {
        let Some(IrqRoute::Pin { pin }) = slot.irq else {
            return Err(Error::Slot { name: slot.name, what: "it needs a pin" });
        };
        Ok(match &self.platform.ioapic {
            Some(ioapic) => Arc::new(IoapicLine { ioapic: ioapic.clone(), pin }),
            None => Arc::new(KernelLine {
                interrupts: self.interrupts.clone(),
                pin,
                level: AtomicBool::new(false),
            }),
        })
    }
}

/// A line into our own IOAPIC.
struct IoapicLine {
    ioapic: Arc<Mutex<Ioapic>>,
    pin: u32,
}

impl Line for IoapicLine {
    fn set(&self, asserted: bool) {
        self.ioapic.lock().unwrap_or_else(PoisonError::into_inner).set_line(self.pin, asserted);
    }
}

/// A line into the kernel's interrupt controller.
struct KernelLine {
    interrupts: Interrupts,
    pin: u32,
    level: AtomicBool,
}

impl Line for KernelLine {
    fn set(&self, asserted: bool) {
        // The device's lock orders the changes; only a real change is worth a system call.
        if self.level.swap(asserted, Ordering::AcqRel) != asserted {
            send(&self.interrupts, Interrupt::Line { pin: self.pin, asserted });
        }
    }
}

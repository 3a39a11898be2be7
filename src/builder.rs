//! The VM builder: carries out a plan.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use triarch_arch::GuestRam;
use triarch_arch::hv::{Doorbell, Interrupt, IrqRoute, Irqchip};
use triarch_arch::kvm::{self, Host, Interrupts, Vm, VmConfig};
use triarch_boards::{Attachment, DeviceKind, DeviceMemory, DeviceSlot, MachinePlan};
use triarch_devices::css::{Attention, Css};
use triarch_devices::pci::{Ecam, Memory, PciHost, SharedLine};
use triarch_devices::virtio::{CcwWiring, PciWiring, VirtioCcw, VirtioDevice, VirtioMmio, VirtioPci, Worker};
use triarch_devices::{
    AcpiEvents, AcpiPower, Bus, BusError, Device, Diag288, Effect, Hook, I6300esb, I8042, Input, Ioapic,
    Line, MsiMessage, Pl011, Pl031, PowerKey, Pvpanic, Reset, Sclp, SclpConfig, Shutdown, Trigger, Uart16550,
    Window,
};

use vm_memory::GuestRegionMmap;

use crate::ccw::{DeviceRoutes, KernelFloating};
use crate::channel::Channel;
use crate::console::Console;
use crate::devices::HostDevice;
use crate::loader::{self, BootFiles};
use crate::machine::Machine;
use crate::memory::{self, Pages};
use crate::pci::{KernelDoorbells, MessageRoutes, PciBus};
use crate::platform::Platform;
use crate::ports::Terminal;
use crate::routes::Routes;
use crate::s390x::Calls;
use crate::stats::Stats;
use crate::vcpu::{Gone, Reporter, VcpuThread};
use crate::virtio::{Transport, Virtio};
use crate::wake::Wake;
use crate::watchdog::{Bell, Deadline, PciWatchdog, SharedWatchdog, Watch};

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
        name: Cow<'static, str>,
        /// Why.
        source: BusError,
    },
    /// The plan gives a device an attachment or interrupt that it can't have.
    #[error("the plan of device {name} can't be carried out: {what}")]
    Slot {
        /// The slot's name.
        name: Cow<'static, str>,
        /// Why.
        what: &'static str,
    },
    /// A device can't have what it needs of the host.
    #[error("device {name} can't be made")]
    Device {
        /// The slot's name.
        name: Cow<'static, str>,
        /// What the system said.
        source: std::io::Error,
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
    /// What its virtio devices have of the host, in the order of the plan's slots.
    pub devices: &'a [Box<dyn HostDevice>],
    /// What the end of its watchdog's time comes to.
    pub watchdog: Effect,
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
    let (ram, read_only) = device_memory(plan, parts.devices, ram)?;
    vm.set_ram(&ram)?;
    read_only.into_iter().try_for_each(|region| vm.add_read_only(region))?;
    let mut vcpus = (0..plan.cpus).map(|index| vm.create_vcpu(index)).collect::<kvm::Result<Vec<_>>>()?;
    vm.finish()?;
    loader::load(&ram, &plan.segments, parts.files)?;
    if let (Some(boot), Some(state)) = (vcpus.first_mut(), &plan.boot_vcpu) {
        boot.restore(state)?;
    }

    let wake = Arc::new(Wake::new().map_err(Error::Threads)?);
    let routes = Arc::new(Routes::new(vm.interrupts(), plan.irqchip));
    let channel = ChannelHost::of(plan, &ram, &vm);
    let mut devices = DeviceBuilder {
        plan,
        ram: &ram,
        interrupts: vm.interrupts(),
        console: parts.console,
        wake: wake.clone(),
        platform: Platform { mmio: Bus::default(), pio: Bus::default(), ioapic: None, s390x: None },
        input: None,
        terminal: None,
        watch: None,
        watchdog: parts.watchdog,
        resettable: channel.iter().map(|channel| channel.css.clone() as Arc<Mutex<dyn Reset>>).collect(),
        shutdown: None,
        vm: &vm,
        virtio: Virtio::default(),
        devices: parts.devices.iter(),
        channel,
        pci: None,
        routes: routes.clone(),
    };
    if let Irqchip::X86Split { pins } = plan.irqchip {
        devices.platform.ioapic = Some(Arc::new(Mutex::new(ioapic(pins, routes))));
    }
    plan.slots.iter().try_for_each(|slot| devices.add(slot))?;
    let DeviceBuilder { platform, input, terminal, watch, resettable, shutdown, virtio, .. } = devices;

    let platform = Arc::new(platform);
    let (reporter, reports) = Reporter::new(wake.clone());
    let spawn = |vcpu| VcpuThread::spawn(vcpu, platform.clone(), reporter.clone(), parts.stats.clone());
    let vcpus = vcpus.into_iter().map(spawn).collect::<Result<Vec<_>, _>>().map_err(Error::Threads)?;
    let output = parts.console.output_control();
    Ok(Machine {
        vcpus,
        reports,
        wake,
        input,
        resettable,
        shutdown,
        terminal,
        watch,
        output,
        on_hold: false,
        virtio,
        ram,
        vm,
    })
}

/// RAM with what devices bring besides; and what they bring that can only be read.
fn device_memory(
    plan: &MachinePlan,
    devices: &[Box<dyn HostDevice>],
    ram: GuestRam,
) -> Result<(GuestRam, Vec<Arc<GuestRegionMmap>>), Error> {
    let is_virtio = |slot: &&DeviceSlot| matches!(slot.kind, DeviceKind::Virtio(_));
    let slots = plan.slots.iter().filter(is_virtio).zip(devices);
    plan.device_memory.iter().try_fold((ram, Vec::new()), |(ram, mut read_only), memory| {
        let failed = |source| Error::Device { name: memory.device.clone(), source };
        let Some((_, device)) = slots.clone().find(|(slot, _)| slot.name == memory.device) else {
            return Err(Error::Slot {
                name: memory.device.clone(),
                what: "it brings memory, but is not there",
            });
        };
        let mapping = device.memory(memory.range()).map_err(failed)?;
        let region = Arc::new(mapping.region);
        if mapping.read_only {
            read_only.push(region);
            return Ok((ram, read_only));
        }
        let ram = ram.insert_region(region).map_err(|error| failed(std::io::Error::other(error)))?;
        Ok((ram, read_only))
    })
}

/// One more than the highest guest-physical address of a plan.
fn address_limit(plan: &MachinePlan) -> u64 {
    let devices = plan.device_memory.iter().map(DeviceMemory::range);
    let ram = plan.ram.iter().copied().chain(devices).map(|range| range.base.saturating_add(range.size));
    let slots = plan.slots.iter().filter_map(|slot| match slot.at {
        Attachment::Mmio { base, size } => Some(base.saturating_add(size)),
        Attachment::HostBridge { memory, size, .. } => Some(memory.saturating_add(size)),
        Attachment::Pio { .. }
        | Attachment::Pci { .. }
        | Attachment::Line
        | Attachment::ServiceCall
        | Attachment::Diagnose { .. }
        | Attachment::Subchannel { .. } => None,
    });
    ram.chain(slots).max().unwrap_or(0)
}

/// The IOAPIC of a split irqchip, whose pins have the first of the machine's routes.
pub fn ioapic(pins: u32, routes: Arc<Routes>) -> Ioapic {
    let interrupts = routes.interrupts().clone();
    let deliver = move |MsiMessage { address, data }| {
        send(&interrupts, Interrupt::Msi { address, data, requester: 0 });
    };
    // The kernel's LAPICs tell only the ends of messages that are among the routes of the IOAPIC's pins.
    let mirror = move |messages: &[Option<MsiMessage>]| {
        let route = |MsiMessage { address, data }| IrqRoute::Msi { address, data, requester: 0 };
        if let Err(error) = routes.replace(0, messages.iter().map(|message| message.map(route))) {
            tracing::error!("level-triggered interrupts will not end: {error}");
        }
    };
    Ioapic::new(pins, Box::new(deliver), Box::new(mirror))
}

/// Sends an interrupt; that the host fails to is nothing that a device or the guest can do anything about.
pub(crate) fn send(interrupts: &Interrupts, interrupt: Interrupt) {
    if let Err(error) = interrupts.send(interrupt) {
        tracing::error!("{interrupt:?} is lost: {error}");
    }
}

/// What devices behind subchannels share.
#[derive(Clone)]
struct ChannelHost {
    css: Arc<Mutex<Css>>,
    floating: Arc<KernelFloating>,
}

impl ChannelHost {
    /// Of a plan that has such devices.
    fn of(plan: &MachinePlan, ram: &GuestRam, vm: &Vm) -> Option<Self> {
        let is_subchannel = |slot: &DeviceSlot| matches!(slot.at, Attachment::Subchannel { .. });
        plan.slots.iter().any(is_subchannel).then(|| {
            let floating = Arc::new(KernelFloating(vm.interrupts()));
            let css = Arc::new(Mutex::new(Css::new(ram.clone(), floating.clone())));
            ChannelHost { css, floating }
        })
    }
}

/// A virtio device, and how the state machine reaches what works on its queues.
type Parted = (Box<dyn VirtioDevice>, Box<dyn Worker>);

/// Makes devices of slots.
struct DeviceBuilder<'a> {
    plan: &'a MachinePlan,
    ram: &'a GuestRam,
    interrupts: Interrupts,
    console: &'a Console,
    wake: Arc<Wake>,
    platform: Platform,
    input: Option<Arc<Mutex<dyn Input>>>,
    terminal: Option<Terminal>,
    watch: Option<Watch>,
    watchdog: Effect,
    resettable: Vec<Arc<Mutex<dyn Reset>>>,
    shutdown: Option<Arc<Mutex<dyn Shutdown>>>,
    vm: &'a Vm,
    virtio: Virtio,
    /// Those of slots that are still to come.
    devices: std::slice::Iter<'a, Box<dyn HostDevice>>,
    channel: Option<ChannelHost>,
    pci: Option<PciBus>,
    routes: Arc<Routes>,
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
            DeviceKind::AcpiEvents => self.acpi_events(slot)?,
            DeviceKind::AcpiPower => Arc::new(Mutex::new(AcpiPower::new())),
            DeviceKind::Pvpanic => Arc::new(Mutex::new(Pvpanic::new())),
            DeviceKind::Pl031 => Arc::new(Mutex::new(Pl031::new())),
            DeviceKind::Ioapic => match &self.platform.ioapic {
                Some(ioapic) => ioapic.clone(),
                None => {
                    return Err(Error::Slot { name: slot.name.clone(), what: "the irqchip is not split" });
                }
            },
            DeviceKind::PowerKey => {
                let key = PowerKey::new(Box::new(Edge(self.line(slot)?)));
                self.shutdown = Some(Arc::new(Mutex::new(key)));
                return Ok(());
            }
            DeviceKind::Sclp => return self.sclp(slot),
            DeviceKind::I6300esb => return self.i6300esb(slot),
            DeviceKind::Diag288 => return self.diag288(slot),
            DeviceKind::PciHost => return self.pci_host(slot),
            DeviceKind::Virtio(_) => match slot.at {
                Attachment::Pci { device, bar } => return self.virtio_pci(slot, device, bar),
                Attachment::Subchannel { number, device } => {
                    return self.virtio_ccw(slot, (number, device));
                }
                _ => self.virtio_mmio(slot)?,
            },
        };
        let (bus, window) = match slot.at {
            Attachment::Mmio { base, size } => (&mut self.platform.mmio, Window { base, size }),
            Attachment::Pio { base, size } => {
                (&mut self.platform.pio, Window { base: base.into(), size: size.into() })
            }
            Attachment::HostBridge { .. }
            | Attachment::Pci { .. }
            | Attachment::Line
            | Attachment::ServiceCall
            | Attachment::Diagnose { .. }
            | Attachment::Subchannel { .. } => {
                return Err(Error::Slot { name: slot.name.clone(), what: "it needs a window on a bus" });
            }
        };
        bus.insert(window, device).map_err(|source| Error::Bus { name: slot.name.clone(), source })
    }

    fn acpi_events(&mut self, slot: &DeviceSlot) -> Result<Arc<Mutex<dyn Device>>, Error> {
        let edge = Box::new(Edge(self.line(slot)?));
        let listens: Box<dyn Fn() -> bool + Send> = match (&self.platform.ioapic, slot.irq) {
            (Some(ioapic), Some(IrqRoute::Pin { pin })) => {
                let ioapic = ioapic.clone();
                Box::new(move || ioapic.lock().unwrap_or_else(PoisonError::into_inner).is_unmasked(pin))
            }
            // An IOAPIC in the kernel is not looked at.
            _ => Box::new(|| true),
        };
        let events = Arc::new(Mutex::new(AcpiEvents::new(edge, listens)));
        self.shutdown = Some(events.clone());
        Ok(events)
    }

    fn sclp(&mut self, slot: &DeviceSlot) -> Result<(), Error> {
        if slot.at != Attachment::ServiceCall || slot.irq != Some(IrqRoute::ServiceSignal) {
            return Err(Error::Slot {
                name: slot.name.clone(),
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
        let channel = self.channel.as_ref().map(|channel| Channel::new(channel.css.clone()));
        self.platform.s390x = Some(Calls::new(sclp, self.ram.clone(), completed, channel));
        Ok(())
    }

    fn virtio_mmio(&mut self, slot: &DeviceSlot) -> Result<Arc<Mutex<dyn Device>>, Error> {
        let failed = |source| Error::Device { name: slot.name.clone(), source };
        let Attachment::Mmio { base, .. } = slot.at else {
            return Err(Error::Slot { name: slot.name.clone(), what: "it needs a window in memory" });
        };
        let (device, worker) = self.virtio_device(slot)?;
        let edge = Box::new(Edge(self.line(slot)?));
        let mut transport = VirtioMmio::new(device, worker, self.ram.clone(), edge).map_err(failed)?;
        for (queue, event) in (0..).zip(transport.core().doorbells()) {
            let doorbell = Doorbell::Mmio { address: base + VirtioMmio::DOORBELL, value: queue };
            self.virtio.doorbells.push(self.vm.watch(doorbell, event.clone())?);
        }
        let transport = Arc::new(Mutex::new(transport));
        self.virtio.transports.push(Transport::Mmio(transport.clone()));
        Ok(transport)
    }

    fn pci_host(&mut self, slot: &DeviceSlot) -> Result<(), Error> {
        let (Attachment::HostBridge { ecam, memory, size }, Some(IrqRoute::Pin { pin })) =
            (slot.at, slot.irq)
        else {
            return Err(Error::Slot { name: slot.name.clone(), what: "it needs windows and pins" });
        };
        let memory = Window { base: memory, size };
        let host = Arc::new(Mutex::new(PciHost::new(memory)));
        let mut insert = |window, device| {
            let taken = |source| Error::Bus { name: slot.name.clone(), source };
            self.platform.mmio.insert(window, device).map_err(taken)
        };
        insert(Window { base: ecam, size: PciHost::ECAM_SIZE }, Arc::new(Mutex::new(Ecam(host.clone()))))?;
        insert(memory, Arc::new(Mutex::new(Memory(host.clone()))))?;
        let lines = std::array::from_fn(|line| {
            // There are four.
            SharedLine::new(self.line_to(pin + u32::try_from(line).unwrap_or(0)))
        });
        self.pci = Some(PciBus { host, lines });
        Ok(())
    }

    fn i6300esb(&mut self, slot: &DeviceSlot) -> Result<(), Error> {
        let refused = |what| Error::Slot { name: slot.name.clone(), what };
        let (Attachment::Pci { device, bar }, Some(bus)) = (slot.at, &self.pci) else {
            return Err(refused("it needs a place on a PCI bus"));
        };
        let deadline = Deadline::new(self.wake.clone());
        let mut host = bus.host.lock().unwrap_or_else(PoisonError::into_inner);
        let watchdog = I6300esb::new(bar, host.memory(), Box::new(Bell(deadline.clone())), self.watchdog);
        host.add(device, Box::new(watchdog)).map_err(|_| refused("its place on the bus is taken"))?;
        let watchdog = PciWatchdog(bus.host.clone(), device);
        self.watch = Some(Watch::new(Box::new(watchdog), deadline));
        Ok(())
    }

    fn diag288(&mut self, slot: &DeviceSlot) -> Result<(), Error> {
        let Some(calls) = &mut self.platform.s390x else {
            return Err(Error::Slot { name: slot.name.clone(), what: "no instruction reaches it" });
        };
        let deadline = Deadline::new(self.wake.clone());
        let watchdog = Diag288::new(Box::new(Bell(deadline.clone())), self.watchdog);
        let watchdog = Arc::new(Mutex::new(watchdog));
        calls.set_watchdog(watchdog.clone());
        self.resettable.push(watchdog.clone());
        self.watch = Some(Watch::new(Box::new(SharedWatchdog(watchdog)), deadline));
        Ok(())
    }

    fn virtio_pci(&mut self, slot: &DeviceSlot, number: u8, bar: u64) -> Result<(), Error> {
        let failed = |source| Error::Device { name: slot.name.clone(), source };
        let Some(bus) = self.pci.clone() else {
            return Err(Error::Slot { name: slot.name.clone(), what: "there is no PCI bus before it" });
        };
        let (device, worker) = self.virtio_device(slot)?;
        let vectors = VirtioPci::vectors(device.queue_sizes().len());
        let lines = self.routes.lines(vectors).map_err(failed)?;
        let doorbells = self.vm.doorbells();
        let mut host = bus.host.lock().unwrap_or_else(PoisonError::into_inner);
        let wiring = PciWiring {
            bar,
            memory: host.memory(),
            line: bus.pin(number),
            messages: Box::new(MessageRoutes::new(self.routes.clone(), lines, number)),
            doorbells: Box::new(|events| Box::new(KernelDoorbells::new(doorbells, events))),
        };
        let function = VirtioPci::new(device, worker, self.ram.clone(), wiring).map_err(failed)?;
        let taken = |_| Error::Slot { name: slot.name.clone(), what: "its place on the bus is taken" };
        host.add(number, Box::new(function)).map_err(taken)?;
        self.virtio.transports.push(Transport::Pci(bus.host.clone(), number));
        Ok(())
    }

    fn virtio_ccw(&mut self, slot: &DeviceSlot, (number, device_number): (u16, u16)) -> Result<(), Error> {
        let failed = |source| Error::Device { name: slot.name.clone(), source };
        let Some(channel) = self.channel.clone() else {
            return Err(Error::Slot { name: slot.name.clone(), what: "there is no channel subsystem" });
        };
        let (device, worker) = self.virtio_device(slot)?;
        let queues = u16::try_from(device.queue_sizes().len()).unwrap_or(u16::MAX);
        let attention = Arc::new(Attention::new(number, channel.floating.clone()));
        let wiring = CcwWiring {
            attention: attention.clone(),
            floating: channel.floating.clone(),
            routes: Box::new(DeviceRoutes::new(
                self.routes.clone(),
                self.routes.lines(queues).map_err(failed)?,
            )),
        };
        let mut unit = VirtioCcw::new(device, worker, self.ram.clone(), wiring).map_err(failed)?;
        for (queue, event) in (0..).zip(unit.core().doorbells()) {
            let doorbell = Doorbell::Ccw { id: attention.id(), queue };
            self.virtio.doorbells.push(self.vm.watch(doorbell, event.clone())?);
        }
        let mut css = channel.css.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = |_| Error::Slot { name: slot.name.clone(), what: "its subchannel is taken" };
        css.add(device_number, Box::new(unit), attention).map_err(taken)?;
        self.virtio.transports.push(Transport::Ccw(channel.css.clone(), number));
        Ok(())
    }

    /// The device of a slot, in its two parts.
    fn virtio_device(&mut self, slot: &DeviceSlot) -> Result<Parted, Error> {
        let failed = |source| Error::Device { name: slot.name.clone(), source };
        let Some(device) = self.devices.next() else {
            return Err(Error::Slot { name: slot.name.clone(), what: "nothing of the host is given for it" });
        };
        if let Some(terminal) = device.terminal() {
            terminal.set_drained(self.drained());
            // Instead of the board's console.
            self.input = Some(Arc::new(Mutex::new(terminal.clone())));
            self.terminal = Some(terminal);
        }
        let (device, backend) = device.make().map_err(failed)?;
        Ok((device, self.virtio.reactor().map_err(failed)?.worker(backend)))
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
            return Err(Error::Slot { name: slot.name.clone(), what: "it needs a pin" });
        };
        Ok(self.line_to(pin))
    }

    fn line_to(&self, pin: u32) -> Arc<dyn Line> {
        match &self.platform.ioapic {
            Some(ioapic) => Arc::new(IoapicLine { ioapic: ioapic.clone(), pin }),
            None => Arc::new(KernelLine {
                interrupts: self.interrupts.clone(),
                pin,
                level: AtomicBool::new(false),
            }),
        }
    }
}

/// An edge on a line.
struct Edge(Arc<dyn Line>);

impl Trigger for Edge {
    fn trigger(&self) {
        self.0.set(true);
        self.0.set(false);
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

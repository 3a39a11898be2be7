//! The flattened device tree of a machine, by vm-fdt (Devicetree Specification 0.4; Linux, Documentation/devicetree/bindings).

use vm_fdt::{Error, FdtWriter};

use super::{affinity, ppi};

/// The most bytes that a kernel takes (booting.rst, "Setup the device tree").
pub const MAX_SIZE: u64 = 2 << 20;

/// Phandles of nodes that others point to.
mod phandle {
    pub const GIC: u32 = 1;
    pub const ITS: u32 = 2;
    pub const CLOCK: u32 = 3;
}

/// The first cell of an interrupt: shared or private.
const SPI: u32 = 0;
const PPI: u32 = 1;

/// The first cell of a range in a host bridge's windows: 64-bit memory that is not to be prefetched.
const PCI_MEMORY_64: u32 = 0x0300_0000;

/// The third cell of an interrupt: its trigger.
const EDGE_RISING: u32 = 1;
const LEVEL_HIGH: u32 = 4;
const LEVEL_LOW: u32 = 8;

/// The clock of serial ports, in Hz: what Arm's boards have.
const UART_CLOCK: u32 = 24_000_000;

/// What a tree describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FdtSpec {
    /// Number of vCPUs.
    pub cpus: u32,
    /// RAM: address and size of each range.
    pub ram: Vec<(u64, u64)>,
    /// The interrupt controller.
    pub gic: Gic,
    /// Whether the vCPUs have performance monitors.
    pub pmu: bool,
    /// The PL011.
    pub serial: Peripheral,
    /// The PL031.
    pub rtc: Peripheral,
    /// Shared interrupt of the power key, counted from 0, edge-triggered.
    pub power_key: u32,
    /// The window of pvpanic's register, if it is there: address and size.
    pub pvpanic: Option<(u64, u64)>,
    /// Virtio devices behind memory-mapped registers; their interrupts are edge-triggered.
    pub virtio: Vec<Peripheral>,
    /// The PCI host bridge, if there is one. Its messages go to the interrupt translation service.
    pub pci: Option<Pci>,
    /// The kernel's command line.
    pub cmdline: String,
    /// Address and size of the initrd.
    pub initrd: Option<(u64, u64)>,
    /// Entropy for the kernel's random number generator and its address randomization.
    pub seed: [u8; 40],
}

/// A device with one window and at most one interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peripheral {
    /// Guest-physical address.
    pub base: u64,
    /// Bytes of the window.
    pub size: u64,
    /// Its shared interrupt, counted from 0, if it has one.
    pub spi: Option<u32>,
}

/// A PCI host bridge with bus 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pci {
    /// Guest-physical address and size of configuration space.
    pub ecam: (u64, u64),
    /// Guest-physical address and size of the window of BARs.
    pub memory: (u64, u64),
    /// Shared interrupts, counted from 0, level-triggered: that of pin A of device n is the one at n modulo 4.
    pub intx: [u32; 4],
}

/// The interrupt controller; windows are address and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gic {
    /// A GICv2.
    V2 {
        /// Distributor.
        distributor: (u64, u64),
        /// CPU interface.
        cpu_interface: (u64, u64),
    },
    /// A GICv3.
    V3 {
        /// Distributor.
        distributor: (u64, u64),
        /// Redistributors.
        redistributors: (u64, u64),
        /// Interrupt translation service.
        its: Option<(u64, u64)>,
    },
}

/// Generates a tree.
///
/// # Errors
/// The specification holds a text that no property can hold, such as a command line with a NUL.
pub fn build(spec: &FdtSpec) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_string("compatible", "linux,dummy-virt")?;
    fdt.property_string("model", "Triarch virt")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_u32("interrupt-parent", phandle::GIC)?;
    chosen(&mut fdt, spec)?;
    for &(base, size) in &spec.ram {
        let node = fdt.begin_node(&format!("memory@{base:x}"))?;
        fdt.property_string("device_type", "memory")?;
        fdt.property_array_u64("reg", &[base, size])?;
        fdt.end_node(node)?;
    }
    cpus(&mut fdt, spec.cpus)?;
    psci(&mut fdt)?;
    timer(&mut fdt, &spec.gic, spec.cpus)?;
    if spec.pmu {
        let node = fdt.begin_node("pmu")?;
        fdt.property_string("compatible", "arm,armv8-pmuv3")?;
        fdt.property_array_u32("interrupts", &[PPI, ppi::PMU, LEVEL_HIGH | ppi_mask(&spec.gic, spec.cpus)])?;
        fdt.end_node(node)?;
    }
    gic(&mut fdt, &spec.gic)?;
    peripherals(&mut fdt, spec)?;
    if let Some(bridge) = &spec.pci {
        pci(&mut fdt, bridge)?;
    }
    fdt.end_node(root)?;
    fdt.finish()
}

fn chosen(fdt: &mut FdtWriter, spec: &FdtSpec) -> Result<(), Error> {
    let node = fdt.begin_node("chosen")?;
    fdt.property_string("bootargs", &spec.cmdline)?;
    fdt.property_string("stdout-path", &serial_name(spec))?;
    if let Some((base, size)) = spec.initrd {
        fdt.property_u64("linux,initrd-start", base)?;
        fdt.property_u64("linux,initrd-end", base + size)?;
    }
    let (kaslr, rng) = spec.seed.split_at(8);
    fdt.property("kaslr-seed", kaslr)?;
    fdt.property("rng-seed", rng)?;
    fdt.end_node(node)
}

fn cpus(fdt: &mut FdtWriter, cpus: u32) -> Result<(), Error> {
    let node = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    for cpu in 0..cpus {
        // Affinity levels 0 to 2 fit in one cell.
        let reg = u32::try_from(affinity(cpu)).unwrap_or(u32::MAX);
        let node = fdt.begin_node(&format!("cpu@{reg:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_string("compatible", "arm,armv8")?;
        fdt.property_string("enable-method", "psci")?;
        fdt.property_u32("reg", reg)?;
        fdt.end_node(node)?;
    }
    fdt.end_node(node)
}

fn psci(fdt: &mut FdtWriter) -> Result<(), Error> {
    let node = fdt.begin_node("psci")?;
    fdt.property_string_list("compatible", vec!["arm,psci-1.0".to_owned(), "arm,psci-0.2".to_owned()])?;
    fdt.property_string("method", "hvc")?;
    fdt.end_node(node)
}

/// A GICv2's private interrupts name the CPUs that they go to; a GICv3's don't.
fn ppi_mask(gic: &Gic, cpus: u32) -> u32 {
    match gic {
        Gic::V2 { .. } => ((1 << cpus.min(8)) - 1) << 8,
        Gic::V3 { .. } => 0,
    }
}

fn timer(fdt: &mut FdtWriter, gic: &Gic, cpus: u32) -> Result<(), Error> {
    let node = fdt.begin_node("timer")?;
    fdt.property_string("compatible", "arm,armv8-timer")?;
    fdt.property_null("always-on")?;
    let flags = LEVEL_LOW | ppi_mask(gic, cpus);
    let cells = [ppi::SECURE_TIMER, ppi::PHYSICAL_TIMER, ppi::VIRTUAL_TIMER, ppi::HYPERVISOR_TIMER]
        .map(|interrupt| [PPI, interrupt, flags]);
    fdt.property_array_u32("interrupts", cells.as_flattened())?;
    fdt.end_node(node)
}

fn gic(fdt: &mut FdtWriter, gic: &Gic) -> Result<(), Error> {
    let (first, second) = match *gic {
        Gic::V2 { distributor, cpu_interface } => (distributor, cpu_interface),
        Gic::V3 { distributor, redistributors, .. } => (distributor, redistributors),
    };
    let node = fdt.begin_node(&format!("interrupt-controller@{:x}", first.0))?;
    match gic {
        Gic::V2 { .. } => fdt.property_string("compatible", "arm,cortex-a15-gic")?,
        Gic::V3 { .. } => fdt.property_string("compatible", "arm,gic-v3")?,
    }
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("#interrupt-cells", 3)?;
    fdt.property_array_u64("reg", &[first.0, first.1, second.0, second.1])?;
    fdt.property_phandle(phandle::GIC)?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_null("ranges")?;
    if let Gic::V3 { its: Some((base, size)), .. } = *gic {
        let its = fdt.begin_node(&format!("msi-controller@{base:x}"))?;
        fdt.property_string("compatible", "arm,gic-v3-its")?;
        fdt.property_null("msi-controller")?;
        fdt.property_u32("#msi-cells", 1)?;
        fdt.property_array_u64("reg", &[base, size])?;
        fdt.property_phandle(phandle::ITS)?;
        fdt.end_node(its)?;
    }
    fdt.end_node(node)
}

fn serial_name(spec: &FdtSpec) -> String {
    format!("/serial@{:x}", spec.serial.base)
}

fn peripherals(fdt: &mut FdtWriter, spec: &FdtSpec) -> Result<(), Error> {
    let clock = fdt.begin_node("apb-pclk")?;
    fdt.property_string("compatible", "fixed-clock")?;
    fdt.property_u32("#clock-cells", 0)?;
    fdt.property_u32("clock-frequency", UART_CLOCK)?;
    fdt.property_string("clock-output-names", "clk24mhz")?;
    fdt.property_phandle(phandle::CLOCK)?;
    fdt.end_node(clock)?;

    let mut primecell = |name: &str, compatible: &str, device: &Peripheral, clocks: &[&str]| {
        let node = fdt.begin_node(name)?;
        fdt.property_string_list("compatible", vec![compatible.to_owned(), "arm,primecell".to_owned()])?;
        fdt.property_array_u64("reg", &[device.base, device.size])?;
        if let Some(spi) = device.spi {
            fdt.property_array_u32("interrupts", &[SPI, spi, LEVEL_HIGH])?;
        }
        fdt.property_array_u32("clocks", &vec![phandle::CLOCK; clocks.len()])?;
        fdt.property_string_list("clock-names", clocks.iter().map(|name| (*name).to_owned()).collect())?;
        fdt.end_node(node)
    };
    primecell(&serial_name(spec)[1..], "arm,pl011", &spec.serial, &["uartclk", "apb_pclk"])?;
    primecell(&format!("rtc@{:x}", spec.rtc.base), "arm,pl031", &spec.rtc, &["apb_pclk"])?;
    if let Some((base, size)) = spec.pvpanic {
        let node = fdt.begin_node(&format!("pvpanic@{base:x}"))?;
        fdt.property_string("compatible", "qemu,pvpanic-mmio")?;
        fdt.property_array_u64("reg", &[base, size])?;
        fdt.end_node(node)?;
    }
    for device in &spec.virtio {
        let node = fdt.begin_node(&format!("virtio_mmio@{:x}", device.base))?;
        fdt.property_string("compatible", "virtio,mmio")?;
        fdt.property_array_u64("reg", &[device.base, device.size])?;
        if let Some(spi) = device.spi {
            fdt.property_array_u32("interrupts", &[SPI, spi, EDGE_RISING])?;
        }
        fdt.property_null("dma-coherent")?;
        fdt.end_node(node)?;
    }
    power_key(fdt, spec.power_key)
}

/// A key that is known by its interrupt alone (Linux, Documentation/devicetree/bindings/input/gpio-keys.yaml).
fn power_key(fdt: &mut FdtWriter, spi: u32) -> Result<(), Error> {
    /// Linux's code for it (input-event-codes.h).
    const KEY_POWER: u32 = 116;
    let keys = fdt.begin_node("gpio-keys")?;
    fdt.property_string("compatible", "gpio-keys")?;
    let key = fdt.begin_node("power")?;
    fdt.property_string("label", "Power button")?;
    fdt.property_u32("linux,code", KEY_POWER)?;
    fdt.property_array_u32("interrupts", &[SPI, spi, EDGE_RISING])?;
    fdt.end_node(key)?;
    fdt.end_node(keys)
}

/// A host bridge (Linux, Documentation/devicetree/bindings/pci/host-generic-pci.yaml).
fn pci(fdt: &mut FdtWriter, bridge: &Pci) -> Result<(), Error> {
    let node = fdt.begin_node(&format!("pcie@{:x}", bridge.ecam.0))?;
    fdt.property_string("compatible", "pci-host-ecam-generic")?;
    fdt.property_string("device_type", "pci")?;
    fdt.property_array_u64("reg", &[bridge.ecam.0, bridge.ecam.1])?;
    fdt.property_array_u32("bus-range", &[0, 0])?;
    fdt.property_u32("linux,pci-domain", 0)?;
    fdt.property_u32("#address-cells", 3)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_null("dma-coherent")?;
    let ((base_high, base_low), (size_high, size_low)) = (cells(bridge.memory.0), cells(bridge.memory.1));
    // Devices see the addresses that CPUs see.
    let window = [PCI_MEMORY_64, base_high, base_low, base_high, base_low, size_high, size_low];
    fdt.property_array_u32("ranges", &window)?;
    // All requester ids, as they are.
    fdt.property_array_u32("msi-map", &[0, phandle::ITS, 0, 0x1_0000])?;
    fdt.property_u32("#interrupt-cells", 1)?;
    // The lowest two bits of the device's number, and the pin.
    fdt.property_array_u32("interrupt-map-mask", &[3 << 11, 0, 0, 7])?;
    let line =
        |(device, spi): (u32, &u32)| [device << 11, 0, 0, 1, phandle::GIC, 0, 0, SPI, *spi, LEVEL_HIGH];
    let map: Vec<_> = (0..).zip(&bridge.intx).flat_map(line).collect();
    fdt.property_array_u32("interrupt-map", &map)?;
    fdt.end_node(node)
}

/// A number as two cells.
fn cells(number: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    fn spec(gic: Gic, cpus: u32) -> FdtSpec {
        FdtSpec {
            cpus,
            ram: vec![(0x4000_0000, 0x1000_0000)],
            gic,
            pmu: true,
            serial: Peripheral { base: 0x900_0000, size: 0x1000, spi: Some(1) },
            rtc: Peripheral { base: 0x901_0000, size: 0x1000, spi: None },
            power_key: 2,
            pvpanic: matches!(gic, Gic::V3 { .. }).then_some((0x902_0000, 1)),
            virtio: (0..2)
                .map(|n| Peripheral { base: 0xa00_0000 + n * 0x1000, size: 0x200, spi: Some(16) })
                .collect(),
            pci: matches!(gic, Gic::V3 { .. }).then_some(Pci {
                ecam: (0x3f00_0000, 0x10_0000),
                memory: (0x1_0000_0000, 0x4000_0000),
                intx: [3, 4, 5, 6],
            }),
            cmdline: "console=ttyAMA0".to_owned(),
            initrd: Some((0x4800_0000, 0x12_3456)),
            seed: [7; 40],
        }
    }

    fn trees() -> [(&'static str, Vec<u8>); 2] {
        let v3 = Gic::V3 {
            distributor: (0x800_0000, 0x1_0000),
            redistributors: (0x1000_0000, 17 * 0x2_0000),
            its: Some((0x808_0000, 0x2_0000)),
        };
        let v2 = Gic::V2 { distributor: (0x800_0000, 0x1000), cpu_interface: (0x801_0000, 0x2000) };
        [("gicv3", build(&spec(v3, 17)).unwrap()), ("gicv2", build(&spec(v2, 2)).unwrap())]
    }

    /// Golden files: `TRIARCH_BLESS=1 cargo test -p triarch-arch fdt` writes them anew.
    #[test]
    fn trees_are_golden() {
        for (name, tree) in trees() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/aarch64/golden/{name}.dtb"));
            if std::env::var_os("TRIARCH_BLESS").is_some() {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &tree).unwrap();
            }
            assert!(std::fs::read(&path).unwrap() == tree, "{} differs", path.display());
        }
    }

    #[test]
    fn a_command_line_with_a_nul_is_refused() {
        let gic = Gic::V2 { distributor: (0, 1), cpu_interface: (1, 1) };
        let spec = FdtSpec { cmdline: "a\0b".to_owned(), ..spec(gic, 1) };
        assert!(build(&spec).is_err());
    }

    /// Debian's dtc (package device-tree-compiler) reads the trees without complaints.
    #[test]
    fn dtc_finds_no_fault() {
        if std::env::var_os("TRIARCH_HOST_TOOLS").is_some_and(|value| value == "off") {
            eprintln!(
                "SKIPPED: no programs of the host can be run from here; the native run checks with dtc"
            );
            return;
        }
        if Command::new("dtc").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "dtc is missing: ci/setup installs it");
            eprintln!("SKIPPED: dtc is not installed (ci/setup installs it)");
            return;
        }
        for (name, tree) in trees() {
            let mut dtc = Command::new("dtc")
                .args(["-I", "dtb", "-O", "dts", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            dtc.stdin.take().unwrap().write_all(&tree).unwrap();
            let done = dtc.wait_with_output().unwrap();
            let complaints = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success() && complaints.is_empty(), "{name}: {complaints}");
            let source = String::from_utf8_lossy(&done.stdout);
            assert!(source.contains("stdout-path = \"/serial@9000000\""), "{source}");
        }
    }
}

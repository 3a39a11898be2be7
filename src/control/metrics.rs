//! A machine's counters in Prometheus' text format.

use std::fmt::{Display, Write};

use super::{Info, State};
use crate::stats::ExitCounts;

/// All counters.
pub(super) fn text(info: &Info, exits: &ExitCounts) -> String {
    let mut text = Text::default();
    let none: [(&str, &str); 0] = [];
    text.family("triarch_running", "gauge", "1 while the vCPUs run, 0 while they are paused.");
    text.value(&none, u8::from(info.state == State::Running));
    text.family("triarch_vcpus", "gauge", "Number of vCPUs.");
    text.value(&none, info.vcpus);
    text.family("triarch_memory_bytes", "gauge", "The guest's RAM.");
    text.value(&none, info.memory);
    text.family("triarch_uptime_seconds", "counter", "Time since the run began.");
    text.value(&none, info.uptime);
    text.family("triarch_resets_total", "counter", "How often the guest was started anew.");
    text.value(&none, info.resets);
    text.family("triarch_exits_total", "counter", "Exits from the guest to triarch.");
    for (kind, count) in kinds(exits) {
        text.value(&[("kind", kind)], count);
    }
    if let Some([all, shared]) = resident() {
        text.family(
            "triarch_resident_bytes",
            "gauge",
            "Memory of the host that the process has, the guest's included.",
        );
        text.value(&none, all);
        text.family("triarch_resident_shared_bytes", "gauge", "Of these, shared memory: the guest's RAM.");
        text.value(&none, shared);
    }
    let sized = || info.devices.iter().filter_map(|device| device.size.map(|size| (device, size)));
    if sized().next().is_some() {
        text.family("triarch_device_requested_bytes", "gauge", "The size that a device is to have.");
        for (device, size) in sized() {
            text.value(&[("device", &device.name), ("kind", &device.kind)], size.requested);
        }
        text.family("triarch_device_actual_bytes", "gauge", "The size that a device has.");
        for (device, size) in sized() {
            text.value(&[("device", &device.name), ("kind", &device.kind)], size.actual);
        }
    }
    text.text
}

fn kinds(exits: &ExitCounts) -> [(&'static str, u64); 9] {
    let ExitCounts {
        pio_read,
        pio_write,
        mmio_read,
        mmio_write,
        ioapic_eoi,
        instruction,
        system,
        interrupted,
        other,
    } = *exits;
    [
        ("pio_read", pio_read),
        ("pio_write", pio_write),
        ("mmio_read", mmio_read),
        ("mmio_write", mmio_write),
        ("ioapic_eoi", ioapic_eoi),
        ("instruction", instruction),
        ("system", system),
        ("interrupted", interrupted),
        ("other", other),
    ]
}

/// Bytes of the process's memory that are in the host's, and those of them that are shared memory (proc(5), `VmRSS` and `RssShmem`).
fn resident() -> Option<[u64; 2]> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
    };
    Some([kib("VmRSS:")? << 10, kib("RssShmem:")? << 10])
}

/// Families of values.
#[derive(Default)]
struct Text {
    text: String,
    name: &'static str,
}

impl Text {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to a string does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        for (index, (key, text)) in labels.iter().enumerate() {
            // Device names and kinds are ours, and have nothing that needs escaping.
            let _ = write!(self.text, "{}{key}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::DeviceInfo;
    use crate::devices::SizeReport;

    #[test]
    fn families_have_a_type_and_values() {
        let info = Info {
            name: "web".to_owned(),
            version: "1".to_owned(),
            pid: 1,
            isa: "s390x".to_owned(),
            board: "ccw".to_owned(),
            state: State::Running,
            vcpus: 2,
            memory: 1 << 28,
            uptime: 3,
            resets: 4,
            devices: vec![DeviceInfo {
                name: "virtio0".to_owned(),
                kind: "virtio-balloon".to_owned(),
                size: Some(SizeReport { requested: 8192, actual: 4096 }),
            }],
        };
        let exits = crate::stats::Stats::default().exits();
        let text = text(&info, &exits);
        for line in [
            "triarch_running 1",
            "triarch_resets_total 4",
            "triarch_exits_total{kind=\"mmio_read\"} 0",
            "triarch_device_requested_bytes{device=\"virtio0\",kind=\"virtio-balloon\"} 8192",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let names = text.lines().filter(|line| !line.starts_with('#'));
        for name in names.map(|line| line.split(['{', ' ']).next().unwrap()) {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
        }
    }
}

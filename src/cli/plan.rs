//! `triarch plan`.

use std::fmt::Write as _;
use std::io;

use anyhow::bail;
use clap::Args;
use serde_json::Value;
use triarch_arch::Isa;
use triarch_arch::hv::HostCaps;
use triarch_boards::{Attachment, DeviceKind, MachinePlan, Source};
use triarch_devices::I6300esb;
use triarch_devices::pci::PciHost;
use triarch_devices::virtio::VirtioPci;

use super::machine_args::MachineArgs;

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) machine: MachineArgs,

    /// The guest's ISA: x86_64, aarch64 or s390x [default: the board's, the kernel's, or the host's]
    #[arg(long, value_name = "ISA")]
    isa: Option<Isa>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints a plan, for a typical host of the ISA.
pub(super) fn plan(args: PlanArgs, out: &mut dyn io::Write) -> anyhow::Result<u8> {
    let machine = args.machine.read()?;
    let files = machine.open_files()?;
    if let (Some(isa), Some(board)) = (args.isa, machine.board())
        && isa != board.isa()
    {
        bail!("--board {board} is {}, but --isa is {isa}", board.isa());
    }
    let isa = args
        .isa
        .or(machine.board().map(|board| board.isa()))
        .or(files.kernel.as_ref().map(|kernel| kernel.kernel().format.isa()))
        .unwrap_or(Isa::HOST);
    let plan = triarch_boards::plan(&machine.spec(isa, &files)?, &HostCaps::typical(isa))?;
    let text = if args.json { serde_json::to_string_pretty(&plan)? + "\n" } else { text(&plan)? };
    super::print(out, &text)?;
    Ok(0)
}

/// A plan for people.
pub(super) fn text(plan: &MachinePlan) -> anyhow::Result<String> {
    let mut out = String::new();
    writeln!(out, "board     {} ({}), {} vCPU(s)", plan.board, plan.isa, plan.cpus)?;
    for range in &plan.ram {
        writeln!(out, "ram       {}  {}", span(range.base, range.size), human(range.size))?;
    }
    for memory in &plan.device_memory {
        let (range, size) = (span(memory.base, memory.size), human(memory.size));
        writeln!(out, "memory    {range}  {size} of {}", memory.device)?;
    }
    writeln!(out, "irqchip   {}", line(&serde_json::to_value(plan.irqchip)?))?;
    for slot in &plan.slots {
        let at = match slot.at {
            Attachment::Mmio { base, size } => format!("mmio {}", span(base, size)),
            Attachment::Pio { base, size } => {
                format!("ports {base:#06x}..{:#06x}", u32::from(base) + u32::from(size))
            }
            Attachment::HostBridge { ecam, memory, size } => {
                format!("mmio {} and {}", span(ecam, PciHost::ECAM_SIZE), span(memory, size))
            }
            Attachment::Pci { device, bar } => {
                let size = match slot.kind {
                    DeviceKind::I6300esb => I6300esb::BAR_SIZE,
                    _ => VirtioPci::BAR_SIZE,
                };
                format!("pci 00:{device:02x}.0, mmio {}", span(bar, size))
            }
            Attachment::Line => "a line".to_owned(),
            Attachment::ServiceCall => "service call".to_owned(),
            Attachment::Diagnose { function } => format!("diagnose {function:#x}"),
            Attachment::Subchannel { number, device } => {
                format!("subchannel {number:#06x}, device 0.0.{device:04x}")
            }
        };
        let irq = match slot.irq {
            Some(irq) => format!("  irq {}", line(&serde_json::to_value(irq)?)),
            None => String::new(),
        };
        let kind = match slot.kind {
            DeviceKind::Virtio(kind) => format!("virtio-{}", kind.name()),
            kind => serde_json::to_value(kind)?.as_str().unwrap_or_default().to_owned(),
        };
        writeln!(out, "device    {:<10} {kind:<12} {at}{irq}", slot.name)?;
    }
    for segment in &plan.segments {
        let from = match &segment.source {
            Source::Kernel { offset, len } => format!("kernel file {}", span(*offset, *len)),
            Source::Initrd { .. } => "initrd file".to_owned(),
            Source::Bytes { bytes } => format!("{} bytes made by the plan", bytes.len()),
        };
        writeln!(out, "segment   {:<10} {}  {from}", segment.name, span(segment.address, segment.size))?;
    }
    if let Some(state) = &plan.boot_vcpu {
        registers(&mut out, "", &serde_json::to_value(state)?)?;
    }
    Ok(out)
}

fn span(base: u64, size: u64) -> String {
    format!("{base:#012x}..{:#012x}", u128::from(base) + u128::from(size))
}

fn human(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{bytes} bytes"),
    }
}

/// A small object on one line: `kind, key value, ...`.
fn line(value: &Value) -> String {
    let Value::Object(fields) = value else { return scalar(value) };
    let words = fields.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| match key.as_str() {
        "kind" => scalar(value),
        key => format!("{key} {}", scalar(value)),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), |n| format!("{n:#x}")),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Registers that are set, one a line, whichever the ISA.
fn registers(out: &mut String, path: &str, value: &Value) -> std::fmt::Result {
    match value {
        Value::Null => Ok(()),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            registers(out, &path, value)
        }),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => (0..)
            .zip(items)
            .try_for_each(|(index, item): (usize, _)| registers(out, &format!("{path}[{index}]"), item)),
        Value::Array(items) => {
            let words: Vec<_> = items.iter().map(scalar).collect();
            writeln!(out, "register  {path} = {}", words.join(" "))
        }
        Value::Number(number) if number.as_u64() == Some(0) => Ok(()),
        _ => writeln!(out, "register  {path} = {}", scalar(value)),
    }
}

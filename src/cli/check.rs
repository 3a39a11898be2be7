//! `triarch check`.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use triarch_arch::Isa;
use triarch_arch::hv::Feature;
use triarch_arch::kvm::{self, Host};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 if this host can run guests (with --stock: unmodified distribution kernels), else 1."
)]
pub(super) struct CheckArgs {
    /// Ask whether unmodified distribution kernels can run, which takes hardware virtualization
    #[arg(long)]
    stock: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// KVM's device node
    #[arg(long, value_name = "PATH", default_value = kvm::DEVICE)]
    kvm: PathBuf,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    isa: Isa,
    /// The CPU's virtualization extension, where it can be told.
    virtualization: Option<&'static str>,
    /// Why there is no KVM, and the way out; `None` when there is.
    problem: Option<String>,
    max_vcpus: Option<u32>,
    features: Vec<Feature>,
    guests: bool,
    stock_kernels: bool,
}

/// Looks at the host and tells.
pub(super) fn check(args: &CheckArgs, out: &mut dyn io::Write) -> anyhow::Result<u8> {
    let report = look(args);
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { text(&report)? };
    super::print(out, &text)?;
    let fine = if args.stock { report.stock_kernels } else { report.guests };
    Ok(if fine { 0 } else { super::STATUS_FAILURE })
}

fn look(args: &CheckArgs) -> Report {
    let virtualization = virtualization();
    let mut report = Report {
        isa: Isa::HOST,
        virtualization,
        problem: None,
        max_vcpus: None,
        features: Vec::new(),
        guests: false,
        stock_kernels: false,
    };
    match Host::open(&args.kvm) {
        Err(error) => report.problem = Some(explain(&error, virtualization)),
        Ok(host) => {
            report.features = host.features();
            match host.caps() {
                Err(error) => report.problem = Some(error.to_string()),
                Ok(caps) => report.max_vcpus = Some(caps.max_vcpus),
            }
        }
    }
    let lacks_nothing = report.features.iter().all(|feature| feature.present || !feature.required);
    report.guests = report.problem.is_none() && lacks_nothing;
    // Only x86_64 is known to have KVM back-ends that do without hardware virtualization.
    report.stock_kernels = report.guests && (virtualization.is_some() || Isa::HOST != Isa::X86_64);
    report
}

/// The CPU's virtualization extension. Without /proc nothing can be told of it; KVM itself is asked anyway.
fn virtualization() -> Option<&'static str> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    triarch_arch::host::virtualization(&cpuinfo)
}

/// Why KVM can't be opened, in plain words, with the way out.
pub(super) fn why_no_kvm(error: &kvm::Error) -> String {
    explain(error, virtualization())
}

fn explain(error: &kvm::Error, virtualization: Option<&'static str>) -> String {
    let kvm::Error::Open { path, source } = error else { return error.to_string() };
    let what = match (Isa::HOST, virtualization) {
        (Isa::X86_64, None) => {
            "this CPU shows no VMX or SVM: switch virtualization on in the firmware, or, in a virtual \
                                machine, switch nested virtualization on for it"
        }
        (Isa::S390x, None) => "this machine shows no SIE: its hypervisor must offer it to guests",
        (Isa::X86_64, _) => "load KVM's module: modprobe kvm-intel or modprobe kvm-amd",
        (Isa::S390x, _) => "load KVM's module: modprobe kvm",
        (Isa::Aarch64, _) => "the kernel must have KVM built in and be started at EL2 by the firmware",
    };
    match source.kind() {
        io::ErrorKind::NotFound => format!("there is no {}: {what}", path.display()),
        io::ErrorKind::PermissionDenied => {
            format!(
                "{} may not be opened: add your user to the group that owns it, mostly kvm, and log in again",
                path.display()
            )
        }
        _ => format!("{} can't be opened: {source}", path.display()),
    }
}

fn text(report: &Report) -> anyhow::Result<String> {
    let mut out = String::new();
    writeln!(out, "host      {}", report.isa)?;
    let shown = match (report.isa, report.virtualization) {
        (_, Some(name)) => name,
        (Isa::Aarch64, None) => "not shown by this ISA's /proc/cpuinfo",
        (_, None) => "none",
    };
    writeln!(out, "hardware  {shown}")?;
    match (&report.problem, report.max_vcpus) {
        (Some(problem), _) => writeln!(out, "kvm       no: {problem}")?,
        (None, Some(max)) => writeln!(out, "kvm       yes, up to {max} vCPUs a guest")?,
        (None, None) => {}
    }
    for feature in &report.features {
        let mark = match (feature.present, feature.required) {
            (true, _) => "yes",
            (false, true) => "MISSING",
            (false, false) => "no",
        };
        writeln!(out, "{mark:<9} {:<28} {}", feature.name, feature.meaning)?;
    }
    let verdict = match (report.guests, report.stock_kernels) {
        (_, true) => "this host can run guests",
        (true, false) => {
            "this host's KVM does without VMX or SVM: it runs small guests, but most likely no unmodified kernels"
        }
        (false, false) => "this host can't run guests",
    };
    writeln!(out, "verdict   {verdict}")?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_way_out() {
        let told = |kind: io::ErrorKind| {
            explain(&kvm::Error::Open { path: "/dev/kvm".into(), source: kind.into() }, None)
        };
        assert_eq!(
            told(io::ErrorKind::PermissionDenied),
            "/dev/kvm may not be opened: add your user to the group that owns it, mostly kvm, and log in again"
        );
        assert!(told(io::ErrorKind::NotFound).starts_with("there is no /dev/kvm: "));
        assert!(told(io::ErrorKind::ResourceBusy).starts_with("/dev/kvm can't be opened: "));
    }
}

//! Command lines and machine files of any bytes.

use clap::Parser;
use triarch_arch::Isa;
use triarch_arch::hv::HostCaps;

use super::machine_args::{MachineRequest, parse_file};
use super::{Cli, Command, plan};
use crate::loader::BootFiles;

/// Plans a machine on every ISA.
fn plan_everywhere(machine: &MachineRequest) {
    for isa in [Isa::X86_64, Isa::Aarch64, Isa::S390x] {
        let Ok(spec) = machine.spec(isa, &BootFiles::default()) else { return };
        if let Ok(plan) = triarch_boards::plan(&spec, &HostCaps::typical(spec.board.isa())) {
            plan::text(&plan).unwrap();
        }
    }
}

/// Command lines: words with line feeds between them, behind `triarch plan`.
pub fn options(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let words = ["triarch", "plan"].into_iter().chain(text.split('\n'));
    if let Ok(Cli { command: Command::Plan(args) }) = Cli::try_parse_from(words) {
        plan_everywhere(&args.machine.without_files());
    }
}

/// Machine files: one byte that chooses JSON or TOML, and the text.
pub fn file(data: &[u8]) {
    let Some((form, text)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    if let Ok(machine) = parse_file(text, form % 2 == 0) {
        plan_everywhere(&machine);
    }
}

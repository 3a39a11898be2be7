//! What the boards' tests share.

use std::path::Path;

use triarch_boards::{Board, IrqchipChoice, MachinePlan, MachineSpec};

/// A small machine without a kernel, with entropy that is known.
pub fn spec(board: Board) -> MachineSpec {
    MachineSpec {
        board,
        cpus: 1,
        memory: 256 << 20,
        kernel: None,
        initrd: None,
        cmdline: board.default_cmdline().to_owned(),
        irqchip: IrqchipChoice::Split,
        pit: false,
        pvpanic: None,
        transport: None,
        virtio: Vec::new(),
        watchdog: false,
        seed: [7; 40],
    }
}

/// Compares a plan, as JSON, with `tests/golden/NAME.json`. `TRIARCH_BLESS=1 cargo test -p triarch-boards` writes the files anew.
pub fn golden(name: &str, plan: &MachinePlan) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let found = serde_json::to_string_pretty(plan).unwrap() + "\n";
    if std::env::var_os("TRIARCH_BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} differs; the plan is now:\n{found}", path.display());
}

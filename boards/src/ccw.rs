//! Board ccw.

use triarch_arch::hv::HostCaps;

use crate::{Error, MachinePlan, MachineSpec};

/// Plans a ccw machine.
pub(crate) fn plan(spec: &MachineSpec, _host: &HostCaps) -> Result<MachinePlan, Error> {
    Err(Error::Host { board: spec.board, what: "the board is not there yet".to_owned() })
}

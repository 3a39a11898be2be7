//! The guest's instruction set as a value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An instruction set architecture that Triarch runs guests of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isa {
    /// AMD64 / Intel 64.
    #[serde(rename = "x86_64")]
    X86_64,
    /// Arm's 64-bit A-profile.
    Aarch64,
    /// IBM z/Architecture.
    S390x,
}

impl Isa {
    /// Every ISA, in the order in which help texts name them.
    pub const ALL: [Isa; 3] = [Isa::X86_64, Isa::Aarch64, Isa::S390x];

    /// The ISA this program was compiled for, hence the one that this host's KVM runs.
    pub const HOST: Isa = crate::host::ISA;

    /// The name that `uname -m` gives.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::X86_64 => "x86_64",
            Isa::Aarch64 => "aarch64",
            Isa::S390x => "s390x",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is no ISA of Triarch's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown ISA '{0}' (known: x86_64, aarch64, s390x)")]
pub struct ParseIsaError(String);

impl FromStr for Isa {
    type Err = ParseIsaError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "x86_64" | "amd64" => Ok(Isa::X86_64),
            "aarch64" | "arm64" => Ok(Isa::Aarch64),
            "s390x" => Ok(Isa::S390x),
            other => Err(ParseIsaError(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
        assert!("ppc64".parse::<Isa>().is_err());
    }
}

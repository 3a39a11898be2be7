//! The control blocks that programs and the channel subsystem exchange: big-endian words (PoP, chapters 14 to 16).

/// Size of a subchannel-information block in bytes.
pub const SCHIB_SIZE: usize = 52;
/// Size of an operation-request block without its extension, which a subchannel without priorities ignores.
pub const ORB_SIZE: usize = 12;
/// Size of an interruption-response block without measurements.
pub const IRB_SIZE: usize = 64;

/// The control block of an I/O instruction is not as it should be: an operand exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an operand exception")]
pub struct Operand;

/// Bits of a path-management-control word's flags, and of its last word.
pub mod pmcw {
    pub const RESERVED: u16 = 0x0700;
    pub const ISC: u16 = 0x3800;
    pub const ISC_SHIFT: u16 = 11;
    pub const ENABLED: u16 = 0x0080;
    pub const LIMIT_MODE: u16 = 0x0060;
    pub const MEASUREMENT: u16 = 0x0018;
    pub const MULTIPATH: u16 = 0x0004;
    pub const DEVICE_NUMBER_VALID: u16 = 0x0001;

    pub const WORD6_RESERVED: u32 = 0xff1f_fff8;
    pub const MEASUREMENT_FORMAT: u32 = 4;
    pub const EXTENDED_MEASUREMENT: u32 = 2;
    pub const CONCURRENT_SENSE: u32 = 1;
}

/// Bits of a subchannel-status word.
pub mod scsw {
    pub const LOGOUT: u16 = 0x0400;
    pub const CC_3: u16 = 0x0300;
    pub const ZERO_CC: u16 = 0x0004;
    pub const EXTENDED_CONTROL: u16 = 0x0002;

    pub const START: u16 = 0x4000;
    pub const HALT: u16 = 0x2000;
    pub const CLEAR: u16 = 0x1000;
    pub const FUNCTIONS: u16 = 0x7000;
    pub const SUSPENDED: u16 = 0x0020;
    pub const ALERT: u16 = 0x0010;
    pub const INTERMEDIATE: u16 = 0x0008;
    pub const PRIMARY: u16 = 0x0004;
    pub const SECONDARY: u16 = 0x0002;
    pub const PENDING: u16 = 0x0001;
    pub const STATUS: u16 = 0x001f;

    /// Device status.
    pub const CHANNEL_END: u8 = 0x08;
    pub const DEVICE_END: u8 = 0x04;
    pub const UNIT_CHECK: u8 = 0x02;

    /// Subchannel status.
    pub const PCI: u8 = 0x80;
    pub const INCORRECT_LENGTH: u8 = 0x40;
    pub const PROGRAM_CHECK: u8 = 0x20;
}

/// A path-management-control word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pmcw {
    pub parameter: u32,
    pub flags: u16,
    pub device: u16,
    pub logical_paths: u8,
    pub not_operational: u8,
    pub last_path: u8,
    pub installed: u8,
    pub measurement_index: u16,
    pub operational: u8,
    pub available: u8,
    pub word6: u32,
}

impl Pmcw {
    /// The one channel path that there is: its place in masks of eight. Its identifier is 0, and so is that of the others.
    pub const PATH: u8 = 0x80;

    fn encode(&self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[0..4].copy_from_slice(&self.parameter.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.device.to_be_bytes());
        bytes[8..12].copy_from_slice(&[
            self.logical_paths,
            self.not_operational,
            self.last_path,
            self.installed,
        ]);
        bytes[12..14].copy_from_slice(&self.measurement_index.to_be_bytes());
        bytes[14..16].copy_from_slice(&[self.operational, self.available]);
        bytes[24..28].copy_from_slice(&self.word6.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        Pmcw {
            parameter: word_at(bytes, 0),
            flags: half_at(bytes, 4),
            device: half_at(bytes, 6),
            logical_paths: bytes[8],
            not_operational: bytes[9],
            last_path: bytes[10],
            installed: bytes[11],
            measurement_index: half_at(bytes, 12),
            operational: bytes[14],
            available: bytes[15],
            word6: word_at(bytes, 24),
        }
    }

    /// As a reset leaves that of this device.
    pub fn initial(device: u16) -> Self {
        Pmcw {
            device,
            flags: pmcw::DEVICE_NUMBER_VALID,
            logical_paths: Pmcw::PATH,
            installed: Pmcw::PATH,
            operational: 0xff,
            available: Pmcw::PATH,
            ..Pmcw::default()
        }
    }

    pub fn isc(&self) -> u8 {
        // Three bits.
        u8::try_from((self.flags & pmcw::ISC) >> pmcw::ISC_SHIFT).unwrap_or_default()
    }

    /// Whether functions can be started.
    pub const fn is_operational(&self) -> bool {
        const NEEDED: u16 = pmcw::ENABLED | pmcw::DEVICE_NUMBER_VALID;
        self.flags & NEEDED == NEEDED
    }

    /// Takes what the program may change. `measurement_block` is the block's address.
    ///
    /// # Errors
    /// Bits that must be zero are not, or ask for what there is not.
    pub fn modify(&mut self, schib: &[u8; SCHIB_SIZE]) -> Result<u64, Operand> {
        const FLAGS: u16 = pmcw::ISC | pmcw::ENABLED | pmcw::LIMIT_MODE | pmcw::MEASUREMENT | pmcw::MULTIPATH;
        const WORD6: u32 = pmcw::MEASUREMENT_FORMAT | pmcw::CONCURRENT_SENSE;
        let (Pmcw { flags, word6, .. }, _, block) = decode_schib(schib);
        let has_block = word6 & pmcw::MEASUREMENT_FORMAT != 0;
        if flags & pmcw::RESERVED != 0
            || flags & pmcw::LIMIT_MODE == pmcw::LIMIT_MODE
            || word6 & (pmcw::WORD6_RESERVED | pmcw::EXTENDED_MEASUREMENT) != 0
            || has_block && !block.is_multiple_of(64)
        {
            return Err(Operand);
        }
        self.parameter = word_at(schib, 0);
        self.flags = self.flags & !FLAGS | flags & FLAGS;
        self.logical_paths = schib[8];
        self.measurement_index = half_at(schib, 12);
        self.operational = schib[14];
        self.word6 = self.word6 & !WORD6 | word6 & WORD6;
        Ok(block)
    }
}

/// A subchannel-status word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scsw {
    pub flags: u16,
    /// Functions, activities and status.
    pub control: u16,
    pub ccw: u32,
    pub device: u8,
    pub subchannel: u8,
    pub count: u16,
}

impl Scsw {
    pub fn encode(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[0..2].copy_from_slice(&self.flags.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.control.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.ccw.to_be_bytes());
        bytes[8..10].copy_from_slice(&[self.device, self.subchannel]);
        bytes[10..12].copy_from_slice(&self.count.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        Scsw {
            flags: half_at(bytes, 0),
            control: half_at(bytes, 2),
            ccw: word_at(bytes, 4),
            device: bytes[8],
            subchannel: bytes[9],
            count: half_at(bytes, 10),
        }
    }

    pub const fn is_pending(&self) -> bool {
        self.control & scsw::PENDING != 0
    }
}

/// A subchannel-information block.
pub fn encode_schib(pmcw: &Pmcw, scsw: &Scsw, measurement_block: u64) -> [u8; SCHIB_SIZE] {
    let mut bytes = [0; SCHIB_SIZE];
    bytes[0..28].copy_from_slice(&pmcw.encode());
    bytes[28..40].copy_from_slice(&scsw.encode());
    bytes[40..48].copy_from_slice(&measurement_block.to_be_bytes());
    bytes
}

/// The parts of a subchannel-information block.
pub fn decode_schib(bytes: &[u8; SCHIB_SIZE]) -> (Pmcw, Scsw, u64) {
    let measurement_block = u64::from(word_at(bytes, 40)) << 32 | u64::from(word_at(bytes, 44));
    (Pmcw::decode(&bytes[..28]), Scsw::decode(&bytes[28..40]), measurement_block)
}

/// What a program wants to be done: an operation-request block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orb {
    /// Interruption parameter.
    pub parameter: u32,
    /// Key and control bits.
    control: u16,
    /// Channel paths that may be used.
    pub paths: u8,
    length_suppression: bool,
    /// Absolute address of the channel program.
    pub program: u32,
}

impl Orb {
    const SUSPEND: u16 = 0x0800;
    const FORMAT_1: u16 = 0x0080;
    const INITIAL_STATUS: u16 = 0x0020;
    const QUIET_SUSPENSION: u16 = 0x0008;
    const TRANSPORT_MODE: u16 = 0x0004;
    const FORMAT_2_IDAWS: u16 = 0x0002;
    const IDAWS_OF_2K: u16 = 0x0001;
    const LENGTH_SUPPRESSION: u8 = 0x80;
    /// Bits of the last control byte that must be zero; that of modified indirect addressing among them, which there is not.
    const RESERVED: u8 = 0x7e;

    /// Reads a block.
    ///
    /// # Errors
    /// Bits that must be zero are not, or ask for what there is not.
    pub fn decode(bytes: &[u8; ORB_SIZE]) -> Result<Self, Operand> {
        let control = half_at(bytes, 4);
        let program = word_at(bytes, 8);
        if control & Self::TRANSPORT_MODE != 0 || bytes[7] & Self::RESERVED != 0 || program >> 31 != 0 {
            return Err(Operand);
        }
        Ok(Orb {
            parameter: word_at(bytes, 0),
            control,
            paths: bytes[6],
            length_suppression: bytes[7] & Self::LENGTH_SUPPRESSION != 0,
            program,
        })
    }

    /// The block that it was read from. What was ignored of it is zero.
    pub fn encode(&self) -> [u8; ORB_SIZE] {
        let mut bytes = [0; ORB_SIZE];
        bytes[0..4].copy_from_slice(&self.parameter.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.control.to_be_bytes());
        bytes[6] = self.paths;
        bytes[7] = if self.length_suppression { Self::LENGTH_SUPPRESSION } else { 0 };
        bytes[8..12].copy_from_slice(&self.program.to_be_bytes());
        bytes
    }

    /// Those control bits that the status word repeats: they have the same places there.
    pub const fn status_flags(&self) -> u16 {
        self.control & 0xf8f8
    }

    pub const fn may_suspend(&self) -> bool {
        self.control & Self::SUSPEND != 0
    }

    /// CCWs are of format 1.
    pub const fn is_format_1(&self) -> bool {
        self.control & Self::FORMAT_1 != 0
    }

    /// The program wants to know when the device has accepted the first command.
    pub const fn wants_initial_status(&self) -> bool {
        self.control & Self::INITIAL_STATUS != 0
    }

    /// A suspension does not interrupt.
    pub const fn is_suspension_quiet(&self) -> bool {
        self.control & Self::QUIET_SUSPENSION != 0
    }

    /// An incorrect length of an immediate operation does not matter. So it always is with CCWs of format 0.
    pub const fn ignores_immediate_length(&self) -> bool {
        self.length_suppression || !self.is_format_1()
    }

    /// Indirect-data-address words are of format 2, with 64 bits.
    pub const fn has_wide_idaws(&self) -> bool {
        self.control & Self::FORMAT_2_IDAWS != 0
    }

    /// Bytes of the blocks that indirect-data-address words lead to.
    pub const fn idaw_block(&self) -> u64 {
        if self.has_wide_idaws() && self.control & Self::IDAWS_OF_2K == 0 { 4096 } else { 2048 }
    }
}

/// The halfword at a constant place of a block.
pub fn half_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The word at a constant place of a block.
pub fn word_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

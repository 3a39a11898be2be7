//! What a guest asks of the VMM, and what it gets.

/// An instruction that the machine carries out, not the vCPU alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// SERVICE CALL: a command to the service-call logical processor.
    ServiceCall {
        /// The command word.
        command: u32,
        /// Absolute address of the service-call control block: a multiple of 8, below 2 GiB, not in the vCPU's prefix area.
        sccb: u64,
    },
    /// DIAGNOSE 308: the parameter block of the next initial program load is set or stored.
    IplBlock {
        /// What is done with it.
        access: IplAccess,
        /// Absolute address of the page that the block is in, or goes to.
        address: u64,
        /// The general register that gets the response, one of [`ipl_response`].
        response: u8,
    },
    /// An instruction of the channel subsystem.
    Io(IoCall),
    /// DIAGNOSE 288: the machine's watchdog.
    Watchdog {
        /// What it is to do.
        function: u64,
        /// A time in seconds.
        timeout: u64,
        /// What is to happen when it is over.
        action: u64,
    },
    /// DIAGNOSE 500, subcode 3: a virtio device is notified. General register 2 gets a number from 0 on that makes the next one
    /// faster, or a negative one if there is no such device.
    Notify {
        /// The device's subsystem-identification word.
        id: u32,
        /// Its queue.
        queue: u64,
    },
}

/// What is done with an IPL parameter block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IplAccess {
    /// It is read from the guest's memory and kept.
    Set,
    /// The one that is kept is written to the guest's memory.
    Store,
}

/// Response codes of DIAGNOSE 308 (Linux, arch/s390/include/asm/diag.h).
pub mod ipl_response {
    /// It is done.
    pub const OK: u64 = 0x0001;
    /// There is no block.
    pub const NO_BLOCK: u64 = 0x0102;
    /// The block is not valid.
    pub const INVALID_BLOCK: u64 = 0x0402;
}

/// An instruction of the channel subsystem (PoP, chapter 14). Its operand can be accessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoCall {
    /// Which one.
    pub instruction: IoInstruction,
    /// General register 1: mostly, the subsystem-identification word.
    pub register1: u64,
    /// General register 2.
    pub register2: u64,
    /// The operand, or where none is taken, anything.
    pub operand: Operand,
    /// What the operand holds, if the instruction reads it: as many bytes as [`IoInstruction::access`] says.
    pub block: Vec<u8>,
}

/// An operand in the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Logical address: it is translated as the vCPU's own accesses are.
    pub address: u64,
    /// Access register that goes with it in access-register mode: the base register's number.
    pub access_register: u8,
}

/// How an instruction uses its operand: by so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Not at all.
    None,
    /// It is read.
    Read(usize),
    /// It may be stored to.
    Store(usize),
}

/// An instruction of the channel subsystem. TEST PENDING INTERRUPTION is not among them: KVM carries it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoInstruction {
    /// CANCEL SUBCHANNEL.
    CancelSubchannel,
    /// CHANNEL SUBSYSTEM CALL.
    ChannelSubsystemCall,
    /// CLEAR SUBCHANNEL.
    ClearSubchannel,
    /// HALT SUBCHANNEL.
    HaltSubchannel,
    /// MODIFY SUBCHANNEL.
    ModifySubchannel,
    /// RESET CHANNEL PATH.
    ResetChannelPath,
    /// RESUME SUBCHANNEL.
    ResumeSubchannel,
    /// SET ADDRESS LIMIT.
    SetAddressLimit,
    /// SET CHANNEL MONITOR.
    SetChannelMonitor,
    /// START SUBCHANNEL.
    StartSubchannel,
    /// STORE CHANNEL PATH STATUS.
    StoreChannelPathStatus,
    /// STORE CHANNEL REPORT WORD.
    StoreChannelReportWord,
    /// STORE SUBCHANNEL.
    StoreSubchannel,
    /// TEST SUBCHANNEL. KVM has taken the subchannel's interruption back already.
    TestSubchannel,
}

impl IoInstruction {
    /// How it uses its operand. A channel-subsystem call, besides, stores its response behind its request, within the page.
    pub const fn access(self) -> Access {
        match self {
            // A subchannel-information block; an operation-request block; what matters of a request.
            IoInstruction::ModifySubchannel => Access::Read(52),
            IoInstruction::StartSubchannel => Access::Read(12),
            IoInstruction::ChannelSubsystemCall => Access::Read(16),
            IoInstruction::StoreSubchannel => Access::Store(52),
            // An interruption-response block without measurements.
            IoInstruction::TestSubchannel => Access::Store(64),
            IoInstruction::StoreChannelReportWord => Access::Store(4),
            IoInstruction::StoreChannelPathStatus => Access::Store(32),
            IoInstruction::CancelSubchannel
            | IoInstruction::ClearSubchannel
            | IoInstruction::HaltSubchannel
            | IoInstruction::ResetChannelPath
            | IoInstruction::ResumeSubchannel
            | IoInstruction::SetAddressLimit
            | IoInstruction::SetChannelMonitor => Access::None,
        }
    }

    /// What the operand's address is a multiple of.
    pub const fn alignment(self) -> u64 {
        match (self, self.access()) {
            (_, Access::None) => 1,
            (IoInstruction::ChannelSubsystemCall, _) => 4096,
            (IoInstruction::StoreChannelPathStatus, _) => 32,
            _ => 4,
        }
    }
}

/// How an instruction completes. The default is with condition code 0 and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The condition code, 0 to 3; `None` leaves it as it is.
    pub cc: Option<u8>,
    /// A program interruption of this code (see [`program`]) instead of completion: nothing else of the answer counts.
    pub program: Option<u16>,
    /// General registers that get values: number, value.
    pub gprs: Vec<(u8, u64)>,
    /// What is stored in the guest's memory. If that can't be done, the guest gets the program interruption for it.
    pub store: Option<Store>,
}

impl Default for Answer {
    fn default() -> Self {
        Answer { cc: Some(0), program: None, gprs: Vec::new(), store: None }
    }
}

impl Answer {
    /// Completion with neither a condition code nor anything else.
    pub fn done() -> Self {
        Answer { cc: None, ..Answer::default() }
    }

    /// Completion with a condition code.
    pub fn cc(cc: u8) -> Self {
        Answer { cc: Some(cc), ..Answer::default() }
    }

    /// A program interruption.
    pub fn program(code: u16) -> Self {
        Answer { program: Some(code), ..Answer::default() }
    }
}

/// Bytes for the guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Logical address: it is translated as the vCPU's own accesses are.
    pub address: u64,
    /// Access register that goes with it in access-register mode: the base register's number.
    pub access_register: u8,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Program interruption codes (Principles of Operation, "Program-Interruption Conditions").
pub mod program {
    /// The instruction does not exist.
    pub const OPERATION: u16 = 0x01;
    /// The instruction is not for the problem state.
    pub const PRIVILEGED_OPERATION: u16 = 0x02;
    /// The address has no memory.
    pub const ADDRESSING: u16 = 0x05;
    /// An operand is not as the instruction wants it.
    pub const SPECIFICATION: u16 = 0x06;
    /// A control block of an I/O instruction is not as it should be.
    pub const OPERAND: u16 = 0x15;
}

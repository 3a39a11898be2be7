//! What an s390x guest asks of its machine.

mod ipl;

use std::sync::{Arc, Mutex, PoisonError};

use triarch_arch::GuestRam;
use triarch_arch::s390x::{Answer, Call, IplAccess, ipl_response, program};
use triarch_devices::{Diag288, Sclp};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

use crate::channel::{Channel, absent, not_notified};
use ipl::IplBlock;

/// Raises the service signal with a parameter.
pub type Signal = Box<dyn Fn(u32) + Send + Sync>;

/// An operand of the guest that is not all in its RAM.
struct NoMemory;

/// Carries out the calls of a machine's vCPUs.
pub struct Calls {
    sclp: Arc<Mutex<Sclp>>,
    ram: GuestRam,
    signal: Signal,
    ipl: Mutex<Option<IplBlock>>,
    channel: Option<Channel>,
    watchdog: Option<Arc<Mutex<Diag288>>>,
}

impl Calls {
    /// Calls go to `sclp`, whose control blocks are in `ram`; a completed one is told of by `signal`. I/O instructions go to
    /// `channel`, if there is one.
    pub fn new(sclp: Arc<Mutex<Sclp>>, ram: GuestRam, signal: Signal, channel: Option<Channel>) -> Self {
        Calls { sclp, ram, signal, ipl: Mutex::new(None), channel, watchdog: None }
    }

    /// The machine has this watchdog.
    pub fn set_watchdog(&mut self, watchdog: Arc<Mutex<Diag288>>) {
        self.watchdog = Some(watchdog);
    }

    /// Carries out a call of a vCPU.
    pub fn serve(&self, call: &Call) -> Answer {
        match call {
            Call::ServiceCall { command, sccb } => self.service_call(*command, *sccb),
            Call::IplBlock { access, address, response } => match self.ipl_block(*access, *address) {
                Ok(code) => Answer { cc: None, gprs: vec![(*response, code)], ..Answer::default() },
                Err(NoMemory) => Answer::program(program::ADDRESSING),
            },
            Call::Watchdog { function, timeout, action } => self.watchdog(*function, *timeout, *action),
            Call::Io(call) => self.channel.as_ref().map_or_else(|| absent(call), |channel| channel.io(call)),
            Call::Notify { id, queue } => {
                self.channel.as_ref().map_or_else(not_notified, |channel| channel.notify(*id, *queue))
            }
        }
    }

    /// DIAGNOSE 288. Without a watchdog, there is no such function.
    fn watchdog(&self, function: u64, timeout: u64, action: u64) -> Answer {
        let taken = self.watchdog.as_ref().is_some_and(|watchdog| {
            let mut watchdog = watchdog.lock().unwrap_or_else(PoisonError::into_inner);
            watchdog.diagnose(function, timeout, action)
        });
        if taken { Answer::done() } else { Answer::program(program::SPECIFICATION) }
    }

    /// DIAGNOSE 308: sets or stores the IPL parameter block. Returns the response code.
    fn ipl_block(&self, access: IplAccess, address: u64) -> Result<u64, NoMemory> {
        let at = GuestAddress(address);
        if !self.ram.check_range(at, IplBlock::PAGE) {
            return Err(NoMemory);
        }
        let mut kept = self.ipl.lock().unwrap_or_else(PoisonError::into_inner);
        match access {
            IplAccess::Set => {
                let mut page = [0; IplBlock::PAGE];
                self.ram.read_slice(&mut page, at).map_err(|_| NoMemory)?;
                let Some(block) = IplBlock::new(&page) else { return Ok(ipl_response::INVALID_BLOCK) };
                *kept = Some(block);
                Ok(ipl_response::OK)
            }
            IplAccess::Store => {
                let Some(block) = &*kept else { return Ok(ipl_response::NO_BLOCK) };
                self.ram.write_slice(block.bytes(), at).map_err(|_| NoMemory)?;
                Ok(ipl_response::OK)
            }
        }
    }

    /// SERVICE CALL: the control block goes to the SCLP and comes back with its answer.
    fn service_call(&self, command: u32, address: u64) -> Answer {
        /// The least that a control block has: its header.
        const HEADER: usize = 8;
        let mut header = [0; HEADER];
        let (at, Ok(parameter)) = (GuestAddress(address), u32::try_from(address)) else {
            return Answer::program(program::SPECIFICATION);
        };
        if self.ram.read_slice(&mut header, at).is_err() {
            return Answer::program(program::ADDRESSING);
        }
        let length = usize::from(u16::from_be_bytes([header[0], header[1]]));
        if length < HEADER {
            return Answer::program(program::SPECIFICATION);
        }
        let mut sccb = vec![0; length];
        if !self.ram.check_range(at, length) || self.ram.read_slice(&mut sccb, at).is_err() {
            return Answer::program(program::ADDRESSING);
        }
        // Another vCPU may have written to the block meanwhile. What counts is the length that was read first.
        sccb[..HEADER].copy_from_slice(&header);

        let mut sclp = self.sclp.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(parameter) = sclp.service_call(command, parameter, &mut sccb) else {
            return Answer::cc(3);
        };
        if self.ram.write_slice(&sccb, at).is_err() {
            return Answer::program(program::ADDRESSING);
        }
        // Under the SCLP's lock: what it signals of its own accord comes after what it has just answered.
        (self.signal)(parameter);
        Answer::cc(0)
    }
}

#[cfg(test)]
mod tests {
    use triarch_arch::s390x::{IoCall, IoInstruction, Operand};
    use triarch_devices::{Effect, SclpConfig, Sink};

    use crate::wake::Wake;
    use crate::watchdog::{Bell, Deadline};

    use super::*;

    const READ_SCP_INFO: u32 = 0x0002_0001;
    const WRITE_EVENT_DATA: u32 = 0x0076_0005;
    const RAM_SIZE: u64 = 1 << 20;

    struct Nowhere;

    impl Sink for Nowhere {
        fn put(&mut self, _: &[u8]) {}

        fn echo(&mut self, _: &[u8]) {}
    }

    /// Calls on 1 MiB of RAM, and what has been signalled: each parameter with the response code that was in RAM at that time.
    struct Fixture {
        calls: Calls,
        ram: GuestRam,
        signals: Arc<Mutex<Vec<(u32, u16)>>>,
    }

    impl Fixture {
        fn new() -> Self {
            let config = SclpConfig { cpus: 3, memory: RAM_SIZE };
            let sclp = Sclp::new(config, Box::new(|_| ()), Box::new(Nowhere), Box::new(|| ()));
            let ram = GuestRam::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
            let signals = Arc::new(Mutex::new(Vec::new()));
            let (raised, seen) = (signals.clone(), ram.clone());
            let signal = Box::new(move |parameter: u32| {
                let mut response = [0; 2];
                seen.read_slice(&mut response, GuestAddress(u64::from(parameter & !7) + 6)).unwrap();
                raised.lock().unwrap().push((parameter, u16::from_be_bytes(response)));
            });
            let calls = Calls::new(Arc::new(Mutex::new(sclp)), ram.clone(), signal, None);
            Fixture { calls, ram, signals }
        }

        /// Writes a block's header and calls.
        fn call(&self, command: u32, sccb: u64, length: u16) -> Answer {
            let [high, low] = length.to_be_bytes();
            let header = [high, low, 0, 0, 0, 0x80, 0, 0];
            // What does not fit into RAM is what some tests are about.
            let _ = self.ram.write(&header, GuestAddress(sccb));
            self.calls.serve(&Call::ServiceCall { command, sccb })
        }

        fn signals(&self) -> Vec<(u32, u16)> {
            std::mem::take(&mut self.signals.lock().unwrap())
        }
    }

    #[test]
    fn the_answer_is_in_ram_before_the_signal() {
        let fixture = Fixture::new();
        assert_eq!(fixture.call(READ_SCP_INFO, 0x9000, 4096), Answer::cc(0));
        assert_eq!(fixture.signals(), [(0x9000, 0x0010)]);
        let mut cpus = [0; 2];
        fixture.ram.read_slice(&mut cpus, GuestAddress(0x9010)).unwrap();
        assert_eq!(cpus, [0, 3]);
    }

    #[test]
    fn a_block_may_end_where_ram_ends() {
        let fixture = Fixture::new();
        assert_eq!(fixture.call(READ_SCP_INFO, RAM_SIZE - 4096, 4096), Answer::cc(0));
        assert_eq!(fixture.signals(), [(0x000f_f000, 0x0010)]);
        // The longest block that a length field can tell of.
        assert_eq!(fixture.call(READ_SCP_INFO, 0x9000, 0xffff), Answer::cc(0));
        assert_eq!(fixture.signals(), [(0x9000, 0x0010)]);
    }

    #[test]
    fn a_block_outside_ram_is_an_addressing_exception() {
        let fixture = Fixture::new();
        for (sccb, length) in
            [(RAM_SIZE, 8), (RAM_SIZE - 8, 16), (RAM_SIZE - 4096, 4104), (0x7fff_fff8, 0xffff)]
        {
            assert_eq!(fixture.call(READ_SCP_INFO, sccb, length), Answer::program(5), "{sccb:#x}+{length}");
        }
        assert_eq!(fixture.signals(), []);
    }

    #[test]
    fn a_block_shorter_than_its_header_is_a_specification_exception() {
        let fixture = Fixture::new();
        for length in 0..8 {
            assert_eq!(fixture.call(READ_SCP_INFO, 0x9000, length), Answer::program(6), "{length}");
        }
        assert_eq!(fixture.signals(), []);
    }

    #[test]
    fn without_a_channel_subsystem_there_are_no_devices() {
        let fixture = Fixture::new();
        let call = IoCall {
            instruction: IoInstruction::StoreSubchannel,
            register1: 0x1_0000,
            register2: 0,
            operand: Operand { address: 0x8000, access_register: 0 },
            block: Vec::new(),
        };
        assert_eq!(fixture.calls.serve(&Call::Io(call)), Answer::cc(3));
        let refused = Answer { gprs: vec![(2, 0xffff_ffff_ffff_ffea)], ..Answer::done() };
        assert_eq!(fixture.calls.serve(&Call::Notify { id: 0x1_0000, queue: 0 }), refused);
    }

    #[test]
    fn what_the_sclp_refuses_is_signalled_too() {
        let fixture = Fixture::new();
        assert_eq!(fixture.call(0x0040_0005, 0x9000, 64), Answer::cc(0));
        assert_eq!(fixture.signals(), [(0x9000, 0x01f0)]);
        assert_eq!(fixture.call(WRITE_EVENT_DATA, 0x9ff8, 64), Answer::cc(0));
        assert_eq!(fixture.signals(), [(0x9ff8, 0x0100)]);
    }

    #[test]
    fn a_watchdog_is_there_or_not() {
        let mut fixture = Fixture::new();
        let start = Call::Watchdog { function: 0, timeout: 15, action: 0 };
        assert_eq!(fixture.calls.serve(&start), Answer::program(6));
        let deadline = Deadline::new(Arc::new(Wake::new().unwrap()));
        let watchdog = Diag288::new(Box::new(Bell(deadline)), Effect::Reset);
        fixture.calls.set_watchdog(Arc::new(Mutex::new(watchdog)));
        assert_eq!(fixture.calls.serve(&start), Answer::done());
        let short = Call::Watchdog { function: 0, timeout: 14, action: 0 };
        assert_eq!(fixture.calls.serve(&short), Answer::program(6));
    }

    #[test]
    fn an_ipl_block_is_kept() {
        let fixture = Fixture::new();
        let call = |access, address| {
            let answer = fixture.calls.serve(&Call::IplBlock { access, address, response: 3 });
            assert_eq!((answer.cc, answer.program, &answer.store), (None, None, &None));
            answer.gprs
        };
        let ram = &fixture.ram;
        let (set, store) = (IplAccess::Set, IplAccess::Store);
        assert_eq!(call(store, 0x9000), [(3, 0x102)], "there is none at first");
        assert_eq!(call(set, 0x9000), [(3, 0x402)], "zeros are none");
        let block = [0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0x12, 0x34];
        ram.write_slice(&block, GuestAddress(0x9000)).unwrap();
        assert_eq!(call(set, 0x9000), [(3, 1)]);
        ram.write_slice(&[0xff; 32], GuestAddress(RAM_SIZE - 4096)).unwrap();
        assert_eq!(call(set, RAM_SIZE - 4096), [(3, 0x402)]);
        assert_eq!(call(store, RAM_SIZE - 4096), [(3, 1)], "what is not valid does not replace it");
        let mut stored = [0; 32];
        ram.read_slice(&mut stored, GuestAddress(RAM_SIZE - 4096)).unwrap();
        assert_eq!(stored, [block, [0xff; 16]].concat()[..], "no byte behind it is written");
    }

    #[test]
    fn an_ipl_block_outside_ram_is_an_addressing_exception() {
        let fixture = Fixture::new();
        for address in [RAM_SIZE, 1 << 40, !0xfff] {
            for access in [IplAccess::Set, IplAccess::Store] {
                let answer = fixture.calls.serve(&Call::IplBlock { access, address, response: 3 });
                assert_eq!(answer, Answer::program(5), "{address:#x}");
            }
        }
    }
}

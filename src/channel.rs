//! The channel subsystem, as an s390x machine's vCPUs reach it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use triarch_arch::s390x::{Answer, IoCall, IoInstruction, Store, program};
use triarch_devices::css::{Css, Operand};
use triarch_devices::virtio::VirtioCcw;

/// Condition code for what is not there.
const NOT_OPERATIONAL: u8 = 3;

/// A machine's channel subsystem.
#[derive(Clone)]
pub struct Channel {
    css: Arc<Mutex<Css>>,
}

impl Channel {
    /// With the subchannels that `css` has, or gets.
    pub const fn new(css: Arc<Mutex<Css>>) -> Self {
        Channel { css }
    }

    fn css(&self) -> MutexGuard<'_, Css> {
        self.css.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out an instruction.
    pub fn io(&self, call: &IoCall) -> Answer {
        self.carry_out(call).unwrap_or_else(|Operand| Answer::program(program::OPERAND))
    }

    fn carry_out(&self, call: &IoCall) -> Result<Answer, Operand> {
        let (id, mut css) = (call.register1, self.css());
        let cc = match call.instruction {
            IoInstruction::StoreSubchannel => {
                let (cc, schib) = css.stsch(id)?;
                return Ok(stored(call, Some(cc), schib));
            }
            IoInstruction::TestSubchannel => {
                let (cc, irb) = css.tsch(id)?;
                return Ok(stored(call, Some(cc), irb));
            }
            IoInstruction::StoreChannelReportWord => {
                let (cc, word) = css.stcrw();
                return Ok(stored(call, Some(cc), Some(word)));
            }
            IoInstruction::StoreChannelPathStatus => return Ok(stored(call, None, Some(css.stcps()))),
            IoInstruction::ChannelSubsystemCall => {
                let (at, bytes) = css.chsc(block(call)?)?;
                return Ok(stored_behind(call, at, bytes));
            }
            IoInstruction::SetAddressLimit => return css.sal(id).map(|()| Answer::done()),
            IoInstruction::SetChannelMonitor => {
                return css.schm(id, call.register2).map(|()| Answer::done());
            }
            IoInstruction::ModifySubchannel => css.msch(id, block(call)?)?,
            IoInstruction::StartSubchannel => css.ssch(id, block(call)?)?,
            IoInstruction::CancelSubchannel => css.xsch(id)?,
            IoInstruction::ClearSubchannel => css.csch(id)?,
            IoInstruction::HaltSubchannel => css.hsch(id)?,
            IoInstruction::ResumeSubchannel => css.rsch(id)?,
            IoInstruction::ResetChannelPath => css.rchp(id)?,
        };
        Ok(Answer::cc(cc))
    }

    /// Notifies a virtio device of a queue that KVM does not watch.
    pub fn notify(&self, id: u32, queue: u64) -> Answer {
        let [set, one, high, low] = id.to_be_bytes();
        let number = ((set, one) == (0, 1)).then_some(u16::from_be_bytes([high, low]));
        let mut css = self.css();
        let unit: Option<&mut dyn Any> = number.and_then(|number| css.unit(number)).map(|unit| unit as _);
        let core = unit.and_then(|unit| unit.downcast_mut::<VirtioCcw>()).map(VirtioCcw::core);
        match (core, u32::try_from(queue)) {
            (Some(core), Ok(queue)) if queue < u32::from(core.queue_count()) => {
                core.ring(queue);
                notified(0)
            }
            _ => not_notified(),
        }
    }
}

/// What the answers are in a machine without a channel subsystem.
pub fn absent(call: &IoCall) -> Answer {
    match call.instruction {
        IoInstruction::SetAddressLimit | IoInstruction::SetChannelMonitor => Answer::done(),
        // There is none.
        IoInstruction::StoreChannelReportWord => stored(call, Some(1), Some([0; 4])),
        // No path is active.
        IoInstruction::StoreChannelPathStatus => stored(call, None, Some([0; 32])),
        _ => Answer::cc(NOT_OPERATIONAL),
    }
}

/// The answer to a notification of a device or queue that is not there: -EINVAL.
pub fn not_notified() -> Answer {
    notified(22u64.wrapping_neg())
}

fn notified(result: u64) -> Answer {
    Answer { gprs: vec![(2, result)], ..Answer::done() }
}

/// The block that an instruction has read.
fn block<const N: usize>(call: &IoCall) -> Result<&[u8; N], Operand> {
    call.block.as_slice().try_into().map_err(|_| Operand)
}

/// An answer with bytes for the operand, if there are any.
fn stored<const N: usize>(call: &IoCall, cc: Option<u8>, bytes: Option<[u8; N]>) -> Answer {
    let store = bytes.map(|bytes| Store {
        address: call.operand.address,
        access_register: call.operand.access_register,
        bytes: bytes.to_vec(),
    });
    Answer { cc, store, ..Answer::default() }
}

/// An answer with bytes for a place in the operand's page.
fn stored_behind(call: &IoCall, at: usize, bytes: Vec<u8>) -> Answer {
    // Less than a page.
    let at = u64::try_from(at).unwrap_or_default();
    let (address, access_register) = (call.operand.address + at, call.operand.access_register);
    Answer { store: Some(Store { address, access_register, bytes }), ..Answer::default() }
}

#[cfg(test)]
mod tests {
    use std::io;

    use triarch_arch::GuestRam;
    use triarch_arch::s390x::{Access, Operand as Place};
    use triarch_devices::Trigger;
    use triarch_devices::css::{
        Attention, CHSC_REQUEST_SIZE, Floating, IRB_SIZE, Interruption, ORB_SIZE, SCHIB_SIZE,
    };
    use triarch_devices::nothing_to_save;
    use triarch_devices::virtio::{AdapterRoute, AdapterRoutes, CcwWiring, Queue, Rng, Worker};
    use vm_memory::{Bytes, GuestAddress};

    use super::*;

    struct Nobody;

    nothing_to_save!(Nobody, "test");

    impl Floating for Nobody {
        fn pend(&self, _: Interruption) {}
        fn withdraw(&self, _: u32) {}
        fn report(&self) {}
    }

    impl AdapterRoutes for Nobody {
        fn set(&self, _: Option<&AdapterRoute>) -> Vec<Box<dyn Trigger>> {
            Vec::new()
        }
    }

    impl Worker for Nobody {
        fn start(&mut self, _: u64, _: Vec<Option<Queue>>) -> io::Result<()> {
            Ok(())
        }
        fn stop(&mut self) -> Vec<Queue> {
            Vec::new()
        }

        fn reset(&mut self) {}
    }

    fn ram() -> GuestRam {
        GuestRam::from_ranges(&[(GuestAddress(0), 1 << 16)]).unwrap()
    }

    /// With an entropy device, 0.0.0001 at subchannel 0.
    fn channel(ram: &GuestRam) -> Channel {
        let floating = Arc::new(Nobody);
        let attention = Arc::new(Attention::new(0, floating.clone()));
        let wiring =
            CcwWiring { attention: attention.clone(), floating: floating.clone(), routes: Box::new(Nobody) };
        let unit = VirtioCcw::new(Box::new(Rng), Box::new(Nobody), ram.clone(), wiring).unwrap();
        let mut css = Css::new(ram.clone(), floating);
        css.add(1, Box::new(unit), attention).unwrap();
        Channel::new(Arc::new(Mutex::new(css)))
    }

    fn call(instruction: IoInstruction, register1: u64, block: &[u8]) -> IoCall {
        let operand = Place { address: 0x8000, access_register: 5 };
        IoCall { instruction, register1, register2: 0, operand, block: block.to_vec() }
    }

    fn store(address: u64, bytes: &[u8]) -> Option<Store> {
        Some(Store { address, access_register: 5, bytes: bytes.to_vec() })
    }

    #[test]
    fn operands_have_the_size_of_their_blocks() {
        let sizes = [
            (IoInstruction::ModifySubchannel, Access::Read(SCHIB_SIZE)),
            (IoInstruction::StartSubchannel, Access::Read(ORB_SIZE)),
            (IoInstruction::ChannelSubsystemCall, Access::Read(CHSC_REQUEST_SIZE)),
            (IoInstruction::StoreSubchannel, Access::Store(SCHIB_SIZE)),
            (IoInstruction::TestSubchannel, Access::Store(IRB_SIZE)),
        ];
        for (instruction, access) in sizes {
            assert_eq!(instruction.access(), access);
        }
    }

    #[test]
    fn a_device_is_identified() {
        let ram = ram();
        let channel = channel(&ram);
        let io = |instruction, block: &[u8]| channel.io(&call(instruction, 0x1_0000, block));
        let Answer { cc: Some(0), store: Some(found), .. } = io(IoInstruction::StoreSubchannel, &[]) else {
            panic!("there is a subchannel")
        };
        assert_eq!((found.address, found.access_register), (0x8000, 5));
        let mut schib = found.bytes;
        assert_eq!(schib[4..8], [0, 1, 0, 1]);
        schib[5] |= 0x80;
        assert_eq!(io(IoInstruction::ModifySubchannel, &schib), Answer::cc(0));
        // SENSE ID
        ram.write_slice(&[0xe4, 0, 0, 7, 0, 0, 0x30, 0], GuestAddress(0x2000)).unwrap();
        let orb = [0, 0, 0, 0, 0, 0x80, 0xff, 0, 0, 0, 0x20, 0];
        assert_eq!(io(IoInstruction::StartSubchannel, &orb), Answer::cc(0));
        let mut irb = [0; 64];
        irb[..12].copy_from_slice(&[0, 0x80, 0x40, 0x07, 0, 0, 0x20, 0x08, 0x0c, 0, 0, 0]);
        irb[13] = 0x80;
        let tested = Answer { store: store(0x8000, &irb), ..Answer::cc(0) };
        assert_eq!(io(IoInstruction::TestSubchannel, &[]), tested);
        let tested = Answer { store: store(0x8000, &[0; 64]), ..Answer::cc(1) };
        assert_eq!(io(IoInstruction::TestSubchannel, &[]), tested);
        let mut identity = [0; 7];
        ram.read_slice(&mut identity, GuestAddress(0x3000)).unwrap();
        assert_eq!(identity, [0xff, 0x38, 0x32, 4, 0, 0, 0]);
    }

    #[test]
    fn other_instructions_are_answered() {
        let channel = channel(&ram());
        let io = |instruction| channel.io(&call(instruction, 0x1_0000, &[]));
        for instruction in [
            IoInstruction::CancelSubchannel,
            IoInstruction::ClearSubchannel,
            IoInstruction::HaltSubchannel,
            IoInstruction::ResumeSubchannel,
        ] {
            assert_eq!(io(instruction), Answer::cc(3), "the subchannel is not enabled");
        }
        assert_eq!(io(IoInstruction::SetChannelMonitor), Answer::program(0x15));
        assert_eq!(io(IoInstruction::ResetChannelPath), Answer::program(0x15));
        assert_eq!(io(IoInstruction::SetAddressLimit), Answer::done());
        let paths = Answer { store: store(0x8000, &[0; 32]), ..Answer::done() };
        assert_eq!(io(IoInstruction::StoreChannelPathStatus), paths);
        let reset = channel.io(&call(IoInstruction::ResetChannelPath, 0, &[]));
        let word = Answer { store: store(0x8000, &[4, 2, 0, 0]), ..Answer::cc(0) };
        assert_eq!((reset, io(IoInstruction::StoreChannelReportWord)), (Answer::cc(0), word));
        // No event, behind the request.
        let request = [0, 32, 0, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let response = Answer { store: store(0x8020, &[0, 8, 0, 5, 0, 0, 0, 0]), ..Answer::cc(0) };
        assert_eq!(channel.io(&call(IoInstruction::ChannelSubsystemCall, 0, &request)), response);
    }

    #[test]
    fn queues_are_notified() {
        let channel = channel(&ram());
        let doorbell = {
            let mut css = channel.css();
            let unit: &mut dyn Any = css.unit(0).unwrap();
            unit.downcast_mut::<VirtioCcw>().unwrap().core().doorbells()[0].clone()
        };
        assert_eq!(channel.notify(0x1_0000, 0), Answer { gprs: vec![(2, 0)], ..Answer::done() });
        assert_eq!(doorbell.read().unwrap(), 1);
        let refused = Answer { gprs: vec![(2, 0xffff_ffff_ffff_ffea)], ..Answer::done() };
        for (id, queue) in [(0x1_0000, 1), (0x1_0000, 1 << 32), (0x1_0001, 0), (0, 0), (0x3_0000, 0)] {
            assert_eq!(channel.notify(id, queue), refused);
        }
    }

    #[test]
    fn a_machine_without_a_channel_subsystem() {
        let absent = |instruction| super::absent(&call(instruction, 0x1_0000, &[]));
        assert_eq!(absent(IoInstruction::StoreSubchannel), Answer::cc(3));
        assert_eq!(absent(IoInstruction::TestSubchannel), Answer::cc(3));
        assert_eq!(absent(IoInstruction::ChannelSubsystemCall), Answer::cc(3));
        assert_eq!(absent(IoInstruction::SetChannelMonitor), Answer::done());
        assert_eq!(absent(IoInstruction::SetAddressLimit), Answer::done());
        let word = Answer { store: store(0x8000, &[0; 4]), ..Answer::cc(1) };
        assert_eq!(absent(IoInstruction::StoreChannelReportWord), word);
        let paths = Answer { store: store(0x8000, &[0; 32]), ..Answer::done() };
        assert_eq!(absent(IoInstruction::StoreChannelPathStatus), paths);
    }
}

//! Literal instructions, and what they come to.

use super::super::{Access, IoInstruction};
use super::*;
use crate::s390x::call::IplAccess;

/// The PSW of a Linux kernel with interruptions enabled.
const SUPERVISOR: Psw = Psw { mask: 0x0704_0001_8000_0000, addr: 0x10_0004 };

/// An intercepted instruction; its bytes are padded with zeros, as KVM does.
fn text(bytes: &[u8], gprs: &[(usize, u64)]) -> Intercept {
    let mut padded = [0; 6];
    padded[..bytes.len()].copy_from_slice(bytes);
    let [a, b, c, d, e, f] = padded;
    let mut intercept = Intercept {
        code: 4,
        ipa: u16::from_be_bytes([a, b]),
        ipb: u32::from_be_bytes([c, d, e, f]),
        psw: SUPERVISOR,
        gprs: [0; 16],
        prefix: 0x7_e000,
    };
    for (number, value) in gprs {
        intercept.gprs[*number] = *value;
    }
    intercept
}

fn answer(cc: Option<u8>, gprs: &[(u8, u64)]) -> Action {
    Action::Complete(Answer { cc, gprs: gprs.to_vec(), ..Answer::default() })
}

fn specification() -> Action {
    Action::program(6)
}

#[test]
fn every_known_instruction_is_privileged() {
    let texts: [&[u8]; 7] = [
        &[0xb2, 0x20, 0x00, 0x12],
        &[0x83, 0x24, 0x03, 0x08],
        &[0xae, 0x13, 0x00, 0x06],
        &[0xb2, 0x34, 0x10, 0x00],
        &[0xb2, 0x5f, 0x00, 0x10],
        &[0xb2, 0x35, 0x10, 0x00],
        &[0xb9, 0xa2, 0x00, 0x10],
    ];
    for bytes in texts {
        let mut intercept = text(bytes, &[]);
        intercept.psw.mask |= 1 << 48;
        assert_eq!(decode(&intercept), Action::program(2), "{bytes:02x?}");
    }
}

#[test]
fn what_does_not_exist_is_an_operation_exception_in_either_state() {
    for bytes in [[0xb2, 0xff, 0, 0], [0xb9, 0xff, 0, 0], [0x00, 0x00, 0, 0], [0xb2, 0x3d, 0, 0]] {
        let mut intercept = text(&bytes, &[]);
        assert_eq!(decode(&intercept), Action::program(1), "{bytes:02x?}");
        intercept.psw.mask |= 1 << 48;
        assert_eq!(decode(&intercept), Action::program(1), "{bytes:02x?}");
    }
}

#[test]
fn service_call() {
    // servc %r1,%r2
    let call = |command, sccb| decode(&text(&[0xb2, 0x20, 0x00, 0x12], &[(1, command), (2, sccb)]));
    let read_scp_info = Action::Call(Call::ServiceCall { command: 0x0012_0001, sccb: 0x9000 });
    assert_eq!(call(0x0012_0001, 0x9000), read_scp_info);
    assert_eq!(call(0xffff_ffff_0012_0001, 0x9000), read_scp_info, "32 bits of the command count");
    let highest = Action::Call(Call::ServiceCall { command: 1, sccb: 0x7fff_f000 });
    assert_eq!(call(1, 0x7fff_f000), highest);
    // Unaligned; in low core; in the prefix area; beyond 2 GiB.
    for sccb in [0x9004, 0, 0x1ff8, 0x7_e000, 0x7_f000, 0x8000_0000, 0x1_0000_9000] {
        assert_eq!(call(1, sccb), specification(), "{sccb:#x}");
    }
}

/// What an I/O instruction is decoded to; its text, and general registers 1, 2 and one more.
fn io(bytes: [u8; 4], gpr: (usize, u64)) -> Action {
    decode(&text(&bytes, &[(1, 0xaaaa_0001_0007), (2, 0xbbbb), gpr]))
}

fn io_call(instruction: IoInstruction, address: u64, access_register: u8) -> Action {
    Action::Call(Call::Io(IoCall {
        instruction,
        register1: 0xaaaa_0001_0007,
        register2: 0xbbbb,
        operand: Operand { address, access_register },
        block: Vec::new(),
    }))
}

#[test]
fn instructions_with_an_operand_in_memory() {
    let cases = [
        // msch, ssch, stsch, tsch, stcrw 164(%r11); stcps
        (0x32, IoInstruction::ModifySubchannel, Access::Read(52), 4),
        (0x33, IoInstruction::StartSubchannel, Access::Read(12), 4),
        (0x34, IoInstruction::StoreSubchannel, Access::Store(52), 4),
        (0x35, IoInstruction::TestSubchannel, Access::Store(64), 4),
        (0x39, IoInstruction::StoreChannelReportWord, Access::Store(4), 4),
        (0x3a, IoInstruction::StoreChannelPathStatus, Access::Store(32), 32),
    ];
    for (opcode, instruction, access, alignment) in cases {
        assert_eq!(instruction.access(), access);
        let at = |base: u64| io([0xb2, opcode, 0xb0, 0xa0], (11, base));
        assert_eq!(at(0x9000), io_call(instruction, 0x90a0, 11), "{opcode:#x}");
        assert_eq!(at(0x9000 + alignment), io_call(instruction, 0x90a0 + alignment, 11));
        for unaligned in [1, alignment / 2, alignment - 1] {
            assert_eq!(at(0x9000 + unaligned), specification(), "{opcode:#x}, {unaligned}");
        }
    }
    // No base register: the displacement is the address.
    let stsch = io_call(IoInstruction::StoreSubchannel, 0x20, 0);
    assert_eq!(io([0xb2, 0x34, 0x00, 0x20], (0, 0x9000)), stsch);
    // chsc %r3: the register has the address of a page.
    let chsc = |address| io([0xb2, 0x5f, 0x00, 0x30], (3, address));
    assert_eq!(IoInstruction::ChannelSubsystemCall.access(), Access::Read(16));
    assert_eq!(chsc(0x9000), io_call(IoInstruction::ChannelSubsystemCall, 0x9000, 3));
    assert_eq!(chsc(0x9800), specification());
}

#[test]
fn instructions_without_an_operand_in_memory() {
    let cases = [
        (0x30, IoInstruction::ClearSubchannel),
        (0x31, IoInstruction::HaltSubchannel),
        (0x37, IoInstruction::SetAddressLimit),
        (0x38, IoInstruction::ResumeSubchannel),
        (0x3b, IoInstruction::ResetChannelPath),
        (0x3c, IoInstruction::SetChannelMonitor),
        (0x76, IoInstruction::CancelSubchannel),
    ];
    for (opcode, instruction) in cases {
        assert_eq!(instruction.access(), Access::None);
        assert_eq!(io([0xb2, opcode, 0, 0], (0, 1)), io_call(instruction, 0, 0), "{opcode:#x}");
    }
    // tpi 0: KVM knows better. siga: no adapter.
    assert_eq!(io([0xb2, 0x36, 0, 0], (0, 0)), Action::cc(0));
    assert_eq!(io([0xb2, 0x74, 0, 0], (0, 0)), Action::cc(3));
}

#[test]
fn addresses_wrap_by_the_addressing_mode() {
    let mut intercept = text(&[0xb2, 0x3a, 0x10, 0x20], &[(1, 0xffff_ffff_ffff_fff0)]);
    let at = |intercept: &Intercept| Instruction::new(intercept).s();
    assert_eq!(at(&intercept), (0x10, 1));
    intercept.gprs[1] = 0x1_8000_0000;
    assert_eq!(at(&intercept), (0x1_8000_0020, 1));
    intercept.psw.mask = 0x8000_0000;
    assert_eq!(at(&intercept), (0x20, 1));
    intercept.gprs[1] = 0x7f12_3456;
    intercept.psw.mask = 0;
    assert_eq!(at(&intercept), (0x12_3476, 1));
    intercept.ipb = 0x1fff_0000;
    assert_eq!(at(&intercept), (0x12_4455, 1));
}

#[test]
fn topology_is_horizontal() {
    // ptf %r1
    let ptf = |function| decode(&text(&[0xb9, 0xa2, 0x00, 0x10], &[(1, function)]));
    assert_eq!(ptf(0), answer(Some(2), &[(1, 0x100)]));
    assert_eq!(ptf(1), answer(Some(2), &[(1, 1)]));
    assert_eq!(ptf(2), answer(Some(0), &[]));
    for function in [3, 0x100, 1 << 63] {
        assert_eq!(ptf(function), specification(), "{function:#x}");
    }
}

#[test]
fn initial_program_load() {
    // diag %r2,%r4,0x308
    let ipl =
        |subcode, address| decode(&text(&[0x83, 0x24, 0x03, 0x08], &[(2, address), (3, 7), (4, subcode)]));
    assert_eq!(ipl(0, 0), Action::SubsystemReset(SubsystemReset::Clear));
    assert_eq!(ipl(1, 0), Action::SubsystemReset(SubsystemReset::LoadNormal));
    for subcode in [3, 4] {
        assert_eq!(ipl(subcode, 0), Action::Reset, "{subcode}");
    }
    let block = |access| Action::Call(Call::IplBlock { access, address: 0x9000, response: 3 });
    assert_eq!(ipl(5, 0x9000), block(IplAccess::Set));
    assert_eq!(ipl(6, 0x9000), block(IplAccess::Store));
    assert_eq!(ipl(5, 0x9008), specification());
    assert_eq!(ipl(6, 0x9008), specification(), "the block has a page of its own");
    for subcode in [2, 7, 8, 10, 1 << 32] {
        assert_eq!(ipl(subcode, 0x9000), specification(), "{subcode}");
    }
    // diag %r3,%r4,0x308: the response has no register.
    assert_eq!(decode(&text(&[0x83, 0x34, 0x03, 0x08], &[(4, 6)])), specification());
}

#[test]
fn hypercalls() {
    // diag %r2,%r4,0x500
    let hypercall = |subcode| {
        decode(&text(&[0x83, 0x24, 0x05, 0x00], &[(1, subcode), (2, 0xaaaa_0001_0007), (3, 0x1_0000_0002)]))
    };
    assert_eq!(hypercall(3), Action::Call(Call::Notify { id: 0x1_0007, queue: 0x1_0000_0002 }));
    for subcode in [0, 1, 2, 4] {
        assert_eq!(hypercall(subcode), specification(), "{subcode}");
    }
}

#[test]
fn a_watchdog() {
    // diag %r2,%r4,0x288
    let registers = [(2, 1 << 32), (3, 15), (4, 7)];
    let call = Call::Watchdog { function: 1 << 32, timeout: 15, action: 7 };
    assert_eq!(decode(&text(&[0x83, 0x24, 0x02, 0x88], &registers)), Action::Call(call));
    // diag %r3,%r4,0x288: the time has no register.
    assert_eq!(decode(&text(&[0x83, 0x34, 0x02, 0x88], &registers)), specification());
}

#[test]
fn other_diagnose_codes_do_not_exist() {
    for code in [0x204u16, 0x224, 0x260, 0x2c4, 0x318, 0x320, 0x501] {
        let [high, low] = code.to_be_bytes();
        assert_eq!(decode(&text(&[0x83, 0x24, high, low], &[])), specification(), "{code:#x}");
    }
    // diag %r2,%r4,8(%r5): the code is the sum.
    assert_eq!(decode(&text(&[0x83, 0x24, 0x50, 0x08], &[(5, 0x300), (4, 3)])), Action::Reset);
}

#[test]
fn signals() {
    // sigp %r1,%r3,ORDER(%r0)
    let sigp = |order| {
        decode(&text(&[0xae, 0x13, 0x00, order], &[(1, 0xaaaa_bbbb_cccc_dddd), (3, 0xffff_ffff_0001_0203)]))
    };
    let orders = [
        (0x04, Order::Start),
        (0x05, Order::Stop),
        (0x06, Order::Restart),
        (0x09, Order::StopAndStoreStatus),
        (0x0b, Order::InitialCpuReset),
        (0x0c, Order::CpuReset),
    ];
    for (code, order) in orders {
        assert_eq!(sigp(code), Action::Sigp(Sigp { order, cpu: 0x203, status_register: 1 }), "{code}");
    }
    assert_eq!(sigp(0x12), answer(Some(1), &[(1, 0xaaaa_bbbb_0000_0100)]));
    assert_eq!(sigp(0x7f), answer(Some(1), &[(1, 0xaaaa_bbbb_0000_0002)]));
}

#[test]
fn states_that_end_a_run() {
    let with_code = |code| decode(&Intercept { code, ..text(&[0, 0], &[]) });
    assert_eq!(with_code(0x28), Action::Stop);
    let crashes = [
        (0x1c, "disabled wait (PSW 0704000180000000 0000000000100004)"),
        (0x08, "endless loop of program interruptions (PSW 0704000180000000 0000000000100004)"),
        (0x14, "endless loop of external interruptions (PSW 0704000180000000 0000000000100004)"),
        (0x2c, "endless loop of operation exceptions (PSW 0704000180000000 0000000000100004)"),
        (0x5c, "interception 0x5c, which KVM does not hand out (PSW 0704000180000000 0000000000100004)"),
    ];
    for (code, reason) in crashes {
        assert_eq!(with_code(code), Action::Crash { reason: reason.to_owned() }, "{code:#x}");
    }
}

#[test]
fn a_quiesced_guest_stops() {
    let mut intercept = Intercept { code: 0x1c, ..text(&[], &[]) };
    intercept.psw = Psw { mask: 0x0002_0001_8000_0000, addr: 0xfff };
    assert_eq!(decode(&intercept), Action::Stop);
    intercept.psw.addr = 0xffe;
    assert!(matches!(decode(&intercept), Action::Crash { .. }));
}

//! Where two states of a vCPU differ, in words short enough for a log.

use std::ops::Range;

use super::{Msr, VcpuState, Xcr};
use crate::ByteGroup;

/// XSTATE_BV, in an XSAVE area's header: which components are in use (SDM volume 1, 13.4.2).
pub const XSTATE_BV: Range<usize> = 512..520;

/// Adds a line for each field that differs.
macro_rules! fields {
    ($out:ident, $name:literal, $a:expr, $b:expr, $($field:ident)*) => {
        if let (Some(a), Some(b)) = ($a, $b) {
            $(if a.$field != b.$field {
                $out.push(format!("{}.{}: {:x?}, {:x?}", $name, stringify!($field), a.$field, b.$field));
            })*
        } else if $a.is_some() != $b.is_some() {
            $out.push(format!("{}: only in one", $name));
        }
    };
}

/// Names every register that is not the same in `a` and `b`, with both values. A group that only one of them has is one line.
///
/// [`XSTATE_BV`] is left out: a component that is as after reset may or may not be in use, as the processor likes (SDM volume 1,
/// 13.6), and of one that is not in use KVM gives the bytes after reset, so that the components tell all there is to tell.
pub fn differences(a: &VcpuState, b: &VcpuState) -> Vec<String> {
    let mut out = Vec::new();
    fields!(out, "regs", a.regs, b.regs, rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags);
    fields!(out, "sregs", a.sregs, b.sregs,
        cs ds es fs gs ss tr ldt gdt idt cr0 cr2 cr3 cr4 cr8 efer apic_base interrupt_bitmap);
    fields!(out, "debug", a.debug, b.debug, db dr6 dr7);
    fields!(out, "events", a.events, b.events, exception interrupt nmi smi sipi_vector triple_fault);
    let xcr = |xcr: &Xcr| (xcr.index, xcr.value);
    numbered(&mut out, "xcr", a.xcrs.as_deref(), b.xcrs.as_deref(), xcr);
    let msr = |msr: &Msr| (msr.index, msr.value);
    numbered(&mut out, "msr", a.msrs.as_deref(), b.msrs.as_deref(), msr);
    bytes(&mut out, "xsave", a.xsave.as_ref(), b.xsave.as_ref(), 8, XSTATE_BV);
    bytes(&mut out, "lapic", a.lapic.as_ref(), b.lapic.as_ref(), 4, 0..0);
    if a.mp_state != b.mp_state {
        out.push(format!("mp_state: {:?}, {:?}", a.mp_state, b.mp_state));
    }
    if a.tsc_khz != b.tsc_khz {
        out.push(format!("tsc_khz: {:?}, {:?}", a.tsc_khz, b.tsc_khz));
    }
    out
}

/// Compares registers that have numbers.
fn numbered<T>(
    out: &mut Vec<String>,
    name: &str,
    a: Option<&[T]>,
    b: Option<&[T]>,
    parts: fn(&T) -> (u32, u64),
) {
    let (Some(a), Some(b)) = (a, b) else {
        if a.is_some() != b.is_some() {
            out.push(format!("{name}: only in one"));
        }
        return;
    };
    let find = |all: &[T], index| all.iter().map(parts).find(|(i, _)| *i == index).map(|(_, value)| value);
    for (index, value) in a.iter().map(parts) {
        match find(b, index) {
            Some(other) if other == value => {}
            Some(other) => out.push(format!("{name} {index:#x}: {value:#x}, {other:#x}")),
            None => out.push(format!("{name} {index:#x}: only in the first, {value:#x}")),
        }
    }
    for (index, value) in b.iter().map(parts).filter(|(index, _)| find(a, *index).is_none()) {
        out.push(format!("{name} {index:#x}: only in the second, {value:#x}"));
    }
}

/// Compares groups of bytes, in chunks of `size`, but for those that start in `except`.
fn bytes(
    out: &mut Vec<String>,
    name: &str,
    a: Option<&ByteGroup>,
    b: Option<&ByteGroup>,
    size: usize,
    except: Range<usize>,
) {
    let (Some(a), Some(b)) = (a, b) else {
        if a.is_some() != b.is_some() {
            out.push(format!("{name}: only in one"));
        }
        return;
    };
    if a.len() != b.len() {
        out.push(format!("{name}: {} bytes, {} bytes", a.len(), b.len()));
    }
    for (at, (a, b)) in a.chunks(size).zip(b.chunks(size)).enumerate() {
        if a != b && !except.contains(&(at * size)) {
            out.push(format!("{name} {:#x}: {a:02x?}, {b:02x?}", at * size));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MpState, Regs};
    use super::*;

    #[test]
    fn only_what_differs_is_named() {
        let a = VcpuState {
            regs: Some(Regs { rip: 1, rbx: 2, ..Default::default() }),
            xsave: Some(vec![0; 576].into()),
            lapic: Some(vec![0; 64].into()),
            msrs: Some(vec![Msr { index: 0x10, value: 1 }, Msr { index: 0x11, value: 1 }]),
            mp_state: Some(MpState::Halted),
            ..Default::default()
        };
        assert_eq!(differences(&a, &a), [""; 0]);
        let mut b = a.clone();
        b.regs = Some(Regs { rip: 1, rbx: 3, ..Default::default() });
        if let (Some(xsave), Some(lapic)) = (&mut b.xsave, &mut b.lapic) {
            xsave[9] = 7;
            xsave[513] = 1;
            lapic.truncate(32);
            lapic[16] = 1;
        }
        b.msrs = Some(vec![Msr { index: 0x12, value: 5 }, Msr { index: 0x10, value: 2 }]);
        b.mp_state = None;
        b.tsc_khz = Some(1);
        assert_eq!(
            differences(&a, &b),
            [
                "regs.rbx: 2, 3",
                "msr 0x10: 0x1, 0x2",
                "msr 0x11: only in the first, 0x1",
                "msr 0x12: only in the second, 0x5",
                "xsave 0x8: [00, 00, 00, 00, 00, 00, 00, 00], [00, 07, 00, 00, 00, 00, 00, 00]",
                "lapic: 64 bytes, 32 bytes",
                "lapic 0x10: [00, 00, 00, 00], [01, 00, 00, 00]",
                "mp_state: Some(Halted), None",
                "tsc_khz: None, Some(1)",
            ]
        );
        b.regs = None;
        assert_eq!(differences(&a, &b)[0], "regs: only in one");
    }
}

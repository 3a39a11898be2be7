//! Instruction formats (PoP, "Instruction Formats").

use super::Intercept;

/// An intercepted instruction, with its operands' registers.
#[derive(Debug, Clone, Copy)]
pub struct Instruction<'a> {
    intercept: &'a Intercept,
}

impl<'a> Instruction<'a> {
    /// The instruction of an interception.
    pub fn new(intercept: &'a Intercept) -> Self {
        Instruction { intercept }
    }

    /// The interception that it was found in.
    pub fn intercept(&self) -> &'a Intercept {
        self.intercept
    }

    /// Its first two bytes. Those of the formats RRE and S are the operation code; of RS, the first is.
    pub fn opcode(&self) -> (u8, u8) {
        let [first, second] = self.intercept.ipa.to_be_bytes();
        (first, second)
    }

    /// The value of a general register, of whose number 4 bits count.
    pub fn gpr(&self, number: u8) -> u64 {
        let [low, ..] = u64::from(number & 0xf).to_le_bytes();
        self.intercept.gprs.get(usize::from(low)).copied().unwrap_or_default()
    }

    /// The right half of a general register.
    pub fn gpr32(&self, number: u8) -> u32 {
        let [.., a, b, c, d] = self.gpr(number).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// Format RRE: registers R1 and R2.
    pub fn rre(&self) -> (u8, u8) {
        let [_, registers, ..] = self.intercept.ipb.to_be_bytes();
        (registers >> 4, registers & 0xf)
    }

    /// Format RS: registers R1 and R3, and the address of the second operand.
    pub fn rs(&self) -> (u8, u8, u64) {
        let (_, registers) = self.opcode();
        (registers >> 4, registers & 0xf, self.s().0)
    }

    /// Format S: the address of the second operand, and the number of its base register, which is its access register too.
    pub fn s(&self) -> (u64, u8) {
        let [first, second, ..] = self.intercept.ipb.to_be_bytes();
        let base = first >> 4;
        let displacement = u64::from(u16::from_be_bytes([first & 0xf, second]));
        // Base 0 is no base.
        let base_address = if base == 0 { 0 } else { self.gpr(base) };
        (base_address.wrapping_add(displacement) & self.intercept.psw.address_mask(), base)
    }
}

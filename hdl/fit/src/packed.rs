//! What Yosys packed into the DSP slices of a netlist: a register or an adder that it left outside costs look-up tables.

use crate::netlist::{Bit, Netlist};

/// DSP48E1 slices that hold each of these parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// The adder before the multiplier, with the register behind it.
    pub pre_adder: usize,
    /// A register at each input of the multiplier.
    pub operands: usize,
    /// The register behind the multiplier.
    pub product: usize,
    /// The accumulator: its register, and its own output as an input of its adder.
    pub accumulator: usize,
}

/// Counts the slices of a netlist.
pub fn packed(netlist: &Netlist) -> Packed {
    let mut all = Packed::default();
    for cell in netlist.cells.values().filter(|c| c.kind == "DSP48E1") {
        let text = |name: &str| cell.parameters.get(name).and_then(|v| v.as_str());
        let has = |name: &str| text(name).is_some_and(|bits| bits.contains('1'));
        let pre_adder = text("USE_DPORT") == Some("TRUE") && has("ADREG");
        all.pre_adder += usize::from(pre_adder);
        all.operands += usize::from((has("AREG") || has("ADREG")) && has("BREG"));
        all.product += usize::from(has("MREG"));
        // Bits 6 to 4 of the operation choose what is added to the product: 010 the slice's own output, 011 port C, where the
        // zero is that clears.
        let adds = cell
            .connections
            .get("OPMODE")
            .is_some_and(|bits| bits.len() == 7 && bits[5] == Bit::One && bits[4] != Bit::One);
        all.accumulator += usize::from(has("PREG") && adds);
    }
    all
}

//! What Yosys packed into the DSP slices of a netlist: a register or an adder that it left outside costs look-up tables.

use serde::Deserialize;
use std::collections::BTreeMap;

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

#[derive(Deserialize)]
struct Design {
    modules: BTreeMap<String, Netlist>,
}

#[derive(Deserialize)]
struct Netlist {
    cells: BTreeMap<String, Cell>,
}

#[derive(Deserialize)]
struct Cell {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    parameters: BTreeMap<String, serde_json::Value>,
    connections: BTreeMap<String, Vec<serde_json::Value>>,
}

/// Counts the slices of module `top` in a netlist that `write_json` wrote; what is missing or wrong as a text.
pub fn packed(json: &[u8], top: &str) -> Result<Packed, String> {
    let design: Design =
        serde_json::from_slice(json).map_err(|e| format!("netlist in JSON ({e})"))?;
    let netlist = design
        .modules
        .get(top)
        .ok_or_else(|| format!("module {top} in the netlist"))?;
    let mut all = Packed::default();
    for cell in netlist.cells.values().filter(|c| c.kind == "DSP48E1") {
        let text = |name: &str| cell.parameters.get(name).and_then(|v| v.as_str());
        // Numbers are written as bits.
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
            .is_some_and(|bits| bits.len() == 7 && bits[5] == "1" && bits[4] != "1");
        all.accumulator += usize::from(has("PREG") && adds);
    }
    Ok(all)
}

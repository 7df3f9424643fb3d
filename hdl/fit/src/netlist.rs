//! A synthesised netlist as Yosys' `write_json` writes it.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Design {
    modules: BTreeMap<String, Netlist>,
}

/// One module.
#[derive(Deserialize)]
pub struct Netlist {
    #[serde(default)]
    pub(crate) ports: BTreeMap<String, Port>,
    pub(crate) cells: BTreeMap<String, Cell>,
    #[serde(rename = "netnames")]
    pub(crate) names: BTreeMap<String, Name>,
}

#[derive(Deserialize)]
pub(crate) struct Port {
    pub direction: String,
    pub bits: Vec<Bit>,
}

#[derive(Deserialize)]
pub(crate) struct Name {
    pub bits: Vec<Bit>,
}

#[derive(Deserialize)]
pub(crate) struct Cell {
    #[serde(rename = "type")]
    pub kind: String,
    /// Numbers as bits, other values as they are.
    #[serde(default)]
    pub parameters: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub port_directions: BTreeMap<String, String>,
    pub connections: BTreeMap<String, Vec<Bit>>,
}

/// A bit of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "serde_json::Value")]
pub(crate) enum Bit {
    /// By its number.
    Net(u32),
    /// The constant 1.
    One,
    /// Any other constant.
    Constant,
}

impl Bit {
    /// The net's number.
    pub fn net(self) -> Option<u32> {
        match self {
            Bit::Net(n) => Some(n),
            _ => None,
        }
    }
}

impl From<serde_json::Value> for Bit {
    fn from(v: serde_json::Value) -> Bit {
        match v.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(n) => Bit::Net(n),
            None if v == "1" => Bit::One,
            None => Bit::Constant,
        }
    }
}

impl Netlist {
    /// Module `top` of a netlist; what is missing or wrong as a text.
    pub fn parse(json: &[u8], top: &str) -> Result<Netlist, String> {
        let mut design: Design =
            serde_json::from_slice(json).map_err(|e| format!("netlist in JSON ({e})"))?;
        let netlist = design.modules.remove(top);
        netlist.ok_or_else(|| format!("module {top} in the netlist"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_and_a_text_that_is_no_json_are_errors() {
        let error = |json: &[u8]| Netlist::parse(json, "n").err().expect("refused");
        let m = br#"{"modules": {"m": {"cells": {}, "netnames": {}}}}"#;
        assert!(error(m).contains("module n"));
        assert!(error(b"{").contains("JSON"));
    }
}

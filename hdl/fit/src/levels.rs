//! The deepest combinational path of a synthesised netlist (Yosys' JSON), in levels of logic.
//!
//! Counted: every LUT, every read of a LUT memory, and every carry chain once, however long and wherever it is left. Not
//! counted: the wide multiplexers and inverters that belong to a LUT's slice. So a 48-bit adder is one level, as in silicon
//! it costs about as much as one LUT with its wire; `cells` counts its twelve CARRY4 instead. Paths begin and end at ports,
//! flip-flops, DSPs, block RAMs and writes of LUT memories. No delays: a comparison between versions, not a clock.

use crate::netlist::{Bit, Cell, Netlist};
use std::collections::HashMap;

/// The deepest path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Levels of logic, as the module's text says.
    pub levels: usize,
    /// Cells on the path with the most of them: LUTs, LUT memories, multiplexers and each carry cell (4 or 8 bits).
    pub cells: usize,
    /// The net at which the path with the most levels begins.
    pub from: String,
    /// The net of the register, memory or port that it ends in.
    pub to: String,
}

/// An output bit of a combinational cell.
struct Output<'a> {
    cell: &'a Cell,
    port: &'a str,
    index: usize,
}

/// Levels and cells from the nearest start, and the net before on the way with the most levels.
#[derive(Clone, Copy, Default)]
struct Arrival {
    levels: usize,
    cells: usize,
    before: Option<u32>,
}

/// The deepest path of a netlist; what is wrong with it as a text.
pub fn depth(netlist: &Netlist) -> Result<Depth, String> {
    let outputs = outputs(netlist);
    let mut arrivals: HashMap<u32, Arrival> = HashMap::new();
    let mut best = Depth::default();
    let mut end = None;
    for (net, to) in ends(netlist) {
        arrive(net, &outputs, &mut arrivals)?;
        let a = arrivals[&net];
        best.cells = best.cells.max(a.cells);
        if a.levels > best.levels {
            best.levels = a.levels;
            end = Some((net, to));
        }
    }
    if let Some((mut net, to)) = end {
        while let Some(before) = arrivals[&net].before {
            net = before;
        }
        let names = names(netlist);
        let name = |net: u32| names.get(&net).cloned().unwrap_or_default();
        best.from = name(net);
        best.to = match to {
            End::Net(n) => name(n),
            End::Port(p) => p.to_string(),
        };
    }
    Ok(best)
}

/// Where a path ends.
#[derive(Clone, Copy)]
enum End<'a> {
    /// In the cell that drives this net.
    Net(u32),
    Port(&'a str),
}

fn is_memory(kind: &str) -> bool {
    kind.starts_with("RAM") && !kind.starts_with("RAMB")
}

fn is_logic(kind: &str) -> bool {
    ["LUT", "MUXF", "CARRY", "INV"]
        .iter()
        .any(|k| kind.starts_with(k))
        || is_memory(kind)
}

fn outputs(netlist: &Netlist) -> HashMap<u32, Output<'_>> {
    let mut all = HashMap::new();
    for cell in netlist.cells.values().filter(|c| is_logic(&c.kind)) {
        for (port, bits) in &cell.connections {
            if cell.port_directions.get(port).map(String::as_str) != Some("output") {
                continue;
            }
            for (index, bit) in bits.iter().enumerate() {
                if let Bit::Net(net) = *bit {
                    all.insert(net, Output { cell, port, index });
                }
            }
        }
    }
    all
}

/// Nets that end a path: inputs of cells with a clock (LUT memories: all but their read addresses) and output ports.
fn ends(netlist: &Netlist) -> Vec<(u32, End<'_>)> {
    let mut all = vec![];
    for cell in netlist.cells.values() {
        if is_logic(&cell.kind) && !is_memory(&cell.kind) {
            continue;
        }
        let output = |p: &String| cell.port_directions.get(p).map(String::as_str) == Some("output");
        let owner = cell
            .connections
            .iter()
            .filter(|(p, _)| output(p))
            .find_map(|(_, bits)| bits.iter().find_map(|b| b.net()))
            .unwrap_or(0);
        for (_, bits) in cell.connections.iter().filter(|(p, _)| !output(p)) {
            all.extend(
                bits.iter()
                    .filter_map(|b| b.net())
                    .map(|n| (n, End::Net(owner))),
            );
        }
    }
    for (name, port) in netlist
        .ports
        .iter()
        .filter(|(_, p)| p.direction == "output")
    {
        all.extend(
            port.bits
                .iter()
                .filter_map(|b| b.net())
                .map(|n| (n, End::Port(name))),
        );
    }
    all
}

/// A name for each net, the shortest that is not Yosys' own.
fn names(netlist: &Netlist) -> HashMap<u32, String> {
    let mut all: HashMap<u32, String> = HashMap::new();
    let rank = |s: &str| (s.contains('$'), s.len());
    for (name, net) in &netlist.names {
        for bit in net.bits.iter().filter_map(|b| b.net()) {
            if all.get(&bit).is_none_or(|old| rank(name) < rank(old)) {
                all.insert(bit, name.clone());
            }
        }
    }
    all
}

/// Computes the arrival at `net` and at all nets before it. A loop is an error.
fn arrive(
    net: u32,
    outputs: &HashMap<u32, Output>,
    arrivals: &mut HashMap<u32, Arrival>,
) -> Result<(), String> {
    // A net is on the stack a second time only to be finished; one opened twice is its own cause.
    let mut stack = vec![(net, false)];
    let mut open = std::collections::HashSet::new();
    while let Some((n, finish)) = stack.pop() {
        if arrivals.contains_key(&n) {
            continue;
        }
        let Some(output) = outputs.get(&n) else {
            arrivals.insert(n, Arrival::default());
            continue;
        };
        let causes = causes(output);
        if finish {
            let mut best = Arrival::default();
            for (cause, weight) in causes {
                let a = arrivals[&cause];
                best.cells = best.cells.max(a.cells + 1);
                if best.before.is_none() || a.levels + weight > best.levels {
                    best.levels = a.levels + weight;
                    best.before = Some(cause);
                }
            }
            arrivals.insert(n, best);
            open.remove(&n);
            continue;
        }
        if !open.insert(n) {
            return Err(format!("netlist without combinational loops (net {n})"));
        }
        stack.push((n, true));
        stack.extend(
            causes
                .into_iter()
                .filter(|(c, _)| !arrivals.contains_key(c))
                .map(|(c, _)| (c, false)),
        );
    }
    Ok(())
}

/// Nets on which an output bit depends without a clock, with the levels from each.
fn causes(output: &Output) -> Vec<(u32, usize)> {
    let Output { cell, port, index } = output;
    let bits = |name: &str| cell.connections.get(name).map_or(&[][..], Vec::as_slice);
    let mut all = vec![];
    let mut add =
        |bits: &[Bit], weight| all.extend(bits.iter().filter_map(|b| b.net()).map(|n| (n, weight)));
    if cell.kind.starts_with("CARRY") {
        // Bit i of the sum knows the generate bits below it, the carry out also its own.
        let generates = if *port == "O" { *index } else { index + 1 };
        add(bits("CI"), 0);
        for (name, n) in [
            ("CYINIT", 1),
            ("CI_TOP", 1),
            ("S", index + 1),
            ("DI", generates),
        ] {
            let b = bits(name);
            add(&b[..n.min(b.len())], 1);
        }
        return all;
    }
    let free = cell.kind.starts_with("MUXF") || cell.kind == "INV";
    for (name, direction) in &cell.port_directions {
        let read = !is_memory(&cell.kind) || reads(name, port);
        if direction == "input" && read {
            add(bits(name), usize::from(!free));
        }
    }
    all
}

/// Whether input `name` of a LUT memory is an address of output `port` (AMD UG953): DOA and ADDRA, DPO and DPRA, SPO or O and A.
fn reads(name: &str, port: &str) -> bool {
    if let Some(letter) = port.strip_prefix("DO") {
        return name.strip_prefix("ADDR") == Some(letter);
    }
    let digits = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
    };
    digits(if port == "DPO" { "DPRA" } else { "A" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flip-flop's output `q` through `cells` to its own input `d`.
    fn netlist(d: u32, cells: &str) -> Netlist {
        let json = format!(
            r#"{{"modules": {{"m": {{"ports": {{}}, "netnames": {{"start_q": {{"bits": [2]}}, "$1": {{"bits": [2, 9]}}}}, "cells": {{
            "ff": {{"type": "FDRE", "port_directions": {{"D": "input", "Q": "output"}}, "connections": {{"D": [{d}], "Q": [2]}}}},
            {cells}}}}}}}}}"#
        );
        Netlist::parse(json.as_bytes(), "m").unwrap()
    }

    const LUT: &str = r#""l": {"type": "LUT2", "port_directions": {"I0": "input", "I1": "input", "O": "output"},
        "connections": {"I0": [2], "I1": ["1"], "O": [3]}}"#;
    /// Two carry cells behind the LUT: a chain.
    const CHAIN: &str = r#"
        "c0": {"type": "CARRY4", "port_directions": {"CI": "input", "CYINIT": "input", "S": "input", "DI": "input", "O": "output",
            "CO": "output"}, "connections": {"CI": ["0"], "CYINIT": ["0"], "S": [3, "0", "0", "0"], "DI": ["0", "0", "0", "0"],
            "O": [4, 5, 6, 7], "CO": [10, 11, 12, 13]}},
        "c1": {"type": "CARRY4", "port_directions": {"CI": "input", "CYINIT": "input", "S": "input", "DI": "input", "O": "output",
            "CO": "output"}, "connections": {"CI": [13], "CYINIT": ["0"], "S": ["0", "0", "0", "0"], "DI": ["0", "0", "0", "0"],
            "O": [14, 15, 16, 17], "CO": [18, 19, 20, 21]}}"#;

    #[test]
    fn a_chain_is_one_level_and_each_of_its_cells_a_cell() {
        let d = depth(&netlist(17, &format!("{LUT}, {CHAIN}"))).unwrap();
        assert_eq!((d.levels, d.cells), (2, 3));
        assert_eq!((d.from.as_str(), d.to.as_str()), ("start_q", "start_q"));
        // The first sum bit of the second cell leaves the chain as late as its last.
        let d = depth(&netlist(14, &format!("{LUT}, {CHAIN}"))).unwrap();
        assert_eq!((d.levels, d.cells), (2, 3));
        assert_eq!(depth(&netlist(3, LUT)).unwrap().levels, 1);
    }

    #[test]
    fn a_lut_memory_is_read_through_its_address_and_ends_a_path_that_writes_it() {
        let ram = |address: &str, data: &str| {
            format!(
                r#"{LUT}, "r": {{"type": "RAM32M", "port_directions": {{"ADDRA": "input", "DIA": "input", "DOA": "output"}},
                "connections": {{"ADDRA": [{address}], "DIA": [{data}], "DOA": [30]}}}}"#
            )
        };
        let read = netlist(30, &ram("3", "\"0\""));
        assert_eq!(depth(&read).unwrap().levels, 2);
        let write = netlist(30, &ram("\"0\"", "3"));
        assert_eq!(depth(&write).unwrap().levels, 1);
        for (name, port, yes) in [
            ("ADDRB", "DOB", true),
            ("ADDRD", "DOB", false),
            ("DPRA4", "DPO", true),
            ("A0", "DPO", false),
            ("A5", "SPO", true),
            ("WE", "O", false),
        ] {
            assert_eq!(reads(name, port), yes, "{name} {port}");
        }
    }

    #[test]
    fn a_loop_is_an_error() {
        let looped = LUT.replace("[2]", "[3]");
        assert!(depth(&netlist(3, &looped)).unwrap_err().contains("loop"));
    }
}

//! Facts of the other rooms: boards, the zoo, registers.

use crate::error::exception;
use crate::program::json;
use crate::work::work;
use cnna_machine::Board;
use cnna_machine::num::Word;
use cnna_machine::regs;
use cnna_net::op::average_pool::reciprocal;
use cnna_net::zoo as networks;
use pyo3::prelude::*;
use std::path::PathBuf;

/// The names of the boards built in.
#[pyfunction]
pub fn boards() -> Vec<&'static str> {
    Board::names().collect()
}

/// A board with overrides: its JSON, its TOML, and the chip's resources that it takes (DSP, BRAM36, LUT, FF).
#[pyfunction]
pub fn board(
    py: Python<'_>,
    name: String,
    set: Vec<(String, String)>,
) -> PyResult<(String, String, [usize; 4])> {
    work(py, None, 60.0, |_| {
        let board = Board::load(&name, &set)?;
        let a = &board.accelerator;
        let toml = toml::to_string(&board).expect("plain fields always serialise");
        Ok((
            json(&board),
            toml,
            [a.all_dsps(), a.bram36(), a.luts(), a.ffs()],
        ))
    })
}

/// Writes a board's RTL and bitstream sources: the files' paths. `window`: bytes of memory to reserve, or the board's.
#[pyfunction]
#[pyo3(signature = (name, set, output, window))]
pub fn rtl(
    py: Python<'_>,
    name: String,
    set: Vec<(String, String)>,
    output: PathBuf,
    window: Option<u64>,
) -> PyResult<Vec<PathBuf>> {
    work(py, None, 60.0, |_| {
        let mut board = cnna_flow::model::board(&name, &set)?;
        if let Some(bytes) = window {
            board = cnna_flow::sources::with_window(&board, bytes)?;
        }
        Ok(cnna_flow::sources::write(&board, &output)?)
    })
}

/// What a zoo name may be, in words.
#[pyfunction]
pub fn zoo() -> (Vec<String>, &'static str) {
    (networks::names().collect(), networks::KNOWN)
}

/// Name, offset, access ("ro" or "rw") and meaning of every register.
#[pyfunction]
pub fn registers() -> Vec<(&'static str, usize, &'static str, &'static str)> {
    let access = |r: &regs::Reg| match r.access {
        regs::Access::Ro => "ro",
        regs::Access::Rw => "rw",
    };
    regs::ALL
        .iter()
        .map(|r| (r.name, r.offset, access(r), r.doc))
        .collect()
}

/// The weight `r` and shift `t` by which a mean of `count` values is computed: their sum times r / 2^t.
#[pyfunction]
pub fn average_weight(py: Python<'_>, count: usize, word: u32) -> PyResult<(i16, i32)> {
    let word = Word::try_from(word).map_err(|e| exception(py, "ModelError", e))?;
    Ok(reciprocal(count, word))
}

//! The boards' bitstream sources, run and compiled: build.tcl in Tcl against a model of Vivado's commands, the overlays in
//! dtc, the wrapper in Verilator. Needs `tclsh`, `dtc`, `fdtoverlay`, `fdtget` and `verilator`.

mod build;
mod cell;
mod device_tree;
mod limits;
mod mistakes;
mod packages;

use cnna_hdl::boards::{self, SourceFile};
use cnna_hdl::sources;
use cnna_machine::config::Board;
use std::path::Path;
use std::process::{Command, Output};

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_owned();
    command.output().unwrap_or_else(|e| {
        panic!("{program:?}: {e} (apt packages tcl, device-tree-compiler, verilator)")
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn load(name: &str, set: &[(&str, &str)]) -> Board {
    let set: Vec<_> = set
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    Board::load(name, &set).unwrap()
}

/// The sources of a board in a fresh directory, with stand-ins for the RTL.
fn emit(board: &Board) -> (tempfile::TempDir, Vec<SourceFile>) {
    // With a blank, as folders of users have.
    let dir = tempfile::Builder::new()
        .prefix("cnna build ")
        .tempdir()
        .unwrap();
    let mut rtl: Vec<(String, String)> = ["rtl/cnna_top.sv", "rtl/cnna_pkg.sv"]
        .map(|f| (f.into(), String::new()))
        .into();
    let cell = sources::cell(board);
    rtl.extend(
        cell.into_iter()
            .map(|f| (format!("rtl/{}", f.name), f.text)),
    );
    let names: Vec<String> = rtl.iter().map(|(name, _)| name.clone()).collect();
    let files = boards::sources(board, &names).unwrap();
    std::fs::create_dir(dir.path().join("rtl")).unwrap();
    for (name, text) in &rtl {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    for f in &files {
        let path = dir.path().join(&f.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &f.text).unwrap();
    }
    (dir, files)
}

fn tcl(dir: &Path, case: &str) -> Output {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boards/vivado_model.tcl");
    run(Command::new("tclsh")
        .arg(model)
        .arg(dir.join("build.tcl"))
        .env("CNNA_RECORD", dir.join("record"))
        .env("CNNA_CASE", case)
        .current_dir(std::env::temp_dir()))
}

/// Every built-in board, and shapes that change the ports.
fn cases() -> Vec<Board> {
    let mut all: Vec<Board> = Board::names().map(|n| load(n, &[])).collect();
    all.push(load("ultra96", &[("platform.board_part", "")]));
    all.push(load(
        "ultra96",
        &[("word", "8"), ("weight_ports", "1"), ("clock_mhz", "187.5")],
    ));
    all.push(load("kv260", &[("weight_ports", "4")]));
    all.push(load(
        "pynq-z2",
        &[
            ("weight_ports", "4"),
            ("platform.register_base", "1073741824"),
        ],
    ));
    all
}

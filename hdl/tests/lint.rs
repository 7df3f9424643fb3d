//! The whole RTL is free of Verilator's -Wall findings, for the configurations the project promises.

use cnna_hdl::sources;
use cnna_machine::Board;
use std::process::Command;

#[test]
fn every_configuration_lints_clean() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut boards: Vec<Board> = Board::names()
        .map(|n| Board::load(n, &[]).expect("built in"))
        .collect();
    for tiles in [1, 2] {
        for (lanes, ports) in [(2, 1), (5, 2), (11, 3), (13, 4)] {
            for word in [8, 16] {
                let set = [
                    ("tiles", tiles),
                    ("lanes", lanes),
                    ("word", word),
                    ("weight_ports", ports),
                ]
                .map(|(k, v)| (k.to_string(), v.to_string()));
                boards.push(Board::load("ultra96", &set).expect("in range"));
            }
        }
    }
    for b in &boards {
        let mut names = Vec::new();
        for f in sources::rtl(b).expect("every configuration is generated") {
            std::fs::write(dir.path().join(&f.name), &f.text).expect("written");
            names.push(f.name);
        }
        let lint = Command::new("verilator")
            .current_dir(dir.path())
            .args(["--lint-only", "-Wall", "--top-module", "cnna_top"])
            .args(&names)
            .output()
            .expect("verilator runs: apt-get install verilator");
        let text = String::from_utf8_lossy(&lint.stderr);
        assert!(
            lint.status.success() && text.trim().is_empty(),
            "{} {:?}:\n{text}",
            b.name,
            b.accelerator
        );
    }
}

//! The page of operators equals the lists. `CNNA_UPDATE_DOCS=1` writes it anew.

use cnna_net::op::OPERATORS;
use std::fmt::Write as _;
use std::path::Path;

fn page() -> String {
    let mut s = String::from(
        "# Operators\n\nGenerated from the lists in `net/src/op/mod.rs` and `onnx/src/op/mod.rs`; a test compares them.\n\n\
         ## What a network is made of\n\n| operator | what it computes |\n|---|---|\n",
    );
    for (name, what) in OPERATORS {
        let _ = writeln!(s, "| {name} | {} |", what.trim());
    }
    s += "\n## What is read from ONNX files (operator sets 7 to the newest)\n\n";
    let mut width = 0;
    for name in cnna_onnx::supported().split_inclusive(' ') {
        if width + name.len() > 110 {
            s.truncate(s.trim_end().len());
            s.push('\n');
            width = 0;
        }
        s += name;
        width += name.len();
    }
    s.push('\n');
    s
}

#[test]
fn the_page_of_operators_is_the_lists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operators.md");
    let want = page();
    if std::env::var_os("CNNA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &want).expect("docs are writable");
    }
    let have = std::fs::read_to_string(&path).expect("the page exists");
    assert!(
        have == want,
        "docs/operators.md differs from the lists: run with CNNA_UPDATE_DOCS=1 and review the change"
    );
}

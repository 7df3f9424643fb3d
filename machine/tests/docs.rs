//! The documentation of registers and commands equals the tables. `CNNA_UPDATE_DOCS=1` writes it anew.

use cnna_machine::{isa, python, regs};
use std::path::Path;

fn compare(name: &str, want: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if std::env::var_os("CNNA_UPDATE_DOCS").is_some() {
        std::fs::write(&path, want).expect("docs are writable");
    }
    let have = std::fs::read_to_string(&path).expect("the page exists");
    assert!(
        have == want,
        "{name} differs from its table: run with CNNA_UPDATE_DOCS=1 and review the change"
    );
}

#[test]
fn the_register_page_is_the_register_table() {
    compare("docs/registers.md", &regs::describe());
}

#[test]
fn the_command_page_is_the_command_table() {
    compare("docs/commands.md", &isa::describe());
}

#[test]
fn the_board_drivers_python_module_is_the_tables() {
    compare("python/cnna/pynq/machine.py", &python::describe());
}

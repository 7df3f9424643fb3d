//! Runs one block in rust-hdl's simulator and in Verilator on the same random vectors.

use cnna_hdl::emit::{Emitter, Module};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rust_hdl_core::prelude::*;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the harness needs of a block: 64 bits of input, any number of outputs of at most 64 bits.
pub trait Dut: Block + Default {
    /// Outputs by port name, with their values.
    fn outputs(&self) -> Vec<(&'static str, u64)>;
    /// Applies one vector and the clock level.
    fn drive(&mut self, word: u64, clk: bool, rst: bool);
}

/// Writes each module to its own file and returns the names in order.
pub fn write_modules(dir: &Path, modules: &[Module]) -> Vec<String> {
    modules
        .iter()
        .map(|m| {
            let file = format!("{}.sv", m.name);
            std::fs::write(dir.join(&file), &m.text).expect("the temporary directory is writable");
            file
        })
        .collect()
}

/// Verilator's output for the given arguments; panics with it if Verilator fails.
pub fn verilator(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("verilator")
        .args(args)
        .current_dir(dir)
        .output()
        .expect("verilator is installed (make setup)");
    let text =
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "verilator {args:?}\n{text}");
    text
}

/// `--lint-only -Wall` must be silent: warnings are errors.
pub fn lint(modules: &[Module], top: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = write_modules(dir.path(), modules);
    let mut args = vec!["--lint-only", "-Wall", "--top-module", top];
    args.extend(files.iter().map(String::as_str));
    let text = verilator(dir.path(), &args);
    assert!(!text.contains("%Warning"), "{text}");
}

/// A main program that reads `word rst` per line, clocks once and prints the outputs after settling and after the edge.
fn main_cpp(top: &str, outputs: &[(&str, u64)]) -> String {
    let mut print = String::new();
    for (name, _) in outputs {
        let _ = writeln!(print, "  printf(\"%llx \", (unsigned long long)t.{name});");
    }
    format!(
        "#include \"V{top}.h\"\n#include <cstdio>\nstatic V{top} t;\ndouble sc_time_stamp() {{ return 0; }}\n\
         static void show() {{\n{print}  printf(\"\\n\");\n}}\n\
         int main() {{\n  unsigned long long w; int rst;\n  while (scanf(\"%llx %d\", &w, &rst) == 2) {{\n\
         t.clk_i = 0; t.rst_i = rst; t.word_i = w; t.eval(); show();\n    t.clk_i = 1; t.eval(); show();\n  }}\n}}\n"
    )
}

/// Seed of the run, from CNNA_SEED or the clock, printed so that a failure can be repeated.
pub fn seed() -> u64 {
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |d| d.as_nanos() as u64)
    };
    let seed = std::env::var("CNNA_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(now);
    println!("CNNA_SEED={seed}");
    seed
}

/// A word whose parts are often extreme: random, all ones, zero, or a single bit.
fn word(rng: &mut StdRng) -> u64 {
    let mut word = 0;
    for part in 0..4 {
        let value: u64 = match rng.random_range(0..6) {
            0 => 0,
            1 => 0xffff,
            2 => 1 << rng.random_range(0..16),
            _ => rng.random_range(0..0x1_0000),
        };
        word |= value << (16 * part);
    }
    word
}

/// Emits `D`, lints it, builds it with Verilator and compares every output before and after every clock edge.
pub fn differential<D: Dut>(top: &str, vectors: usize) {
    let mut dut = D::default();
    dut.connect_all();
    check_all(&dut).expect("rust-hdl's own checks pass");
    let modules = Emitter::new("test", "0")
        .prefix("t_")
        .emit(top, &dut)
        .expect("the block is in the supported subset");
    lint(&modules, top);

    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = write_modules(dir.path(), &modules);
    std::fs::write(dir.path().join("main.cpp"), main_cpp(top, &dut.outputs()))
        .expect("the temporary directory is writable");
    let mut args = vec![
        "--cc",
        "--exe",
        "--build",
        "-O0",
        "-CFLAGS",
        "-O0",
        "--top-module",
        top,
        "main.cpp",
    ];
    args.extend(files.iter().map(String::as_str));
    verilator(dir.path(), &args);

    let mut rng = StdRng::seed_from_u64(seed());
    let (mut input, mut expected) = (String::new(), String::new());
    let show = |dut: &D, out: &mut String| {
        dut.outputs().iter().for_each(|(_, v)| {
            let _ = write!(out, "{v:x} ");
        });
        out.push('\n');
    };
    for i in 0..vectors {
        let (word, rst) = (word(&mut rng), i == 0 || rng.random_range(0..40) == 0);
        let _ = writeln!(input, "{word:x} {}", u8::from(rst));
        for clk in [false, true] {
            dut.drive(word, clk, rst);
            assert!(simulate(&mut dut, 100), "rust-hdl's simulator settles");
            show(&dut, &mut expected);
        }
    }
    let mut model = Command::new(dir.path().join(format!("obj_dir/V{top}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the model runs");
    let mut stdin = model.stdin.take().expect("stdin is piped");
    let feed = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let out = model.wait_with_output().expect("the model ends");
    feed.join()
        .expect("the feeder ends")
        .expect("the model reads its input");
    let got = String::from_utf8_lossy(&out.stdout);
    // Line 0 is before the first edge: registers have no value yet.
    for (n, (want, got)) in expected.lines().zip(got.lines()).enumerate().skip(1) {
        let names: Vec<_> = dut.outputs().iter().map(|(n, _)| *n).collect();
        for ((want, got), name) in want
            .split_whitespace()
            .zip(got.split_whitespace())
            .zip(names)
        {
            assert_eq!(
                want,
                got,
                "vector {}, {} edge, output {name} (rust-hdl, Verilator)",
                n / 2,
                ["before", "after"][n % 2]
            );
        }
    }
    assert_eq!(expected.lines().count(), got.lines().count());
}

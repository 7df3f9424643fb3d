//! Runs one block in rust-hdl's simulator and in Verilator on the same random vectors.

use cnna_emit::builder::{BlockInstance, TopBuilder};
use cnna_emit::{Emitter, Module};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rust_hdl_core::prelude::*;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the harness needs of a block: 64 bits of input in the port `word`, any number of outputs of at most 64 bits.
pub trait Dut: Block {
    /// Outputs: field name, bits, value.
    fn outputs(&self) -> Vec<(&'static str, usize, u64)>;
    /// Applies one vector and the clock level.
    fn drive(&mut self, word: u64, clk: bool, rst: bool);
}

/// Several blocks side by side in one Verilator model, since building a model takes longer than running it.
pub struct Bench {
    top: TopBuilder,
    duts: Vec<(&'static str, Box<dyn Dut>)>,
}

impl Bench {
    pub fn new() -> Self {
        let top = TopBuilder::new("bench")
            .clock("clk", "rst")
            .input("rst", 1)
            .input("word", 64);
        Self { top, duts: vec![] }
    }

    /// Adds a block; the model's copy and the simulator's are built alike.
    pub fn add<D: Dut + Default + 'static>(mut self, name: &'static str) -> Self {
        let mut dut = D::default();
        dut.connect_all();
        let mut instance =
            BlockInstance::new(&format!("t_{name}"), &format!("i_{name}"), D::default())
                .connect("word", "word");
        for (port, width, _) in dut.outputs() {
            let wire = format!("{name}_{port}");
            self.top = self.top.output(&wire, width);
            instance = instance.connect(port, wire);
        }
        self.top = self.top.block(instance);
        self.duts.push((name, Box::new(dut)));
        self
    }

    /// Names of all outputs of the model, in order.
    fn outputs(&self) -> Vec<String> {
        let of = |(name, dut): &(&str, Box<dyn Dut>)| {
            dut.outputs()
                .iter()
                .map(|o| format!("{name}_{}", o.0))
                .collect::<Vec<_>>()
        };
        self.duts.iter().flat_map(of).collect()
    }
}

/// Lets a block settle, as rust-hdl's `simulate` does.
fn settle(dut: &mut dyn Dut) {
    for _ in 0..100 {
        dut.update_all();
        if !dut.has_changed() {
            return;
        }
    }
    panic!("rust-hdl's simulator does not settle");
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
fn main_cpp(outputs: &[String]) -> String {
    let mut print = String::new();
    for name in outputs {
        let _ = writeln!(print, "  printf(\"%llx \", (unsigned long long)t.{name});");
    }
    format!(
        "#include \"Vbench.h\"\n#include <cstdio>\nstatic Vbench t;\ndouble sc_time_stamp() {{ return 0; }}\n\
         static void show() {{\n{print}  printf(\"\\n\");\n}}\n\
         int main() {{\n  unsigned long long w; int rst;\n  while (scanf(\"%llx %d\", &w, &rst) == 2) {{\n\
         t.clk = 0; t.rst = rst; t.word = w; t.eval(); show();\n    t.clk = 1; t.eval(); show();\n  }}\n}}\n"
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

/// Emits, lints and builds the bench, and compares every output before and after every clock edge.
pub fn differential(mut bench: Bench, vectors: usize) {
    let names = bench.outputs();
    let top = std::mem::replace(&mut bench.top, TopBuilder::new("taken"))
        .build()
        .expect("the wiring is right");
    let modules = top
        .emit(&Emitter::new("test", "0").prefix("t_"))
        .expect("the blocks are in the supported subset");
    lint(&modules, "bench");

    let dir = tempfile::tempdir().expect("a temporary directory");
    let files = write_modules(dir.path(), &modules);
    std::fs::write(dir.path().join("main.cpp"), main_cpp(&names))
        .expect("the temporary directory is writable");
    let mut args = vec![
        "--cc",
        "--exe",
        "--build",
        "-O0",
        "-CFLAGS",
        "-O0",
        "--top-module",
        "bench",
        "main.cpp",
    ];
    args.extend(files.iter().map(String::as_str));
    verilator(dir.path(), &args);

    let mut rng = StdRng::seed_from_u64(seed());
    let (mut input, mut expected) = (String::new(), String::new());
    for i in 0..vectors {
        let (word, rst) = (word(&mut rng), i == 0 || rng.random_range(0..40) == 0);
        let _ = writeln!(input, "{word:x} {}", u8::from(rst));
        for clk in [false, true] {
            for (_, dut) in &mut bench.duts {
                dut.drive(word, clk, rst);
                settle(dut.as_mut());
                dut.outputs().iter().for_each(|(_, _, v)| {
                    let _ = write!(expected, "{v:x} ");
                });
            }
            expected.push('\n');
        }
    }
    let mut model = Command::new(dir.path().join("obj_dir/Vbench"))
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
        for ((want, got), name) in want
            .split_whitespace()
            .zip(got.split_whitespace())
            .zip(&names)
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

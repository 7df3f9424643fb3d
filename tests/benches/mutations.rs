//! The mistakes of [`cnna_tests::mutations`] in the RTL, one at a time: the random networks of `tests/tests/rtl.rs` must see each.
//!
//! `make mutations`, minutes; words after `--` run only the mistakes whose text contains one of them.

use cnna_machine::Board;
use cnna_rtlsim::{Model, Rtl, build_files};
use cnna_tests::mutations::{MUTATIONS, Mutation, files, machine};
use cnna_tests::rtl::{Coverage, DRAWS, case};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Cases of each kind of network, as `tests/tests/rtl.rs` runs.
const CASES: u64 = 12;

/// The RTL of the board, with a mistake in it or without, in a library; `Err` says why there is none.
fn library(board: &Board, mutation: Option<&Mutation>, cache: &Path) -> Result<PathBuf, String> {
    let mut files = files(board)?;
    mutation.map_or(Ok(()), |m| m.make(&mut files))?;
    build_files(files, &board.accelerator, Model::Slow, cache, None).map_err(|e| e.to_string())
}

/// The first case that the library fails, if it fails one.
fn first_failure(board: &Board, library: &Path) -> Option<String> {
    let build = |b: &Board| Rtl::of_library(b, library.into()).map_err(|e| e.to_string());
    // The kinds in turn: which of them sees a mistake is not known.
    for seed in 1..=CASES {
        for (kind, draw) in DRAWS.into_iter().enumerate() {
            let e = case(board, seed, draw, &build, &mut Coverage::default());
            if let Err(e) = e {
                let line = e.lines().next().unwrap_or_default();
                return Some(format!("kind {kind}, seed {seed}: {line}"));
            }
        }
    }
    None
}

fn main() -> ExitCode {
    // Cargo passes options of its own.
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let board = machine();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
    let mut wrong = Vec::new();
    // Without a mistake nothing may fail.
    match library(&board, None, &folder) {
        Ok(library) => wrong.extend(first_failure(&board, &library)),
        Err(e) => wrong.push(e),
    }
    if !wrong.is_empty() {
        eprintln!("the RTL as it is: {}", wrong.join("; "));
        return ExitCode::FAILURE;
    }
    let chosen = MUTATIONS
        .iter()
        .filter(|m| only.is_empty() || only.iter().any(|o| m.what.contains(o.as_str())));
    let mut caught = 0;
    for m in chosen {
        match library(&board, Some(m), &folder) {
            Ok(library) => match first_failure(&board, &library) {
                Some(seen) => {
                    caught += 1;
                    let seen: String = seen.chars().take(100).collect();
                    println!("caught  {:<50} {seen}", m.what);
                }
                None => wrong.push(m.what.into()),
            },
            Err(e) => wrong.push(format!("{}: {e}", m.what)),
        }
    }
    println!("{caught} of {} caught", caught + wrong.len());
    for w in &wrong {
        eprintln!("NOT caught: {w}");
    }
    ExitCode::from(u8::from(!wrong.is_empty()))
}

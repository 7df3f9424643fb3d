//! Programs whose checksums are right and whose contents contradict one another: every command says so, or runs; none
//! panics, aborts or hangs.

use crate::workplace::Workplace;
use cnna_machine::program::{Program, ProgramMeta};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Mutations a part; `CNNA_MUTATIONS` asks for more.
fn count() -> u64 {
    let wanted = std::env::var("CNNA_MUTATIONS").ok();
    wanted.map_or(40, |n| n.parse().expect("CNNA_MUTATIONS is a number"))
}

/// Replaces a number of a TOML or JSON text by another of the kinds that hurt.
fn change_number(text: &str, rng: &mut StdRng) -> String {
    let digits = |c: char| c.is_ascii_digit() || c == '-';
    let mut numbers = Vec::new();
    let mut at = 0;
    while let Some(from) = text[at..].find(digits) {
        let from = at + from;
        let len = text[from..]
            .find(|c| !digits(c))
            .unwrap_or(text.len() - from);
        let before = text[..from].chars().next_back().unwrap_or(' ');
        // Not within names.
        if " [:,".contains(before) {
            numbers.push(from..from + len);
        }
        at = from + len;
    }
    let place = numbers[rng.random_range(0..numbers.len())].clone();
    let old: i64 = text[place.clone()].parse().unwrap_or(1);
    let new = match rng.random_range(0..10) {
        0 => 0,
        1 => 1,
        2 => -old,
        3 => old + 1,
        4 => old - 1,
        5 => old ^ 1 << rng.random_range(0..20),
        6 => 100_000_000,
        7 => i64::from(u32::MAX),
        8 => i64::MAX,
        _ => 1 << rng.random_range(0..62),
    };
    format!("{}{new}{}", &text[..place.start], &text[place.end..])
}

/// Runs a command to its end; what is wrong with the way it ended.
fn ends_well(w: &Workplace, arguments: &str) -> Result<(), String> {
    let mut child = w
        .command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("{arguments}: hangs"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        // Another format of the input makes it lie beyond.
        Some(0 | 1) if text.lines().all(|l| l.starts_with("warning: ")) => Ok(()),
        Some(2)
            if text.starts_with("error: ") && text.len() < 2500 && text.lines().count() == 1 =>
        {
            Ok(())
        }
        code => Err(format!("{arguments}: {code:?}, {text}")),
    }
}

#[test]
fn programs_that_contradict_themselves_end_in_a_result_or_one_error() {
    let w = Workplace::with_program(1);
    let path = w.path("tiny.cnna");
    let bytes = std::fs::read(&path).unwrap();
    let program = Program::parse(&path, &bytes).unwrap();
    let meta_text = toml::to_string(&program.meta).unwrap();
    let [structure, constants] = program.network;
    let structure = std::str::from_utf8(structure).unwrap();
    let mut wrong = Vec::new();
    let mut tried = [0; 3];
    for seed in 0..3 * count() {
        let mut rng = StdRng::seed_from_u64(seed);
        let part = (seed % 3) as usize;
        let (mut meta, mut net) = (program.meta.clone(), structure.to_string());
        let mut image = program.image.to_vec();
        match part {
            0 => match toml::from_str::<ProgramMeta>(&change_number(&meta_text, &mut rng)) {
                Ok(m) => meta = m,
                Err(_) => continue,
            },
            1 => {
                let stream = &meta.streams[rng.random_range(0..meta.streams.len())];
                let at = stream.commands_offset + rng.random_range(0..stream.commands * 64);
                image[at] ^= 1 << rng.random_range(0..8);
            }
            _ => net = change_number(structure, &mut rng),
        }
        tried[part] += 1;
        w.write_program("m.cnna", &meta, &image, net.as_bytes(), constants);
        for command in [
            "check m.cnna --engines reference,cycle --timeout 1",
            "run m.cnna --device reference --input x.npy -o y.npy",
            "report m.cnna -o r.html --timeout 1",
            "inspect m.cnna",
        ] {
            if let Err(e) = ends_well(&w, command) {
                wrong.push(format!("{seed}: {e}"));
            }
        }
    }
    assert!(tried.iter().all(|&n| n > count() / 2), "{tried:?}");
    assert!(
        wrong.is_empty(),
        "{} of {tried:?}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

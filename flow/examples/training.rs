//! Tables of what training gives: `blocks` trains one small network with each down-sampling block, `compression` makes a
//! float model smaller and trains it on. What is trained lies in the folder, so an interrupted run goes on where it was; what the
//! machine takes is measured anew.
//!
//! `cargo run --release -p cnna-flow --example training -- blocks DIR epochs=6 qat=1 seeds=3 limit=60000`
//! `cargo run --release -p cnna-flow --example training -- blocks DIR only=blur,gem`
//! `cargo run --release -p cnna-flow --example training -- compression DIR init=models/fashion-float.onnx epochs=2 qat=1`

use cnna_compile::{Options, compile};
use cnna_flow::compare::compare;
use cnna_flow::{Model, Session, Silent, Simulated, program};
use cnna_host::tensor::{Batch, InMemory};
use cnna_machine::Board;
use cnna_machine::num::Word;
use cnna_machine::program::Program;
use cnna_quant::{BLOCKS, Dataset, TrainOptions, input_words, train, with_block};
use flate2::{Compression, write::DeflateEncoder};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BOARD: &str = "ultra96";
const DATASET: &str = "fashion-mnist";
/// Channels of the three convolutions around the blocks.
const WIDTHS: [usize; 3] = [16, 32, 64];

/// What a run is told.
struct Budget {
    folder: PathBuf,
    /// Names of blocks, all without.
    only: Vec<String>,
    epochs: usize,
    qat: usize,
    seeds: u64,
    limit: usize,
    init: PathBuf,
}

/// One run's result, as it is kept: right answers of the test images in percent, in float and in integers.
#[derive(Serialize, Deserialize)]
struct Row {
    float: f64,
    integers: f64,
}

/// What a trained network takes.
struct Cost {
    /// Of one image on the board's machine, by the cycle simulator.
    cycles: u64,
    /// The program's file, and what deflate makes of it.
    bytes: usize,
    packed: usize,
    /// Nodes that run on the host.
    host: usize,
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: training blocks|compression DIR [epochs=N] [qat=N] [seeds=N] [limit=IMAGES] [init=FLOAT.onnx] [only=BLOCK,...]";
    let [what, folder, rest @ ..] = &args[..] else {
        return Err(usage.into());
    };
    let mut said: HashMap<&str, &str> = HashMap::new();
    for a in rest {
        let (key, value) = a.split_once('=').ok_or(usage)?;
        if !["epochs", "qat", "seeds", "limit", "init", "only"].contains(&key) {
            return Err(format!("unknown `{key}`: {usage}").into());
        }
        said.insert(key, value);
    }
    let number = |key: &str, default: usize| match said.get(key) {
        Some(v) => v.parse().map_err(|e| format!("{key}={v}: {e}: {usage}")),
        None => Ok(default),
    };
    let only = said.get("only").map_or("", |v| v).split(',');
    let only: Vec<String> = only.filter(|n| !n.is_empty()).map(String::from).collect();
    if let Some(name) = only.iter().find(|&n| BLOCKS.iter().all(|(b, _)| b != n)) {
        return Err(format!("there is no block `{name}`: {usage}").into());
    }
    let budget = Budget {
        folder: folder.into(),
        only,
        epochs: number("epochs", 6)?,
        qat: number("qat", 1)?,
        seeds: number("seeds", 3)? as u64,
        limit: number("limit", 60_000)?,
        init: said
            .get("init")
            .unwrap_or(&"models/fashion-float.onnx")
            .into(),
    };
    std::fs::create_dir_all(&budget.folder)?;
    match &what[..] {
        "blocks" => blocks(&budget),
        "compression" => compression(&budget),
        _ => Err(usage.into()),
    }
}

impl Budget {
    fn options(&self, name: &str) -> TrainOptions {
        TrainOptions {
            dataset: DATASET.into(),
            limit: Some(self.limit),
            progress: true,
            ..TrainOptions::new(self.folder.join(format!("{name}.onnx")))
        }
    }

    /// The row of that name: from its file, or made now.
    fn row(&self, name: &str, make: impl FnOnce() -> Result<Row>) -> Result<Row> {
        let file = self.folder.join(format!("{name}.json"));
        if let Ok(text) = std::fs::read_to_string(&file) {
            let known = serde_json::from_str(&text);
            return known.map_err(|e| format!("{}: {e}: delete it", file.display()).into());
        }
        eprintln!("{name}");
        let row = make()?;
        std::fs::write(file, serde_json::to_string(&row)?)?;
        Ok(row)
    }
}

/// What a trained network takes on the board, of so many test images. Errors: the simulator gives other values than the reference.
fn cost(file: &Path, word: Word, images: usize) -> Result<Cost> {
    let stop = AtomicBool::new(false);
    let session = Session::new(&stop, &Silent);
    let board = Board::load(BOARD, &[("word".into(), word.bits().to_string())])?;
    let model = Model::new(&file.to_string_lossy(), 1);
    let graph = model
        .network_on(&board, &Options::default(), &session)?
        .graph;
    let compiled = compile(&graph, &board, &Options::default())?;
    let bytes = program::bytes(&compiled, &graph)?;
    let program = Program::parse(file, &bytes)?;
    let test = Dataset::load(DATASET)?.test;
    let frac = graph.tensors[graph.inputs[0].tensor]
        .frac
        .ok_or("an input without format")?;
    let image_len = program.meta.image_len();
    let mut words = test.through(0, &input_words(&test, frac, word));
    words.truncate(images.saturating_mul(image_len));
    let batch = Batch { image_len, words };
    let engines = [Simulated::Cycle];
    let found = compare(&program, &mut InMemory::new(&batch), &engines, &session)?;
    if let Some(d) = found.difference {
        return Err(format!("{}: {d}", file.display()).into());
    }
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(&bytes)?;
    Ok(Cost {
        cycles: found.whole[0].per_image(),
        packed: deflate.finish()?.len(),
        bytes: bytes.len(),
        host: program.meta.host.len(),
    })
}

/// Test images on which the simulator is compared with the reference.
const COMPARED: usize = 1000;

/// Trains; the integers must be the machine's.
fn run(options: &TrainOptions, float: Option<f64>) -> Result<Row> {
    let report = train(options)?;
    let quantised = report.quantised.ok_or("a run without integers")?;
    cost(&options.out, options.word, COMPARED)?;
    Ok(Row {
        float: float.unwrap_or(report.float.percent()),
        integers: quantised.percent(),
    })
}

/// Each block, seed and word: float once, then both words from it.
fn blocks(b: &Budget) -> Result<()> {
    println!(
        "Fashion-MNIST, {} epochs in float and {} quantisation-aware, {} seeds, {} training images.\n",
        b.epochs, b.qat, b.seeds, b.limit
    );
    println!(
        "| block | float % | 16 bits % | 8 bits % | cycles, 16 bits | cycles, 8 bits | on the host |"
    );
    println!("|---|---|---|---|---|---|---|");
    let chosen = |name: &&str| b.only.is_empty() || b.only.iter().any(|n| n == *name);
    for (name, layers) in BLOCKS.iter().filter(|(name, _)| chosen(name)) {
        let arch = b.folder.join(format!("{name}.toml"));
        std::fs::write(&arch, with_block(name, layers, WIDTHS))?;
        let mut rows = [Vec::new(), Vec::new()];
        for seed in 1..=b.seeds {
            let first = format!("{name}-{seed}");
            let float = float(b, &arch, &first, seed)?;
            for (rows, word) in rows.iter_mut().zip([Word::W16, Word::W8]) {
                let name = format!("{first}-{}", word.bits());
                let options = TrainOptions {
                    init: Some(b.folder.join(format!("{first}.onnx"))),
                    epochs: 0,
                    qat_epochs: b.qat,
                    seed,
                    word,
                    ..b.options(&name)
                };
                rows.push(b.row(&name, || run(&options, Some(float)))?);
            }
        }
        let [wide, narrow] = rows;
        let of_first = |word: Word| {
            let name = format!("{name}-1-{}", word.bits());
            cost(&b.options(&name).out, word, 1)
        };
        let (in_16, in_8) = (of_first(Word::W16)?, of_first(Word::W8)?);
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            spread(wide.iter().map(|r| r.float)),
            spread(wide.iter().map(|r| r.integers)),
            spread(narrow.iter().map(|r| r.integers)),
            in_16.cycles,
            in_8.cycles,
            in_16.host,
        );
    }
    Ok(())
}

/// Right answers of the float network in percent; its file lies beside.
fn float(b: &Budget, arch: &Path, name: &str, seed: u64) -> Result<f64> {
    let kept = b.folder.join(format!("{name}.json"));
    if let Ok(text) = std::fs::read_to_string(&kept) {
        return Ok(serde_json::from_str(&text)?);
    }
    eprintln!("{name}");
    let options = TrainOptions {
        arch: arch.to_string_lossy().into_owned(),
        epochs: b.epochs,
        float_only: true,
        seed,
        ..b.options(name)
    };
    let percent = train(&options)?.float.percent();
    std::fs::write(kept, serde_json::to_string(&percent)?)?;
    Ok(percent)
}

/// Mean, and least and largest where there are several.
fn spread(v: impl Iterator<Item = f64> + Clone) -> String {
    let n = v.clone().count();
    let mean = v.clone().sum::<f64>() / n.max(1) as f64;
    let (least, most) = v.fold((f64::MAX, f64::MIN), |(l, m), x| (l.min(x), m.max(x)));
    match n {
        0 | 1 => format!("{mean:.2}"),
        _ => format!("{mean:.2} ({least:.2} to {most:.2})"),
    }
}

/// The model as it is, pruned, and of lower rank, each trained on for the same time.
fn compression(b: &Budget) -> Result<()> {
    println!(
        "{}, {} further epochs in float and {} quantisation-aware, 16 bits, {} training images.\n",
        b.init.display(),
        b.epochs,
        b.qat,
        b.limit
    );
    println!("| | float % | 16 bits % | program's bytes | deflated | cycles |");
    println!("|---|---|---|---|---|---|");
    let variants: [(&str, Option<f64>, Option<f64>); 7] = [
        ("as it is", None, None),
        ("half of the weights", Some(0.5), None),
        ("a fifth", Some(0.8), None),
        ("a twentieth", Some(0.95), None),
        ("lower rank, 90 % of the squares", None, Some(0.9)),
        ("lower rank, 70 %", None, Some(0.7)),
        (
            "lower rank, 90 %, a fifth of the weights",
            Some(0.8),
            Some(0.9),
        ),
    ];
    for (n, (what, prune, low_rank)) in variants.into_iter().enumerate() {
        let name = format!("compressed-{n}");
        let options = TrainOptions {
            init: Some(b.init.clone()),
            epochs: b.epochs,
            qat_epochs: b.qat,
            learning_rate: 0.01,
            prune,
            low_rank,
            ..b.options(&name)
        };
        let r = b.row(&name, || run(&options, None))?;
        let c = cost(&b.options(&name).out, Word::W16, 1)?;
        println!(
            "| {what} | {:.2} | {:.2} | {} | {} | {} |",
            r.float, r.integers, c.bytes, c.packed, c.cycles
        );
    }
    Ok(())
}

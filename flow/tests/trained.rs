//! What is trained runs: every block and every built-in architecture takes steps in float and fake-quantised, is written,
//! read, compiled, and gives the same words on the cycle simulator as in the reference.

use cnna_compile::{Options, compile};
use cnna_flow::compare::compare;
use cnna_flow::{Model, Session, Silent, Simulated, program};
use cnna_host::tensor::{Batch, InMemory};
use cnna_machine::Board;
use cnna_machine::num::Word;
use cnna_machine::program::Program;
use cnna_net::Graph;
use cnna_quant::{
    Arch, BLOCKS, BUILT_IN, Dataset, TrainOptions, calibrate, input_words, to_graph, train,
    with_block,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Images that the engines are compared on.
const IMAGES: usize = 1;

/// Compares the engines; the names of what the program leaves to the host.
fn on_host(graph: &Graph, name: &str) -> Vec<String> {
    let set = [("word".into(), graph.word.bits().to_string())];
    let board = Board::load("ultra96", &set).unwrap_or_else(|e| panic!("{e}"));
    let compiled = compile(graph, &board, &Options::default());
    let compiled = compiled.unwrap_or_else(|e| panic!("{name}: {e}"));
    let bytes = program::bytes(&compiled, graph).unwrap_or_else(|e| panic!("{name}: {e}"));
    let program = Program::parse(Path::new(name), &bytes).unwrap_or_else(|e| panic!("{e}"));
    let test = fashion().test;
    let input = &graph.tensors[graph.inputs[0].tensor];
    let frac = input.frac.expect("it is quantised");
    let tables = input_words(&test, frac, graph.word);
    let words = (0..IMAGES).flat_map(|i| test.through(i, &tables));
    let batch = Batch {
        image_len: program.meta.image_len(),
        words: words.collect(),
    };
    let stop = AtomicBool::new(false);
    let session = Session::new(&stop, &Silent);
    let engines = [Simulated::Cycle];
    let report = compare(&program, &mut InMemory::new(&batch), &engines, &session);
    let report = report.unwrap_or_else(|e| panic!("{name}: {e}"));
    if let Some(d) = report.difference {
        panic!("{name}, {} bits: {d}", graph.word.bits());
    }
    assert!(report.values_compared > 0, "{name}");
    program.meta.host.iter().map(|h| h.name.clone()).collect()
}

fn fashion() -> Dataset {
    Dataset::load("fashion-mnist").unwrap_or_else(|e| panic!("{e}"))
}

/// A few steps of both phases, the file and the machine.
fn trains_and_runs(arch: &Path, word: Word) -> Vec<String> {
    let name = arch.display().to_string();
    let options = TrainOptions {
        arch: name.clone(),
        epochs: 1,
        qat_epochs: 1,
        limit: Some(48),
        batch: 24,
        word,
        ..TrainOptions::new(arch.with_extension("onnx"))
    };
    train(&options).unwrap_or_else(|e| panic!("{name}: {e}"));
    let stop = AtomicBool::new(false);
    let model = Model::new(&options.out.to_string_lossy(), 1);
    let front = model.network(word, &Session::new(&stop, &Silent));
    let front = front.unwrap_or_else(|e| panic!("{name}: {e}"));
    on_host(&front.graph, &name)
}

/// The description `text` as a file.
fn described(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(format!("{name}.toml"));
    std::fs::write(&file, text).expect("a temporary folder can be written");
    file
}

#[test]
fn every_block_runs_on_the_machine_alone() {
    let data = fashion();
    for (name, layers) in BLOCKS {
        let arch = Arch::parse(&with_block(name, layers, [6, 8, 8]));
        let arch = arch.unwrap_or_else(|e| panic!("{name}: {e}"));
        let net = arch.init(data.train.shape, data.classes, 2);
        let net = net.unwrap_or_else(|e| panic!("{e}"));
        for word in [Word::W16, Word::W8] {
            let formats = calibrate(&net, &data.train.first(32), word, true);
            let formats = formats.unwrap_or_else(|e| panic!("{name}: {e}"));
            let graph = to_graph(&net, &formats).unwrap_or_else(|e| panic!("{e}"));
            let host = on_host(&graph, name);
            assert!(host.is_empty(), "{name}: {host:?} are left to the host");
        }
    }
}

#[test]
fn every_built_in_architecture_trains_and_runs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for (n, (name, text)) in BUILT_IN.iter().enumerate() {
        let word = if n % 2 == 0 { Word::W8 } else { Word::W16 };
        let host = trains_and_runs(&described(dir.path(), name, text), word);
        // Transpositions of two blocks, as the file's reader places them.
        let expected = if *name == "mixer-small" { 6 } else { 0 };
        let left = host.len();
        assert_eq!(left, expected, "{name}: {host:?} are left to the host");
    }
}

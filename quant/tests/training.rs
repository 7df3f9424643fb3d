//! Short runs: training learns, is reproducible from its seed, and refuses what it cannot do.

mod common;

use cnna_machine::num::Word;
use cnna_quant::{Phase, TrainOptions, TrainReport, read_float, train};
use common::ODD;
use std::path::Path;

fn options(dir: &Path, name: &str) -> TrainOptions {
    let arch = dir.join("odd.toml");
    std::fs::write(&arch, ODD).expect("a file");
    TrainOptions {
        arch: arch.to_string_lossy().into_owned(),
        epochs: 3,
        qat_epochs: 1,
        batch: 20,
        limit: Some(1000),
        float_out: Some(dir.join(format!("{name}-float.onnx"))),
        ..TrainOptions::new(dir.join(format!("{name}.onnx")))
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn a_seed_gives_the_same_files_twice_and_another_seed_others() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let run = |name: &str, seed: u64| -> TrainReport {
        train(&TrainOptions {
            seed,
            ..options(dir.path(), name)
        })
        .unwrap_or_else(|e| panic!("{e}"))
    };
    let (a, b, c) = (run("a", 7), run("b", 7), run("c", 8));
    assert_eq!(bytes(&a.out), bytes(&b.out));
    assert_ne!(bytes(&a.out), bytes(&c.out));
    assert_eq!((a.float, a.quantised), (b.float, b.quantised));
    let phases: Vec<Phase> = a.epochs.iter().map(|e| e.phase).collect();
    assert_eq!(
        phases,
        [Phase::Float, Phase::Float, Phase::Float, Phase::Quantised]
    );
    assert!(
        a.epochs[3].loss < a.epochs[0].loss,
        "the loss does not fall: {:?}",
        a.epochs
    );
    let last = a.epochs[3].test_percent;
    assert_eq!(
        a.quantised.map(|q| q.percent()),
        Some(last),
        "fake-quantised and integer accuracy differ"
    );
    assert!(last > 40.0, "{last} % is hardly better than guessing");
    assert!(!options(dir.path(), "a").checkpoint().exists());
    read_float(&dir.path().join("a-float.onnx")).expect("the float file");
}

#[test]
fn training_goes_on_from_a_float_model() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let first = train(&TrainOptions {
        float_only: true,
        ..options(dir.path(), "float")
    })
    .expect("a float run");
    assert_eq!((first.quantised, first.formats.clone()), (None, None));
    let whole = train(&options(dir.path(), "whole")).expect("both phases in one run");
    let rest = train(&TrainOptions {
        init: Some(first.out.clone()),
        epochs: 0,
        ..options(dir.path(), "rest")
    })
    .expect("the quantised phase alone");
    assert_eq!(bytes(&whole.out), bytes(&rest.out));
    let second = train(&TrainOptions {
        init: Some(first.out.clone()),
        epochs: 0,
        word: Word::W8,
        auto_scale: false,
        ..options(dir.path(), "short")
    })
    .expect("a quantised run");
    assert_eq!(second.float, first.float);
    let formats = second.formats.expect("a quantised run has formats");
    assert_eq!((formats.word, formats.auto_scale), (Word::W8, false));
}

#[test]
fn impossible_options_are_refused_before_any_work() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let refused = |change: &dyn Fn(&mut TrainOptions)| {
        let mut o = options(dir.path(), "bad");
        change(&mut o);
        let e = train(&o).expect_err("bad options").to_string();
        assert!(!o.out.exists(), "a file was left behind");
        e
    };
    assert!(refused(&|o| o.batch = 0).contains("`batch`"));
    assert!(refused(&|o| o.epochs = 0).contains("`epochs`"));
    assert!(refused(&|o| o.patience = Some(0)).contains("at least 1 epoch"));
    assert!(refused(&|o| o.prune = Some(0.5)).contains("float model to begin from"));
    assert!(refused(&|o| o.low_rank = Some(1.5)).contains("below 1"));
    assert!(refused(&|o| o.teacher = true).contains("the float model to begin from"));
    let narrow = |o: &mut TrainOptions| (o.word, o.narrow_weights) = (Word::W8, true);
    assert!(refused(&narrow).contains("use words of 16"));
    assert!(refused(&|o| o.learning_rate = f64::NAN).contains("learning rate"));
    assert!(refused(&|o| o.out = dir.path().join("none/x.onnx")).contains("none"));
    assert!(refused(&|o| o.dataset = "mnist".into()).contains("fashion-mnist"));
    assert!(refused(&|o| o.learning_rate = 1e9).contains("diverged in epoch 1"));
}

#[test]
fn pruned_weights_stay_zero_and_the_network_learns_around_them() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let first = train(&TrainOptions {
        float_only: true,
        ..options(dir.path(), "dense")
    });
    let first = first.unwrap_or_else(|e| panic!("{e}"));
    let run = |name: &str, epochs: usize| {
        let report = train(&TrainOptions {
            init: Some(first.out.clone()),
            epochs,
            float_only: true,
            prune: Some(0.8),
            low_rank: Some(0.95),
            ..options(dir.path(), name)
        });
        report.unwrap_or_else(|e| panic!("{e}"))
    };
    let (raw, tuned) = (run("raw", 0), run("tuned", 2));
    let zeros = |report: &TrainReport| -> Vec<bool> {
        let graph = cnna_onnx::read_graph(&report.out).unwrap_or_else(|e| panic!("{e}"));
        let convs = graph.nodes.iter().filter_map(|n| n.op.conv());
        convs
            .flat_map(|c| c.real_weights())
            .map(|w| w == 0.0)
            .collect()
    };
    let (before, after) = (zeros(&raw), zeros(&tuned));
    assert_eq!(before, after);
    let share = before.iter().filter(|z| **z).count() as f64 / before.len() as f64;
    assert!(
        (share - 0.8).abs() < 0.01,
        "{share} of the weights are zero"
    );
    assert!(
        tuned.float.percent() > raw.float.percent(),
        "{} {}",
        tuned.float,
        raw.float
    );
}

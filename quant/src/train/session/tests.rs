//! Interrupted, early ended and learning runs.

use super::*;

const TINY: &str = r#"
    name = "tiny"
    layer = [
      { kind = "conv", name = "c1", channels = 4, kernel = 3, stride = 2, pad = 1 },
      { kind = "max-pool", name = "p1", kernel = 2, stride = 2 },
      { kind = "fc", name = "f1", features = 10 },
    ]
"#;

fn options(dir: &Path, name: &str) -> TrainOptions {
    let arch = dir.join("tiny.toml");
    std::fs::write(&arch, TINY).expect("a temporary folder can be written");
    TrainOptions {
        arch: arch.to_string_lossy().into_owned(),
        epochs: 2,
        qat_epochs: 2,
        limit: Some(200),
        ..TrainOptions::new(dir.join(name))
    }
}

/// Runs `epochs` epochs as a run that is then killed would.
fn interrupted(o: &TrainOptions, epochs: usize) {
    let mut data = Dataset::load(&o.dataset).expect("Fashion-MNIST is a condition of the tests");
    data.train = data.train.first(200);
    data.test = data.test.first(200);
    let net = Arch::load(&o.arch)
        .and_then(|a| a.init(data.train.shape, data.classes, o.seed))
        .expect("it fits");
    let mut t = Trainer::begin(o, &data, None, net).expect("a fresh or resumed run");
    for e in 0..epochs {
        let phase = if t.state.rows.len() < o.epochs {
            Phase::Float
        } else {
            Phase::Quantised
        };
        t.epoch(phase).unwrap_or_else(|x| panic!("epoch {e}: {x}"));
    }
}

#[test]
fn an_interrupted_run_ends_as_an_uninterrupted_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let whole = options(dir.path(), "whole.onnx");
    train(&whole).expect("a run");
    let parts = options(dir.path(), "parts.onnx");
    interrupted(&parts, 1);
    interrupted(&parts, 2);
    assert!(parts.checkpoint().exists() && !parts.out.exists());
    let report = train(&parts).expect("the rest of the run");
    assert_eq!(report.epochs.len(), 4);
    let read = |o: &TrainOptions| std::fs::read(&o.out).expect("the model");
    assert_eq!(read(&whole), read(&parts));
    assert!(!parts.checkpoint().exists());
}

#[test]
fn a_checkpoint_of_another_run_or_a_damaged_one_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let o = options(dir.path(), "net.onnx");
    interrupted(&o, 1);
    let other = TrainOptions {
        seed: 99,
        ..o.clone()
    };
    let e = train(&other).expect_err("another seed").to_string();
    assert!(e.contains("another run") && e.contains("delete it"), "{e}");
    let mut bytes = std::fs::read(o.checkpoint()).expect("just written");
    for spoil in [bytes.len() / 2, 3] {
        bytes[spoil] ^= 0x10;
        std::fs::write(o.checkpoint(), &bytes).expect("a file");
        let e = train(&o).expect_err("a flipped bit").to_string();
        assert!(e.contains("damaged"), "{e}");
    }
    std::fs::write(o.checkpoint(), b"ck").expect("a file");
    assert!(
        train(&o)
            .expect_err("two bytes")
            .to_string()
            .contains("truncated")
    );
    assert!(!o.out.exists());
}

/// Formats three bits too coarse become finer, and the loss smaller.
#[test]
fn ranges_that_are_too_wide_become_narrower() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let o = TrainOptions {
        word: cnna_machine::num::Word::W8,
        learn_ranges: true,
        ..options(dir.path(), "ranges.onnx")
    };
    let mut data = Dataset::load(&o.dataset).expect("Fashion-MNIST is there");
    data.train = data.train.first(64);
    let net = Arch::load(&o.arch).and_then(|a| a.init(data.train.shape, 10, 1));
    let mut net = net.expect("it fits");
    let descent = Descent::new(o.optimiser, &mut net);
    let mut t = Trainer::new(&o, &data, net, descent);
    let mut formats = t.calibrated().expect("finite weights");
    let found = formats.fracs.clone();
    formats.fracs[1..].iter_mut().for_each(|f| *f -= 3);
    let coarse = formats.fracs.clone();
    t.state.ranges = Some(Ranges::new(&coarse, o.word));
    t.use_formats(formats);
    let indices: Vec<usize> = (0..64).collect();
    let mut losses = Vec::new();
    for _ in 0..300 {
        let changes = vec![Change::default(); 64];
        let rate = o.qat_learning_rate as f32;
        let step = t.step(Phase::Quantised, &data.train, &indices, &changes, rate);
        losses.push(step.expect("a step").0);
    }
    let fracs = &t.state.formats.as_ref().expect("set above").fracs;
    let finer = fracs.iter().zip(&coarse).filter(|(f, c)| f > c).count();
    assert!(
        finer > 0,
        "{fracs:?} from {coarse:?}, {found:?} by calibration"
    );
    assert!(
        losses[299] < losses[0],
        "{} then {}",
        losses[0],
        losses[299]
    );
}

#[test]
fn patience_ends_with_so_many_epochs_without_a_better_one() {
    assert!(!is_stale(&[], 1) && !is_stale(&[50.0], 1) && !is_stale(&[50.0, 51.0], 1));
    assert!(is_stale(&[50.0, 50.0], 1) && is_stale(&[50.0, 60.0, 55.0, 59.0], 2));
    assert!(!is_stale(&[50.0, 60.0, 55.0, 61.0], 2));
}

#[test]
fn a_run_without_patience_ends_early_and_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let o = TrainOptions {
        epochs: 40,
        qat_epochs: 1,
        patience: Some(1),
        cutout: 8,
        ..options(dir.path(), "early.onnx")
    };
    let report = train(&o).expect("a run");
    let float = report.epochs.iter().filter(|r| r.phase == Phase::Float);
    let held: Vec<f64> = float.filter_map(|r| r.held_out_percent).collect();
    assert!(held.len() < 40 && is_stale(&held, 1), "{held:?}");
    assert!(!is_stale(&held[..held.len() - 1], 1), "{held:?}");
    assert_eq!(report.epochs.len(), held.len() + 1);
}

#[test]
fn the_progress_bar_has_a_legal_template() {
    bar(true, 3, 1, 2, Phase::Quantised).finish_and_clear();
}

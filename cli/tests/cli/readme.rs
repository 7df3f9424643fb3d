//! The README's commands, run literally in the order in which they stand; what is not run has a reason, and stands there.

use crate::workplace::Workplace;
use cnna_machine::num::Word;
use cnna_net::op::{AveragePool, Conv};
use cnna_net::{Activation, Graph, Padding, Shape, Values, Window};
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../../../README.md");

/// How a command that is not run begins, and why.
const EXCEPTIONS: [(&str, &str); 10] = [
    (
        "make demo",
        "minutes; .ci/run's machine runs its parts as tests",
    ),
    ("make test", "it runs this test"),
    (
        "python3 -c 'import torch",
        "needs the user's own module; examples/pytorch.ipynb exports a network",
    ),
    ("cargo build", "builds what this test runs"),
    (
        "cnna train",
        "trains for minutes; quant/tests/training.rs trains small networks",
    ),
    (
        "cnna check",
        "verilates the RTL of ultra96 for minutes; tests/tests/rtl.rs checks on small machines",
    ),
    (
        "cnna run yolo.cnna",
        "needs a detector's file; boxes.rs runs one",
    ),
    (
        "cnna serve",
        "serves until it is stopped; served.rs does both",
    ),
    (
        "$ cnna",
        "what make demo-network prints, on files that it fetches",
    ),
    (
        "import cnna",
        "Python: python/tests/test_readme.py runs the block",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Lines of code blocks that begin with a program's name, continuations joined, comments cut.
fn commands() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut continues = false;
    for line in README.lines() {
        let Some(code) = line.strip_prefix("    ") else {
            continues = false;
            continue;
        };
        let code = code.split(" #").next().unwrap_or_default().trim();
        let programs = [
            "cnna ", "$ cnna ", "make ", "cargo ", "python3 ", "scripts/", "import ",
        ];
        let begins = programs.iter().any(|p| code.starts_with(p));
        if continues {
            all.last_mut()
                .unwrap()
                .push_str(code.trim_end_matches('\\'));
        } else if begins {
            all.push(code.trim_end_matches('\\').into());
        }
        continues = (continues || begins) && code.ends_with('\\');
    }
    all
}

/// `name`: a float network of three channels and ten classes, small enough for any test.
fn write_model(w: &Workplace, name: &str) {
    let mut graph = Graph::new("small", Word::W16);
    let x = graph.input("image", Shape { c: 3, h: 32, w: 32 }, None);
    let reals = |n: usize| Values::Reals((0..n).map(|i| (i as f32 * 0.7).sin() / 4.0).collect());
    let conv = |oc: usize, ic: usize, activation| Conv {
        finer: Vec::new(),
        oc,
        groups: 1,
        window: Window::plain(3, 3),
        weights: reals(oc * ic * 9),
        bias: reals(oc),
        activation,
    };
    let a = graph
        .push("conv1", conv(8, 3, Activation::Relu), &[x], None)
        .unwrap();
    let b = graph
        .push("conv2", conv(10, 8, Activation::None), &[a], None)
        .unwrap();
    let mean = AveragePool {
        window: Window::plain(28, 28),
        counted: Padding::default(),
    };
    let y = graph.push("mean", mean, &[b], None).unwrap();
    graph.output(y);
    let options = cnna_onnx::Options {
        float: true,
        ..Default::default()
    };
    let model = cnna_onnx::export_with(&graph, options).unwrap();
    cnna_onnx::write(w.path(name), &model).unwrap();
}

#[test]
fn every_command_of_the_readme_runs_or_has_a_reason_not_to() {
    let w = Workplace::new();
    let picture = include_bytes!("../../../docs/pictures/report-vgg16.png");
    std::fs::create_dir(w.path("photos")).unwrap();
    for name in ["photos/1.png", "photos/2.png", "photo.jpg"] {
        std::fs::write(w.path(name), picture).unwrap();
    }
    write_model(&w, "net.onnx");
    write_model(&w, "float.onnx");
    let values = (0..3 * 32 * 32).map(|i| (i as f32 * 0.37).sin());
    w.save("x.npy", &[1, 3, 32, 32], values.collect());
    // What the README takes from elsewhere: a quantised model, and one with its table.
    w.succeeds("quantize float.onnx --calib photos -o model.onnx --json q.json");
    w.succeeds("compile model.onnx --board ultra96 -o q.cnna");
    let program = Path::new(env!("CARGO_BIN_EXE_cnna")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let (mut ran, mut used) = (0, vec![false; EXCEPTIONS.len()]);
    for command in commands() {
        if let Some(i) = EXCEPTIONS.iter().position(|(e, _)| command.starts_with(e)) {
            used[i] = true;
            continue;
        }
        let output = Command::new("sh")
            .args(["-ec", &command])
            .current_dir(w.path("."))
            .env("PATH", &path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        ran += 1;
    }
    assert!(ran >= 12, "only {ran} commands were found");
    let stale: Vec<_> = EXCEPTIONS
        .iter()
        .zip(used)
        .filter(|(_, used)| !used)
        .collect();
    assert!(stale.is_empty(), "exceptions without a command: {stale:?}");
}

/// Words in `code` after a prefix, as in `make TARGET`.
fn named(prefix: &str) -> Vec<&'static str> {
    let codes = README.split('`').skip(1).step_by(2);
    let own = codes.filter_map(|c| c.strip_prefix(prefix)?.split_whitespace().next());
    own.collect()
}

#[test]
fn targets_scripts_tests_and_links_that_the_readme_names_are_there() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    for target in named("make ") {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    for script in named("scripts/") {
        assert!(
            root().join("scripts").join(script).is_file(),
            "scripts/{script}"
        );
    }
    for link in README
        .split("](")
        .skip(1)
        .filter_map(|l| l.split(')').next())
    {
        assert!(root().join(link).exists(), "{link}");
    }
    assert!(named("make ").len() > 10);
}

#[test]
fn no_line_of_the_readme_is_longer_than_a_screen() {
    for (n, line) in README.lines().enumerate() {
        let length = line.chars().count();
        assert!(length <= 120, "line {} has {length} characters", n + 1);
    }
}

#[test]
fn every_page_of_the_book_is_in_its_contents_and_every_link_leads_somewhere() {
    let docs = root().join("docs");
    let contents = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut pages = Vec::new();
    for folder in ["", "guide", "decisions"] {
        for entry in std::fs::read_dir(docs.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") && !path.ends_with("SUMMARY.md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 20);
    pages.push(docs.join("SUMMARY.md"));
    for page in &pages {
        let name = page.strip_prefix(&docs).unwrap().display().to_string();
        let listed = name == "SUMMARY.md" || contents.contains(&format!("({name})"));
        assert!(listed, "{name} is not in docs/SUMMARY.md");
        let text = std::fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|l| l.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !link.starts_with("http") && !file.is_empty() {
                assert!(page.parent().unwrap().join(file).exists(), "{name}: {link}");
            }
        }
    }
}

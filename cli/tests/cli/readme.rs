//! The README's commands, run literally in the order in which they stand. What takes minutes or needs more than the tests
//! have is run when asked for only (`make readme`); the rest of what is not run has a reason, and stands there.

use crate::workplace::Workplace;
use cnna_machine::num::Word;
use cnna_net::op::{AveragePool, Conv};
use cnna_net::{Activation, Graph, Padding, Shape, Values, Window};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const README: &str = include_str!("../../../README.md");

/// Commands that are not run as the others are.
struct Exception {
    begins: &'static str,
    why: &'static str,
    run: Run,
}

/// When such a command is run, and how.
#[derive(Clone, Copy)]
enum Run {
    Always(fn(&Runner, &str)),
    /// With `CNNA_README=all` or its beginning, which `make readme` sets.
    Asked(fn(&Runner, &str)),
    Never,
}

const EXCEPTIONS: [Exception; 10] = [
    Exception {
        begins: "make demo",
        why: "minutes",
        run: Run::Asked(Runner::in_root),
    },
    Exception {
        begins: "make test",
        why: "it runs this test",
        run: Run::Never,
    },
    Exception {
        begins: "python3 -c 'import torch",
        why: "needs PyTorch",
        run: Run::Asked(Runner::with_torch),
    },
    Exception {
        begins: "cargo build",
        why: "builds what this test runs",
        run: Run::Asked(Runner::in_root),
    },
    Exception {
        begins: "cnna train",
        why: "minutes",
        run: Run::Asked(Runner::here),
    },
    Exception {
        begins: "cnna check",
        why: "verilates the RTL of ultra96 for minutes",
        run: Run::Asked(Runner::here),
    },
    Exception {
        begins: "cnna run yolo.cnna",
        why: "needs a detector's file, which Python's onnx writes",
        run: Run::Always(Runner::with_detector),
    },
    Exception {
        begins: "cnna serve",
        why: "serves until it is stopped, with half a gigabyte at a path that all share",
        run: Run::Asked(Runner::until_it_serves),
    },
    Exception {
        begins: "$ cnna",
        why: "what make demo-network prints, which make demo runs",
        run: Run::Never,
    },
    Exception {
        begins: "import cnna",
        why: "Python: python/tests/test_readme.py runs the block",
        run: Run::Never,
    },
];

/// One output of the shape [4 + 80, boxes], as `--boxes v8` takes it.
const DETECTOR: &str = "\
import onnx, numpy as np
from onnx import TensorProto, helper, numpy_helper
array = lambda name, values: numpy_helper.from_array(values, name)
weights = np.random.default_rng(1).random((84, 3, 32, 32)).astype(np.float32) / 3072
value = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ['N', *shape])
graph = helper.make_graph([
    helper.make_node('Conv', ['images', 'w'], ['c'], 'head', kernel_shape=[32, 32], strides=[32, 32]),
    helper.make_node('Reshape', ['c', 'shape'], ['boxes'], 'flat')],
  'yolo', [value('images', 3, 64, 64)], [value('boxes', 84, 4)],
  [array('w', weights), array('shape', np.array([0, 84, 4]))])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8), 'yolo.onnx')
";

/// Runs commands as a shell does.
struct Runner {
    place: Workplace,
    path: String,
}

impl Runner {
    fn shell(&self, command: &str, folder: &Path, python: &Path) {
        let output = Command::new("sh")
            .args(["-ec", command])
            .current_dir(folder)
            .env("PATH", &self.path)
            .env("PYTHONPATH", python)
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }

    /// In the test's own folder, with the packages of scripts/setup.
    fn here(&self, command: &str) {
        self.shell(command, &self.place.path("."), &root().join("build/python"));
    }

    fn in_root(&self, command: &str) {
        self.shell(command, &root(), &root().join("build/python"));
    }

    /// In a folder of its own: later commands read a `net.onnx` that fits the pictures.
    fn with_torch(&self, command: &str) {
        let folder = self.place.path("torch");
        let net = "torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())";
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("my.py"), format!("import torch\nnet = {net}\n")).unwrap();
        let python = root().join("build/python-env/bin").canonicalize();
        let python = python.expect("scripts/python-env made it");
        let command = format!("export PATH={}:$PATH; {command}", python.display());
        self.shell(&command, &folder, &folder);
        assert!(folder.join("net.onnx").is_file());
    }

    fn with_detector(&self, command: &str) {
        let w = &self.place;
        std::fs::copy(w.path("photo.jpg"), w.path("street.jpg")).unwrap();
        std::fs::write(w.path("coco.txt"), "a\n".repeat(80)).unwrap();
        std::fs::write(w.path("detector.py"), DETECTOR).unwrap();
        self.here("python3 detector.py");
        w.succeeds("compile yolo.onnx --calib street.jpg --board ultra96 -o yolo.cnna");
        self.here(command);
        assert!(w.path("found").is_dir());
    }

    fn until_it_serves(&self, command: &str) {
        let mut server = Command::new("sh")
            .args(["-ec", &format!("exec {command}")])
            .env("PATH", &self.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(server.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        // Ctrl-C, which removes the file.
        let pid = server.id().to_string();
        let stop = Command::new("kill").args(["-INT", &pid]).status();
        assert!(stop.unwrap().success());
        server.wait().unwrap();
        assert!(line.starts_with("serving cycle of ultra96"), "{line}");
    }
}

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
    let asked = |command: &str| {
        let which = std::env::var("CNNA_README").ok().filter(|w| !w.is_empty());
        which.is_some_and(|w| w == "all" || command.starts_with(&w))
    };
    let runner = Runner { place: w, path };
    let (mut ran, mut used) = (0, vec![false; EXCEPTIONS.len()]);
    for command in commands() {
        let exception = EXCEPTIONS
            .iter()
            .position(|e| command.starts_with(e.begins));
        let run = match exception.map(|i| EXCEPTIONS[i].run) {
            None => Some(Runner::here as fn(&Runner, &str)),
            Some(Run::Always(run)) => Some(run),
            Some(Run::Asked(run)) => Some(run).filter(|_| asked(&command)),
            Some(Run::Never) => None,
        };
        exception.iter().for_each(|&i| used[i] = true);
        match run {
            Some(run) => {
                println!("{command}");
                run(&runner, &command);
                ran += 1;
            }
            None => println!(
                "not run ({}): {command}",
                EXCEPTIONS[exception.unwrap()].why
            ),
        }
    }
    assert!(ran >= 12, "only {ran} commands were found");
    let stale = EXCEPTIONS.iter().zip(used).filter(|(_, used)| !used);
    let stale: Vec<&str> = stale.map(|(e, _)| e.begins).collect();
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

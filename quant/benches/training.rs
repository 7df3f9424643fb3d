//! Time of a training step (forward, backward, update; batches of 64), ours and PyTorch's, in turn on the same cores.
//!
//! `make bench-training`; without PyTorch (`CNNA_PYTHON` names an interpreter) it says so and prints ours alone.

use cnna_machine::num::Word;
use cnna_net::Shape;
use cnna_quant::{Arch, Dataset, Phase, Split, TrainOptions, step_times};
use std::process::Command;

/// Largest share of PyTorch's time that is a pass.
const BAR: f64 = 2.0;
const BATCH: usize = 64;
/// Steps of a turn, and turns.
const STEPS: usize = 12;
const TURNS: usize = 4;

const NETWORKS: [(&str, Shape, &str); 2] = [
    ("small", Shape { c: 1, h: 28, w: 28 }, "c16 p c32 p"),
    (
        "vgg6",
        Shape { c: 3, h: 32, w: 32 },
        "c32 c32 p c64 c64 p c128 c128 p",
    ),
];

/// Convolutions of 3x3 with ReLU, maxima of 2x2, and ten classes.
fn arch(layers: &str) -> String {
    let mut text = String::from("name = \"bench\"\n");
    for (i, l) in layers.split(' ').enumerate() {
        text += &match l.strip_prefix('c') {
            Some(c) => format!(
                "[[layer]]\nkind = \"conv\"\nname = \"l{i}\"\nchannels = {c}\nkernel = 3\nstride = 1\npad = 1\n"
            ),
            None => {
                format!("[[layer]]\nkind = \"max-pool\"\nname = \"l{i}\"\nkernel = 2\nstride = 2\n")
            }
        };
    }
    text + "[[layer]]\nkind = \"fc\"\nname = \"fc\"\nfeatures = 10\n"
}

/// The same in PyTorch, channels last: its best time of a turn in seconds.
const PYTORCH: &str = r#"
import sys, time, torch
from torch import nn
layers, c, side, batch, steps, threads = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
net, width, last = [], side, c
for l in layers.split():
    if l == "p":
        net.append(nn.MaxPool2d(2)); width //= 2
    else:
        net += [nn.Conv2d(last, int(l[1:]), 3, padding=1), nn.ReLU()]; last = int(l[1:])
net = nn.Sequential(*net, nn.Flatten(), nn.Linear(last * width * width, 10)).to(memory_format=torch.channels_last)
x = torch.rand(batch, c, side, side).contiguous(memory_format=torch.channels_last)
y = torch.randint(0, 10, (batch,))
sgd = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, nesterov=True, weight_decay=5e-4)
best = 1e9
for _ in range(steps):
    began = time.perf_counter()
    sgd.zero_grad(); nn.functional.cross_entropy(net(x), y).backward(); sgd.step()
    best = min(best, time.perf_counter() - began)
print(best)
"#;

fn pytorch(layers: &str, s: Shape, threads: usize) -> Option<f64> {
    let python = std::env::var("CNNA_PYTHON").unwrap_or("python3".into());
    let mut command = Command::new(python);
    command.args(["-c", PYTORCH, layers]);
    for n in [s.c, s.h, BATCH, STEPS, threads] {
        command.arg(n.to_string());
    }
    let out = command.output().ok()?;
    String::from_utf8_lossy(&out.stdout).trim().parse().ok()
}

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    println!(
        "milliseconds a step, batch {BATCH}, {threads} thread(s), best of {TURNS} turns of {STEPS}"
    );
    println!(
        "{:8} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "network", "float", "16 bits", "8 bits", "PyTorch", "float by"
    );
    let mut missed = false;
    for (name, shape, layers) in NETWORKS {
        let arch: Arch = toml::from_str(&arch(layers)).expect("the description above");
        let net = arch.init(shape, 10, 1).unwrap_or_else(|e| panic!("{e}"));
        let images: Vec<u8> = (0..BATCH * shape.len())
            .map(|i| (i * 7919 % 251) as u8)
            .collect();
        let split = Split {
            shape,
            images,
            labels: (0..BATCH).map(|i| (i % 10) as u16).collect(),
            preprocess: Default::default(),
        };
        let data = Dataset {
            name: "bench".into(),
            classes: 10,
            train: split.clone(),
            test: split,
        };
        // In turns, so that what else the machine does meets both.
        let mut best = [f64::INFINITY; 4];
        for _ in 0..TURNS {
            for (k, word) in [None, Some(Word::W16), Some(Word::W8)]
                .into_iter()
                .enumerate()
            {
                let options = TrainOptions {
                    batch: BATCH,
                    word: word.unwrap_or(Word::W16),
                    ..TrainOptions::new("unused.onnx")
                };
                let phase = if word.is_some() {
                    Phase::Quantised
                } else {
                    Phase::Float
                };
                let times = step_times(net.clone(), &data, &options, phase, STEPS);
                let times = times.unwrap_or_else(|e| panic!("{e}"));
                let least = times.iter().min().expect("some steps").as_secs_f64();
                best[k] = best[k].min(least);
            }
            if let Some(seconds) = pytorch(layers, shape, threads) {
                best[3] = best[3].min(seconds);
            }
        }
        let ms = |s: f64| match s.is_finite() {
            true => format!("{:.1}", 1e3 * s),
            false => "absent".into(),
        };
        let ratio = best[0] / best[3];
        let verdict = match best[3].is_finite() {
            true => format!("{ratio:.2}"),
            false => "-".into(),
        };
        missed |= best[3].is_finite() && ratio > BAR;
        let columns = best.map(ms);
        println!(
            "{name:8} {:>8} {:>8} {:>8} {:>8} {verdict:>8}",
            columns[0], columns[1], columns[2], columns[3]
        );
    }
    if missed {
        eprintln!("more than {BAR} times PyTorch's time");
        std::process::exit(1);
    }
}

//! The reference model over many images.

use crate::devices::Sink;
use crate::error::FlowError;
use crate::progress::Session;
use cnna_host::HostError;
use cnna_host::report::{LayerReport, RunReport};
use cnna_host::tensor::Images;
use cnna_machine::golden::{self, LayerResult};
use cnna_machine::layer::{Network, Op};
use cnna_machine::program::{Program, ProgramMeta};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Images at once: enough for every core, few enough for any memory.
const SHARE: usize = 64;

/// Runs the reference model, images in parallel; its report has no cycles.
///
/// Errors: a damaged network, `images`' and `results`' own, interrupted.
pub fn run(
    program: &Program<'_>,
    images: &mut dyn Images,
    results: &mut Sink<'_>,
    session: &Session<'_>,
) -> Result<RunReport, FlowError> {
    let (network, meta) = (network(program)?, &program.meta);
    let (progress, count) = (session.progress, images.count());
    progress.begin("reference", Some(count as u64), "images");
    let mut report = RunReport {
        images: count as u64,
        ..RunReport::default()
    };
    for l in &meta.layers {
        report.layers.push(LayerReport {
            name: l.name.clone(),
            mode: l.mode.clone(),
            macs: l.macs.saturating_mul(report.images),
            ..LayerReport::default()
        });
    }
    let done = AtomicU64::new(0);
    for first in (0..count).step_by(SHARE) {
        let words = images.next(SHARE.min(count - first))?;
        let all = layers(&network, &words, session, &done)?;
        for mut of in all {
            for (layer, n) in report.layers.iter_mut().zip(saturated(meta, &of)) {
                layer.saturated += n;
                report.saturated += n;
            }
            results(&of.pop().map(|l| l.values).unwrap_or_default())?;
        }
    }
    progress.end();
    Ok(report)
}

/// The program's network, fit for the reference model and for comparison. Errors: it contradicts itself or the program.
pub(crate) fn network(program: &Program<'_>) -> Result<Network, FlowError> {
    let network = program.network()?;
    match contradiction(&network, &program.meta) {
        None => Ok(network),
        Some(what) => Err(FlowError::Network { what }),
    }
}

/// Where a network of a program file with right checksums contradicts itself or what the program says of it.
fn contradiction(network: &Network, meta: &ProgramMeta) -> Option<String> {
    if network.input != meta.input.layout.shape || network.word != meta.accelerator().word {
        return Some("its input is not the program's".into());
    }
    let mut before = network.input;
    for l in &network.layers {
        let bad = |what: &str| Some(format!("layer {}: {what}", l.name));
        let (window, oc) = match &l.op {
            Op::Conv(c) => (&c.window, c.oc),
            Op::MaxPool(w) => (w, l.input.c),
        };
        let all = [window.kernel, window.stride, window.dilation];
        let pad = [
            window.pad.top,
            window.pad.left,
            window.pad.bottom,
            window.pad.right,
        ];
        if l.input != before {
            return bad("its input is not the output of the layer before it");
        }
        if all.iter().flatten().any(|n| !(1..=MOST).contains(n)) || pad.iter().any(|&n| n > MOST) {
            return bad("its window is out of range");
        }
        let size = window.output(l.input.h, l.input.w);
        if size != Some([l.output.h, l.output.w]) || oc != l.output.c || l.output.c == 0 {
            return bad("its output is not what its window gives");
        }
        if l.output.h > MOST || l.output.w > MOST || l.output.c > MOST {
            return bad("its output is too large");
        }
        if let Op::Conv(c) = &l.op
            && (!(-16..=47).contains(&c.shift)
                || c.bias.len() != oc
                || c.weights.len() != oc * l.input.c * c.window.kernel[0] * c.window.kernel[1])
        {
            return bad("its shift, weights or biases are out of range");
        }
        before = l.output;
    }
    let mut next = 0;
    for l in &meta.layers {
        let of = network.layers.get(l.network_layer);
        if l.network_layer < next || of.map(|n| n.output.len()) != Some(l.output.layout.shape.len())
        {
            return Some(format!("layer {}: it is not in the network", l.name));
        }
        next = l.network_layer + 1;
    }
    (next != network.layers.len()).then(|| "the program does not end with its last layer".into())
}

/// Longest side of a tensor, and most of anything that a window has.
const MOST: usize = 1 << 16;

/// Every layer's results of some images, one behind the other in `words`. Errors: interrupted.
pub(crate) fn layers(
    network: &Network,
    words: &[i16],
    session: &Session<'_>,
    done: &AtomicU64,
) -> Result<Vec<Vec<LayerResult>>, HostError> {
    let images: Vec<&[i16]> = words.chunks_exact(network.input.len().max(1)).collect();
    images
        .par_iter()
        .map(|image| {
            if session.stop.load(Ordering::SeqCst) {
                return Err(HostError::Interrupted);
            }
            let layers = golden::run(network, image);
            session
                .progress
                .at(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(layers)
        })
        .collect()
}

/// Saturated results of each of the program's layers, which may cover several of the network's.
pub fn saturated(meta: &ProgramMeta, layers: &[LayerResult]) -> Vec<u64> {
    let mut from = 0;
    let each = meta.layers.iter().map(|l| {
        let covered = from..l.network_layer + 1;
        from = l.network_layer + 1;
        let results = layers.get(covered).unwrap_or_default();
        results.iter().map(|r| r.saturated).sum()
    });
    each.collect()
}

//! The reference model over many images.

use crate::devices::Sink;
use crate::error::FlowError;
use crate::progress::Session;
use cnna_host::HostError;
use cnna_host::report::{LayerReport, RunReport};
pub use cnna_host::steps::graph;
use cnna_host::tensor::Images;
use cnna_machine::program::{Program, ProgramMeta};
use cnna_net::Graph;
use cnna_net::run::{self, Run};
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
    run_graph(&graph(program)?, &program.meta, images, results, session)
}

/// The same with the program's [`graph`], for callers that run it often.
pub fn run_graph(
    graph: &Graph,
    meta: &ProgramMeta,
    images: &mut dyn Images,
    results: &mut Sink<'_>,
    session: &Session<'_>,
) -> Result<RunReport, FlowError> {
    let (progress, count) = (session.progress, images.count());
    progress.begin("reference", Some(count as u64), "images");
    let mut report = RunReport {
        images: count as u64,
        ..RunReport::default()
    };
    for l in &meta.layers {
        report.layers.push(LayerReport {
            name: l.name.clone(),
            mode: l.mode,
            macs: l.macs.saturating_mul(report.images),
            ..LayerReport::default()
        });
    }
    let done = AtomicU64::new(0);
    for first in (0..count).step_by(SHARE) {
        let words = images.next(SHARE.min(count - first))?;
        let all = tensors(graph, &words, session, &done)?;
        for of in all {
            for (layer, n) in report.layers.iter_mut().zip(saturated(meta, graph, &of)) {
                layer.counters.saturated += n;
                report.saturated += n;
            }
            let outputs = graph.outputs.iter();
            let words: Vec<i16> = outputs
                .flat_map(|p| of.tensors[p.tensor].values.iter().copied())
                .collect();
            results(&words)?;
        }
    }
    progress.end();
    Ok(report)
}

/// Every tensor of some images, one behind the other in `words`. Errors: interrupted, a tensor without a format.
pub(crate) fn tensors(
    graph: &Graph,
    words: &[i16],
    session: &Session<'_>,
    done: &AtomicU64,
) -> Result<Vec<Run>, FlowError> {
    let lens: Vec<usize> = graph
        .inputs
        .iter()
        .map(|p| graph.tensors[p.tensor].shape.len())
        .collect();
    let images: Vec<&[i16]> = words
        .chunks_exact(lens.iter().sum::<usize>().max(1))
        .collect();
    images
        .par_iter()
        .map(|image| {
            let mut rest = *image;
            let mut inputs = Vec::with_capacity(lens.len());
            for &len in &lens {
                let (one, others) = rest.split_at(len);
                inputs.push(one);
                rest = others;
            }
            let stop = || session.stop.load(Ordering::SeqCst);
            let run = run::run_until(graph, &inputs, stop)?.ok_or(HostError::Interrupted)?;
            session
                .progress
                .at(done.fetch_add(1, Ordering::Relaxed) + 1);
            Ok(run)
        })
        .collect()
}

/// Saturated results of each of the program's layers, which may cover several of the network's nodes.
pub fn saturated(meta: &ProgramMeta, graph: &Graph, run: &Run) -> Vec<u64> {
    let of_node = |&n: &usize| run.tensors[graph.nodes[n].output].saturated;
    let each = meta.layers.iter();
    each.map(|l| l.nodes.iter().map(of_node).sum()).collect()
}

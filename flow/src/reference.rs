//! The reference model over many images.

use crate::devices::Sink;
use crate::error::FlowError;
use crate::progress::Session;
use cnna_host::HostError;
use cnna_host::report::{LayerReport, RunReport};
use cnna_host::tensor::Images;
use cnna_machine::golden::{self, LayerResult};
use cnna_machine::layer::Network;
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
    let (network, meta) = (program.network()?, &program.meta);
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

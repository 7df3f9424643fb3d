//! The reference model over many images.

use crate::error::FlowError;
use crate::progress::Session;
use cnna_host::HostError;
use cnna_host::report::{LayerReport, RunReport};
use cnna_host::tensor::Batch;
use cnna_machine::golden::{self, LayerResult};
use cnna_machine::program::{Program, ProgramMeta};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Runs the reference model, images in parallel; its report has no cycles. Errors: a damaged network, or interrupted.
pub fn run(
    program: &Program<'_>,
    batch: &Batch,
    session: &Session<'_>,
) -> Result<(Vec<i16>, RunReport), FlowError> {
    let network = program.network()?;
    let progress = session.progress;
    progress.begin("reference", Some(batch.len() as u64), "images");
    let images: Vec<&[i16]> = batch.images().collect();
    let done = AtomicU64::new(0);
    let results: Result<Vec<(Vec<i16>, Vec<u64>)>, HostError> = images
        .par_iter()
        .map(|image| {
            if session.stop.load(Ordering::SeqCst) {
                return Err(HostError::Interrupted);
            }
            let mut layers = golden::run(&network, image);
            let saturated = saturated(&program.meta, &layers);
            progress.at(done.fetch_add(1, Ordering::Relaxed) + 1);
            let last = layers.pop().map(|l| l.values).unwrap_or_default();
            Ok((last, saturated))
        })
        .collect();
    progress.end();
    let results = results?;
    let mut report = RunReport {
        images: images.len() as u64,
        ..RunReport::default()
    };
    for (i, l) in program.meta.layers.iter().enumerate() {
        let saturated = results.iter().map(|(_, s)| s[i]).sum();
        report.saturated += saturated;
        report.layers.push(LayerReport {
            name: l.name.clone(),
            mode: l.mode.clone(),
            macs: l.macs * report.images,
            saturated,
            ..LayerReport::default()
        });
    }
    let words = results.into_iter().flat_map(|(w, _)| w).collect();
    Ok((words, report))
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

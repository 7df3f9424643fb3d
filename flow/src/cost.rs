//! A program's run on one image as a report.

use crate::devices;
use crate::error::FlowError;
use crate::progress::Session;
use cnna_compile::{Options, at_best};
use cnna_host::tensor::Images;
use cnna_machine::program::Program;
use cnna_report::numbers::InModes;
use cnna_report::{Quantisation, Report};
use serde::Deserialize;
use std::collections::HashMap;

/// Runs a program on one image (told to people as `image`) and reports what it cost. `name` names the program in errors.
///
/// Errors: a device that counts no cycles; as [`devices::run_on`]; a program that contradicts itself.
pub fn measure(
    name: &str,
    device: &str,
    program: &Program<'_>,
    images: &mut dyn Images,
    image: &str,
    session: &Session<'_>,
) -> Result<Report, FlowError> {
    if device == devices::REFERENCE {
        return Err(FlowError::NoCycles);
    }
    let counters = devices::run_on(device, program, images, &mut |_| Ok(()), session)?;
    let report = Report::new(program, &counters, device, image);
    let mut report = report.map_err(|source| FlowError::Report {
        program: name.into(),
        source,
    })?;
    report.modes = modes(name, program)?;
    Ok(report)
}

/// What each convolution of a program could do at best in each mode.
fn modes(name: &str, program: &Program<'_>) -> Result<Vec<InModes>, FlowError> {
    let [structure, constants] = program.network;
    let graph = cnna_net::file::decode(structure, constants)?;
    let all = at_best(&graph, &program.meta.board, &Options::default());
    let all = all.map_err(|source| FlowError::Compile {
        model: name.into(),
        board: program.meta.board.name.clone(),
        source: Box::new(source),
    })?;
    let each = all.into_iter().map(|c| InModes {
        name: c.name,
        taken: c.taken,
        cycles: c.cycles,
    });
    Ok(each.collect())
}

/// The table in what `cnna quantize --json` wrote; `name` names it in errors. Errors: without a table, of another network.
pub fn quantisation(
    name: &str,
    json: &[u8],
    program: &Program<'_>,
) -> Result<Quantisation, FlowError> {
    #[derive(Deserialize)]
    struct File {
        table: Option<Quantisation>,
    }
    let bad = |message: String| FlowError::Quantisation {
        name: name.into(),
        message,
    };
    let file: File = serde_json::from_slice(json)
        .map_err(|e| bad(format!("expected what `cnna quantize --json` writes: {e}")))?;
    let Some(table) = file.table else {
        return Err(bad(
            "it has no table, because its model was quantised before: nothing was measured".into(),
        ));
    };
    let [structure, constants] = program.network;
    let graph = cnna_net::file::decode(structure, constants)?;
    let known: HashMap<&str, Option<i32>> = graph
        .tensors
        .iter()
        .map(|t| (&t.name[..], t.frac))
        .collect();
    // Inner tensors may have been fused away; inputs and outputs are the network's, and what is left has its format.
    for r in &table.rows {
        let ends = r.output || r.operator.is_none();
        let same = known.get(&r.tensor[..]).map(|f| *f == Some(r.frac));
        if !same.unwrap_or(!ends) {
            return Err(bad(format!(
                "its tensor `{}` with {} fraction bits is not in {}: the table is of another network, or of other calibration images",
                r.tensor, r.frac, program.meta.name
            )));
        }
    }
    Ok(table)
}

//! Reads ONNX files and says for each what became of it:
//!
//! ```text
//! survey read FILE...                      a line each: read, or refused and why
//! survey export FILE OUT                   the graph written back as ONNX
//! survey quantised FILE OUT                the quantised graph written back
//! survey run FILE IN.f32 OUT.f32           a quantised model's integers, run by the reference, on raw floats of one input
//! ```

use cnna_machine::num::{dequantise, quantise};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match texts[..] {
        ["read", ref files @ ..] => {
            survey(files);
            Ok(())
        }
        ["export", file, out] => export(cnna_onnx::read_graph(file), out),
        ["quantised", file, out] => export(cnna_onnx::read_quantised(file), out),
        ["run", file, input, out] => run(file, input, out),
        _ => Err("see the first lines of survey.rs for its arguments".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(2)
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn survey(files: &[&str]) {
    let (mut read, mut refused) = (0, 0);
    for file in files {
        match cnna_onnx::read_graph(file) {
            Ok(g) => {
                read += 1;
                println!(
                    "read     {file}: {} nodes, {} outputs",
                    g.nodes.len(),
                    g.outputs.len()
                );
            }
            Err(e) => {
                refused += 1;
                println!("refused  {file}: {e}");
            }
        }
    }
    println!("{read} read, {refused} refused");
}

fn export(graph: Result<cnna_net::Graph, cnna_onnx::ReadError>, out: &str) -> Done {
    Ok(cnna_onnx::write(out, &cnna_onnx::export(&graph?)?)?)
}

fn run(file: &str, input: &str, out: &str) -> Done {
    let graph = cnna_onnx::read_quantised(file)?;
    let bytes = std::fs::read(input)?;
    let all: Vec<f32> = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
        .collect();
    let port = &graph.inputs[0];
    let frac = graph.tensors[port.tensor]
        .frac
        .ok_or("its input has no format")?;
    let mut result = Vec::new();
    for image in all.chunks_exact(port.array.len()) {
        let mut words = vec![0; port.array.len()];
        for (&x, at) in image.iter().zip(port.array.offsets()) {
            words[at] = quantise(x.into(), frac, graph.word).unwrap_or(0);
        }
        let tensors = cnna_net::run::run(&graph, &[&words])?.tensors;
        for p in &graph.outputs {
            let frac = graph.tensors[p.tensor].frac.unwrap_or(0);
            for at in p.array.offsets() {
                result
                    .extend((dequantise(tensors[p.tensor].values[at], frac) as f32).to_le_bytes());
            }
        }
    }
    Ok(std::fs::write(out, result)?)
}

//! Prints the accuracy table of a float model: in float, and rounded to 16 and 8 bits with and without auto-scaling.
//!
//! `cargo run --release -p cnna-quant --example accuracy -- models/fashion-float.onnx fashion-mnist`

use cnna_quant::{Dataset, accuracy_report};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, dataset] = &args[..] else {
        eprintln!("usage: accuracy MODEL.onnx DATASET");
        std::process::exit(2);
    };
    let net = cnna_onnx::read_graph(model)?;
    for r in accuracy_report(&net, &[], &Dataset::load(dataset)?, |_| ())? {
        let bits = r.word.map_or("32".into(), |w| w.bits().to_string());
        let scale = match r.auto_scale {
            None => "",
            Some(true) => "auto-scaled",
            Some(false) => "plain",
        };
        let sqnr = r.sqnr_db.map_or(String::new(), |d| format!("{d:.1} dB"));
        println!(
            "{:8} {bits:>2} bits {scale:11} {:6.2} % {:+6.2} points, decides as float {:>6} of {}, {sqnr}",
            r.method, r.percent, r.points, r.agree, r.images
        );
    }
    Ok(())
}

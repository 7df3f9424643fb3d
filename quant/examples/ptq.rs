use cnna_data::{Pixels, Preprocess};
use cnna_machine::num::Word;
use cnna_quant::ptq::{Calibration, Method, Options, load_or_quantise};
fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let mut pre = Preprocess::default();
    let mut options = Options::default();
    let mut most = 64;
    let mut paths = Vec::new();
    let (model, out) = (a[0].clone(), a[1].clone());
    for s in &a[2..] {
        match s.split_once('=') {
            Some(("pixels", "255")) => pre.pixels = Pixels::Bytes,
            Some(("mean", v)) => pre.mean = v.split(',').map(|x| x.parse().unwrap()).collect(),
            Some(("std", v)) => pre.std = v.split(',').map(|x| x.parse().unwrap()).collect(),
            Some(("resize", v)) => pre.resize = Some(v.parse().unwrap()),
            Some(("crop", v)) => pre.crop = Some(v.parse().unwrap()),
            Some(("word", "8")) => options.word = Word::W8,
            Some(("most", v)) => most = v.parse().unwrap(),
            Some(("method", "max")) => options.method = Some(Method::Max),
            Some(("method", "mse")) => options.method = Some(Method::Mse),
            Some(("method", _)) => options.method = Some(Method::Percentile),
            _ => paths.push((None, s.into())),
        }
    }
    let t = std::time::Instant::now();
    let c = Calibration {
        paths,
        preprocess: pre,
        most,
    };
    match load_or_quantise(model.as_ref(), &c, &options, |_, _| ()) {
        Err(e) => {
            println!("error: {e}");
            std::process::exit(2)
        }
        Ok(f) => {
            if let Some(q) = &f.quantised {
                if std::env::var_os("QUIET").is_none() {
                    println!("{}", q.table.text());
                }
                println!(
                    "method {:?} corrected {} images {} output {:?} dB",
                    q.method, q.corrected, q.images, q.table.output_db
                );
            }
            f.notes.iter().for_each(|n| println!("note: {n}"));
            cnna_onnx::write(&out, &cnna_onnx::export(&f.graph).unwrap()).unwrap();
            println!("{:.1} s", t.elapsed().as_secs_f64());
        }
    }
}

//! From a float file to integers: what the float network says beside the program, and how near each tensor is to it.

use crate::browser::{View, measure};
use crate::workplace::Workplace;
use cnna_machine::num::Word;
use cnna_net::op::Conv;
use cnna_net::{Activation, Graph, Shape, Values, Window};
use serde_json::Value;

/// Classes of the network.
const CLASSES: usize = 5;

/// `name.onnx`: one 1x1 convolution from 4 values to 5 classes; `sign` turns the order of the classes round.
fn write_model(w: &Workplace, name: &str, input: &str, sign: f32) {
    let mut graph = Graph::new(name, Word::W16);
    let x = graph.input(input, Shape { c: 4, h: 1, w: 1 }, None);
    let weight = |k: usize| sign * (k as f32 * 0.7).cos();
    let conv = Conv {
        finer: Vec::new(),
        oc: CLASSES,
        groups: 1,
        window: Window::plain(1, 1),
        weights: Values::Reals((0..CLASSES * 4).map(weight).collect()),
        bias: Values::Reals(vec![0.0; CLASSES]),
        activation: Activation::None,
    };
    let y = graph.push("conv", conv, &[x], None).unwrap();
    graph.output(y);
    let options = cnna_onnx::Options {
        float: true,
        ..Default::default()
    };
    let model = cnna_onnx::export_with(&graph, options).unwrap();
    cnna_onnx::write(w.path(&format!("{name}.onnx")), &model).unwrap();
}

/// The float model, quantised to `q.onnx` with `q.json`, compiled to `q.cnna`, and three images `x.npy`.
fn quantised() -> Workplace {
    let w = Workplace::new();
    write_model(&w, "float", "x", 1.0);
    let values = (0..12).map(|i| (i as f32 * 1.3).sin());
    w.save("x.npy", &[3, 4, 1, 1], values.collect());
    w.succeeds("quantize float.onnx --calib x.npy -o q.onnx --json q.json");
    w.succeeds("compile q.onnx --board ultra96 -o q.cnna");
    w
}

#[test]
fn the_float_networks_answers_stand_beside_the_programs() {
    let w = quantised();
    let run = "run q.cnna --device cycle --input x.npy --top 2 --json r.json --float";
    let text = w.succeeds(&format!("{run} float.onnx"));
    assert!(text.contains("the same on 3 of 3"), "{text}");
    let json = w.json("r.json");
    assert_eq!(json["same_as_float"], 3);
    let (_, x) = w.load::<f32>("x.npy");
    for (i, answer) in json["answers"].as_array().unwrap().iter().enumerate() {
        // The products by hand.
        let class = |c: usize| -> f32 {
            let term = |k: usize| ((c * 4 + k) as f32 * 0.7).cos() * x[i * 4 + k];
            (0..4).map(term).sum()
        };
        for (top, float) in guesses(answer, "top").iter().zip(guesses(answer, "float")) {
            let exact = f64::from(class(float["class"].as_u64().unwrap() as usize));
            let said = float["value"].as_f64().unwrap();
            assert!((said - exact).abs() < 1e-5, "{float} {exact}");
            let ours = top["value"].as_f64().unwrap();
            assert!((ours - said).abs() < 0.01, "{top} {float}");
        }
    }
    // Another network's answers are counted as others.
    write_model(&w, "turned", "x", -1.0);
    let text = w.succeeds(&format!("{run} turned.onnx"));
    assert!(text.contains("the same on 0 of 3"), "{text}");
    assert_eq!(w.json("r.json")["same_as_float"], 0);
}

#[test]
fn a_float_model_of_another_program_is_refused() {
    let w = quantised();
    write_model(&w, "other", "picture", 1.0);
    let run = "run q.cnna --device cycle --input x.npy --top 1 --float";
    w.fails(
        &format!("{run} other.onnx"),
        &["other.onnx has no tensor `x`", "name the float model"],
    );
    std::fs::write(w.path("text.onnx"), "no model").unwrap();
    w.fails(
        &format!("{run} text.onnx"),
        &["text.onnx: the float engine does not read it"],
    );
}

/// `alike.onnx`: classes that share all but a 200th of their weights, and so differ by less than eight bits say.
fn write_alike(w: &Workplace) {
    let mut graph = Graph::new("alike", Word::W16);
    let x = graph.input("x", Shape { c: 64, h: 1, w: 1 }, None);
    let weight = |k: usize| {
        let own = (k as f32 * 1.9 + (k / 64) as f32).sin();
        ((k % 64) as f32 * 0.7).cos() + 0.005 * own
    };
    let fc = Conv {
        finer: Vec::new(),
        oc: CLASSES,
        groups: 1,
        window: Window::plain(1, 1),
        weights: Values::Reals((0..CLASSES * 64).map(weight).collect()),
        bias: Values::Reals(vec![0.0; CLASSES]),
        activation: Activation::None,
    };
    let y = graph.push("fc", fc, &[x], None).unwrap();
    graph.output(y);
    let options = cnna_onnx::Options {
        float: true,
        ..Default::default()
    };
    let model = cnna_onnx::export_with(&graph, options).unwrap();
    cnna_onnx::write(w.path("alike.onnx"), &model).unwrap();
}

#[test]
fn eight_bit_weights_that_change_the_classes_are_said_and_taken_back() {
    let w = Workplace::new();
    write_alike(&w);
    // Mostly what the classes share.
    let value = |i: usize| {
        let own = (i as f32 * 1.3 + (i / 64) as f32 * 0.9).sin();
        ((i % 64) as f32 * 0.7).cos() + own
    };
    let values = (0..150 * 64).map(value);
    w.save("x.npy", &[150, 64, 1, 1], values.collect());
    let quantize = "quantize alike.onnx --calib x.npy -o q.onnx --json q.json";
    let said = w.says(&format!(
        "{quantize} --calib-images 150 --narrow-weights all"
    ));
    assert!(
        said.contains("calibration images have another best class"),
        "{said}"
    );
    let classes = w.json("q.json")["table"]["narrow_classes"].clone();
    assert_eq!(classes["images"], 150);
    assert!(classes["same"].as_u64().unwrap() < 148, "{classes}");
    assert_eq!(classes["same"], classes["same_by_db"]);
    assert!(w.json("q.json")["table"]["output_db"].as_f64().unwrap() > 40.0);
    let said = w.says(&format!(
        "{quantize} --calib-images 150 --narrow-weights auto"
    ));
    assert!(
        said.contains("that of 16-bit ones on 150 of 150") && said.contains("back to 16 bits fc"),
        "{said}"
    );
    assert!(!said.contains("too few"), "{said}");
    let table = w.json("q.json")["table"].clone();
    assert_eq!(table["narrow_classes"]["taken_back"][0], "fc");
    assert_eq!(table["narrow_classes"]["same_by_db"], classes["same"]);
    assert_eq!(table["rows"][1]["weight_bits"], 16);
    // Of the default's 64 images all must agree.
    let said = w.says(&format!("{quantize} --narrow-weights auto"));
    assert!(
        said.contains("64 calibration image(s) are too few"),
        "{said}"
    );
    // The compiler and the report say it too.
    let compile = "compile alike.onnx --board ultra96 --calib x.npy --narrow-weights auto";
    let said = w.says(&format!("{compile} -o q.cnna"));
    assert!(said.contains("back to 16 bits fc"), "{said}");
    w.succeeds("report q.cnna -o r.html --json r.json --quantisation q.json");
    assert_eq!(
        w.json("r.json")["quantisation"]["narrow_classes"]["taken_back"][0],
        "fc"
    );
    let page = std::fs::read_to_string(w.path("r.html")).unwrap();
    assert!(page.contains("back to 16 bits fc"));
}

#[test]
fn the_report_draws_each_tensors_signal_to_noise() {
    let w = quantised();
    let report = "report q.cnna --input x.npy -o r.html --json r.json --quantisation";
    w.succeeds(&format!("{report} q.json"));
    let measured = w.json("q.json")["table"].clone();
    drawn(&w, &measured);
    // What a good network does not show: no error at all, a ratio below the mark, more noise than signal.
    for values in [
        [None, Some(12.5)],
        [Some(48.0), Some(-3.0)],
        [Some(29.96), None],
    ] {
        let mut json = w.json("q.json");
        for (row, value) in json["table"]["rows"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .zip(values)
        {
            row["snr_db"] = value.into();
        }
        let table = json["table"].clone();
        std::fs::write(w.path("other.json"), json.to_string()).unwrap();
        w.succeeds(&format!("{report} other.json"));
        drawn(&w, &table);
    }
    // Without a table there is no section.
    w.succeeds("report q.cnna --input x.npy -o r.html --json r.json");
    let page = measure(&w.path("r.html"), VIEWS[0]);
    assert_eq!(page["snr"], Value::Array(Vec::new()));
    assert_eq!(w.json("r.json").get("quantisation"), None);
}

const VIEWS: [View; 2] = [
    View {
        width: 1280,
        dark: false,
    },
    View {
        width: 400,
        dark: true,
    },
];

/// The section of `r.html` shows the table that `r.json` has, and both are `table`.
fn drawn(w: &Workplace, table: &Value) {
    let json = w.json("r.json")["quantisation"].clone();
    for key in ["output_db", "least_db", "images"] {
        let [a, b] = [&json, table].map(|j| j[key].as_f64().unwrap());
        assert!((a - b).abs() <= 1e-12 * b.abs(), "{key} {a} {b}");
    }
    let (rows, expected) = (json["rows"].as_array().unwrap(), &table["rows"]);
    assert_eq!(rows.len(), expected.as_array().unwrap().len());
    assert_eq!(rows.len(), 2);
    for (i, row) in rows.iter().enumerate() {
        for (key, value) in row.as_object().unwrap() {
            match (value.as_f64(), expected[i][key].as_f64()) {
                // The JSON reader may lose the last bit.
                (Some(a), Some(b)) => assert!((a - b).abs() <= 1e-12 * b.abs(), "{key} {a} {b}"),
                _ => assert_eq!(value, &expected[i][key], "{key}"),
            }
        }
    }
    let least = table["least_db"].as_f64().unwrap();
    let ratios = rows.iter().filter_map(|r| r["snr_db"].as_f64());
    let longest = ratios.fold(least, f64::max);
    for view in VIEWS {
        let page = measure(&w.path("r.html"), view);
        assert_eq!(page["outside"], Value::Array(Vec::new()));
        let bars = page["snr"].as_array().unwrap();
        assert_eq!(bars.len(), rows.len());
        for (bar, row) in bars.iter().zip(rows) {
            assert_eq!(bar["name"], row["tensor"]);
            let whole = bar["svg"]["width"].as_f64().unwrap();
            assert!(whole > 40.0, "{bar}");
            let share = match row["snr_db"].as_f64() {
                None => {
                    assert_eq!(bar["numbers"], Value::Array(Vec::new()));
                    1.0
                }
                Some(db) => {
                    let shown = &bar["numbers"][0];
                    let exact: f64 = shown["value"].as_str().unwrap().parse().unwrap();
                    assert!((exact - db).abs() < 1e-9, "{shown} {db}");
                    assert_eq!(shown["text"], format!("{db:.1}"));
                    db.max(0.0) / longest
                }
            };
            let rects = bar["rects"].as_array().unwrap();
            assert_eq!(rects.len(), 2, "the bar and the mark");
            let width = rects[0]["width"].as_f64().unwrap();
            assert!((width - share * whole).abs() < 0.1, "{bar} {share}");
            let mark = rects[1]["x"].as_f64().unwrap() - bar["svg"]["x"].as_f64().unwrap();
            // The mark's own width keeps it inside.
            let place = (least / longest * whole).min(0.997 * whole);
            assert!((mark - place).abs() < 0.1, "{mark} {place}");
        }
    }
}

#[test]
fn a_table_of_another_network_is_refused() {
    let w = quantised();
    let report = "report q.cnna -o r.html --quantisation";
    let json = w.json("q.json");
    let broken = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut json = json.clone();
        change(&mut json);
        std::fs::write(w.path(name), json.to_string()).unwrap();
    };
    broken("name.json", &|j| {
        j["table"]["rows"][0]["tensor"] = "z".into()
    });
    w.fails(
        &format!("{report} name.json"),
        &["name.json: its tensor `z`", "another network"],
    );
    broken("frac.json", &|j| j["table"]["rows"][1]["frac"] = 99.into());
    w.fails(&format!("{report} frac.json"), &["with 99 fraction bits"]);
    broken("none.json", &|j| j["table"] = Value::Null);
    w.fails(&format!("{report} none.json"), &["it has no table"]);
    std::fs::write(w.path("text.json"), "no JSON").unwrap();
    w.fails(
        &format!("{report} text.json"),
        &["text.json: expected what `cnna quantize --json` writes"],
    );
    w.fails(&format!("{report} missing.json"), &["missing.json"]);
}

fn guesses<'a>(answer: &'a Value, key: &str) -> &'a Vec<Value> {
    answer[key].as_array().unwrap()
}

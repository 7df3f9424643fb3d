//! The page of `cnna report` as its readers see it: opened in a browser, measured, compared with the JSON.

use crate::browser::{View, measure};
use crate::workplace::Workplace;
use cnna_compile::{Options, compile};
use cnna_machine::Board;
use cnna_machine::num::Word;
use cnna_net::op::Conv;
use cnna_net::{Activation, Graph, Shape, Values, Window};
use serde_json::Value;

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

#[test]
fn the_page_shows_the_numbers_of_the_json_at_every_width() {
    let w = Workplace::with_program(2);
    let said = w.succeeds("report tiny.cnna --input x.npy -o r.html --json r.json");
    let json = w.json("r.json");
    let cycles = json["cycles"].as_u64().unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("r.html: tiny on ultra96: "), "{said}");
    assert!(said.contains(&format!(" {cycles} cycles ")), "{said}");
    for view in VIEWS {
        let page = measure(&w.path("r.html"), view);
        check(&page, &json, view);
        assert_eq!(page["heading"], "tiny on ultra96");
    }
}

#[test]
fn a_hundred_layers_with_hostile_names_stay_legible() {
    let w = Workplace::new();
    let board = Board::load("ultra96", &[]).unwrap();
    let network = deep(120);
    let compiled = compile(&network, &board, &Options::default()).unwrap();
    cnna_flow::program::write(&w.path("deep.cnna"), &compiled, &network).unwrap();
    w.succeeds("report deep.cnna -o r.html --json r.json");
    let json = w.json("r.json");
    assert_eq!(json["layers"].as_array().unwrap().len(), 120);
    for view in VIEWS {
        let page = measure(&w.path("r.html"), view);
        check(&page, &json, view);
        // Only the script that measures.
        assert_eq!(page["scripts"], 1);
        assert_eq!(
            page["title"],
            format!("{HOSTILE} on ultra96: where the time goes")
        );
    }
}

#[test]
fn the_numbers_are_those_of_run_and_of_the_hand() {
    let w = Workplace::with_program(1);
    w.succeeds("report tiny.cnna --input x.npy -o r.html --json r.json");
    w.succeeds("run tiny.cnna --device cycle --input x.npy -o y.npy --json run.json");
    let (report, run) = (w.json("r.json"), w.json("run.json"));
    for key in ["cycles", "milliseconds", "saturated", "clock_mhz"] {
        assert_eq!(report[key], run[key], "{key}");
    }
    let layers = |j: &Value| j["layers"].as_array().unwrap().clone();
    for (a, b) in layers(&report).iter().zip(layers(&run)) {
        for (key, value) in b.as_object().unwrap() {
            assert_eq!(&a[key], value, "{key}");
        }
        let of = |key: &str| a[key].as_u64().unwrap();
        let parts = ["busy", "wait_load", "wait_weight", "wait_store", "rest"].map(of);
        assert_eq!(parts.iter().sum::<u64>(), of("cycles"), "{a}");
        let bytes = ["read_bytes", "write_bytes", "weight_bytes", "command_bytes"].map(of);
        assert_eq!(bytes.iter().sum::<u64>(), of("ddr_bytes"), "{a}");
    }
    let first = &layers(&report)[0];
    // 2 channels of 8 rows of 8 words, 6 channels of 4 rows of 4 words padded to 8.
    // The next layer's first rows, of 6 channels of 8 words, may come before this one's mark.
    let early = first["read_bytes"].as_u64().unwrap() - 2 * 8 * 8 * 2;
    assert!(early <= 4 * 6 * 8 * 2, "{early}");
    assert_eq!(first["write_bytes"], 6 * 4 * 8 * 2);
    // 6 lanes over 3 ports: 2 kernels of 9 words for each of 2 channels, 5 beats a port; 6 biases in 2 rows of 32 bytes.
    assert_eq!(first["weight_bytes"], 3 * 5 * 16 + 2 * 32);
    assert_eq!(first["macs"], 6 * 8 * 8 * 2 * 9);
    let ddr: u64 = layers(&report)
        .iter()
        .map(|l| l["ddr_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(report["ddr_bytes"], ddr);
    assert_eq!(report["roofs"]["direct"], 352.0);
    assert_eq!(report["roofs"]["winograd"], 352.0 * 9.0 / 4.0);
}

#[test]
fn inspect_and_report_draw_the_same_map() {
    let w = Workplace::with_program(1);
    w.succeeds("report tiny.cnna --seed 3 -o r.html --json r.json");
    w.succeeds("inspect tiny.cnna --json i.json");
    assert_eq!(w.json("r.json")["memory"], w.json("i.json")["memory"]);
}

/// Everything that must hold of any page.
fn check(page: &Value, json: &Value, view: View) {
    assert_eq!(page["width"], view.width);
    fits(page);
    asks_for_nothing(page);
    colours(page, view);
    let figures: Vec<f64> = values(&page["figures"]);
    let headline = [
        "milliseconds",
        "cycles",
        "mac_per_dsp_per_cycle",
        "ddr_bytes",
    ];
    same(&figures, &headline.map(|key| number(&json[key])));
    table(page, json);
    modes(page, json);
    bars(page, json);
    regions(page, json);
    roofline(page, json);
}

fn fits(page: &Value) {
    assert_eq!(page["outside"], Value::Array(Vec::new()));
    assert!(
        number(&page["scrollWidth"]) <= number(&page["width"]),
        "{}",
        page["scrollWidth"]
    );
    let svgs = list(&page["svgs"]);
    assert!(svgs.len() > 5, "{}", svgs.len());
    for s in svgs {
        let (w, h) = (number(&s["width"]), number(&s["height"]));
        assert!(w >= 40.0 && (8.0..800.0).contains(&h), "{s}");
        assert!(number(&s["x"]) >= 0.0, "{s}");
    }
}

fn asks_for_nothing(page: &Value) {
    assert_eq!(page["requests"], Value::Array(Vec::new()));
    for link in list(&page["links"]) {
        assert!(link.as_str().unwrap().starts_with("#layer-"), "{link}");
    }
}

fn colours(page: &Value, view: View) {
    let bright = |c: &Value| {
        let text = c.as_str().unwrap();
        let parts = text.trim_matches(|c: char| !c.is_ascii_digit()).split(',');
        parts.map(|p| p.trim().parse::<u32>().unwrap()).sum::<u32>()
    };
    let ground = bright(&page["ground"]);
    assert_eq!(ground < 3 * 128, view.dark, "{}", page["ground"]);
    let texts = list(&page["plots"][0]["texts"]).iter().map(|t| &t["fill"]);
    for text in texts.chain([&page["ink"]]) {
        assert!(bright(text).abs_diff(ground) > 3 * 64, "{text} on {ground}");
    }
}

fn table(page: &Value, json: &Value) {
    let (rows, layers) = (list(&page["rows"]), list(&json["layers"]));
    assert_eq!(rows.len(), layers.len());
    let keys = [
        "macs",
        "cycles",
        "mac_per_dsp_per_cycle",
        "busy",
        "wait_load",
        "wait_weight",
        "wait_store",
        "rest",
        "read_bytes",
        "residual_bytes",
        "write_bytes",
        "weight_bytes",
        "command_bytes",
        "local_bytes",
        "saturated",
    ];
    for (row, layer) in rows.iter().zip(layers) {
        let name = layer["name"].as_str().unwrap();
        assert!(row["text"].as_str().unwrap().contains(name), "{row}");
        same(
            &values(&row["numbers"]),
            &keys.map(|key| number(&layer[key])),
        );
        assert_eq!(digits(&row["numbers"][1]["text"]), number(&layer["cycles"]));
        for (i, key) in (3..).zip(["busy", "wait_load", "wait_weight", "wait_store", "rest"]) {
            let text = row["numbers"][i]["text"].as_str().unwrap();
            let share = 100.0 * number(&layer[key]) / number(&layer["cycles"]);
            let shown = text.parse().unwrap_or(0.0);
            assert!((share - shown).abs() <= 0.5, "{key} {share}: {text}");
            assert_eq!(
                text == "<1",
                share > 0.0 && share < 0.5,
                "{key} {share}: {text}"
            );
        }
    }
}

/// Each convolution's cycles in each mode, that which runs in bold.
fn modes(page: &Value, json: &Value) {
    let (rows, all) = (list(&page["modes"]), list(&json["modes"]));
    assert_eq!(rows.len(), all.len());
    for (row, m) in rows.iter().zip(all) {
        assert!(
            row["text"]
                .as_str()
                .unwrap()
                .contains(m["name"].as_str().unwrap())
        );
        let cycles = |mode: &str| {
            let found = list(&m["cycles"]).iter().find(|c| c[0] == mode);
            found.map(|c| number(&c[1]))
        };
        let shown = ["winograd", "paired", "direct"]
            .into_iter()
            .filter_map(cycles);
        same(&values(&row["numbers"]), &shown.collect::<Vec<_>>());
        let taken = cycles(m["taken"].as_str().unwrap()).unwrap();
        same(&values(&row["bold"]), &[taken]);
    }
}

fn bars(page: &Value, json: &Value) {
    let (bars, layers) = (list(&page["bars"]), list(&json["layers"]));
    assert_eq!(bars.len(), layers.len());
    let cycles = layers.iter().map(|l| number(&l["cycles"]));
    let longest = cycles.fold(0.0, f64::max);
    for (bar, layer) in bars.iter().zip(layers) {
        assert_eq!(bar["name"], layer["name"]);
        assert_eq!(digits(&bar["numbers"][0]["text"]), number(&layer["cycles"]));
        let keys = ["busy", "wait_load", "wait_weight", "wait_store", "rest"];
        let parts = keys.map(|key| number(&layer[key]));
        let parts: Vec<f64> = parts.into_iter().filter(|&p| p > 0.0).collect();
        let rects = list(&bar["rects"]);
        assert_eq!(rects.len(), parts.len(), "{bar}");
        let mut from = number(&bar["svg"]["x"]);
        for (rect, part) in rects.iter().zip(parts) {
            let width = part / longest * number(&bar["svg"]["width"]);
            assert!(
                (number(&rect["x"]) - from).abs() < 0.1,
                "{rect} from {from}"
            );
            assert!(
                (number(&rect["width"]) - width).abs() < 0.1,
                "{rect} {width}"
            );
            from += width;
        }
    }
}

fn regions(page: &Value, json: &Value) {
    let (rows, regions) = (list(&page["regions"]), list(&json["memory"]));
    assert_eq!(rows.len(), regions.len());
    let window = number(&json["window_bytes"]);
    for (row, region) in rows.iter().zip(regions) {
        assert_eq!(row["name"], region["what"]);
        let both = ["offset", "bytes"].map(|key| number(&region[key]));
        same(&values(&row["numbers"]), &both);
        let hex = row["numbers"][0]["text"].as_str().unwrap();
        assert_eq!(u64::from_str_radix(&hex[2..], 16).unwrap() as f64, both[0]);
        let svg = &row["svg"];
        let unit = number(&svg["width"]) / window;
        // Folded rows have no size; the strip shows them all.
        if unit > 0.0 {
            let rect = &row["rects"][0];
            let x = number(&rect["x"]) - number(&svg["x"]);
            // The shortest stretch is drawn a little longer than it is.
            let least = number(&svg["width"]) * 0.002;
            assert!((x - both[0] * unit).abs() <= least, "{row}");
            let more = number(&rect["width"]) - both[1] * unit;
            assert!((-0.1..=least).contains(&more), "{row}");
        }
    }
}

fn roofline(page: &Value, json: &Value) {
    let plots = list(&page["plots"]);
    assert_eq!(plots.len(), 1, "one for the width");
    let plot = &plots[0];
    let (circles, labels) = (list(&plot["circles"]), list(&plot["labels"]));
    let (rows, layers): (Vec<&Value>, Vec<&Value>) = list(&page["rows"])
        .iter()
        .zip(list(&json["layers"]))
        .filter(|(_, l)| number(&l["macs"]) > 0.0)
        .unzip();
    assert_eq!(circles.len(), layers.len());
    for ((circle, row), layer) in circles.iter().zip(rows).zip(&layers) {
        let name = layer["name"].as_str().unwrap();
        assert!(circle["title"].as_str().unwrap().contains(name), "{circle}");
        assert_eq!(circle["link"], format!("#{}", row["id"].as_str().unwrap()));
    }
    // Logarithmic on both axes: any two layers lie as far apart as their logarithms.
    let centre = |c: &Value, at: &str, size: &str| number(&c[at]) + number(&c[size]) / 2.0;
    for (key, at, size) in [
        ("mac_per_byte", "x", "width"),
        ("mac_per_cycle", "y", "height"),
    ] {
        let log: Vec<f64> = layers.iter().map(|l| number(&l[key]).ln()).collect();
        let place: Vec<f64> = circles.iter().map(|c| centre(c, at, size)).collect();
        let least = (0..log.len())
            .min_by(|&a, &b| log[a].total_cmp(&log[b]))
            .unwrap();
        let most = (0..log.len())
            .max_by(|&a, &b| log[a].total_cmp(&log[b]))
            .unwrap();
        let unit = (place[most] - place[least]) / (log[most] - log[least]);
        assert!(
            unit.abs() > 1.0 && (unit > 0.0) == (at == "x"),
            "{key} {unit}"
        );
        for (l, p) in log.iter().zip(&place) {
            let expected = place[least] + (l - log[least]) * unit;
            assert!((p - expected).abs() < 2.0, "{key}: {p} {expected}");
        }
    }
    assert!(!labels.is_empty());
    let inside = |b: &Value| {
        let within = |at: &str, size: &str| {
            let (a, s) = (number(&b[at]), number(&plot["svg"][at]));
            a >= s - 1.0 && a + number(&b[size]) <= s + number(&plot["svg"][size]) + 1.0
        };
        within("x", "width") && within("y", "height")
    };
    for text in list(&plot["texts"]) {
        assert!(inside(text), "{text}");
        assert!(number(&text["height"]) >= 9.0, "too small to read: {text}");
    }
    let meet = |a: &Value, b: &Value| {
        let one = |at: &str, size: &str| {
            let (a0, b0) = (number(&a[at]), number(&b[at]));
            a0 + 2.0 < b0 + number(&b[size]) && b0 + 2.0 < a0 + number(&a[size])
        };
        one("x", "width") && one("y", "height")
    };
    for (i, a) in labels.iter().enumerate() {
        for b in &labels[..i] {
            assert!(!meet(a, b), "{a} covers {b}");
        }
    }
}

const HOSTILE: &str = "<script>document.title='x'</script>&amp;\"'</style>";

/// 1x1 convolutions whose channels grow and shrink, with names that a careless page would run or break at.
fn deep(layers: usize) -> Graph {
    let mut graph = Graph::new(HOSTILE, Word::W16);
    let mut last = graph.input("x", Shape { c: 4, h: 8, w: 8 }, Some(8));
    for i in 0..layers {
        let oc = 4 + i * 7 % 40;
        let count = oc * graph.tensors[last].shape.c;
        let name = match i % 4 {
            0 => format!("{HOSTILE}{i}"),
            1 => format!("a/very/long/name/of/a/layer/in/some/exporter/block_{i}/convolution"),
            _ => format!("conv{i}"),
        };
        let conv = Conv {
            finer: Vec::new(),
            oc,
            groups: 1,
            window: Window::plain(1, 1),
            weights: Values::Words((0..count).map(|k| (k % 7) as i16 - 3).collect(), 2),
            bias: Values::Sums(vec![0; oc]),
            activation: Activation::Relu,
        };
        last = graph.push(&name, conv, &[last], Some(8)).unwrap();
    }
    graph.output(last);
    graph
}

fn list(v: &Value) -> &Vec<Value> {
    v.as_array().unwrap_or_else(|| panic!("no list: {v}"))
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("no number: {v}"))
}

/// The exact values behind the numbers shown.
fn values(numbers: &Value) -> Vec<f64> {
    let value = |n: &Value| n["value"].as_str().unwrap().parse().unwrap();
    list(numbers).iter().map(value).collect()
}

/// Equal but for the last bit, which the JSON reader may lose.
fn same(found: &[f64], expected: &[f64]) {
    let equal = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-14 * b.abs();
    let all = found.len() == expected.len() && found.iter().zip(expected).all(equal);
    assert!(all, "{found:?}, the JSON has {expected:?}");
}

/// A grouped number as it is read.
fn digits(text: &Value) -> f64 {
    let text = text.as_str().unwrap();
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    plain.parse().unwrap()
}

//! Bad input of every kind: one clear line, status 2, nothing written.

use crate::workplace::Workplace;

#[test]
fn models_that_are_missing_cut_short_or_of_another_kind() {
    let w = Workplace::with_program(1);
    std::fs::write(w.path("text.onnx"), "not a model\n".repeat(50)).unwrap();
    std::fs::write(w.path("empty.onnx"), "").unwrap();
    let compile = |model: &str, parts: &[&str]| {
        w.fails(&format!("compile {model} --board ultra96 -o m.cnna"), parts);
    };
    compile("nowhere.onnx", &["nowhere.onnx", "No such file", "hint"]);
    compile("text.onnx", &["text.onnx"]);
    compile("empty.onnx", &["empty.onnx"]);
    compile("tiny.cnna", &["tiny.cnna"]);
    compile("zoo:alexnet", &["alexnet", "zoo:vgg16"]);
    compile("zoo:", &["zoo:tiny"]);
}

#[test]
fn boards_that_do_not_exist_fit_or_parse() {
    let w = Workplace::new();
    let compile = |board: &str, parts: &[&str]| {
        w.fails(
            &format!("compile zoo:tiny --board {board} -o m.cnna"),
            parts,
        );
        w.fails(&format!("rtl --board {board} -o out"), parts);
    };
    compile("ultra97", &["ultra97", "ultra96", ".toml"]);
    compile("none.toml", &["none.toml", "No such file"]);
    compile(
        "ultra96 --set lanes=12",
        &["392 DSPs", "360", "lower lanes"],
    );
    compile(
        "ultra96 --set act_depth=32768",
        &["BRAM36", "lower act_depth"],
    );
    compile("ultra96 --set lames=3", &["lames", "cnna boards"]);
    compile("ultra96 --set tiles=3", &["tiles", "1, 2 or 4"]);
    let board = w.succeeds("boards ultra96");
    let file = |name: &str, text: &str| std::fs::write(w.path(name), text).unwrap();
    file(
        "unknown.toml",
        &board.replace("lanes =", "colour = 3\nlanes ="),
    );
    file("missing.toml", &board.replace("lanes = 11", ""));
    file("broken.toml", &board.replace("lanes = 11", "lanes = = 11"));
    compile("unknown.toml", &["unknown.toml", "colour"]);
    compile("missing.toml", &["missing.toml", "lanes"]);
    compile("broken.toml", &["broken.toml"]);
}

#[test]
fn programs_that_are_damaged() {
    let w = Workplace::with_program(1);
    let whole = std::fs::read(w.path("tiny.cnna")).unwrap();
    std::fs::write(w.path("cut.cnna"), &whole[..whole.len() / 2]).unwrap();
    let mut flipped = whole.clone();
    flipped[4096 + 10] ^= 4;
    std::fs::write(w.path("flipped.cnna"), flipped).unwrap();
    std::fs::write(w.path("empty.cnna"), "").unwrap();
    for (file, part) in [
        ("cut.cnna", "cut short"),
        ("flipped.cnna", "damaged"),
        ("empty.cnna", "empty"),
        ("x.npy", "not a"),
        ("none.cnna", "No such file"),
    ] {
        for command in [
            format!("inspect {file}"),
            format!("check {file} --engines cycle"),
            format!("run {file} --device cycle --input x.npy -o y.npy"),
            format!("report {file} -o r.html --json r.json"),
        ] {
            w.fails(&command, &[file, part]);
        }
    }
}

#[test]
fn images_that_do_not_fit_and_places_that_cannot_be_written() {
    let w = Workplace::with_program(1);
    let mut x = vec![0.0f32; 128];
    x[70] = f32::NAN;
    w.save("nan.npy", &[2, 8, 8], x);
    w.save("shape.npy", &[1, 8, 8, 2], vec![0.0f32; 128]);
    w.save("type.npy", &[2, 8, 8], vec![0u32; 128]);
    let run = |rest: &str, parts: &[&str]| w.fails(&format!("run tiny.cnna {rest}"), parts);
    for device in ["reference", "cycle"] {
        let on = |input: &str| format!("--device {device} --input {input} -o y.npy");
        run(&on("nan.npy"), &["nan.npy", "NaN at index [1, 0, 6]"]);
        run(&on("shape.npy"), &["shape.npy", "(2, 8, 8)"]);
        run(&on("type.npy"), &["type.npy", "float32"]);
        run(&on("tiny.cnna"), &["tiny.cnna", "npy"]);
        run(&on("none.npy"), &["none.npy", "No such file"]);
    }
    let report = |rest: &str, parts: &[&str]| w.fails(&format!("report tiny.cnna {rest}"), parts);
    for (input, part) in [
        ("nan.npy", "NaN at index [1, 0, 6]"),
        ("shape.npy", "(2, 8, 8)"),
        ("type.npy", "float32"),
        ("none.npy", "No such file"),
    ] {
        report(&format!("--input {input} -o r.html"), &[input, part]);
    }
    report("-o no/where/r.html", &["no/where", "does not exist"]);
    report("-o .", &["folder", "name a file"]);
    report(
        "--device reference -o r.html",
        &["reference", "no cycles", "use cycle"],
    );
    report("--device uio77 -o r.html", &["uio77", "not a device"]);
    report("--device x.npy -o r.html", &["x.npy", "not a device"]);
    let missing = "--device cycle --input x.npy -o no/where/y.npy";
    run(missing, &["no/where", "does not exist"]);
    run(
        "--device uio77 --input x.npy -o y.npy",
        &["uio77", "not a device"],
    );
    run(
        "--device x.npy --input x.npy -o y.npy",
        &["x.npy", "not a device"],
    );
    w.fails("rtl --board ultra96 -o x.npy", &["x.npy", "name a folder"]);
    w.fails(
        "compile zoo:tiny --board ultra96 -o no/m.cnna",
        &["no", "does not exist"],
    );
}

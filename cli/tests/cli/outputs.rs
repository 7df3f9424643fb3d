//! Where results may go: files, links, FIFOs, standard output; and what is refused before anything is lost.

use crate::workplace::Workplace;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::Command;

const RUN: &str = "run tiny.cnna --device cycle --input x.npy --raw -o";

#[test]
fn a_fifo_is_written_to_and_stays_one() {
    let w = Workplace::with_program(2);
    w.succeeds(&format!("{RUN} y.npy --json y.json --trace y.trace"));
    w.succeeds("report tiny.cnna -o r.html");
    let through = |command: &str, file: &str| {
        let fifo = w.path("fifo");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        let reader = std::thread::spawn({
            let fifo = fifo.clone();
            move || std::fs::read(fifo).unwrap()
        });
        w.succeeds(command);
        assert_eq!(reader.join().unwrap(), std::fs::read(w.path(file)).unwrap());
        assert!(fifo.symlink_metadata().unwrap().file_type().is_fifo());
        std::fs::remove_file(fifo).unwrap();
    };
    through(&format!("{RUN} fifo"), "y.npy");
    through(&format!("{RUN} z.npy --json fifo"), "y.json");
    through(&format!("{RUN} z.npy --trace fifo"), "y.trace");
    through("report tiny.cnna -o fifo", "r.html");
    // A program's head is written last: it comes from a temporary.
    through("compile zoo:tiny --board ultra96 -o fifo", "tiny.cnna");
}

#[test]
fn a_link_stays_and_what_it_names_is_replaced() {
    let w = Workplace::with_program(1);
    std::fs::create_dir(w.path("far")).unwrap();
    symlink("far/y.npy", w.path("link")).unwrap();
    symlink("link", w.path("link2")).unwrap();
    for _ in 0..2 {
        // First there is nothing behind the link, then the old result.
        w.succeeds(&format!("{RUN} link2"));
        assert_eq!(w.load::<i16>("far/y.npy").0, [1, 4]);
        for link in ["link", "link2"] {
            assert!(w.path(link).symlink_metadata().unwrap().is_symlink());
        }
        std::fs::write(w.path("far/y.npy"), "old").unwrap();
    }
}

#[test]
fn a_dash_is_standard_output_and_the_text_goes_elsewhere() {
    let w = Workplace::with_program(1);
    w.succeeds(&format!("{RUN} y.npy"));
    let output = w.output(&format!("{RUN} -"));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, std::fs::read(w.path("y.npy")).unwrap());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("1 image(s), "), "{text}");
    let output = w.output("compile zoo:tiny --board ultra96 -o -");
    assert_eq!(output.stdout, std::fs::read(w.path("tiny.cnna")).unwrap());
    assert!(!w.path("-").exists());
}

#[test]
fn an_output_that_is_an_input_or_another_output_is_refused_before_anything_is_read() {
    let w = Workplace::with_program(1);
    std::fs::hard_link(w.path("x.npy"), w.path("same.npy")).unwrap();
    symlink("tiny.cnna", w.path("link")).unwrap();
    let board = w.succeeds("boards ultra96");
    std::fs::write(w.path("b.toml"), board).unwrap();
    std::fs::write(w.path("m.onnx"), "a model").unwrap();
    let before = |name: &str| std::fs::read(w.path(name)).unwrap();
    let all = ["x.npy", "tiny.cnna", "b.toml", "m.onnx"].map(|n| (n, before(n)));
    for (command, output) in [
        (
            "run tiny.cnna --device cycle --input x.npy -o x.npy",
            "x.npy",
        ),
        (
            "run tiny.cnna --device cycle --input x.npy -o ./x.npy",
            "x.npy",
        ),
        (
            "run tiny.cnna --device cycle --input x.npy -o same.npy",
            "same.npy",
        ),
        ("run tiny.cnna --device cycle --input x.npy -o link", "link"),
        (
            "run tiny.cnna --device cycle --input x.npy -o y --trace tiny.cnna",
            "tiny.cnna",
        ),
        (
            "run tiny.cnna --device cycle --input x.npy -o y --json ./y",
            "./y",
        ),
        (
            "run tiny.cnna --device cycle --input x.npy -o - --json -",
            "-",
        ),
        ("report tiny.cnna -o r.html --json r.html", "r.html"),
        ("report tiny.cnna --input x.npy -o x.npy", "x.npy"),
        (
            "check tiny.cnna --engines cycle --json tiny.cnna",
            "tiny.cnna",
        ),
        ("inspect tiny.cnna --json tiny.cnna", "tiny.cnna"),
        ("compile m.onnx --board ultra96 -o m.onnx", "m.onnx"),
        ("compile zoo:tiny --board b.toml -o b.toml", "b.toml"),
        ("compile zoo:tiny --board ultra96 -o m --json m", "m"),
        ("boards b.toml --json b.toml", "b.toml"),
    ] {
        w.fails(
            command,
            &[&format!("{output}: an output, but "), "name another"],
        );
    }
    for (name, bytes) in all {
        assert_eq!(before(name), bytes, "{name}");
    }
}

#[test]
fn training_refuses_a_place_that_would_lose_the_model() {
    let w = Workplace::with_program(1);
    w.fails(
        "train -o w.checkpoint",
        &["w.checkpoint", "goes at its end"],
    );
    w.fails("train -o w.onnx --json w.onnx", &["w.onnx", "another"]);
    w.fails(
        "train -o w.onnx --float-output w.checkpoint",
        &["w.checkpoint"],
    );
    w.fails("train -o no/w.onnx", &["no/w.onnx", "does not exist"]);
    w.fails("train -o -", &["a model is a file"]);
    // Read-only even for root.
    w.fails("train -o /proc/w.onnx", &["/proc/w.onnx"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    let w = Workplace::with_program(1);
    for command in [
        "inspect tiny.cnna",
        "boards",
        "boards --json -",
        "--help",
        "run --help",
        "check tiny.cnna --engines cycle",
        "run tiny.cnna --device cycle --input x.npy -o y.npy",
        "compile zoo:tiny --board ultra96 -o -",
    ] {
        // Closed before the command begins: what it prints first finds nobody.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = w.command(command).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{command}: {output:?}");
        assert_eq!(output.stderr, b"", "{command}");
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let output = w.command(command).stdout(full()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {text}");
        assert!(
            text.starts_with("error: standard output: No space left"),
            "{command}: {text}"
        );
        // Nothing is left to say anything.
        let status = w.command(command).stdout(full()).stderr(full()).status();
        assert_eq!(status.unwrap().code(), Some(2), "{command}");
    }
}

//! Small things that a user stumbles over: each says what it did, or what to do.

use crate::workplace::Workplace;
use std::process::Command;

#[test]
fn numbers_of_images_that_are_none() {
    let w = Workplace::with_program(1);
    for n in ["0", "-1", "18446744073709551615", "many"] {
        for command in [
            format!("run tiny.cnna --device cycle --input x.npy -o y.npy --images={n}"),
            format!("check tiny.cnna --images={n}"),
        ] {
            let output = w.output(&command);
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{command}: {text}");
            let part = if n == "0" {
                "no image is none to run"
            } else {
                "is not a number from 1"
            };
            assert!(text.contains(part), "{text}");
        }
    }
}

#[test]
fn a_check_of_the_reference_alone_says_that_it_compared_nothing() {
    let w = Workplace::with_program(1);
    let text = w.succeeds("check tiny.cnna --engines reference --images 1");
    assert!(
        text.contains("nothing compared: the reference alone ran 1 image(s)"),
        "{text}"
    );
    assert!(!text.contains("equal"), "{text}");
    let output = w.output("check tiny.cnna --engines cycle,fpga");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("`fpga` is no engine: give some of reference, cycle and rtl"),
        "{text}"
    );
}

#[test]
fn a_fifo_is_an_input_too() {
    let w = Workplace::with_program(3);
    w.succeeds("run tiny.cnna --device cycle --input x.npy -o y.npy --raw");
    let feed = |bytes: Vec<u8>| {
        let fifo = w.path("fifo");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .unwrap()
                .success()
        );
        std::thread::spawn(move || std::fs::write(fifo, bytes))
    };
    let whole = std::fs::read(w.path("x.npy")).unwrap();
    let writer = feed(whole.clone());
    w.succeeds("run tiny.cnna --device cycle --input fifo -o z.npy --raw");
    writer.join().unwrap().unwrap();
    assert_eq!(w.load::<i16>("z.npy"), w.load::<i16>("y.npy"));
    std::fs::remove_file(w.path("fifo")).unwrap();
    let writer = feed(whole[..whole.len() - 4].to_vec());
    w.fails(
        "run tiny.cnna --device cycle --input fifo -o u.npy",
        &["fifo", "cut short"],
    );
    writer.join().unwrap().unwrap();
}

#[test]
fn folders_in_place_of_files_are_named_as_such() {
    let w = Workplace::with_program(1);
    std::fs::create_dir(w.path("folder")).unwrap();
    for command in ["inspect folder", "check folder", "report folder -o r.html"] {
        w.fails(
            command,
            &["folder: a folder, not a program file", "cnna compile"],
        );
    }
    w.fails(
        "run tiny.cnna --device cycle --input folder -o y.npy",
        &["folder: no image in it", "PNG or JPEG"],
    );
}

#[test]
fn an_unknown_key_points_to_the_command_that_prints_the_keys() {
    let w = Workplace::new();
    w.fails(
        "rtl --board ultra96 --set foo=1 -o out",
        &["foo", "`cnna boards ultra96`"],
    );
    assert!(w.succeeds("boards ultra96").contains("\nlanes = "));
}

#[test]
fn help_tells_status_columns_lists_and_environment() {
    let w = Workplace::new();
    for (command, parts) in [
        (
            "--help",
            &["130", "143", "141", "CNNA_CACHE", "CNNA_DATA", "TMPDIR"][..],
        ),
        (
            "run --help",
            &["wait load", "wait weigh", "wait store", "saturated"],
        ),
        ("check --help", &["[default: reference,cycle,rtl]"]),
    ] {
        let help = w.succeeds(command);
        for part in parts {
            assert!(help.contains(part), "{part} in {help}");
        }
    }
}

#[test]
fn an_error_names_a_path_once_and_stays_readable() {
    let w = Workplace::new();
    for command in [
        "compile nowhere.onnx --board ultra96 -o m.cnna",
        "inspect nowhere.onnx",
        "boards nowhere.onnx.toml",
    ] {
        let text = String::from_utf8(w.output(command).stderr).unwrap();
        assert_eq!(text.matches("nowhere.onnx").count(), 1, "{text}");
    }
    std::fs::write(w.path("long.toml"), "a = ".repeat(60_000)).unwrap();
    let text = w.output("rtl --board long.toml -o out").stderr;
    assert!(text.len() < 1500, "{} bytes", text.len());
}

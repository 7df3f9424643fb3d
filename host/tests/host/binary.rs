//! The program `cnna-host` itself: output files, exit status, and Ctrl-C.

use crate::fake::{Fake, Start, image, meta, serving, write_program};
use npyz::WriterBuilder;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn host(folder: &Path, arguments: &str) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_cnna-host"));
    c.current_dir(folder).args(arguments.split_whitespace());
    c
}

fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_program(folder.path(), &meta());
    let mut npy = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[2, 2, 3, 5])
        .writer(std::fs::File::create(folder.path().join("x.npy")).unwrap())
        .begin_nd()
        .unwrap();
    npy.extend(image(0).into_iter().chain(image(9))).unwrap();
    npy.finish().unwrap();
    folder
}

const RUN: &str =
    "run identity.cnna --device ./device --input x.npy -o y.npy --raw --json run.json";

fn fails(output: Output, part: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.starts_with("error: ") && text.contains(part), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
}

#[test]
fn a_batch_runs_and_its_counters_are_summed() {
    let folder = prepared();
    let device = folder.path().join("device");
    serving(&device, Fake::new(&[Start::After(50)]), || {
        let output = host(folder.path(), RUN).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let y = npyz::NpyFile::new(std::fs::File::open(folder.path().join("y.npy")).unwrap());
        let want: Vec<i16> = image(0).into_iter().chain(image(9)).collect();
        assert_eq!(y.unwrap().into_vec::<i16>().unwrap(), want);
        let json = std::fs::read(folder.path().join("run.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["images"], 2);
        assert_eq!(json["cycles"], 720);
        assert_eq!(json["layers"][1]["name"], "pool1");
        assert_eq!(json["layers"][1]["cycles"], 500);
        assert_eq!(json["layers"][0]["macs"], 2000);
        assert_eq!(json["layers"][0]["saturated"], 6);
        let output = host(folder.path(), "info --device ./device")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("ID           0x434e4e41"), "{text}");
    })
    .1
    .unwrap();
}

#[test]
fn errors_end_with_status_2_and_write_nothing() {
    let folder = prepared();
    fails(host(folder.path(), RUN).output().unwrap(), "./device");
    let other = RUN.replace("x.npy", "z.npy");
    fails(host(folder.path(), &other).output().unwrap(), "z.npy");
    let other = RUN.replace("./device", "uio99");
    fails(host(folder.path(), &other).output().unwrap(), "uio99");
    let other = RUN.replace("identity.cnna", "x.npy");
    fails(host(folder.path(), &other).output().unwrap(), "x.npy");
    assert!(!folder.path().join("y.npy").exists());
    assert!(!folder.path().join("run.json").exists());
}

#[test]
fn ctrl_c_resets_the_device_and_writes_nothing() {
    let folder = prepared();
    let device = folder.path().join("device");
    serving(&device, Fake::new(&[Start::Hang, Start::After(5)]), || {
        let child = host(folder.path(), RUN)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        // Busy: the program runs, so its signal handler is in place.
        let busy = || {
            let bytes = std::fs::read(&device).unwrap();
            bytes[cnna_machine::regs::STATUS.offset] & 1 == 1
        };
        while !busy() {
            assert!(begin.elapsed() < Duration::from_secs(20), "never started");
            std::thread::sleep(Duration::from_millis(5));
        }
        let kill = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        assert_eq!(output.stderr, b"error: interrupted\n");
        assert!(!folder.path().join("y.npy").exists());
        assert!(!busy());
        let output = host(folder.path(), RUN).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    })
    .1
    .unwrap();
}

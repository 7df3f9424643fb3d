//! Ctrl-C and the system's request to end: obeyed soon by every command, with the shell's status, leaving nothing.

use crate::workplace::Workplace;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Ends `command` by `signal` after a while; its status, what it said, and how long it took to obey.
fn interrupted(w: &Workplace, command: &str, signal: &str) -> (Option<i32>, String, Duration) {
    let child = w
        .command(command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let kill = std::process::Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let begin = Instant::now();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text, begin.elapsed())
}

#[test]
fn every_command_that_takes_long_obeys_within_two_seconds_and_leaves_nothing() {
    let w = Workplace::with_program(1);
    w.succeeds("compile zoo:tiny --board ultra96 --batch 1 -o single.cnna");
    for (signal, status) in [("-INT", 130), ("-TERM", 143)] {
        for command in [
            // Far more images than can be done.
            "check tiny.cnna --engines reference --images 4000000000",
            "check tiny.cnna --engines cycle --images 4000000000",
            // Work that knows nothing of signals.
            "compile zoo:vgg16@512/1 --board ultra96 -o v.cnna",
            "serve --engine cycle --board ultra96 --window 1M --path ./device",
        ] {
            let before = w.files();
            let (code, text, took) = interrupted(&w, command, signal);
            assert_eq!(code, Some(status), "{command}: {text}");
            // A loaded machine needs some of it for itself.
            assert!(took < Duration::from_millis(2500), "{command}: {took:?}");
            if !command.starts_with("serve") {
                assert_eq!(text, "error: interrupted\n", "{command}");
            }
            assert_eq!(w.files(), before, "{command} left something");
        }
    }
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_run_in_its_folder() {
    let w = Workplace::with_program(1);
    let mut child = w
        .command("compile zoo:vgg16 --board ultra96 -o v.cnna")
        .spawn()
        .unwrap();
    let left = || {
        let is_ours = |name: &str| name.starts_with(".cnna-");
        let names = std::fs::read_dir(w.path(".")).unwrap();
        names
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| is_ours(n))
            .count()
    };
    let begin = Instant::now();
    while left() == 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never wrote");
        assert_eq!(child.try_wait().unwrap(), None, "it ended unseen");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(left(), 1);
    w.succeeds("run tiny.cnna --device cycle --input x.npy -o y.npy");
    assert_eq!(left(), 0);
    assert!(!w.path("v.cnna").exists());
}

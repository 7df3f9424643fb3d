//! A server in one process, its users in others.

use crate::workplace::Workplace;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Ends its server with the test.
pub struct Server(Child);

impl Server {
    pub fn start(w: &Workplace, arguments: &str) -> Server {
        let mut child = w
            .command(&format!("serve --engine cycle --path ./device {arguments}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(line.starts_with("serving cycle of "), "{line}");
        Server(child)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Ctrl-C; true when it ended as a shell expects.
    fn interrupt(mut self) -> bool {
        let pid = self.0.id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status();
        kill.unwrap().success() && self.0.wait().unwrap().code() == Some(130)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `interrupt` there is nothing left to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_served_device_gives_what_the_reference_gives_until_ctrl_c_removes_it() {
    let w = Workplace::with_program(2);
    let server = Server::start(&w, "--board ultra96 --window 1M");
    w.succeeds("run tiny.cnna --device ./device --input x.npy -o served.npy --raw");
    w.succeeds("run tiny.cnna --device reference --input x.npy -o reference.npy --raw");
    assert_eq!(w.load::<i16>("served.npy"), w.load::<i16>("reference.npy"));
    w.succeeds("report tiny.cnna --device ./device -o served.html --json served.json");
    w.succeeds("report tiny.cnna --device cycle -o cycle.html --json cycle.json");
    let (mut served, mut cycle) = (w.json("served.json"), w.json("cycle.json"));
    assert_eq!(served["device"].take(), "./device");
    assert_eq!(cycle["device"].take(), "cycle");
    assert_eq!(served, cycle);
    assert!(server.interrupt());
    assert!(!w.path("device").exists());
}

#[test]
fn another_machine_or_too_small_a_window_is_refused() {
    let w = Workplace::with_program(1);
    let server = Server::start(&w, "--board ultra96 --set lanes=5 --window 1M");
    let run = "run tiny.cnna --device ./device --input x.npy -o y.npy";
    w.fails(
        run,
        &["configuration is", "compiled for", "compile the model for"],
    );
    assert!(server.interrupt());
    let server = Server::start(&w, "--board ultra96 --window 4K");
    w.fails(run, &["window of 32768 bytes", "--window 32768"]);
    assert!(server.interrupt());
    w.fails(run, &["./device", "No such file"]);
}

#[test]
fn a_server_does_not_replace_a_file_of_the_user() {
    let w = Workplace::with_program(1);
    w.fails(
        "serve --engine cycle --board ultra96 --path x.npy",
        &["x.npy", "name another path"],
    );
}

#[test]
fn a_second_server_is_refused_and_the_first_goes_on() {
    let w = Workplace::with_program(1);
    let server = Server::start(&w, "--board ultra96 --window 1M");
    w.fails(
        "serve --engine cycle --board ultra96 --window 1M --path ./device",
        &["./device: another server serves it"],
    );
    w.succeeds("run tiny.cnna --device ./device --input x.npy -o y.npy");
    assert!(server.interrupt());
    assert!(!w.path("device").exists() && !w.path("device.cnna-lock").exists());
}

#[test]
fn what_a_killed_server_left_says_at_once_that_nobody_answers_and_is_served_again() {
    let w = Workplace::with_program(1);
    let mut server = Server::start(&w, "--board ultra96 --window 1M");
    server.0.kill().unwrap();
    server.0.wait().unwrap();
    assert!(w.path("device").exists());
    let begin = Instant::now();
    w.fails(
        "run tiny.cnna --device ./device --input x.npy -o y.npy",
        &["no server answers at ./device", "cnna serve"],
    );
    assert!(begin.elapsed() < Duration::from_secs(1));
    let server = Server::start(&w, "--board ultra96 --window 1M");
    w.succeeds("run tiny.cnna --device ./device --input x.npy -o y.npy");
    assert!(server.interrupt());
}

/// A run of far more images than can be done, on a server that something happens to; what it says, and how soon.
fn run_while(w: &Workplace, happens: impl FnOnce(&Workplace, &mut Server)) -> (String, Duration) {
    let mut server = Server::start(w, "--board ultra96 --window 1M");
    let run = "run tiny.cnna --device ./device --input many.npy -o y.npy";
    let child = w.command(run).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    happens(w, &mut server);
    let begin = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    (String::from_utf8(output.stderr).unwrap(), begin.elapsed())
}

fn with_many_images() -> Workplace {
    let w = Workplace::with_program(1);
    w.save("many.npy", &[60_000, 2, 8, 8], vec![0i8; 60_000 * 128]);
    w
}

#[test]
fn a_server_killed_in_the_middle_is_noticed_soon() {
    let w = with_many_images();
    let (text, took) = run_while(&w, |_, server| server.0.kill().unwrap());
    assert!(text.contains("no server answers at ./device"), "{text}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_served_file_that_is_cut_short_is_an_error_for_both_sides_not_a_crash() {
    let w = with_many_images();
    for bytes in [0, 4096, 100_000] {
        let mut status = None;
        let (text, took) = run_while(&w, |w, server| {
            let file = std::fs::File::options().write(true).open(w.path("device"));
            file.unwrap().set_len(bytes).unwrap();
            status = server.0.wait().unwrap().code();
        });
        assert_eq!(status, Some(2), "the server");
        assert!(
            text.contains("cut short") || text.contains("no server"),
            "{text}"
        );
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    // An idle server too; and the place can be served again.
    let mut server = Server::start(&w, "--board ultra96 --window 1M");
    let file = std::fs::File::options().write(true).open(w.path("device"));
    file.unwrap().set_len(0).unwrap();
    assert_eq!(server.0.wait().unwrap().code(), Some(2));
    assert!(Server::start(&w, "--board ultra96 --window 1M").interrupt());
}

#[test]
fn a_place_without_room_for_the_window_is_named_with_what_is_needed() {
    let w = Workplace::with_program(1);
    // A limit of the size of files stands for a full disk: 32 blocks of 512 or 1024 bytes.
    let limited = |arguments: &str| {
        let script = format!(
            "trap '' XFSZ; ulimit -f 32; exec {} {arguments}",
            env!("CARGO_BIN_EXE_cnna")
        );
        let mut c = std::process::Command::new("sh");
        c.args(["-c", &script]).current_dir(w.path("."));
        let output = c.env("TMPDIR", w.path(".")).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {text}");
        text
    };
    let before = w.files();
    let text = limited("serve --engine cycle --board ultra96 --window 1M --path device");
    assert!(
        text.starts_with("error: no space: 1052.7 kB are needed in "),
        "{text}"
    );
    let text = limited("check tiny.cnna --engines cycle --images 1");
    assert!(
        text.starts_with("error: no space: 36.9 kB are needed in "),
        "{text}"
    );
    assert!(text.contains("TMPDIR"), "{text}");
    assert_eq!(w.files(), before);
}

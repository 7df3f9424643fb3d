//! A server in one process, its users in others.

use crate::workplace::Workplace;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// Ends its server with the test.
struct Server(Child);

impl Server {
    fn start(w: &Workplace, arguments: &str) -> Server {
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
    w.fails(run, &["window of 36864 bytes", "--window 36864"]);
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

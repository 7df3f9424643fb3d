//! Hosts and servers that are killed (SIGKILL) at random moments, devices that vanish, other bitstreams, too little memory: nothing
//! hangs, no result is wrong, and the next run works.
//!
//! `CNNA_KILLS=n` makes n trials; the suite makes [`TRIALS`]. `make bench-kills` makes 1,000. `CNNA_SEED` draws others.

use crate::served::Server;
use crate::workplace::Workplace;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Trials of the suite.
const TRIALS: usize = 48;
/// A process that lives longer hangs: many times what a run takes on a busy machine.
const HANGS: Duration = Duration::from_secs(60);
/// Images of a run: long enough for a kill to meet every part of it.
const IMAGES: u64 = 24;

const SERVE: &str = "--board ultra96 --window 1M";
const RUN: &str = "run tiny.cnna --device ./device --input x.npy --raw -o y.npy";

fn variable(name: &str, otherwise: usize) -> usize {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |v| v.parse().expect("a number"))
}

/// What happens to whom.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    Host,
    Server,
    Both,
    /// The device's file is cut short or taken away.
    Device,
    /// A server of another configuration.
    Bitstream,
    /// A server whose window is too small.
    Memory,
}

const BLOWS: [Blow; 12] = [
    Blow::Host,
    Blow::Host,
    Blow::Host,
    Blow::Host,
    Blow::Server,
    Blow::Server,
    Blow::Server,
    Blow::Both,
    Blow::Both,
    Blow::Device,
    Blow::Bitstream,
    Blow::Memory,
];

struct Trials {
    w: Workplace,
    wanted: Vec<u8>,
    /// What a run takes.
    took: Duration,
    server: Option<Server>,
}

/// How a process ended. Panics when it does not.
fn ended(child: &mut Child, who: &str) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > HANGS {
            let _ = child.kill();
            panic!("{who} hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Trials {
    fn new() -> Self {
        let w = Workplace::with_program(IMAGES);
        w.succeeds("run tiny.cnna --device reference --input x.npy --raw -o reference.npy");
        let wanted = std::fs::read(w.path("reference.npy")).unwrap();
        let server = Some(Server::start(&w, SERVE));
        let mut all = Trials {
            w,
            wanted,
            took: Duration::ZERO,
            server,
        };
        let begin = Instant::now();
        all.works("before all");
        all.took = begin.elapsed();
        all
    }

    fn host(&self) -> Child {
        let mut command = self.w.command(RUN);
        let command = command.stderr(Stdio::null()).stdout(Stdio::null());
        command.spawn().unwrap()
    }

    /// Whatever stands under the result's name is whole and right.
    fn no_wrong_result(&self, what: &str) -> bool {
        match std::fs::read(self.w.path("y.npy")) {
            Ok(bytes) => {
                assert!(bytes == self.wanted, "{what}: a wrong result");
                true
            }
            Err(_) => false,
        }
    }

    /// A run that nothing disturbs gives the reference's bytes.
    fn works(&mut self, what: &str) {
        let _ = std::fs::remove_file(self.w.path("y.npy"));
        let mut host = self.host();
        let status = ended(&mut host, what);
        assert!(status.success(), "{what}: the next run: {status}");
        assert!(self.no_wrong_result(what), "{what}: no result");
    }

    fn restart(&mut self, arguments: &str) {
        // The old one first: the place is its.
        self.server = None;
        self.server = Some(Server::start(&self.w, arguments));
    }

    /// One blow at a random moment; then a server that is in order.
    fn trial(&mut self, blow: Blow, r: &mut StdRng) {
        let what = format!("{blow:?}");
        let _ = std::fs::remove_file(self.w.path("y.npy"));
        match blow {
            Blow::Bitstream => self.restart("--board ultra96 --set lanes=5 --window 1M"),
            Blow::Memory => self.restart("--board ultra96 --window 8K"),
            _ => {}
        }
        let mut host = self.host();
        std::thread::sleep(self.took.mul_f64(r.random_range(0.0..1.2)));
        let server = self.server.as_mut().expect("a server runs");
        match blow {
            Blow::Host => host.kill().unwrap(),
            Blow::Server => server.kill(),
            Blow::Both if r.random() => {
                host.kill().unwrap();
                server.kill();
            }
            Blow::Both => {
                server.kill();
                host.kill().unwrap();
            }
            Blow::Device => {
                let file = std::fs::File::options()
                    .write(true)
                    .open(self.w.path("device"));
                file.unwrap().set_len(r.random_range(0..100_000)).unwrap();
            }
            Blow::Bitstream | Blow::Memory => {}
        }
        let status = ended(&mut host, &what);
        let wrote = self.no_wrong_result(&what);
        assert!(!status.success() || wrote, "{what}: success without result");
        if matches!(blow, Blow::Bitstream | Blow::Memory) {
            assert_eq!(status.code(), Some(2), "{what}");
        }
        if blow != Blow::Host {
            self.restart(SERVE);
        }
        self.works(&what);
    }
}

#[test]
fn nothing_hangs_nothing_is_wrong_and_the_next_run_works() {
    let seed = variable("CNNA_SEED", 1) as u64;
    let mut r = StdRng::seed_from_u64(seed);
    let mut all = Trials::new();
    let mut counted = [0; 6];
    let trials = variable("CNNA_KILLS", TRIALS);
    for _ in 0..trials {
        let blow = *BLOWS.choose(&mut r).expect("there are some");
        all.trial(blow, &mut r);
        counted[blow as usize] += 1;
    }
    let [host, server, both, device, bitstream, memory] = counted;
    println!(
        "{trials} trials: {host} hosts, {server} servers, {both} pairs killed, {device} devices lost, {bitstream} other bitstreams, \
         {memory} windows too small: 0 hangs, 0 wrong results, every next run equal to the reference"
    );
}

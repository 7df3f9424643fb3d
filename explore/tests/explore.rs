//! Whole explorations: the front is beaten by nobody, its cycles are the full simulator's, the files are there.

use cnna_explore::{Exploration, Network, Request, axes, explore, write};
use cnna_flow::{Model, Session, Silent, devices, images};
use cnna_machine::Board;
use cnna_machine::num::Word;
use cnna_machine::program::Program;
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn network(name: &str, session: &Session<'_>) -> Network {
    let front = Model::new(name, 1).network(Word::W16, session).unwrap();
    Network {
        name: name.into(),
        graph: front.graph,
    }
}

fn found(names: &[&str], board: &Board, vary: &[&str], machines: usize) -> Exploration {
    let stop = AtomicBool::new(false);
    let session = Session::new(&stop, &Silent);
    let networks: Vec<Network> = names.iter().map(|n| network(n, &session)).collect();
    let vary: Vec<String> = vary.iter().map(ToString::to_string).collect();
    let request = Request {
        networks: &networks,
        board,
        axes: &axes(&vary).unwrap(),
        machines,
        seed: 1,
    };
    explore(&request, &session).unwrap()
}

/// What the driver reports of a whole program, weights and values included: cycles and bytes.
fn full(name: &str, board: &Board) -> (u64, u64) {
    let stop = AtomicBool::new(false);
    let session = Session::new(&stop, &Silent);
    let model = Model::new(name, 1);
    let front = model.network(Word::W16, &session).unwrap();
    let options = cnna_compile::Options {
        batch: 1,
        ..Default::default()
    };
    let compiled = model.compile(&front, board, &options, &session).unwrap();
    let bytes = cnna_flow::program::bytes(&compiled, &front.graph).unwrap();
    let program = Program::parse(Path::new("p"), &bytes).unwrap();
    let mut images = images::read_or_random(&[], &program.meta, Some(1), 1, 7).unwrap();
    let run = devices::run_on("cycle", &program, &mut *images, &mut |_| Ok(()), &session).unwrap();
    let report = cnna_report::Report::new(&program, &run, "cycle", "random").unwrap();
    (report.cycles, report.ddr_bytes)
}

#[test]
fn the_fronts_cycles_and_bytes_are_those_of_a_full_simulation() {
    let board = Board::load("pynq-z2", &[]).unwrap();
    for names in [vec!["zoo:lenet"], vec!["zoo:mobilenet-v2@32", "zoo:tiny"]] {
        let e = found(&names, &board, &["tiles", "lanes", "out_depth"], 24);
        let front: Vec<_> = e.machines.iter().filter(|m| m.front).collect();
        assert!(front.len() >= 3, "{}", front.len());
        for m in front {
            for (name, cost) in names.iter().zip(&m.costs) {
                let (cycles, bytes) = full(name, &m.board);
                let machine = &m.board.name;
                assert_eq!(cost.simulated, Some(cycles), "{name} on {machine}");
                // The machine's counters hold the records of marks within a layer too, of 32 bytes each.
                let records = bytes - cost.ddr_bytes;
                let few = records % 32 == 0 && 100 * records <= bytes;
                assert!(few, "{name} on {machine}: {records} of {bytes}");
            }
        }
    }
}

#[test]
fn nobody_beats_the_front_and_the_chosen_machine_is_its_fastest() {
    let board = Board::load("ultra96", &[]).unwrap();
    let e = found(&["zoo:tiny"], &board, &[], 120);
    assert_eq!(e.machines.len(), 120);
    assert_eq!(e.machines[0].board, board);
    for of in [
        |m: &cnna_explore::Machine| m.board.accelerator.all_dsps() as u64,
        |m: &cnna_explore::Machine| m.ddr_bytes(),
    ] {
        for i in e.front(of) {
            let m = &e.machines[i];
            assert!(m.front);
            let beaten = |o: &cnna_explore::Machine| {
                of(o) <= of(m)
                    && o.cycles() <= m.cycles()
                    && (of(o), o.cycles()) != (of(m), m.cycles())
            };
            assert!(!e.machines.iter().any(beaten), "{}", m.board.name);
        }
    }
    let fastest = e.machines.iter().filter(|m| m.front).map(|m| m.cycles());
    assert_eq!(Some(e.machines[e.chosen].cycles()), fastest.min());
    for m in &e.machines {
        m.board.check_fit().unwrap();
    }
    // The same seed finds the same machines.
    let again = found(&["zoo:tiny"], &board, &[], 120);
    let names = |e: &Exploration| -> Vec<String> {
        e.machines.iter().map(|m| m.board.name.clone()).collect()
    };
    assert_eq!(names(&e), names(&again));
}

#[test]
fn the_folder_holds_a_page_whose_links_lead_to_board_files() {
    let board = Board::load("pynq-z2", &[]).unwrap();
    let e = found(&["zoo:tiny", "zoo:lenet"], &board, &["lanes=2/4/8"], 10);
    let folder = tempfile::tempdir().unwrap();
    write(&e, folder.path()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    let mut links = 0;
    for part in page.split("href=\"machines/").skip(1) {
        let file = part.split('"').next().unwrap();
        let path = folder.path().join("machines").join(file);
        Board::load(path.to_str().unwrap(), &[]).unwrap();
        links += 1;
    }
    assert!(links >= 4 * e.machines.len(), "{links}");
    assert_eq!(page.matches("<svg").count(), 4);
    assert!(page.contains("<title>pynq-z2-l2: ") && page.contains("zoo:lenet"));
    let chosen = folder.path().join("board.toml");
    let chosen = Board::load(chosen.to_str().unwrap(), &[]).unwrap();
    assert_eq!(chosen, e.machines[e.chosen].board);
}

#[test]
fn a_network_that_the_board_cannot_run_is_an_error_that_names_it() {
    let board = Board::load("ultra96", &[("act_depth".into(), "16".into())]).unwrap();
    let stop = AtomicBool::new(false);
    let session = Session::new(&stop, &Silent);
    let networks = [network("zoo:conv63x63@64x64x1-1", &session)];
    let request = Request {
        networks: &networks,
        board: &board,
        axes: &axes(&[]).unwrap(),
        machines: 4,
        seed: 1,
    };
    let error = explore(&request, &session).unwrap_err();
    let text = cnna_flow::failure::line(&error);
    assert!(
        text.contains("zoo:conv63x63@64x64x1-1 for ultra96"),
        "{text}"
    );
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let board = Board::load("ultra96", &[]).unwrap();
    let request = Request {
        board: &board,
        ..request
    };
    let error = explore(&request, &session).unwrap_err().to_string();
    assert!(error.contains("interrupted"), "{error}");
}

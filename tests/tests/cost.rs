//! The compiler's analytic cost against the cycle simulator.

use cnna_compile::{Options, compile, zoo};
use cnna_sim::machine::Machine;
use cnna_spec::Board;
use cnna_tests::engines::run;
use cnna_tests::random::random_words;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// Estimated and simulated cycles.
fn cycles(name: &str, board: &str, options: &Options) -> (f64, f64) {
    let board = Board::load(board, &[]).expect("built in");
    let net = zoo::network(name, 1, board.accelerator.word).expect("in the zoo");
    let program = compile(&net, &board, options).expect("fits");
    let image = random_words(&mut StdRng::seed_from_u64(1), net.input.len(), net.word);
    let mut machine = Machine::new(&board);
    let done = run(
        &mut machine,
        &program.meta,
        &program.image,
        &image,
        u64::MAX / 2,
    )
    .expect("completes");
    let simulated = f64::from(done.counters[0]);
    (program.meta.estimated_cycles as f64, simulated)
}

fn within(share: f64, cases: &[(&str, &str)], options: &Options) {
    let mut wrong = Vec::new();
    for (name, board) in cases {
        let (estimate, simulated) = cycles(name, board, options);
        let off = estimate / simulated - 1.0;
        println!(
            "{name} {board}: {estimate} estimated, {simulated} simulated, {:+.1} %",
            off * 100.0
        );
        if off.abs() > share {
            wrong.push(format!("{name} on {board}: {estimate} for {simulated}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_estimate_is_within_5_percent_of_the_simulator_on_real_layers() {
    let cases = [
        ("zoo:conv3x3@56x56x64-64", "ultra96"),
        ("zoo:conv1x1@28x28x256-64", "ultra96"),
        ("zoo:conv5x5@28x28x32-64", "pynq-z2"),
        ("zoo:vgg16@56", "ultra96"),
        ("zoo:vgg16@56", "pynq-z2"),
    ];
    within(0.05, &cases, &Options::default());
}

#[test]
fn the_estimate_is_within_15_percent_of_the_simulator_where_latency_rules() {
    let cases = [
        ("zoo:conv3x3@14x14x64-64", "ultra96"),
        ("zoo:conv3x3@28x28x16-16", "ultra96"),
        ("zoo:lenet", "ultra96"),
    ];
    within(0.15, &cases, &Options::default());
}

#[test]
fn winograd_is_chosen_where_it_is_faster() {
    let direct = Options {
        winograd: false,
        ..Options::default()
    };
    let (_, with) = cycles("zoo:conv3x3@28x28x64-64", "ultra96", &Options::default());
    let (_, without) = cycles("zoo:conv3x3@28x28x64-64", "ultra96", &direct);
    assert!(with * 1.8 < without, "{with} against {without}");
}

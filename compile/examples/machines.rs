//! Temporary: plans a network for machines.
use cnna_compile::{Options, compile};
use cnna_machine::Board;
use std::time::Instant;
fn main() {
    let name = std::env::args().nth(1).unwrap_or("mobilenet-v2".into());
    let count: usize = std::env::args().nth(2).and_then(|s| s.parse().ok()).unwrap_or(12);
    let board = Board::load("ultra96", &[]).unwrap();
    let graph = cnna_net::zoo::network(&name, 1, board.accelerator.word).unwrap();
    let mut x = 12345u64;
    let mut pick = |v: &[usize]| {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        v[(x >> 33) as usize % v.len()]
    };
    let mut done = 0;
    let mut sum = 0;
    let mut bytes = 0usize;
    let t = Instant::now();
    while done < count {
        let mut b = board.clone();
        let a = &mut b.accelerator;
        a.tiles = pick(&[1, 2, 4]);
        a.lanes = pick(&[2, 4, 6, 8, 11, 12, 16, 22]);
        a.act_depth = pick(&[1024, 2048, 4096, 8192, 16384]);
        a.weight_depth = pick(&[128, 256, 512, 1024, 2048]);
        a.out_depth = pick(&[256, 512, 1024, 2048, 4096]);
        a.weight_ports = pick(&[1, 2, 3, 4]);
        if b.validate().is_err() || b.check_fit().is_err() { continue; }
        done += 1;
        let o = Options { batch: 1, ..Options::default() };
        match compile(&graph, &b, &o) {
            Ok(c) => { sum += c.meta.streams[0].estimated_cycles; bytes += c.meta.streams[0].commands;
              println!("{} {} {}", b.accelerator.tiles, b.accelerator.lanes, c.meta.streams[0].estimated_cycles); }
            Err(e) => println!("{e}"),
        }
    }
    eprintln!("{sum} {bytes} {:?}", t.elapsed());
}

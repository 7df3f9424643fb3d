//! Memory does not grow with the batch.

use crate::workplace::Workplace;
use npyz::WriterBuilder;

/// The most memory that a command held, in bytes, as the system counts it.
fn peak(w: &Workplace, command: &str) -> usize {
    let mut child = w
        .command(command)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let file = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&file).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        most = most.max(kilobytes.unwrap_or(0) * 1024);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success(), "{command}");
    most
}

#[test]
fn a_large_batch_takes_no_more_memory_than_a_small_one() {
    let w = Workplace::with_program(1);
    const IMAGES: u64 = 40_000;
    let file = std::fs::File::create(w.path("many.npy")).unwrap();
    let mut npy = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[IMAGES, 2, 8, 8])
        .writer(std::io::BufWriter::new(file))
        .begin_nd()
        .unwrap();
    npy.extend((0..IMAGES * 128).map(|i| (i as f32 * 0.37).sin()))
        .unwrap();
    npy.finish().unwrap();
    for command in [
        "run tiny.cnna --device reference --input many.npy -o y.npy",
        "run tiny.cnna --device cycle --input many.npy -o y.npy",
        "check tiny.cnna --engines cycle --input many.npy",
    ] {
        let few = peak(&w, &format!("{command} --images 400"));
        let all = peak(&w, command);
        // A check holds a share of the results; a run nothing. The batch has 20 MB as reals and 10 MB as words.
        let more = if command.starts_with("check") {
            80 << 20
        } else {
            4 << 20
        };
        assert!(all < few + more, "{command}: {few} bytes, then {all}");
        if command.starts_with("run") {
            assert_eq!(w.load::<f32>("y.npy").0, [IMAGES, 4]);
        }
    }
}

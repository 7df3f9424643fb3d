//! What each command does when all is well.

use crate::workplace::Workplace;
use cnna_machine::Board;

#[test]
fn boards_lists_all_and_prints_one_that_can_be_used_as_a_file() {
    let w = Workplace::new();
    let list = w.succeeds("boards");
    for name in Board::names() {
        assert!(list.contains(name), "{list}");
    }
    let json: serde_json::Value = serde_json::from_str(&w.succeeds("boards --json -")).unwrap();
    assert_eq!(json.as_array().unwrap().len(), Board::names().count());
    std::fs::write(w.path("mine.toml"), w.succeeds("boards pynq-z2")).unwrap();
    let text = w.succeeds("compile zoo:tiny --board mine.toml -o tiny.cnna");
    assert!(text.contains("tiny for pynq-z2"), "{text}");
}

#[test]
fn reference_and_cycle_give_the_same_integers_and_reals() {
    let w = Workplace::with_program(3);
    for device in ["reference", "cycle"] {
        w.succeeds(&format!(
            "run tiny.cnna --device {device} --input x.npy -o {device}.npy --raw --json {device}.json"
        ));
    }
    let (dims, words) = w.load::<i16>("reference.npy");
    assert_eq!(dims, [3, 4]);
    assert_eq!(w.load::<i16>("cycle.npy"), (dims.clone(), words.clone()));
    assert!(words.iter().any(|&v| v != words[0]), "{words:?}");
    w.succeeds("run tiny.cnna --device cycle --input x.npy -o real.npy");
    let (real_dims, reals) = w.load::<f32>("real.npy");
    assert_eq!(real_dims, dims);
    let frac = 2f32.powi(10);
    assert!(
        reals
            .iter()
            .zip(&words)
            .all(|(r, &q)| *r * frac == f32::from(q))
    );
    let json = w.json("cycle.json");
    assert_eq!(json["images"], 3);
    let layers = json["layers"].as_array().unwrap();
    let sum: u64 = layers.iter().map(|l| l["cycles"].as_u64().unwrap()).sum();
    let all = json["cycles"].as_u64().unwrap();
    assert!(sum > 0 && sum <= all && all < sum + 3 * 200, "{sum} {all}");
    let reference = w.json("reference.json");
    for (a, b) in layers.iter().zip(reference["layers"].as_array().unwrap()) {
        for key in ["name", "macs", "saturated"] {
            assert_eq!(a[key], b[key], "{key}");
        }
    }
    assert_eq!(layers[0]["macs"], 3 * 6 * 8 * 8 * 2 * 9);
}

#[test]
fn only_the_first_images_run_when_asked() {
    let w = Workplace::with_program(5);
    w.succeeds("run tiny.cnna --device reference --input x.npy -o all.npy --raw");
    w.succeeds("run tiny.cnna --device cycle --input x.npy --images 2 -o two.npy --raw");
    let (_, all) = w.load::<i16>("all.npy");
    assert_eq!(w.load::<i16>("two.npy"), (vec![2, 4], all[..8].to_vec()));
}

#[test]
fn check_finds_reference_and_cycle_equal_on_random_and_given_images() {
    let w = Workplace::with_program(2);
    for arguments in ["--seed 5 --images 3", "--input x.npy", "--json report.json"] {
        let text = w.succeeds(&format!(
            "check tiny.cnna --engines reference,cycle {arguments}"
        ));
        assert!(text.contains("equal: reference = cycle on "), "{text}");
    }
    let json = w.json("report.json");
    assert_eq!(json["equal"], true);
    assert_eq!(json["difference"], serde_json::Value::Null);
    assert_eq!(json["layers"].as_array().unwrap().len(), 3);
    // Without a number of images, enough for every stream.
    assert_eq!(json["images"], 5);
    let sizes = json["whole"].as_array().unwrap().iter();
    let sizes: Vec<_> = sizes.map(|c| [&c["run_images"], &c["images"]]).collect();
    assert_eq!(sizes, [[1, 1], [4, 4]]);
}

#[test]
fn a_batch_gives_what_single_images_give_in_fewer_cycles() {
    let w = Workplace::with_program(9);
    let text = w.succeeds("compile zoo:tiny --board ultra96 --batch 1 -o single.cnna");
    assert!(!text.contains("4 image(s) a run"), "{text}");
    for program in ["tiny", "single"] {
        w.succeeds(&format!(
            "run {program}.cnna --device cycle --input x.npy -o {program}.npy --raw --json {program}.json"
        ));
    }
    assert_eq!(w.load::<i16>("tiny.npy"), w.load::<i16>("single.npy"));
    let (batch, single) = (w.json("tiny.json"), w.json("single.json"));
    assert_eq!(
        (&batch["images"], &single["images"]),
        (&9.into(), &9.into())
    );
    assert_eq!(batch["layers"][2]["macs"], single["layers"][2]["macs"]);
    let of = |json: &serde_json::Value| json["cycles_per_image"].as_f64().unwrap();
    assert!(of(&batch) < of(&single), "{} {}", of(&batch), of(&single));
}

#[test]
fn a_batch_that_the_board_has_no_room_for_is_made_smaller_with_a_note() {
    let w = Workplace::new();
    let text =
        w.succeeds("compile zoo:tiny --board ultra96 --set platform.dma_bytes=30000 -o tiny.cnna");
    assert!(text.contains("image(s) a run instead of 4"), "{text}");
    assert!(text.contains("raise platform.dma_bytes"), "{text}");
}

#[test]
fn inspect_shows_layers_memory_and_commands() {
    let w = Workplace::with_program(1);
    let text = w.succeeds("inspect tiny.cnna");
    for part in [
        "conv1",
        "winograd",
        "vector",
        "2x8x8",
        "output of conv2",
        "commands for 4 image(s):",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    w.succeeds("inspect tiny.cnna --json i.json");
    let json = w.json("i.json");
    for (n, images) in [1, 4].into_iter().enumerate() {
        let counts = &json["commands"][n];
        let queues = counts["by_queue"].as_object().unwrap();
        let sum: u64 = queues.values().map(|v| v.as_u64().unwrap()).sum();
        assert_eq!(json["streams"][n]["commands"], sum);
        assert!(queues.values().all(|v| v.as_u64().unwrap() > 0));
        assert_eq!(counts["images"], images);
    }
    assert!(shared(&json) > 0, "the last output takes the first's place");
    w.succeeds("compile zoo:tiny --board ultra96 --keep -o kept.cnna");
    w.succeeds("inspect kept.cnna --json k.json");
    assert_eq!(shared(&w.json("k.json")), 0);
}

/// Stretches of memory that overlap one before them: they may where one of the two is an output that later layers overwrite.
fn shared(json: &serde_json::Value) -> usize {
    let mut shared = 0;
    let mut before: Vec<(u64, bool)> = Vec::new();
    for region in json["memory"].as_array().unwrap() {
        let offset = region["offset"].as_u64().unwrap();
        let what = region["what"].as_str().unwrap();
        let passing = what.contains("until later layers take its place");
        let mut met = before.iter().filter(|(end, _)| offset < *end).peekable();
        shared += usize::from(met.peek().is_some());
        assert!(met.all(|(_, p)| passing || *p), "{region}");
        before.push((offset + region["bytes"].as_u64().unwrap(), passing));
    }
    let end = before.iter().map(|(end, _)| *end).max().unwrap();
    assert!(end <= json["window_bytes"].as_u64().unwrap());
    shared
}

#[test]
fn rtl_writes_the_same_sources_each_time_and_tells_the_cost() {
    let w = Workplace::new();
    w.succeeds("rtl --board pynq-z2 -o a --json a.json");
    w.succeeds("rtl --board pynq-z2 -o b");
    let json = w.json("a.json");
    assert_eq!(json["dsp"], 212);
    let files = json["files"].as_array().unwrap();
    assert!(files.len() > 10);
    for f in files {
        let f = f.as_str().unwrap();
        let other = f.replacen("a/", "b/", 1);
        let read = |f: &str| std::fs::read(w.path(f)).unwrap();
        assert!(!read(f).is_empty());
        assert_eq!(read(f), read(&other), "{f}");
    }
    for f in ["a/build.tcl", "a/constraints.xdc", "a/rtl/cnna_top.sv"] {
        assert!(files.iter().any(|x| x == f), "{f}");
    }
}

//! A device that works: results, reports, repeated runs, identity.

use crate::fake::{BATCH, Fake, RECORDS, Start, WINDOW, image, meta, with_device, write_program};
use cnna_host::report::Summary;
use cnna_host::tensor::{Batch, Images, InMemory};
use cnna_host::{Device, Driver, HostError, HostSteps, Options, files};
use cnna_machine::program::{HostStep, Program, ProgramMeta};
use cnna_machine::regs;
use std::cell::RefCell;
use std::time::Instant;

#[test]
fn outputs_and_counters_come_back_for_every_image() {
    with_device(Fake::new(&[Start::After(1_000_000)]), |device, path| {
        let bytes = files::map_program(path).unwrap();
        let program = Program::parse(path, &bytes).unwrap();
        let driver = Driver::new(device, Options::default()).unwrap();
        let mut loaded = driver.load(&program).unwrap();
        for seed in 0..5 {
            let report = loaded.run(&image(seed)).unwrap();
            assert_eq!(loaded.output(0).unwrap(), image(seed));
            assert_eq!(
                (report.cycles, report.saturated, report.images),
                (360, 4, 1)
            );
            assert_eq!(report.layers.len(), 2);
            for (i, l) in report.layers.iter().enumerate() {
                let before = if i == 0 { [0; 8] } else { RECORDS[i - 1] };
                let d = |k: usize| u64::from(RECORDS[i][k] - before[k]);
                assert_eq!(l.name, format!("pool{i}"));
                let got = [
                    l.cycles,
                    l.saturated,
                    l.busy,
                    l.wait_load,
                    l.wait_weight,
                    l.wait_store,
                    l.read_beats,
                    l.write_beats,
                ];
                assert_eq!(got, std::array::from_fn(d), "layer {i}");
            }
        }
    });
}

#[test]
fn a_batch_is_cut_into_runs_of_as_many_images_as_a_stream_takes() {
    with_device(Fake::new(&[Start::After(10)]), |device, path| {
        let bytes = files::map_program(path).unwrap();
        let program = Program::parse(path, &bytes).unwrap();
        let driver = Driver::new(device, Options::default()).unwrap();
        let mut loaded = driver.load(&program).unwrap();
        let words: Vec<i16> = (0..7).flat_map(image).collect();
        let batch = Batch {
            image_len: image(0).len(),
            words,
        };
        let mut told = Vec::new();
        let mut results = Vec::new();
        let report = loaded
            .run_batch(
                &mut InMemory::new(&batch),
                &mut |words| {
                    results.extend_from_slice(words);
                    Ok(())
                },
                |n| told.push(n),
            )
            .unwrap();
        assert_eq!(results, batch.words);
        assert_eq!(told, [BATCH, 2 * BATCH, 7]);
        // Two runs of three images and one of one.
        assert_eq!((report.images, report.cycles), (7, 3 * 360));
        assert_eq!(report.layers[1].macs, 7 * 1000);
        assert_eq!(report.layers[1].cycles, 3 * 250);
        let board = &program.meta.board;
        let summary = Summary::new("identity", board, "fake", &report);
        assert_eq!(summary.cycles_per_image, 3.0 * 360.0 / 7.0);
        assert!(summary.table(1).contains(" 154 cycles an image"));
    });
}

/// Notes when it is asked for which image.
struct Noted<'a> {
    count: usize,
    at: usize,
    waits: bool,
    log: &'a RefCell<Vec<String>>,
}

impl Images for Noted<'_> {
    fn count(&self) -> usize {
        self.count
    }
    fn next(&mut self, n: usize) -> Result<Vec<i16>, HostError> {
        assert_eq!(n, 1);
        self.log.borrow_mut().push(format!("image {}", self.at));
        self.at += 1;
        Ok(image(self.at as i16 - 1))
    }
    fn waits(&self) -> bool {
        self.waits
    }
}

/// One image a run, in a window of which two fit the device's.
fn small_meta() -> ProgramMeta {
    let mut m = meta();
    m.streams.truncate(1);
    m.window_bytes = 24 * 1024;
    m
}

#[test]
fn the_next_image_is_prepared_while_the_device_works_unless_it_may_have_to_be_waited_for() {
    // The second copy pays from a certain number of images on.
    for (count, window) in [(3, 0), (8, 24 * 1024), (9, 0)] {
        for waits in [false, true] {
            let engine = Fake::of(small_meta(), &[Start::After(100_000)]);
            with_device(engine, |device, path| {
                let bytes = files::map_program(path).unwrap();
                let program = Program::parse(path, &bytes).unwrap();
                let log = RefCell::default();
                let mut images = Noted {
                    count,
                    at: 0,
                    waits,
                    log: &log,
                };
                let driver = Driver::new(&mut *device, Options::default()).unwrap();
                let mut loaded = driver.load(&program).unwrap();
                let mut given = 0;
                let report = loaded.run_batch(
                    &mut images,
                    &mut |words| {
                        assert_eq!(words, image(given), "result {given}");
                        log.borrow_mut().push(format!("result {given}"));
                        given += 1;
                        Ok(())
                    },
                    |_| (),
                );
                assert_eq!(report.unwrap().images, count as u64);
                let (mut wanted, ahead) = (vec![], if waits { 0 } else { 1 });
                if !waits {
                    wanted.push("image 0".to_string());
                }
                for n in 0..count {
                    // Asked for while the device works on the one before.
                    if n + ahead < count {
                        wanted.push(format!("image {}", n + ahead));
                    }
                    wanted.push(format!("result {n}"));
                }
                assert_eq!(*log.borrow(), wanted);
                // Where the last run's window lies.
                assert_eq!(device.read(regs::MEM_BASE_LO), window);
            });
        }
    }
}

#[test]
fn what_fails_while_the_device_works_stops_it_and_the_next_run_works() {
    let engine = Fake::of(
        small_meta(),
        &[Start::After(5), Start::Hang, Start::After(5)],
    );
    with_device(engine, |device, path| {
        let bytes = files::map_program(path).unwrap();
        let program = Program::parse(path, &bytes).unwrap();
        let log = RefCell::default();
        let mut images = Noted {
            count: 3,
            at: 0,
            waits: false,
            log: &log,
        };
        let driver = Driver::new(&mut *device, Options::default()).unwrap();
        let mut loaded = driver.load(&program).unwrap();
        let full = |_: &[i16]| {
            // The device has begun by then.
            std::thread::sleep(std::time::Duration::from_millis(200));
            Err(HostError::Ports {
                message: "a full disk".into(),
            })
        };
        // The first result, while the second run hangs.
        let error = loaded.run_batch(&mut images, &mut { full }, |_| ());
        assert!(error.unwrap_err().to_string().contains("a full disk"));
        assert_eq!(device.read(regs::STATUS), regs::STATUS_RESET_DONE);
        let driver = Driver::new(&mut *device, Options::default()).unwrap();
        let mut loaded = driver.load(&program).unwrap();
        loaded.run(&image(4)).unwrap();
        assert_eq!(loaded.output(0).unwrap(), image(4));
    });
}

#[test]
fn a_run_of_another_number_of_images_is_refused() {
    with_device(Fake::new(&[Start::After(10)]), |device, path| {
        let bytes = files::map_program(path).unwrap();
        let program = Program::parse(path, &bytes).unwrap();
        let driver = Driver::new(device, Options::default()).unwrap();
        let mut loaded = driver.load(&program).unwrap();
        for images in [0, 2, 4] {
            let words: Vec<i16> = (0..images).flat_map(image).collect();
            let text = loaded.run(&words).unwrap_err().to_string();
            assert!(
                text.contains(&format!("a run of {images} images")),
                "{text}"
            );
            assert!(text.contains("1 or 3 at once"), "{text}");
        }
    });
}

/// The machine pauses after its first layer, and the host has the last word.
fn meta_with_host_steps() -> ProgramMeta {
    let mut m = meta();
    let step = |name: &str, after, layer: usize| {
        let input = m.layers[layer].output.clone();
        let mut output = input.clone();
        output.offset += 2048;
        HostStep {
            node: 2 * layer + 1,
            name: name.into(),
            operator: "Softmax".into(),
            reason: "no unit divides".into(),
            after,
            inputs: vec![input],
            output,
        }
    };
    m.host = vec![step("middle", 1, 0), step("end", 2, 1)];
    m.outputs[0].tensor = m.host[1].output.clone();
    m.layers[1].segment = 1;
    for s in &mut m.streams {
        s.breaks = vec![3];
    }
    m
}

/// Adds 1 in the first step, 10 in the second.
struct Adds;

impl HostSteps for Adds {
    fn run(&self, step: usize, inputs: &[Vec<i16>]) -> Result<Vec<i16>, HostError> {
        assert_eq!(inputs.len(), 1);
        Ok(inputs[0].iter().map(|v| v + [1, 10][step]).collect())
    }
}

/// Gives one word too few.
struct Short;

impl HostSteps for Short {
    fn run(&self, _: usize, inputs: &[Vec<i16>]) -> Result<Vec<i16>, HostError> {
        Ok(inputs[0][1..].to_vec())
    }
}

#[test]
fn the_host_computes_its_steps_while_the_machine_pauses_for_every_image() {
    let engine = Fake::of(meta_with_host_steps(), &[Start::After(10)]);
    with_device(engine, |device, path| {
        let bytes = files::map_program(path).unwrap();
        let program = Program::parse(path, &bytes).unwrap();
        let with = |host| Options {
            host,
            ..Options::default()
        };
        let driver = Driver::new(&mut *device, with(None)).unwrap();
        let text = driver.load(&program).err().expect("refused").to_string();
        assert!(text.contains("middle (Softmax)"), "{text}");
        assert!(text.contains("end (Softmax)"), "{text}");

        let driver = Driver::new(&mut *device, with(Some(&Short))).unwrap();
        let text = driver.load(&program).unwrap().run(&image(0));
        let text = text.unwrap_err().to_string();
        assert!(
            text.contains("middle") && text.contains("29 words"),
            "{text}"
        );

        let driver = Driver::new(&mut *device, with(Some(&Adds))).unwrap();
        let mut loaded = driver.load(&program).unwrap();
        for images in [1, BATCH as i16] {
            let words: Vec<i16> = (0..images).flat_map(image).collect();
            let report = loaded.run(&words).unwrap();
            // Both segments count.
            assert_eq!((report.cycles, report.saturated), (2 * 360, 2 * 4));
            for n in 0..images {
                let want: Vec<i16> = image(n).iter().map(|v| v + 11).collect();
                assert_eq!(loaded.output(n as usize).unwrap(), want, "image {n}");
            }
        }
    });
}

#[test]
fn the_image_lies_at_the_start_of_the_window() {
    with_device(Fake::new(&[Start::After(10)]), |device, path| {
        let bytes = files::map_program(path).unwrap();
        let program = Program::parse(path, &bytes).unwrap();
        let driver = Driver::new(&mut *device, Options::default()).unwrap();
        driver.load(&program).unwrap();
        let mut got = vec![0; program.image.len()];
        device.copy_out(0, &mut got).unwrap();
        assert_eq!(got, program.image);
    });
}

#[test]
fn a_short_run_takes_less_than_a_millisecond_of_overhead() {
    with_device(Fake::new(&[Start::After(10)]), |device, path| {
        let bytes = files::map_program(path).unwrap();
        let program = Program::parse(path, &bytes).unwrap();
        let driver = Driver::new(device, Options::default()).unwrap();
        let mut loaded = driver.load(&program).unwrap();
        let best = (0..200)
            .map(|_| {
                let begin = Instant::now();
                loaded.run(&image(0)).unwrap();
                begin.elapsed()
            })
            .min()
            .unwrap();
        // The best of many, since other work on the machine may hold up most of them.
        assert!(best.as_micros() < 1000, "{best:?}");
    });
}

#[test]
fn another_id_or_version_is_not_touched() {
    let wrong_id = Fake::new(&[Start::After(1)]).with(regs::ID, 0xdead_beef);
    with_device(wrong_id, |device, _| {
        match Driver::new(device, Options::default()).err() {
            Some(HostError::WrongId { found: 0xdead_beef }) => {}
            other => panic!("{other:?}"),
        }
    });
    let wrong_version = Fake::new(&[Start::After(1)]).with(regs::VERSION, 99);
    with_device(wrong_version, |device, _| {
        match Driver::new(device, Options::default()).err() {
            Some(HostError::WrongVersion { found: 99 }) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn another_configuration_is_refused_with_both_hashes() {
    let engine = Fake::new(&[Start::After(1)])
        .with(regs::HASH_LO, 0x1234)
        .with(regs::HASH_HI, 0x5678);
    with_device(engine, |device, path| {
        let bytes = files::map_program(path).unwrap();
        let program = Program::parse(path, &bytes).unwrap();
        let driver = Driver::new(device, Options::default()).unwrap();
        let error = driver.load(&program).err().expect("refused");
        let wanted = program.meta.accelerator().hash();
        let text = error.to_string();
        assert!(text.contains("0000567800001234"), "{text}");
        assert!(text.contains(&format!("{wanted:016x}")), "{text}");
        assert!(text.contains("compile the model for"), "{text}");
    });
}

#[test]
fn a_window_that_is_too_small_is_refused_with_the_remedy() {
    with_device(Fake::new(&[Start::After(1)]), |device, _| {
        let mut large = meta();
        large.window_bytes = WINDOW + 1;
        let folder = tempfile::tempdir().unwrap();
        let path = write_program(folder.path(), &large);
        let bytes = files::map_program(&path).unwrap();
        let program = Program::parse(&path, &bytes).unwrap();
        let driver = Driver::new(device, Options::default()).unwrap();
        let text = driver.load(&program).err().expect("refused").to_string();
        for part in [&(WINDOW + 1).to_string(), &WINDOW.to_string(), "--window"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    });
}

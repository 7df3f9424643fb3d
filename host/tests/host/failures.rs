//! Devices, servers and users that misbehave, and the run after that.

use crate::fake::{Fake, Start, WINDOW, image, meta, serving, with_device, write_program};
use cnna_host::serve::with_served;
use cnna_host::{Device, Driver, HostError, Options, SharedFile, files};
use cnna_machine::program::Program;
use cnna_machine::regs::{self, DeviceError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Loads and runs one image; the output must be the input.
fn run_once(
    device: &mut dyn Device,
    path: &std::path::Path,
    options: Options<'_>,
) -> Result<(), HostError> {
    let bytes = files::map_program(path)?;
    let program = Program::parse(path, &bytes)?;
    let mut loaded = Driver::new(device, options)?.load(&program)?;
    loaded.run(&image(1))?;
    assert_eq!(loaded.output(0)?, image(1));
    Ok(())
}

fn short() -> Options<'static> {
    Options {
        timeout: Duration::from_millis(200),
        stop: None,
        watch: None,
        host: None,
    }
}

#[test]
fn a_device_that_never_answers_times_out_with_its_registers_and_the_next_run_works() {
    with_device(
        Fake::new(&[Start::Hang, Start::After(100)]),
        |device, path| {
            let begin = Instant::now();
            let error = run_once(device, path, short()).unwrap_err();
            assert!(begin.elapsed() >= Duration::from_millis(200));
            let HostError::Timeout {
                registers, waited, ..
            } = &error
            else {
                panic!("{error}");
            };
            assert!(*waited >= Duration::from_millis(200));
            let read = |r: regs::Reg| registers.0.iter().find(|(n, _)| *n == r.name).unwrap().1;
            assert_eq!(registers.0.len(), regs::ALL.len());
            assert_eq!(read(regs::STATUS), regs::STATUS_BUSY);
            assert_eq!(read(regs::START), 1);
            assert_eq!(read(regs::DONE), 0);
            assert!(error.to_string().contains("STATUS=0x1 "), "{error}");
            let status = device.read(regs::STATUS);
            assert_eq!(status, regs::STATUS_RESET_DONE, "the device was reset");
            run_once(device, path, short()).unwrap();
        },
    );
}

#[test]
fn a_slow_simulator_that_shows_no_counters_is_no_timeout() {
    // As the verilated RTL: only time passes until the end, here for three times the timeout.
    let engine = Fake::new(&[Start::Silent(Duration::from_millis(4500))]);
    with_device(engine, |device, path| {
        let seen = std::cell::Cell::new(0);
        let watch = |cycles| seen.set(cycles);
        let options = Options {
            timeout: Duration::from_millis(1500),
            stop: None,
            watch: Some(&watch),
            host: None,
        };
        run_once(device, path, options).unwrap();
        assert!(seen.get() > 0, "the cycles are shown");
    });
}

#[test]
fn slow_progress_is_no_timeout() {
    // Far more cycles than pass in the timeout, but the counters move.
    with_device(Fake::new(&[Start::After(u64::MAX)]), |device, path| {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(900));
                stop.store(true, Ordering::SeqCst);
            });
            let options = Options {
                timeout: Duration::from_millis(300),
                stop: Some(&stop),
                watch: None,
                host: None,
            };
            let error = run_once(device, path, options).unwrap_err();
            assert!(matches!(error, HostError::Interrupted), "{error}");
        });
    });
}

#[test]
fn each_device_error_is_typed_and_names_its_layer_and_the_next_run_works() {
    for want in DeviceError::ALL {
        // Queue 3 (store), tag 1: the second layer.
        let engine = Fake::new(&[Start::Error(want as u8, 3 | 1 << 16), Start::After(5)]);
        with_device(engine, |device, path| {
            let e = run_once(device, path, short()).unwrap_err();
            let HostError::Device { error, place, .. } = &e else {
                panic!("{e}");
            };
            assert_eq!(*error, Some(want));
            assert_eq!(place, "a store command of layer pool1");
            run_once(device, path, short()).unwrap();
        });
    }
    with_device(Fake::new(&[Start::Error(77, 0)]), |device, path| {
        let e = run_once(device, path, short()).unwrap_err().to_string();
        assert!(e.contains("error code 77"), "{e}");
    });
}

#[test]
fn an_interrupted_run_leaves_an_idle_device_and_the_next_run_works() {
    with_device(
        Fake::new(&[Start::Hang, Start::After(5)]),
        |device, path| {
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_millis(50));
                    stop.store(true, Ordering::SeqCst);
                });
                let options = Options {
                    timeout: Duration::from_secs(60),
                    stop: Some(&stop),
                    watch: None,
                    host: None,
                };
                let error = run_once(device, path, options).unwrap_err();
                assert!(matches!(error, HostError::Interrupted), "{error}");
            });
            assert_eq!(device.read(regs::START), device.read(regs::DONE));
            assert_eq!(device.read(regs::CONTROL), 0);
            run_once(device, path, short()).unwrap();
        },
    );
}

#[test]
fn a_host_that_died_in_the_middle_is_cleaned_up_by_the_next() {
    for control in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let program = write_program(folder.path(), &meta());
        let path = folder.path().join("device");
        let engine = Fake::new(&[Start::Hang, Start::After(5)]);
        let ((), served) = serving(&path, engine, || {
            // Dies between START and the result, or in a reset: the device keeps what was written.
            let mut dead = SharedFile::open(&path).unwrap();
            let m = meta();
            for (reg, value) in [
                (regs::MEM_SIZE, m.window_bytes),
                (regs::PROG_OFFSET, m.streams[0].commands_offset),
                (regs::PROG_COUNT, m.streams[0].commands),
                (regs::START, 41),
            ] {
                dead.write(reg, value as u32).unwrap();
            }
            while dead.read(regs::STATUS) & regs::STATUS_BUSY == 0 {
                std::thread::yield_now();
            }
            dead.write(regs::CONTROL, control).unwrap();
            drop(dead);
            let mut device = SharedFile::open(&path).unwrap();
            run_once(&mut device, &program, short()).unwrap();
        });
        served.unwrap();
    }
}

#[test]
fn a_server_that_stops_in_the_middle_is_noticed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let program = write_program(folder.path(), &meta());
    let path = folder.path().join("device");
    let begin = Instant::now();
    let (error, served) = serving(&path, Fake::new(&[Start::Fail]), || {
        let mut device = SharedFile::open(&path).unwrap();
        let options = Options {
            timeout: Duration::from_secs(60),
            stop: None,
            watch: None,
            host: None,
        };
        run_once(&mut device, &program, options).unwrap_err()
    });
    assert!(matches!(error, HostError::NotServed { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert_eq!(served.unwrap_err().to_string(), "fake: broke down");
    assert!(SharedFile::open(&path).is_err());
}

#[test]
fn an_engine_in_this_process_reports_its_own_failure() {
    let folder = tempfile::tempdir().unwrap();
    let program = write_program(folder.path(), &meta());
    let run = |script: &'static [Start]| {
        with_served(
            WINDOW,
            move || Ok(Box::new(Fake::new(script)) as Box<dyn cnna_machine::engine::Engine>),
            |device| run_once(device, &program, short()),
        )
    };
    run(&[Start::After(5)]).unwrap();
    assert_eq!(
        run(&[Start::Fail]).unwrap_err().to_string(),
        "fake: broke down"
    );
    let error = with_served(
        WINDOW,
        || {
            Err(cnna_machine::engine::EngineError {
                engine: "rtl",
                message: "does not build".into(),
            })
        },
        |_| Ok(()),
    );
    assert_eq!(error.unwrap_err().to_string(), "rtl: does not build");
}

#[test]
fn a_second_host_is_kept_out_until_the_first_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    serving(&path, Fake::new(&[Start::After(1)]), || {
        let first = SharedFile::open(&path).unwrap();
        match SharedFile::open(&path).err() {
            Some(HostError::InUse { .. }) => {}
            other => panic!("{other:?}"),
        }
        drop(first);
        SharedFile::open(&path).unwrap();
    })
    .1
    .unwrap();
}

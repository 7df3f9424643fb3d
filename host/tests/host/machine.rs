//! What else a board's machine has: sensors of power, the keeper of a buffer, the clock to the logic.

use crate::board::put;
use crate::fake::{Fake, Start, serving};
use cnna_host::{HostError, System};
use cnna_machine::regs;

#[test]
fn sensors_of_power_are_found_by_name_and_their_mean_is_told_with_the_energy_of_an_image() {
    use cnna_host::power::{Meter, sensors};
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let system = System::under(root);
    assert!(sensors(&system).is_empty());
    assert!(Meter::new(&system).end(1).is_empty());
    put(root, "sys/class/hwmon/hwmon0/name", "ina260_u14");
    put(root, "sys/class/hwmon/hwmon0/power1_input", "2500000");
    put(root, "sys/class/hwmon/hwmon0/temp1_input", "41000");
    put(root, "sys/class/hwmon/hwmon1/name", "irps5401");
    put(root, "sys/class/hwmon/hwmon1/power2_input", "800000");
    put(root, "sys/class/hwmon/hwmon1/power2_label", "pout2");
    put(root, "sys/class/hwmon/hwmon1/power3_input", "none");
    let names: Vec<_> = sensors(&system).into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["ina260_u14 power1", "irps5401 pout2"]);
    let meter = Meter::new(&system);
    for watts in ["3000000", "4000000"] {
        put(root, "sys/class/hwmon/hwmon0/power1_input", watts);
        meter.look();
        // Looks that follow too soon count once.
        meter.look();
        std::thread::sleep(std::time::Duration::from_millis(110));
    }
    put(root, "sys/class/hwmon/hwmon0/power1_input", "5000000");
    let power = meter.end(2);
    assert_eq!((power[0].idle_watts, power[0].watts), (2.5, 4.0));
    assert_eq!((power[0].samples, power[1].samples), (3, 3));
    // At least 0.22 s of 4 W for two images.
    assert!((0.44..40.0).contains(&power[0].joules_per_image));
    assert!((power[1].watts - 0.8).abs() < 1e-9);
}

/// A plain file stands for zocl's; the keeper is the program itself.
#[test]
fn the_keeper_stops_the_device_of_a_host_that_was_killed_and_leaves_one_at_rest_alone() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("uio0");
    for at_rest in [false, true] {
        serving(&device, Fake::new(&[Start::Hang]), || {
            let mut both = std::fs::File::options();
            let file = both.read(true).write(true).open(&device).unwrap();
            let register = |reg: regs::Reg| {
                use std::os::unix::fs::FileExt;
                let mut bytes = [0; 4];
                let file = std::fs::File::open(&device).unwrap();
                file.read_exact_at(&mut bytes, reg.offset as u64).unwrap();
                u32::from_ne_bytes(bytes)
            };
            let mut keeper = Command::new(env!("CARGO_BIN_EXE_cnna-host"))
                .args([cnna_host::keeper::COMMAND, "0"])
                .stdin(Stdio::piped())
                .stdout(tempfile::tempfile().unwrap())
                .stderr(file)
                .spawn()
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(keeper.try_wait().unwrap().is_none(), "it waits");
            assert_eq!(register(regs::CONTROL), 0);
            let mut pipe = keeper.stdin.take().unwrap();
            if at_rest {
                pipe.write_all(b".").unwrap();
            }
            drop(pipe);
            assert!(keeper.wait().unwrap().success());
            let stopped =
                register(regs::CONTROL) == 1 && register(regs::STATUS) == regs::STATUS_RESET_DONE;
            assert_eq!(stopped, !at_rest);
        })
        .1
        .unwrap();
    }
}

#[test]
fn the_clock_is_set_by_fclkcfg_and_one_that_is_too_fast_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let system = System::under(root);
    let text = |r: Result<(), HostError>| r.unwrap_err().to_string();
    assert!(text(system.set_clock(125.0)).contains("load fclkcfg"));
    put(root, "sys/class/fclkcfg/amba:fclk0/rate", "100000000");
    system.set_clock(125.0).unwrap();
    let rate = root.join("sys/class/fclkcfg/amba:fclk0/rate");
    assert_eq!(std::fs::read_to_string(&rate).unwrap(), "125000000");
    system.check_clock(125.0).unwrap();
    for (hertz, good) in [
        ("124999000", true),
        ("126000000", true),
        ("142857000", false),
    ] {
        put(root, "sys/kernel/debug/clk/fclk0/clk_rate", hertz);
        let checked = system.check_clock(125.0);
        assert_eq!(checked.is_ok(), good, "{hertz}");
        if !good {
            assert!(text(checked).contains("--mhz 125"));
        }
    }
    // A file that keeps what it has stands for PLLs that cannot.
    std::fs::remove_file(&rate).unwrap();
    std::os::unix::fs::symlink("/dev/null", &rate).unwrap();
    assert!(text(system.set_clock(125.0)).contains("0 MHz instead of 125"));
}

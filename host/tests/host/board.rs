//! A made-up board: folders stand for sysfs and procfs, files for devices, the fake engine for the accelerator.

use crate::fake::{Fake, Start, WINDOW, image, meta, serving, write_program};
use cnna_host::doctor::{Finding, Verdict, examine};
use cnna_host::{Device, Driver, HostError, Needs, Options, System, Uio, files};
use cnna_machine::program::Program;
use cnna_machine::regs;
use std::path::Path;

pub fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("{text}\n")).unwrap();
}

/// A UIO device with the maps given.
pub fn uio(root: &Path, name: &str, label: &str, maps: &[(u64, usize)]) {
    let folder = format!("sys/class/uio/{name}");
    put(root, &format!("{folder}/name"), label);
    for (k, (addr, size)) in maps.iter().enumerate() {
        put(
            root,
            &format!("{folder}/maps/map{k}/addr"),
            &format!("{addr:#x}"),
        );
        put(
            root,
            &format!("{folder}/maps/map{k}/size"),
            &format!("{size:#x}"),
        );
        put(root, &format!("{folder}/maps/map{k}/offset"), "0x0");
    }
}

/// A u-dma-buf buffer whose memory is a plain file.
fn udmabuf(root: &Path, class: &str, name: &str, base: u64, bytes: usize) {
    let folder = format!("sys/class/{class}/{name}");
    put(
        root,
        &format!("{folder}/phys_addr"),
        &format!("{base:#018x}"),
    );
    put(root, &format!("{folder}/size"), &bytes.to_string());
    put(root, &format!("{folder}/dma_coherent"), "0");
    for file in [
        "sync_direction",
        "sync_offset",
        "sync_size",
        "sync_for_cpu",
        "sync_for_device",
    ] {
        put(root, &format!("{folder}/{file}"), "");
    }
    std::fs::create_dir_all(root.join("dev")).unwrap();
    let file = std::fs::File::create(root.join("dev").join(name)).unwrap();
    file.set_len(bytes as u64).unwrap();
}

const IOMEM: &str = "00000000-4fffffff : System RAM\n  00200000-010fffff : Kernel code\n50000000-6effffff : reserved\n\
                     6f000000-7fefffff : System RAM";

/// A board that is in order: bitstream, clock, device, contiguous memory, buffer, overlays.
fn healthy(root: &Path) {
    put(root, "sys/class/fpga_manager/fpga0/state", "operating");
    put(root, "sys/kernel/debug/clk/pl0_ref/clk_rate", "249997498");
    put(root, "proc/iomem", IOMEM);
    put(
        root,
        "proc/meminfo",
        "MemTotal:  2000000 kB\nCmaTotal:   524288 kB\nCmaFree:    400000 kB",
    );
    std::fs::create_dir_all(root.join("sys/kernel/config/device-tree/overlays")).unwrap();
    put(root, "sys/class/hwmon/hwmon0/name", "ina260_u14");
    put(root, "sys/class/hwmon/hwmon0/power1_input", "3420000");
    uio(root, "uio0", "axi-pmon", &[(0xfd49_0000, 4096)]);
    uio(root, "uio4", "cnna", &[(0xa000_0000, 4096)]);
    udmabuf(root, "u-dma-buf", "udmabuf-cnna", 0x7_6ab0_0000, 64 * 1024);
}

fn of<'a>(findings: &'a [Finding], subject: &str) -> Option<&'a Finding> {
    findings.iter().find(|f| f.subject == subject)
}

#[test]
fn a_board_in_order_is_good_in_every_line_and_its_registers_are_read_last() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    healthy(root);
    let meta = meta();
    let system = System::under(root);
    serving(
        &root.join("dev/uio4"),
        Fake::new(&[Start::After(5)]),
        || {
            let findings = examine(&system, Some(&meta));
            for f in &findings {
                assert_eq!(f.verdict, Verdict::Good, "{f}");
            }
            assert_eq!(findings.last().unwrap().subject, "accelerator");
            assert_eq!(findings.len(), 9);
        },
    )
    .1
    .unwrap();
}

/// Each fault alone: its line is bad or a note, says what to do, and bad ones keep the registers untouched.
#[test]
fn each_fault_of_a_board_has_its_line_and_its_cure() {
    type Harm = fn(&Path);
    let faults: [(&str, Verdict, &str, Harm); 12] = [
        ("bitstream", Verdict::Bad, "cnna-host load", |r| {
            put(r, "sys/class/fpga_manager/fpga0/state", "unknown");
        }),
        ("bitstream", Verdict::Note, "no FPGA manager", |r| {
            std::fs::remove_dir_all(r.join("sys/class/fpga_manager")).unwrap();
        }),
        ("clock", Verdict::Note, "99.999 MHz", |r| {
            put(r, "sys/kernel/debug/clk/pl0_ref/clk_rate", "99999000");
        }),
        ("clock", Verdict::Note, "debugfs", |r| {
            std::fs::remove_dir_all(r.join("sys/kernel/debug")).unwrap();
        }),
        ("device", Verdict::Bad, "uio0 (axi-pmon)", |r| {
            std::fs::remove_dir_all(r.join("sys/class/uio/uio4")).unwrap();
        }),
        ("permission", Verdict::Bad, "run as root", |r| {
            uio(r, "uio4", "axi", &[]);
            uio(r, "uio9", "cnna", &[(0xa000_0000, 4096)]);
        }),
        ("contiguous memory", Verdict::Note, "cma=16M", |r| {
            put(r, "proc/meminfo", "CmaTotal:  0 kB\nCmaFree:   0 kB");
        }),
        ("memory", Verdict::Bad, "u-dma-buf-mgr", |r| {
            udmabuf(r, "u-dma-buf", "udmabuf-cnna", 0x1000_0000, 4096);
        }),
        ("memory", Verdict::Bad, "reserved-memory.dtbo", |r| {
            std::fs::remove_dir_all(r.join("sys/class/u-dma-buf")).unwrap();
        }),
        ("memory", Verdict::Bad, "0 are free", |r| {
            std::fs::remove_dir_all(r.join("sys/class/u-dma-buf")).unwrap();
            put(
                r,
                "sys/class/drm/renderD128/device/uevent",
                "DRIVER=zocl-drm",
            );
            put(r, "proc/meminfo", "CmaTotal:  65536 kB\nCmaFree:   0 kB");
        }),
        ("power", Verdict::Note, "at the plug", |r| {
            std::fs::remove_file(r.join("sys/class/hwmon/hwmon0/power1_input")).unwrap();
        }),
        ("overlays", Verdict::Note, "fabric", |r| {
            std::fs::remove_dir_all(r.join("sys/kernel/config")).unwrap();
        }),
    ];
    for (subject, verdict, cure, harm) in faults {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        healthy(root);
        harm(root);
        let meta = meta();
        let served = root.join("dev/uio4");
        let findings = serving(&served, Fake::new(&[Start::After(5)]), || {
            examine(&System::under(root), Some(&meta))
        })
        .0;
        let f = of(&findings, subject).unwrap();
        assert_eq!(f.verdict, verdict, "{f}");
        assert!(f.text.contains(cure), "{subject}: {f}");
        let looked = of(&findings, "accelerator").is_some();
        assert_eq!(looked, verdict != Verdict::Bad, "{subject}: registers");
    }
}

#[test]
fn a_window_in_the_kernels_memory_is_refused_and_so_is_one_that_cannot_be_checked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let system = System::under(root);
    let check = |base, bytes| system.check_window(base, bytes);
    assert!(check(0x5000_0000, 4096).is_ok(), "nothing to compare with");
    put(root, "proc/iomem", IOMEM);
    assert!(check(0x5000_0000, 0x1f00_0000).is_ok());
    for (base, bytes) in [
        (0x4fff_f000, 4097),
        (0x6000_0000, 0x0f00_1000),
        (0, usize::MAX),
        (0x1000_0000, 4096),
    ] {
        let text = check(base, bytes).unwrap_err().to_string();
        assert!(
            text.contains("System RAM") && text.contains("reserved-memory"),
            "{text}"
        );
    }
    // What others than root see.
    put(
        root,
        "proc/iomem",
        "00000000-00000000 : System RAM\n00000000-00000000 : reserved",
    );
    assert!(
        check(0x5000_0000, 4096)
            .unwrap_err()
            .to_string()
            .contains("run as root")
    );
}

#[test]
fn a_device_whose_window_is_the_kernels_or_whose_logic_is_empty_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let system = System::under(root);
    uio(
        root,
        "uio3",
        "cnna",
        &[(0xa000_0000, 4096), (0x6f00_0000, WINDOW)],
    );
    put(root, "proc/iomem", IOMEM);
    put(
        root,
        "sys/class/fpga_manager/fpga0/state",
        "write init error",
    );
    std::fs::create_dir_all(root.join("dev")).unwrap();
    let open = || match Uio::open("cnna", &system, &Needs::default()) {
        Err(HostError::Board { what, .. }) => what,
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("opened"),
    };
    serving(
        &root.join("dev/uio3"),
        Fake::new(&[Start::After(5)]),
        || {
            assert!(open().contains("write init error"));
            put(root, "sys/class/fpga_manager/fpga0/state", "operating");
            assert!(open().contains("System RAM"));
        },
    )
    .1
    .unwrap();
}

/// The buffer's memory is that of the served device, so a program runs; every copy is made known to the driver, in whole lines.
#[test]
fn a_program_runs_in_a_u_dma_buf_buffer_with_explicit_synchronisation() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for class in ["u-dma-buf", "udmabuf"] {
        let _ = std::fs::remove_dir_all(root.join("sys"));
        let _ = std::fs::remove_dir_all(root.join("dev"));
        uio(root, "uio1", "cnna", &[(0xa000_0000, 4096)]);
        // Smaller, and another's: the project's own is taken.
        udmabuf(root, class, "udmabuf0", 0x1000_0000, 4 * WINDOW);
        udmabuf(root, class, "udmabuf-cnna", 0x7_6ab0_0000, WINDOW);
        let system = System::under(root);
        let path = write_program(root, &meta());
        let bytes = files::map_program(&path).unwrap();
        let program = Program::parse(&path, &bytes).unwrap();
        let buffer = root.join("dev/udmabuf-cnna");
        let read = |key: &str| {
            let file = root.join(format!("sys/class/{class}/udmabuf-cnna/{key}"));
            std::fs::read_to_string(file).unwrap()
        };
        serving(
            &root.join("dev/uio1"),
            Fake::new(&[Start::After(50)]),
            || {
                let mut device = Uio::open("cnna", &system, &Needs::default()).unwrap();
                assert_eq!(device.window_base(), 0x7_6ab0_0000);
                assert_eq!(device.window_bytes(), WINDOW);
                device.copy_in(100, &[7; 70]).unwrap();
                assert_eq!(std::fs::read(&buffer).unwrap()[100..170], [7; 70]);
                let synced = [
                    "sync_offset",
                    "sync_size",
                    "sync_for_device",
                    "sync_direction",
                ];
                assert_eq!(
                    synced.map(read),
                    ["64\n", "128", "1\n", "0\n"].map(|s| s.trim_end().to_string())
                );
                let mut back = [0; 10];
                device.copy_out(130, &mut back).unwrap();
                assert_eq!(back, [7; 10]);
                assert_eq!(read("sync_for_cpu"), "1");
                assert!(device.copy_out(WINDOW, &mut back).is_err());
                assert!(device.window_remedy(WINDOW + 1).contains("u-dma-buf-mgr"));
                // A second host gets the other buffer, or none.
                let driver = Driver::new(&mut device, Options::default()).unwrap();
                let mut loaded = driver.load(&program).unwrap();
                // The fake computes in its own window, which this test lets it have: only the registers are of interest here.
                loaded.run(&image(2)).unwrap();
                assert_eq!(device.read(regs::MEM_BASE_LO), 0x6ab0_0000);
                assert_eq!(device.read(regs::MEM_BASE_HI), 7);
            },
        )
        .1
        .unwrap();
    }
}

#[test]
fn a_bitstream_is_loaded_by_the_manager_or_by_an_overlay() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let system = System::under(root);
    put(root, "given/cnna.bit.bin", "bits");
    put(root, "given/cnna.bit", "bits");
    put(root, "given/x.dtbo", "tree");
    let given = |name: &str| root.join("given").join(name);
    let fails = |bitstream: &str, overlay: Option<&str>, cure: &str| {
        let overlay = overlay.map(given);
        let error = system
            .load(&given(bitstream), overlay.as_deref())
            .unwrap_err();
        assert!(error.to_string().contains(cure), "{error}");
    };
    fails("cnna.bit", None, "cnna.bit.bin");
    fails("cnna.bit.bin", None, "AMD's kernel");
    fails("cnna.bit.bin", Some("x.dtbo"), "CONFIG_OF_OVERLAY");
    let manager = "sys/class/fpga_manager/fpga0";
    for file in ["firmware", "flags", "state"] {
        put(root, &format!("{manager}/{file}"), "operating");
    }
    system.load(&given("cnna.bit.bin"), None).unwrap();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(read("lib/firmware/cnna.bit.bin"), "bits\n");
    assert_eq!(read(&format!("{manager}/firmware")), "cnna.bit.bin");
    // Once more, from where it lies now: copied onto itself it would be empty.
    system
        .load(&root.join("lib/firmware/cnna.bit.bin"), None)
        .unwrap();
    assert_eq!(read("lib/firmware/cnna.bit.bin"), "bits\n");
    std::fs::create_dir_all(root.join("sys/kernel/config/device-tree/overlays")).unwrap();
    system
        .load(&given("cnna.bit.bin"), Some(&given("x.dtbo")))
        .unwrap();
    assert_eq!(
        read("sys/kernel/config/device-tree/overlays/cnna/dtbo"),
        "tree\n"
    );
    put(root, &format!("{manager}/state"), "write error");
    fails("cnna.bit.bin", None, "write error");
}

#[test]
fn the_doctor_of_the_binary_prints_its_lines_and_tells_by_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    healthy(root);
    let doctor = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_cnna-host"))
            .args(["doctor", "--root"])
            .arg(root)
            .output()
            .unwrap()
    };
    serving(
        &root.join("dev/uio4"),
        Fake::new(&[Start::After(5)]),
        || {
            let output = doctor();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{text}");
            assert_eq!(
                text.lines().filter(|l| l.starts_with("good")).count(),
                9,
                "{text}"
            );
            put(root, "sys/class/fpga_manager/fpga0/state", "unknown");
            let output = doctor();
            assert_eq!(output.status.code(), Some(1));
            assert!(String::from_utf8_lossy(&output.stdout).contains("BAD   bitstream"));
        },
    )
    .1
    .unwrap();
}

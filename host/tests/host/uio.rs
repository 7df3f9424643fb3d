//! The UIO backend on a made-up sysfs: plain files stand for the maps, the fake engine for the accelerator.

use crate::fake::{Fake, Start, WINDOW, image, meta, serving, write_program};
use cnna_host::{Device, Driver, HostError, Needs, Options, System, Uio, files};
use cnna_machine::program::Program;
use cnna_machine::regs;
use std::path::Path;

fn describe(root: &Path, uio: &str, map: usize, addr: &str, size: &str) {
    let folder = root.join(format!("sys/class/uio/{uio}"));
    let maps = folder.join(format!("maps/map{map}"));
    std::fs::create_dir_all(&maps).unwrap();
    for (key, value) in [("addr", addr), ("size", size), ("offset", "0x0")] {
        std::fs::write(maps.join(key), format!("{value}\n")).unwrap();
    }
    std::fs::write(folder.join("name"), "cnna\n").unwrap();
}

#[test]
fn a_program_runs_through_the_maps_that_sysfs_describes() {
    let folder = tempfile::tempdir().unwrap();
    let sysfs = folder.path();
    // Map 1 of a UIO device lies one page into its file, as the window does in a served file.
    describe(sysfs, "uio3", 0, "0xa0000000", "0x1000");
    describe(sysfs, "uio3", 1, "0x60000000", &format!("{WINDOW:#x}"));
    let path = write_program(folder.path(), &meta());
    let bytes = files::map_program(&path).unwrap();
    let program = Program::parse(&path, &bytes).unwrap();
    let file = folder.path().join("uio3");
    serving(&file, Fake::new(&[Start::After(50)]), || {
        let mut device = Uio::open(
            file.to_str().unwrap(),
            &System::under(sysfs),
            &Needs::default(),
        )
        .unwrap();
        assert_eq!(device.window_bytes(), WINDOW);
        let driver = Driver::new(&mut device, Options::default()).unwrap();
        let mut loaded = driver.load(&program).unwrap();
        loaded.run(&image(2)).unwrap();
        assert_eq!(loaded.output(0).unwrap(), image(2));
        assert_eq!(device.read(regs::MEM_BASE_LO), 0x6000_0000);
        assert_eq!(device.read(regs::MEM_BASE_HI), 0);
        let text = device.window_remedy(WINDOW + 1);
        assert!(text.contains("reserved-memory"), "{text}");
    })
    .1
    .unwrap();
}

#[test]
fn a_device_without_its_maps_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let sysfs = folder.path();
    let text = |name: &str| match Uio::open(name, &System::under(sysfs), &Needs::default()) {
        Err(HostError::NoDevice { message, .. }) => message,
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("opened"),
    };
    assert!(text("uio0").contains("no UIO device"));
    describe(sysfs, "uio0", 0, "0xa0000000", "0x1000");
    assert!(text("uio7").contains("uio0 (cnna)"));
    std::fs::create_dir(sysfs.join("dev")).unwrap();
    std::fs::write(sysfs.join("dev/uio0"), [0; 8192]).unwrap();
    assert!(text("cnna").contains("second `reg` entry"));
    describe(sysfs, "uio0", 1, "0x60000000", "many");
    assert!(text("uio0").contains("`many` is not a number"));
    describe(sysfs, "uio0", 1, "0x60000000", "0x10000");
    describe(sysfs, "uio0", 0, "0xa0000000", "0x100");
    assert!(text("uio0").contains("256 bytes"));
}

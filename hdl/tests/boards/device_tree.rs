//! The overlays, compiled by dtc and merged into a stand-in of the kernel's tree.

use crate::{cases, emit, run, text};
use cnna_hdl::boards::{self, WINDOW_LABEL};
use cnna_machine::config::Family;
use std::path::Path;
use std::process::{Command, Output};

fn compile(dir: &Path, name: &str) {
    let out = run(Command::new("dtc")
        // The root's cells are there for the compiler, which then calls them unnecessary.
        .args([
            "-@",
            "-W",
            "no-avoid_unnecessary_addr_size",
            "-I",
            "dts",
            "-O",
            "dtb",
            "-o",
            &format!("{name}.dtb"),
            &format!("{name}.dts"),
        ])
        .current_dir(dir));
    assert!(
        out.status.success() && out.stderr.is_empty(),
        "{name}: {}",
        text(&out.stderr)
    );
}

fn merge(dir: &Path, base: &str, overlay: &str, to: &str) -> Output {
    run(Command::new("fdtoverlay")
        .args(["-i", base, "-o", to, overlay])
        .current_dir(dir))
}

fn get(dir: &Path, file: &str, kind: &str, node: &str, property: &str) -> String {
    let out = run(Command::new("fdtget")
        .args(["-t", kind, file, node, property])
        .current_dir(dir));
    assert!(
        out.status.success(),
        "{node} {property}: {}",
        text(&out.stderr)
    );
    text(&out.stdout).trim().to_string()
}

/// A tree with the labels, cells and providers of the kernel's own for the family.
fn base_tree(family: Family) -> String {
    let (cells, gic, clock) = match family {
        Family::ZynqMp => (2, "gic", "zynqmp_clk"),
        Family::Zynq7000 => (1, "intc", "clkc"),
    };
    format!(
        "/dts-v1/;\n/ {{\n #address-cells = <{cells}>; #size-cells = <{cells}>; model = \"stand-in\"; compatible = \"test\";\n\
         {gic}: interrupt-controller {{ #address-cells = <0>; #interrupt-cells = <3>; interrupt-controller; }};\n\
         {clock}: clock-controller {{ #clock-cells = <1>; }};\n\
         fpga_full: fpga-region {{ compatible = \"fpga-region\"; #address-cells = <{cells}>; #size-cells = <{cells}>; ranges; }};\n}};\n"
    )
}

#[test]
fn the_overlays_merge_and_hold_the_boards_addresses() {
    for board in cases() {
        let (dir, _) = emit(&board);
        let (d, p) = (dir.path(), &board.platform);
        std::fs::write(d.join("base.dts"), base_tree(p.family)).unwrap();
        for name in ["base", "reserved-memory", "overlay"] {
            compile(d, name);
        }
        // Without the reservation the overlay does not load.
        assert!(
            !merge(d, "base.dtb", "overlay.dtb", "wrong.dtb")
                .status
                .success()
        );
        for (base, overlay, to) in [
            ("base.dtb", "reserved-memory.dtb", "booted.dtb"),
            ("booted.dtb", "overlay.dtb", "loaded.dtb"),
        ] {
            let out = merge(d, base, overlay, to);
            assert!(out.status.success(), "{overlay}: {}", text(&out.stderr));
        }

        let cells = |base: u64, bytes: u64| match p.family {
            Family::ZynqMp => format!(
                "{:x} {:x} {:x} {:x}",
                base >> 32,
                base & 0xffff_ffff,
                bytes >> 32,
                bytes & 0xffff_ffff
            ),
            Family::Zynq7000 => format!("{base:x} {bytes:x}"),
        };
        let window = cells(p.dma_base, p.dma_bytes);
        let reserved = format!("/reserved-memory/cnna@{:x}", p.dma_base);
        assert_eq!(get(d, "loaded.dtb", "x", &reserved, "reg"), window);
        assert_eq!(get(d, "loaded.dtb", "s", &reserved, "no-map"), "");
        assert_eq!(
            get(d, "loaded.dtb", "s", "/__symbols__", WINDOW_LABEL),
            reserved
        );

        let node = format!("/fpga-region/cnna@{:x}", p.register_base);
        let reg = format!("{} {window}", cells(p.register_base, 4096));
        assert_eq!(get(d, "loaded.dtb", "x", &node, "reg"), reg);
        assert_eq!(
            get(d, "loaded.dtb", "s", &node, "reg-names"),
            "registers memory"
        );
        assert_eq!(
            get(d, "loaded.dtb", "s", &node, "compatible"),
            "generic-uio"
        );
        let phandle = |path: &str| get(d, "loaded.dtb", "u", path, "phandle");
        assert_eq!(
            get(d, "loaded.dtb", "u", &node, "memory-region"),
            phandle(&reserved)
        );
        // PYNQ's own device owns the interrupt: sharing is refused by the kernel, and the whole overlay with it.
        let all = run(Command::new("dtc")
            .args(["-I", "dtb", "-O", "dts", "loaded.dtb"])
            .current_dir(d));
        assert!(!text(&all.stdout).contains("interrupts ="));
        let rate = format!("{}", (board.clock_mhz * 1e6) as u64);
        assert_eq!(
            get(
                d,
                "loaded.dtb",
                "u",
                "/fpga-region/cnna-clock",
                "assigned-clock-rates"
            ),
            rate
        );
        assert_eq!(
            get(d, "loaded.dtb", "s", "/fpga-region", "firmware-name"),
            boards::FIRMWARE
        );
    }
}

/// The overlay over u-dma-buf loads into a tree without any reservation, at the same addresses.
#[test]
fn the_overlay_for_u_dma_buf_needs_no_reservation() {
    for board in cases() {
        let (dir, files) = emit(&board);
        let (d, p) = (dir.path(), &board.platform);
        std::fs::write(d.join("base.dts"), base_tree(p.family)).unwrap();
        for name in ["base", "overlay-udmabuf"] {
            compile(d, name);
        }
        let out = merge(d, "base.dtb", "overlay-udmabuf.dtb", "loaded.dtb");
        assert!(out.status.success(), "{}", text(&out.stderr));
        let node = format!("/fpga-region/cnna@{:x}", p.register_base);
        assert_eq!(get(d, "loaded.dtb", "s", &node, "reg-names"), "registers");
        let memory = "/cnna-memory";
        let read = |kind, property| get(d, "loaded.dtb", kind, memory, property);
        assert_eq!(read("x", "size"), format!("{:x}", p.dma_bytes));
        assert_eq!(read("s", "device-name"), boards::UDMABUF);
        // The same tree goes into the folders of Kria and PetaLinux.
        let overlay = &files.iter().find(|f| f.path == "overlay-udmabuf.dts");
        let of = |path: &str| files.iter().find(|f| f.path == path);
        let mp = p.family == Family::ZynqMp;
        for (path, there) in [
            ("petalinux/cnna/files/cnna.dtsi", true),
            ("kria/cnna.dts", mp),
        ] {
            let text = of(path).map(|f| &f.text);
            assert_eq!(text, overlay.filter(|_| there).map(|f| &f.text), "{path}");
        }
        assert_eq!(of("kria/shell.json").is_some(), mp);
    }
}

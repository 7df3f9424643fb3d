//! What a board file may say, the windows of those that come with it, and the page with their table.

use crate::load;
use cnna_hdl::boards;
use cnna_machine::config::{Board, Family};
use std::path::Path;

#[test]
fn every_window_holds_vgg16_and_leaves_linux_its_share() {
    // 138,357,544 parameters and 15.1 M activations of 16 bits, kernels padded to whole groups of lanes.
    const VGG16: u64 = 312 << 20;
    for name in Board::names() {
        let p = load(name, &[]).platform;
        assert!(p.dma_bytes >= VGG16, "{name}");
        // Above: boot loader, initial file system and device tree, moved to the top of what the loader knows. Below: the kernel.
        let (low, high) = match p.family {
            Family::ZynqMp => (0x5000_0000, 0x6f00_0000),
            Family::Zynq7000 => (0x0800_0000, 0x1e00_0000),
        };
        assert!(
            p.dma_base >= low && p.dma_base + p.dma_bytes <= high,
            "{name}"
        );
    }
}

#[test]
fn a_window_for_a_program_ends_where_the_boards_does() {
    let board = load("pynq-z2", &[]);
    let small = boards::with_window(&board, 800_000).unwrap().platform;
    assert_eq!((small.dma_base, small.dma_bytes), (0x1de0_0000, 2 << 20));
    assert_eq!(boards::with_window(&board, 0x1600_0000).unwrap(), board);
    for bytes in [0, 0x1600_0001, u64::MAX] {
        let error = boards::with_window(&board, bytes).unwrap_err().to_string();
        assert!(error.contains("platform.dma_bytes"), "{error}");
    }
}

#[test]
fn platform_values_that_the_chip_cannot_reach_are_refused_by_name() {
    for (name, key, value, message) in [
        (
            "ultra96",
            "platform.register_base",
            "2415919104",
            "0xa0000000..0xb0000000",
        ),
        (
            "ultra96",
            "platform.register_base",
            "2684354561",
            "multiple of 4096",
        ),
        (
            "ultra96",
            "platform.dma_base",
            "4096",
            "multiple of 0x200000",
        ),
        ("ultra96", "platform.dma_bytes", "1073741824", "0x7ff00000"),
        (
            "pynq-z2",
            "platform.part",
            "xczu3eg-sbva484-1-e",
            "platform.family",
        ),
        (
            "zcu104",
            "platform.part",
            "xc7z020clg400-1",
            "platform.family",
        ),
    ] {
        let error = boards::sources(&load(name, &[(key, value)]), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains(key) && error.contains(message), "{error}");
    }
}

#[test]
fn source_paths_that_a_script_cannot_hold_are_refused() {
    let board = load("ultra96", &[]);
    for path in [
        "rtl/a b.sv",
        "/rtl/a.sv",
        "../a.sv",
        "rtl/a.txt",
        "rtl/[exit].sv",
        "rtl//a.sv",
    ] {
        let error = boards::sources(&board, &[path.to_string()])
            .unwrap_err()
            .to_string();
        assert!(error.contains(path), "{error}");
    }
}

#[test]
fn the_boards_page_shows_the_current_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/boards.md");
    let page = std::fs::read_to_string(page).unwrap();
    let table = boards::markdown_table().unwrap();
    assert!(
        page.contains(&table),
        "docs/boards.md must contain:\n{table}"
    );
}

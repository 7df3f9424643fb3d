//! build.tcl stops where something is wrong, and the model of Vivado refuses scripts with mistakes.

use crate::{emit, load, tcl, text};

#[test]
fn build_tcl_stops_with_a_reason() {
    let board = load("ultra96", &[]);
    for (case, reason) in [
        ("no_board_files", "--set platform.board_part="),
        ("run_fails", "impl_1 failed (place_design ERROR)"),
        ("slow", "lower clock_mhz"),
        ("no_clock", "225000000 Hz instead of 250"),
        ("bare_dsp", "no input registers"),
    ] {
        let (dir, _) = emit(&board);
        let out = tcl(dir.path(), case);
        assert!(!out.status.success(), "{case}");
        assert!(
            text(&out.stderr).contains(reason),
            "{case}: {}",
            text(&out.stderr)
        );
        assert!(
            !dir.path().join("out/cnna.bit.bin").exists(),
            "{case}: no bitstream may look finished"
        );
    }
}

/// The model itself: a build script with a mistake must not pass.
#[test]
fn the_model_of_vivado_refuses_mistakes() {
    // Its 8-bit machine has no adapters, so that something must convert.
    let (wide, narrow) = (load("pynq-z2", &[]), load("pynq-z2", &[("word", "8")]));
    for (from, to, reason) in [
        (
            "validate_bd_design",
            "validate_bd_desing",
            "unknown command validate_bd_desing",
        ),
        ("connect_axi registers/M00_AXI cnna/s_axil", "", "is open"),
        (
            "connect_axi registers/M00_AXI cnna/s_axil",
            "connect_axi registers/M00_AXI cnna/s_axi",
            "has no s_axi",
        ),
        ("clocked ps/$clock", "", "is open"),
        (
            "clocked_and_reset cnna aclk aresetn",
            "clocked cnna/aclk",
            "cnna/aresetn is open",
        ),
        ("S_AXI_HP0_ACLK", "S_AXI_HP0_CLK", "has no S_AXI_HP0_CLK"),
        ("HP2_DDR_LOWOCM", "HP1_DDR_LOWOCM", "nothing matches"),
        ("PCW_USE_S_AXI_HP1 1", "PCW_USE_S_AXI_HP1 0", "not enabled"),
        (
            "-to_step write_bitstream",
            "-to write_bitstream",
            "unknown option -to",
        ),
        ("rtl/cnna_pkg.sv", "rtl/missing.sv", "no file"),
        (
            "-loadbit \"up 0x0 cnna.bit\"",
            "-loadbit \"up 0x0 $bit\"",
            "no bitstream",
        ),
        ("Flow_PerfOptimized_high", "Flow_Perf", "no strategy"),
        ("} 0\n", "} 1\n", "nothing converts"),
    ] {
        let board = if from == "} 0\n" { &narrow } else { &wide };
        let (dir, _) = emit(board);
        let path = dir.path().join("build.tcl");
        let script = std::fs::read_to_string(&path).unwrap();
        assert!(script.contains(from), "{from}");
        std::fs::write(&path, script.replace(from, to)).unwrap();
        let out = tcl(dir.path(), "ok");
        assert!(!out.status.success(), "{from} -> {to}");
        assert!(
            text(&out.stderr).contains(reason),
            "{from} -> {to}: {}",
            text(&out.stderr)
        );
    }
}

/// Ultra96's preset fixes the clock at 100 MHz: a script that does not free it first is refused, by itself.
#[test]
fn a_clock_that_the_preset_fixes_is_noticed() {
    for name in ["ultra96", "ultra96v2"] {
        let (dir, _) = emit(&load(name, &[]));
        let path = dir.path().join("build.tcl");
        let script = std::fs::read_to_string(&path).unwrap();
        let free = "set ps_first {PSU__OVERRIDE__BASIC_CLOCK 0}";
        assert!(script.contains(free));
        std::fs::write(&path, script.replace(free, "set ps_first {}")).unwrap();
        let out = tcl(dir.path(), "ok");
        let text = text(&out.stderr);
        assert!(text.contains("99999000 Hz instead of 250"), "{text}");
    }
}

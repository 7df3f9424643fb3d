//! The boards' bitstream sources, run and compiled: build.tcl in Tcl against a model of Vivado's commands, the overlays in
//! dtc, the wrapper in Verilator. Needs `tclsh`, `dtc`, `fdtoverlay`, `fdtget` and `verilator`.

use cnna_hdl::boards::{self, SourceFile, WINDOW_LABEL};
use cnna_hdl::{ports, sources};
use cnna_machine::config::{Board, Family};
use cnna_machine::regs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_owned();
    command.output().unwrap_or_else(|e| {
        panic!("{program:?}: {e} (apt packages tcl, device-tree-compiler, verilator)")
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn load(name: &str, set: &[(&str, &str)]) -> Board {
    let set: Vec<_> = set
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    Board::load(name, &set).unwrap()
}

/// The sources of a board in a fresh directory, with stand-ins for the RTL.
fn emit(board: &Board) -> (tempfile::TempDir, Vec<SourceFile>) {
    // With a blank, as folders of users have.
    let dir = tempfile::Builder::new()
        .prefix("cnna build ")
        .tempdir()
        .unwrap();
    let mut rtl: Vec<(String, String)> = ["rtl/cnna_top.sv", "rtl/cnna_pkg.sv"]
        .map(|f| (f.into(), String::new()))
        .into();
    let cell = sources::cell(board);
    rtl.extend(
        cell.into_iter()
            .map(|f| (format!("rtl/{}", f.name), f.text)),
    );
    let names: Vec<String> = rtl.iter().map(|(name, _)| name.clone()).collect();
    let files = boards::sources(board, &names).unwrap();
    std::fs::create_dir(dir.path().join("rtl")).unwrap();
    for (name, text) in &rtl {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    for f in &files {
        let path = dir.path().join(&f.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &f.text).unwrap();
    }
    (dir, files)
}

fn tcl(dir: &Path, case: &str) -> Output {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boards/vivado_model.tcl");
    run(Command::new("tclsh")
        .arg(model)
        .arg(dir.join("build.tcl"))
        .env("CNNA_RECORD", dir.join("record"))
        .env("CNNA_CASE", case)
        .current_dir(std::env::temp_dir()))
}

#[test]
fn the_zynq_7000s_masters_are_axi3_of_64_bits_with_identities() {
    let find = |board: &Board, name: &str| {
        let ports = boards::cell_ports(board);
        ports.iter().find(|p| p.name == name).map(|p| p.width)
    };
    let pynq = load("pynq-z2", &[]);
    for (name, width) in [
        ("m_axi_act_wid", 6),
        ("m_axi_act_bid", 6),
        ("m_axi_w0_arid", 6),
        ("m_axi_w1_araddr", 32),
        ("m_axi_cmd_arlen", 4),
        ("m_axi_cmd_rdata", 64),
        ("m_axi_act_wstrb", 8),
        ("s_axil_awaddr", 12),
    ] {
        assert_eq!(find(&pynq, name), Some(width), "{name}");
    }
    assert_eq!(find(&load("kv260", &[]), "m_axi_act_wid"), None);
    // Every adapter carries every signal of its master: a top whose ports are named differently would not.
    let (dir, _) = emit(&pynq);
    let wrapper = std::fs::read_to_string(dir.path().join("cnna_wrapper.v")).unwrap();
    assert_eq!(wrapper.matches("axi3_read #").count(), 4);
    assert_eq!(wrapper.matches("axi3_write #").count(), 1);
    assert!(wrapper.contains(
        "XIL_INTERFACENAME m_axi_act, PROTOCOL AXI3, DATA_WIDTH 64, ADDR_WIDTH 32, ID_WIDTH 6"
    ));
}

/// What the model wrote down, by kind of line.
struct Record(Vec<Vec<String>>);

impl Record {
    fn of(dir: &Path) -> Record {
        let text = std::fs::read_to_string(dir.join("record")).unwrap();
        Record(
            text.lines()
                .map(|l| l.split('\t').map(String::from).collect())
                .collect(),
        )
    }
    fn lines<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a [String]> {
        self.0.iter().filter(move |l| l[0] == kind).map(|l| &l[1..])
    }
    fn property(&self, object: &str, key: &str) -> Option<&str> {
        self.lines("property")
            .filter(|l| l[0] == object && l[1] == key)
            .map(|l| l[2].as_str())
            .last()
    }
}

/// Every built-in board, and shapes that change the ports.
fn cases() -> Vec<Board> {
    let mut all: Vec<Board> = Board::names().map(|n| load(n, &[])).collect();
    all.push(load("ultra96", &[("platform.board_part", "")]));
    all.push(load(
        "ultra96",
        &[("word", "8"), ("weight_ports", "1"), ("clock_mhz", "187.5")],
    ));
    all.push(load("kv260", &[("weight_ports", "4")]));
    all.push(load(
        "pynq-z2",
        &[
            ("weight_ports", "4"),
            ("platform.register_base", "1073741824"),
        ],
    ));
    all
}

#[test]
fn build_tcl_runs_to_the_end_and_builds_what_the_board_file_says() {
    for board in cases() {
        let (dir, files) = emit(&board);
        let out = tcl(dir.path(), "ok");
        let what = format!("{}: {}", board.name, text(&out.stderr));
        assert!(out.status.success(), "{what}");
        let record = Record::of(dir.path());
        assert_eq!(record.lines("validated").count(), 1, "{what}");

        let project: Vec<_> = record.lines("project").collect();
        assert_eq!(project[0][1], board.platform.part);
        let version = record
            .property("project", "board_part")
            .map(|p| p.rsplit(':').next().unwrap());
        assert_eq!(
            version,
            if board.platform.board_part.is_empty() {
                None
            } else {
                Some("1.10")
            }
        );

        // One design, for speed, with the array's copies of registers.
        for (object, key, value) in [
            ("system.bd", "synth_checkpoint_mode", "None"),
            ("synth_1", "strategy", "Flow_PerfOptimized_high"),
            (
                "synth_1",
                "STEPS.SYNTH_DESIGN.ARGS.KEEP_EQUIVALENT_REGISTERS",
                "true",
            ),
        ] {
            assert_eq!(record.property(object, key), Some(value), "{object} {key}");
        }

        // Every RTL file and the wrapper, each once.
        let canonical = |p: &str| std::fs::canonicalize(p).unwrap();
        let added: BTreeSet<PathBuf> = record.lines("file").map(|l| canonical(&l[1])).collect();
        for f in [
            "rtl/cnna_top.sv",
            "rtl/cnna_pkg.sv",
            "cnna_wrapper.v",
            "constraints.xdc",
        ] {
            assert!(
                added.contains(&dir.path().join(f).canonicalize().unwrap()),
                "{f}"
            );
        }

        // Each AXI interface of the top is connected exactly once.
        let mut ends = BTreeMap::new();
        for l in record.lines("link") {
            *ends.entry(l[0].as_str()).or_insert(0) += 1;
            *ends.entry(l[1].as_str()).or_insert(0) += 1;
        }
        for i in ports::interfaces(&board.accelerator) {
            assert_eq!(
                ends.get(format!("cnna/{}", i.name).as_str()),
                Some(&1),
                "{} {}",
                board.name,
                i.name
            );
        }

        let (clock_key, seen_by) = match board.platform.family {
            Family::ZynqMp => (
                "CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
                "ps/M_AXI_HPM0_FPD",
            ),
            Family::Zynq7000 => ("CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ", "ps/M_AXI_GP0"),
        };
        let clock: f64 = record.property("ps", clock_key).unwrap().parse().unwrap();
        assert_eq!(clock, board.clock_mhz);
        assert!(
            record
                .lines("link")
                .any(|l| l[0] == seen_by && l[1] == "registers/S00_AXI")
        );

        let registers: Vec<_> = record
            .lines("address")
            .filter(|l| l[0] == "ps/Data")
            .collect();
        assert_eq!(registers.len(), 1);
        let offset = u64::from_str_radix(registers[0][2].trim_start_matches("0x"), 16).unwrap();
        assert_eq!(offset, board.platform.register_base);
        assert_eq!(registers[0][3], "4096");
        let masters = record
            .lines("address")
            .filter(|l| l[0].starts_with("cnna/"))
            .count();
        assert_eq!(masters, board.accelerator.ports(), "every master sees DDR");
        assert!(record.lines("net").any(|l| l[0] == "cnna/irq_o"));

        for f in [
            "cnna.bit",
            "cnna.bit.bin",
            "cnna.xsa",
            "cnna.hwh",
            "utilisation.rpt",
            "timing.rpt",
        ] {
            assert!(dir.path().join("out").join(f).exists(), "{f}");
        }
        let readme = &files.iter().find(|f| f.path == "README.md").unwrap().text;
        let window = format!(
            "{} MiB at `{:#x}`",
            board.platform.dma_bytes >> 20,
            board.platform.dma_base
        );
        for fact in [
            board.title.as_str(),
            &window,
            &format!("{} MHz", board.clock_mhz),
        ] {
            assert!(readme.contains(fact), "{fact}");
        }
        let placeholder = readme
            .split('@')
            .skip(1)
            .find(|s| s.starts_with(|c: char| c.is_ascii_uppercase()));
        assert_eq!(
            placeholder, None,
            "every placeholder of the template is filled"
        );
    }
}

#[test]
fn masters_share_a_port_only_where_the_chip_has_fewer() {
    for board in cases() {
        let (dir, _) = emit(&board);
        assert!(tcl(dir.path(), "ok").status.success());
        let record = Record::of(dir.path());
        let bridges = record
            .lines("cell")
            .filter(|l| l[0].starts_with("memory_"))
            .count();
        // A master of the port's width and protocol that has it for itself needs nothing in between.
        let masters = board.accelerator.ports();
        let expected = match (board.platform.family, board.accelerator.word.bits()) {
            (Family::ZynqMp, 16) => 0,
            (Family::ZynqMp, _) => masters,
            // Three ports for data; from the fourth master on two meet at one.
            (Family::Zynq7000, 16) => (masters - 1).saturating_sub(3),
            (Family::Zynq7000, _) => masters.min(4),
        };
        assert_eq!(bridges, expected, "{}", board.name);
    }
}

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

#[test]
fn the_constraints_are_plain_tcl_with_one_command() {
    let (dir, _) = emit(&load("zedboard", &[]));
    let script = dir.path().join("check.tcl");
    let text_of = "proc unknown {n args} { error $n }\nproc current_design {} { return d }\nset calls 0\n\
                   proc set_property {k v o} { global calls; incr calls; if {\"$k $v $o\" ne \"BITSTREAM.GENERAL.COMPRESS TRUE d\"} { error $k } }\n\
                   source constraints.xdc\nif {$calls != 1} { error $calls }\n";
    std::fs::write(&script, text_of).unwrap();
    let out = run(Command::new("tclsh").arg(&script).current_dir(dir.path()));
    assert!(out.status.success(), "{}", text(&out.stderr));
}

#[test]
fn the_wrapper_lints_clean_around_the_top() {
    for board in cases() {
        let (dir, _) = emit(&board);
        let ports = ports::ports(&board.accelerator);
        // A top with the same ports that uses every input and drives every output.
        let inputs: Vec<_> = ports
            .iter()
            .filter(|p| p.direction == ports::Direction::Input)
            .collect();
        let used: Vec<_> = inputs.iter().map(|p| format!("^{}", p.name)).collect();
        let mut top = ports::module_head("cnna_top", &ports);
        top += &format!(
            "    logic all;\n    always_ff @(posedge aclk) all <= {};\n",
            used.join(" ^ ")
        );
        for p in ports
            .iter()
            .filter(|p| p.direction == ports::Direction::Output)
        {
            top += &format!("    assign {} = {{{}{{all}}}};\n", p.name, p.width);
        }
        top += "endmodule\n";
        std::fs::write(dir.path().join("rtl/cnna_top.sv"), top).unwrap();
        let narrow = sources::cell(&board);
        let mut adapters: Vec<_> = narrow.iter().map(|f| format!("rtl/{}", f.name)).collect();
        if !adapters.is_empty() {
            let all = sources::rtl(&board).unwrap();
            let fifo = all.iter().find(|f| f.name == "fifo.sv").unwrap();
            std::fs::write(dir.path().join("rtl/fifo.sv"), &fifo.text).unwrap();
            adapters.push("rtl/fifo.sv".into());
        }
        let out = run(Command::new("verilator")
            .args([
                "--lint-only",
                "-Wall",
                "--top-module",
                boards::WRAPPER,
                "cnna_wrapper.v",
                "rtl/cnna_top.sv",
            ])
            .args(&adapters)
            // Two modules a file pair with different names is how it is meant; the clock in the sum is the stub's doing.
            .args(["-Wno-DECLFILENAME", "-Wno-SYNCASYNCNET"])
            .current_dir(dir.path()));
        assert!(
            out.status.success() && out.stderr.is_empty(),
            "{}: {}",
            board.name,
            text(&out.stderr)
        );
    }
}

// --- device tree -------------------------------------------------------------------------------------------------------

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

// --- packages ----------------------------------------------------------------------------------------------------------

#[test]
fn shells_are_json_and_recipes_name_files_that_are_there() {
    for board in cases() {
        let (_, files) = emit(&board);
        let shells = files.iter().filter(|f| f.path.ends_with("shell.json"));
        let mut count = 0;
        for f in shells {
            let json: serde_json::Value = serde_json::from_str(&f.text).unwrap();
            assert_eq!(json["shell_type"], "XRT_FLAT", "{}", f.path);
            assert_eq!(json["num_slots"], "1", "{}", f.path);
            count += 1;
        }
        assert!(count > 0);
        let recipe = files.iter().find(|f| f.path.ends_with(".bb")).unwrap();
        let sources: Vec<_> = recipe
            .text
            .lines()
            .filter_map(|l| l.trim().strip_prefix("file://"))
            .map(|l| l.trim_end_matches([' ', '\\']))
            .collect();
        assert_eq!(sources, ["cnna.bit", "cnna.dtsi", "shell.json"]);
        for f in &sources[1..] {
            let path = format!("petalinux/cnna/files/{f}");
            assert!(files.iter().any(|f| f.path == path), "{path}");
        }
    }
}

/// What an XML parser that is not ours reads in the packaged IP: lines of tab-separated words.
fn parse_component(dir: &Path) -> Vec<Vec<String>> {
    const READ: &str = "
import sys, xml.etree.ElementTree as e
s = '{http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009}'
root = e.parse('ip/component.xml').getroot()
assert root.tag == s + 'component'
order = [c.tag[len(s):] for c in root]
print('order', *order, sep='\\t')
t = lambda n, k: n.find(s + k).text
for r in root.iter(s + 'register'): print('register', t(r, 'name'), t(r, 'addressOffset'), t(r, 'access'), t(r, 'size'), sep='\\t')
for b in root.iter(s + 'busInterface'):
    print('bus', t(b, 'name'), sep='\\t')
    for m in b.iter(s + 'portMap'): print('map', t(b, 'name'), m[0][0].text, m[1][0].text, sep='\\t')
    for m in b.iter(s + 'addressSpaceRef'): print('space', m.get(s + 'addressSpaceRef'), sep='\\t')
for a in root.iter(s + 'addressSpace'): print('space', t(a, 'name'), sep='\\t')
for p in root.iter(s + 'port'):
    w = p.find(s + 'wire'); v = w.find(s + 'vector')
    print('port', t(p, 'name'), t(w, 'direction'), 1 if v is None else int(t(v, 'left')) + 1, sep='\\t')
for f in root.iter(s + 'file'): print('file', t(f, 'name'), sep='\\t')
";
    let out = run(Command::new("python3").args(["-c", READ]).current_dir(dir));
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout)
        .lines()
        .map(|l| l.split('\t').map(String::from).collect())
        .collect()
}

#[test]
fn the_packaged_ip_has_the_registers_of_machine_and_the_ports_of_the_top() {
    for board in cases() {
        let (dir, _) = emit(&board);
        let read = parse_component(dir.path());
        let of = |kind: &str| -> Vec<Vec<String>> {
            let lines = read.iter().filter(|l| l[0] == kind);
            lines.map(|l| l[1..].to_vec()).collect()
        };
        // The order that the schema's sequence demands.
        let order = [
            "vendor",
            "library",
            "name",
            "version",
            "busInterfaces",
            "addressSpaces",
            "memoryMaps",
            "model",
            "fileSets",
            "description",
            "parameters",
            "vendorExtensions",
        ];
        assert_eq!(of("order"), [order.map(String::from).to_vec()]);
        let registers: Vec<_> = regs::ALL
            .iter()
            .map(|r| {
                let access = match r.access {
                    regs::Access::Ro => "read-only",
                    regs::Access::Rw => "read-write",
                };
                let offset = format!("{:#x}", r.offset);
                [r.name, &offset, access, "32"].map(String::from).to_vec()
            })
            .collect();
        assert_eq!(of("register"), registers);
        let all = boards::cell_ports(&board);
        let wanted: Vec<_> = all
            .iter()
            .map(|p| {
                let direction = match p.direction {
                    ports::Direction::Input => "in",
                    ports::Direction::Output => "out",
                };
                vec![p.name.clone(), direction.into(), p.width.to_string()]
            })
            .collect();
        assert_eq!(of("port"), wanted);
        // Every port belongs to exactly one bus, every master has its address space.
        let mut mapped: Vec<_> = of("map").iter().map(|l| l[2].clone()).collect();
        mapped.sort();
        let mut names: Vec<_> = all.iter().map(|p| p.name.clone()).collect();
        names.sort();
        assert_eq!(mapped, names);
        assert_eq!(of("space").len(), 2 * board.accelerator.ports());
        for f in of("file") {
            assert!(dir.path().join("ip").join(&f[0]).exists(), "{f:?}");
        }
    }
}

// --- limits ------------------------------------------------------------------------------------------------------------

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

/// Ultra96's preset fixes the clock at 100 MHz: a script that does not free it first is refused, by itself.
#[test]
fn a_window_above_4_gib_opens_the_high_memory_to_every_master() {
    let at = [
        ("platform.dma_base", "34359738368"),
        ("platform.dma_bytes", "1073741824"),
    ];
    let board = load("kv260", &at);
    let (dir, files) = emit(&board);
    let out = tcl(dir.path(), "ok");
    assert!(out.status.success(), "{}", text(&out.stderr));
    let record = Record::of(dir.path());
    assert_eq!(
        record.property("ps", "CONFIG.PSU__HIGH_ADDRESS__ENABLE"),
        Some("1")
    );
    let ends = |end: &str| {
        let lines = record.lines("address");
        lines.filter(|l| l[1].ends_with(end)).count()
    };
    let masters = board.accelerator.ports();
    assert_eq!(
        (ends("_DDR_LOW"), ends("_DDR_HIGH")),
        (masters, masters),
        "Linux' own buffers stay within reach"
    );
    let of = |path: &str| &files.iter().find(|f| f.path == path).unwrap().text;
    assert!(of("reserved-memory.dts").contains("<0x8 0x0 0x0 0x40000000>"));
    let script = of("build.tcl").replace("PSU__HIGH_ADDRESS__ENABLE 1", "");
    std::fs::write(dir.path().join("build.tcl"), script).unwrap();
    let out = tcl(dir.path(), "ok");
    assert!(
        text(&out.stderr).contains("PSU__HIGH_ADDRESS__ENABLE is not set"),
        "{}",
        text(&out.stderr)
    );
    // No such memory on the smaller family.
    let error = boards::sources(&load("pynq-z2", &at), &[]).unwrap_err();
    assert!(error.to_string().contains("platform.dma_bytes"), "{error}");
}

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

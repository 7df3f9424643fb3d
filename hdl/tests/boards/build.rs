//! build.tcl and constraints.xdc: what they build.

use crate::{cases, emit, load, run, tcl, text};
use cnna_hdl::{boards, ports};
use cnna_machine::config::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

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
            // Five ports for data.
            (Family::ZynqMp, 16) => (masters - 1).saturating_sub(5),
            (Family::ZynqMp, _) => masters,
            // Three ports for data; from the fourth master on two meet at one.
            (Family::Zynq7000, 16) => (masters - 1).saturating_sub(3),
            (Family::Zynq7000, _) => masters.min(4),
        };
        assert_eq!(bridges, expected, "{}", board.name);
    }
}

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

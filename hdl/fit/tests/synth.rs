//! Yosys on small designs: the counts that a hand can check, and what happens when it fails.
//!
//! Needs a Yosys with slang: `pip install pyosys` and `CNNA_YOSYS` naming that Python.

use cnna_fit::FitError;
use cnna_fit::packed::Packed;
use cnna_fit::synth::{Job, Report, Target, Yosys};
use cnna_hdl::sources;
use cnna_machine::Board;
use std::path::Path;
use std::time::Duration;

/// The form of the accumulation that packs, in `mac.sv`, and one that does not.
const CLEAR: &str = "(clear_i ? 48'sd0 : acc_o) + product";
const OTHER_CLEAR: &str = "clear_i ? product : acc_o + product";

/// The RTL that `cnna rtl` emits for `ultra96` with these keys overridden: name and text.
fn emitted(set: &[(&str, &str)]) -> Vec<(String, String)> {
    let set: Vec<_> = set
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    let board = Board::load("ultra96", &set).expect("in range");
    sources::rtl(&board)
        .expect("every configuration is generated")
        .into_iter()
        .map(|f| (f.name, f.text))
        .collect()
}

/// `mac.sv` as emitted.
fn mac() -> String {
    let (_, text) = emitted(&[])
        .into_iter()
        .find(|(name, _)| name == "mac.sv")
        .expect("the array's cell is emitted");
    assert!(text.contains(CLEAR), "the tests below replace this form");
    text
}

/// A memory of Depth words of 72 bits, with the output register that block RAM wants.
const MEMORY: &str = "module memory #(parameter int unsigned Depth = 512) (input wire logic clk_i, input wire logic wen_i,
    input wire logic [$clog2(Depth)-1:0] waddr_i, input wire logic [$clog2(Depth)-1:0] raddr_i,
    input wire logic [71:0] wdata_i, output logic [71:0] rdata_o);
  (* ram_style = \"block\" *) logic [71:0] mem [Depth];
  always_ff @(posedge clk_i) begin
    if (wen_i) mem[waddr_i] <= wdata_i;
    rdata_o <= mem[raddr_i];
  end
endmodule\n";

fn run(
    text: &str,
    top: &str,
    parameters: &[(&str, &str)],
    target: Target,
) -> Result<Report, FitError> {
    run_files(
        &[(format!("{top}.sv"), text.to_string())],
        top,
        parameters,
        target,
    )
}

fn run_files(
    files: &[(String, String)],
    top: &str,
    parameters: &[(&str, &str)],
    target: Target,
) -> Result<Report, FitError> {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    Yosys::find()?.report(&Job {
        files,
        top,
        parameters: &parameters,
        target,
        timeout: Duration::from_secs(600),
    })
}

#[test]
fn a_multiply_accumulator_is_one_dsp_and_nothing_else() {
    let mac = mac();
    // The widths of `lane.sv` for words of 16 and 8 bits: four bits more for u, two for v.
    for widths in [[("UW", "20"), ("VW", "18")], [("UW", "12"), ("VW", "10")]] {
        let r = run(&mac, "mac", &widths, Target::Xc7).unwrap();
        assert_eq!(
            (r.dsp, r.lut, r.ff, r.depth.levels, r.depth.cells),
            (1, 0, 0, 0, 0),
            "{widths:?}: {:?}",
            r.cells
        );
        // The other form of the clear does not pack: the count must show it.
        let worse = mac.replace(CLEAR, OTHER_CLEAR);
        let r = run(&worse, "mac", &widths, Target::Xc7).unwrap();
        assert_eq!(r.dsp, 1);
        assert!(r.lut > 0 && r.ff > 0, "{:?}", r.cells);
        // The adder's chain and the multiplexer; each of the chain's cells adds one.
        assert!(r.depth.levels > 0 && r.depth.cells > r.depth.levels);
    }
}

#[test]
fn an_array_keeps_every_multiply_accumulator_in_its_dsp() {
    // One tile, eight lanes: with wrong wiring around the cells (a shared register, a multiplexer before them) they come apart.
    let files = emitted(&[("tiles", "1"), ("lanes", "8"), ("weight_ports", "1")]);
    let parameters = [("T", "1"), ("Lanes", "8"), ("Ports", "1")];
    let count = |files: &[(String, String)]| {
        let needed: Vec<_> = files
            .iter()
            .filter(|(name, _)| {
                ["cnna_pkg", "array", "lane", "mac", "ram", "u_transform"]
                    .iter()
                    .any(|m| *name == format!("{m}.sv"))
            })
            .cloned()
            .collect();
        run_files(&needed, "array", &parameters, Target::Xc7).unwrap()
    };
    let r = count(&files);
    assert_eq!(r.dsp, 16 * 8, "{:?}", r.cells);
    // Measured 77 LUT and 84 FF a DSP: the lanes' transforms and the registered result bus. An accumulator outside costs 48 LUT
    // and its own register more.
    assert!(r.lut < 95 * r.dsp && r.ff < 95 * r.dsp, "{:?}", r.cells);
    let apart: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.clone(), text.replace(CLEAR, OTHER_CLEAR)))
        .collect();
    let worse = count(&apart);
    assert!(
        worse.lut >= r.lut + 48 * r.dsp && worse.ff > r.ff + 30 * r.dsp,
        "{:?}",
        worse.cells
    );
}

/// The paired lane: two multiplications a slice, by its pre-adder, with every register but those that lanes share inside.
#[test]
fn a_paired_lane_keeps_adders_and_registers_in_its_dsps() {
    let parts = ["cnna_pkg", "ram", "u_transform", "mac", "lane"].map(|m| format!("{m}.sv"));
    let mut files = emitted(&[]);
    files.retain(|(name, _)| parts.contains(name));
    let parameters = [("T", "1"), ("Paired", "1'b1")];
    let r = run_files(&files, "lane", &parameters, Target::Xc7).unwrap();
    let all = Packed {
        pre_adder: 16,
        operands: 16,
        product: 16,
        accumulator: 16,
    };
    assert_eq!((r.dsp, r.packed), (16, all), "{:?}", r.cells);
    assert!(r.depth.levels <= 10, "{:?}", r.depth);
    // Without the pre-adder's form the sum is left outside, and the count shows it.
    for (name, text) in &mut files {
        if name == "mac.sv" {
            let sum = "u_q <= u_i + x;";
            assert!(text.contains(sum), "the test replaces this form");
            *text = text.replace(sum, "u_q <= u_i ^ x;");
        }
    }
    let worse = run_files(&files, "lane", &parameters, Target::Xc7).unwrap();
    assert_eq!((worse.dsp, worse.packed.pre_adder), (16, 0));
}

#[test]
fn block_rams_follow_the_parameter() {
    for (depth, ramb36) in [("512", 1), ("1024", 2), ("2048", 4)] {
        let r = run(MEMORY, "memory", &[("Depth", depth)], Target::Xcup).unwrap();
        assert_eq!(r.bram36(), ramb36, "{depth}: {:?}", r.cells);
        assert_eq!(r.dsp, 0);
    }
}

#[test]
fn failures_say_what_and_where() {
    let mac = mac();
    let line = 1 + mac
        .lines()
        .position(|l| l.contains("u_q * v_q"))
        .expect("the product has a line");
    let broken = mac.replace("u_q * v_q", "u_q * w_q");
    let error = run(&broken, "mac", &[], Target::Xc7)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("mac.sv:{line}")) && error.contains("w_q"),
        "{error}"
    );
    let error = run(&mac, "mca", &[], Target::Xc7).unwrap_err().to_string();
    assert!(error.contains("mca"), "{error}");
    let error = run(&mac, "mac", &[("W", "3; exec")], Target::Xc7)
        .unwrap_err()
        .to_string();
    assert!(error.contains("3; exec"), "{error}");
    let error = Yosys::at(Path::new("/nowhere/yosys")).unwrap_err();
    assert!(
        matches!(error, FitError::ToolMissing { .. }) && error.to_string().contains("pyosys"),
        "{error}"
    );
    // A program that is no Yosys.
    assert!(
        Yosys::at(Path::new("true"))
            .unwrap_err()
            .to_string()
            .contains("read_slang")
    );
}

#[test]
fn a_run_that_takes_too_long_is_stopped() {
    let yosys = Yosys::find().unwrap();
    let files = [("mac.sv".to_string(), mac())];
    let job = Job {
        files: &files,
        top: "mac",
        parameters: &[],
        target: Target::Xc7,
        timeout: Duration::from_millis(30),
    };
    assert!(matches!(
        yosys.report(&job),
        Err(FitError::ToolTimeout { .. })
    ));
}

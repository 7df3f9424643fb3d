//! Yosys on small designs: the counts that a hand can check, and what happens when it fails.
//!
//! Needs a Yosys with slang: `pip install pyosys` and `CNNA_YOSYS` naming that Python.

use cnna_hdl::error::HdlError;
use cnna_hdl::synth::{Job, Report, Target, Yosys};
use std::path::Path;
use std::time::Duration;

const MAC: &str = "module mac (input wire logic clk_i, input wire logic clear_i, input wire logic signed [19:0] u_i,
    input wire logic signed [17:0] v_i, output logic signed [47:0] acc_o);
  logic signed [19:0] u_q; logic signed [17:0] v_q; logic signed [37:0] p_q;
  always_ff @(posedge clk_i) begin
    u_q <= u_i; v_q <= v_i; p_q <= u_q * v_q;
    acc_o <= (clear_i ? 48'sd0 : acc_o) + 48'(p_q);
  end
endmodule\n";

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
) -> Result<Report, HdlError> {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    Yosys::find()?.report(&Job {
        files: &[(format!("{top}.sv"), text.to_string())],
        top,
        parameters: &parameters,
        target,
        timeout: Duration::from_secs(300),
    })
}

#[test]
fn a_multiply_accumulator_is_one_dsp_and_nothing_else() {
    let r = run(MAC, "mac", &[], Target::Xc7).unwrap();
    assert_eq!(
        (r.dsp, r.lut, r.ff, r.levels),
        (1, 0, 0, 0),
        "{:?}",
        r.cells
    );
    // The other form of the clear does not pack: the count must show it.
    let worse = MAC.replace(
        "(clear_i ? 48'sd0 : acc_o) + 48'(p_q)",
        "clear_i ? 48'(p_q) : acc_o + 48'(p_q)",
    );
    let r = run(&worse, "mac", &[], Target::Xc7).unwrap();
    assert_eq!(r.dsp, 1);
    assert!(r.lut > 0 && r.ff > 0 && r.levels > 0, "{:?}", r.cells);
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
    let broken = MAC.replace("u_q * v_q", "u_q * w_q");
    let error = run(&broken, "mac", &[], Target::Xc7)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("mac.sv:5") && error.contains("w_q"),
        "{error}"
    );
    let error = run(MAC, "mca", &[], Target::Xc7).unwrap_err().to_string();
    assert!(error.contains("mca"), "{error}");
    let error = run(MAC, "mac", &[("W", "3; exec")], Target::Xc7)
        .unwrap_err()
        .to_string();
    assert!(error.contains("3; exec"), "{error}");
    let error = Yosys::at(Path::new("/nowhere/yosys")).unwrap_err();
    assert!(
        matches!(error, HdlError::ToolMissing { .. }) && error.to_string().contains("pyosys"),
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
    let files = [("mac.sv".to_string(), MAC.to_string())];
    let job = Job {
        files: &files,
        top: "mac",
        parameters: &[],
        target: Target::Xc7,
        timeout: Duration::from_millis(30),
    };
    assert!(matches!(
        yosys.report(&job),
        Err(HdlError::ToolTimeout { .. })
    ));
}

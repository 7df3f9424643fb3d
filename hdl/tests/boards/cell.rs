//! The block-design cell around the top: its ports, and its Verilog in Verilator.

use crate::{cases, emit, load, run, text};
use cnna_hdl::{boards, ports, sources};
use cnna_machine::config::Board;
use std::process::Command;

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

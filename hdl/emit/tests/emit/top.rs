//! Top levels built at run time: lint-clean for several widths, and every wiring mistake refused by name.

use crate::harness::{verilator, write_modules};
use crate::snapshot::compare;
use crate::state::{Pipe, Sequencer, Tokens};
use cnna_emit::Emitter;
use cnna_emit::builder::{BlockInstance, Instance, Net, Top, TopBuilder, WiringError};

const BUFFER: &str = "
`default_nettype none
module buffer #(
  parameter int unsigned Width = 8,
  parameter int unsigned Depth = 4
) (
  input  wire logic                     clk_i,
  input  wire logic                     we_i,
  input  wire logic [$clog2(Depth)-1:0] addr_i,
  input  wire logic [Width-1:0]         wdata_i,
  output logic [Width-1:0]              rdata_o
);
  logic [Width-1:0] mem [Depth];
  always_ff @(posedge clk_i) begin
    if (we_i) mem[addr_i] <= wdata_i;
    rdata_o <= mem[addr_i];
  end
endmodule
`default_nettype wire
";

/// Two buffers side by side on one wide wire, addressed by a sequencer; tokens and a pipe beside it.
fn wide_top(width: usize) -> Result<Top, WiringError> {
    let mut top = TopBuilder::new("cnna_top")
        .clock("aclk", "reset")
        .input("reset", 1)
        .input("start", 1)
        .input("wdata", 2 * width)
        .input("s_axis_tdata", 8)
        .input("s_axis_tvalid", 1)
        .output("s_axis_tready", 1)
        .output("m_axis_tdata", 8)
        .output("m_axis_tvalid", 1)
        .input("m_axis_tready", 1)
        .output("first", 8)
        .output("rdata", 2 * width)
        .output("done", 1)
        .output("level", 4)
        .wire("row", 2 * width)
        .wire("nibble", 4);
    for lane in 0..2 {
        top = top.instance(
            Instance::new("buffer", &format!("i_buffer_{lane}"))
                .param("Width", width)
                .param("Depth", 1024)
                .clock("aclk")
                .input(
                    "we_i",
                    1,
                    if lane == 0 {
                        Net::Value(0)
                    } else {
                        "running".into()
                    },
                )
                .input("addr_i", 10, "address")
                .input("wdata_i", width, Net::element("wdata", lane, width))
                .output("rdata_o", width, Net::element("row", lane, width)),
        );
    }
    top.block(
        BlockInstance::new("cnna_sequencer", "i_seq", Sequencer::new(3))
            .connect("start", "start")
            .connect("length", Net::Value(17))
            .connect("address", "address")
            .connect("valid", "running")
            .connect("done", "done")
            .open("phase"),
    )
    .block(
        BlockInstance::new("cnna_tokens", "i_tokens", Tokens::<4>::default())
            .connect("give", "done_again")
            .connect("take", "start")
            .open("ready")
            .connect("count", "level"),
    )
    .block(
        BlockInstance::new("cnna_pipe", "i_pipe", Pipe::default())
            .connect("from.data", "s_axis_tdata")
            .connect("from.valid", "s_axis_tvalid")
            .connect("from.ready", "s_axis_tready")
            .connect("to.data", "m_axis_tdata")
            .connect("to.valid", "m_axis_tvalid")
            .connect("to.ready", "m_axis_tready"),
    )
    .wire("done_again", 1)
    .assign("done_again", Net::part("nibble", 1, 1))
    .assign("nibble", Net::part("row", 4, 4))
    .assign("rdata", "row")
    .assign("first", Net::part("row", 0, 8))
    .build()
}

#[test]
fn tops_of_run_time_widths_are_lint_clean() {
    for width in [16, 128, 1536] {
        let top = wide_top(width).expect("the wiring is right");
        let modules = top
            .emit(&Emitter::new("test", "0").prefix("cnna_"))
            .expect("the blocks are in the subset");
        let names: Vec<_> = modules.iter().map(|m| m.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "cnna_sequencer",
                "cnna_tokens",
                "cnna_first",
                "cnna_pipe",
                "cnna_top"
            ]
        );
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut files = write_modules(dir.path(), &modules);
        std::fs::write(dir.path().join("buffer.sv"), BUFFER)
            .expect("the temporary directory is writable");
        files.insert(0, "buffer.sv".into());
        let mut args = vec!["--lint-only", "-Wall", "--top-module", "cnna_top"];
        args.extend(files.iter().map(String::as_str));
        verilator(dir.path(), &args);
        let text = &modules[4].text;
        if width == 128 {
            compare(text, "top.sv");
        }
        assert!(
            text.contains(&format!(".rdata_o(row[{}:{width}])", 2 * width - 1)),
            "{text}"
        );
    }
}

fn buffer(name: &str) -> Instance {
    Instance::new("buffer", name)
        .clock("clk")
        .input("addr_i", 2, "addr")
}

fn base() -> TopBuilder {
    TopBuilder::new("t")
        .clock("clk", "rst")
        .input("rst", 1)
        .input("addr", 2)
        .output("q", 8)
}

/// The error that building gives.
fn wrong(top: TopBuilder) -> String {
    match top.build() {
        Ok(_) => panic!("the wiring is wrong, and was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn wiring_mistakes_are_refused_by_name() {
    let out = |name: &str, width, net: &str| buffer(name).output("rdata_o", width, net);
    let tokens = || {
        BlockInstance::new("tokens", "i_tokens", Tokens::<2>::default())
            .open("ready")
            .open("count")
    };
    let cases = [
        (
            base().instance(out("i_a", 7, "q")),
            "i_a.rdata_o: the port has 7 bits, `q` has 8",
        ),
        (
            base()
                .instance(out("i_a", 8, "q"))
                .instance(out("i_b", 8, "q")),
            "bit 0 of `q` is driven by i_a.rdata_o and by i_b",
        ),
        (
            base().instance(buffer("i_a").output("rdata_o", 4, Net::part("q", 0, 4))),
            "bit 4 of `q` has no driver",
        ),
        (
            base().instance(out("i_a", 8, "addr")),
            "i_a.rdata_o: the port has 8 bits, `addr` has 2",
        ),
        (
            base().instance(buffer("i_a").output("x_o", 2, "addr")),
            "bit 0 of `addr` is driven by the port and by i_a.x_o",
        ),
        (
            base()
                .instance(out("i_a", 8, "lost"))
                .assign("q", Net::Value(1)),
            "nothing reads `lost`",
        ),
        (
            base().assign("q", "nowhere"),
            "assign q: there is no wire `nowhere`",
        ),
        (
            base().assign("q", Net::Value(256)),
            "assign q: the value 256 does not fit 8 bits",
        ),
        (
            base().assign("q", Net::part("addr", 1, 8)),
            "assign q: bits 1..9 are outside `addr`, which has 2",
        ),
        (
            base().instance(out("i_a", 8, "q")).instance(buffer("i_a")),
            "`i_a` is declared twice",
        ),
        (
            base().input("reg", 1).assign("q", Net::Value(1)),
            "`reg` is no usable SystemVerilog name",
        ),
        (
            base().wire("none", 0).assign("q", Net::Value(1)),
            "`none` is 0 bits wide",
        ),
        (
            base().instance(buffer("i_a").output("y_o", 8, Net::Value(3))),
            "i_a.y_o: an output cannot drive a constant",
        ),
        (
            base().block(tokens().connect("give", "rst")),
            "i_tokens.take: the port is not connected",
        ),
        (
            base().block(
                tokens()
                    .connect("give", "rst")
                    .connect("take", "rst")
                    .connect("x", "rst"),
            ),
            "i_tokens.x: the block has no such port; it has give, take, ready, count",
        ),
        (
            TopBuilder::new("t").block(tokens()),
            "i_tokens.clock: no clock is known",
        ),
    ];
    for (top, start) in cases {
        let error = wrong(top);
        assert!(error.starts_with(start), "{error}\nexpected: {start}");
    }
}

#[test]
fn a_ring_of_assigns_is_refused() {
    let top = base()
        .wire("a", 8)
        .wire("b", 8)
        .assign("a", "b")
        .assign("b", "a")
        .assign("q", "a");
    let top = top.build().expect("each bit has a driver");
    let error = top
        .emit(&Emitter::new("test", "0"))
        .expect_err("it is a combinational loop")
        .to_string();
    assert!(error.contains("is read before"), "{error}");
}

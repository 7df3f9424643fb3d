//! The sequencer of compute, and the address counters that move with it.

use super::{COMMAND_BITS, compute, head};
use crate::control::{ResultAddress, Sequencer, WeightAddress, Window};
use cnna_emit::builder::{BlockInstance, Instance, Net, TopBuilder};
use cnna_machine::config::Accelerator;
use cnna_machine::timing;

/// The command held, the loops over it, and the address counters that move with them.
pub(super) fn wire(top: TopBuilder, a: &Accelerator) -> TopBuilder {
    let held = |name: &str| compute("command", name);
    let fresh = |name: &str| compute("head_compute", name);
    let moves = [
        "c_move",
        "c_wrap",
        "kx_move",
        "kx_wrap",
        "ky_move",
        "ky_wrap",
        "tile_move",
    ];
    let mut steps = BlockInstance::new("cnna_sequencer", "i_sequencer", Sequencer::default())
        .connect("start", Net::part("queue_start", 2, 1))
        .connect("ready", Net::part("engine_ready", 2, 1))
        .connect("take", "take")
        .connect("taken", "taken")
        .connect("step", "step")
        .connect("pass_end", "pass_end")
        .connect("tile_last", "tile_last")
        .connect("describe", "pass_push")
        .connect("releases", "releases")
        .connect("signal", head("command", "signal"))
        .connect("clear", "step_clear")
        .connect("drain", "step_drain")
        .connect("pool_first", "step_pool_first")
        .connect("pool_last", "step_pool_last")
        .connect("mode_after", "step_mode")
        .connect("pool_after", "step_pool")
        .connect("lanes_after", "step_lanes");
    for name in [
        "mode", "first", "last", "tiles", "lanes", "c_count", "kx_count", "ky_count",
    ] {
        steps = steps.connect(name, held(name));
    }
    for name in ["mode", "tiles", "lanes", "c_count", "kx_count", "ky_count"] {
        steps = steps.connect(&format!("new_{name}"), fresh(name));
    }
    let mut window = BlockInstance::new("cnna_window", "i_window", Window::default())
        .connect("taken", "taken")
        .connect("step", "step");
    for name in moves {
        steps = steps.connect(name, name);
        window = window.connect(name, name);
    }
    for name in [
        "ring_lines",
        "ring_end",
        "row_line",
        "row_pitch",
        "c_pitch",
        "row_step",
        "row_step_carry",
        "x_step",
        "x_start",
        "y_start",
        "w_full",
        "h_full",
        "w_rem",
        "h_rem",
        "plane_pitch",
        "plane_y_pitch",
        "plane_x0",
        "plane_y0",
        "stride",
        "px0",
        "py0",
        "dilation_x",
        "dilation_y",
    ] {
        window = window.connect(name, held(name));
    }
    for name in ["row_a", "row_b", "off", "x", "y", "w", "h"] {
        window = window.connect(name, format!("step_{name}"));
    }
    let weights = BlockInstance::new(
        "cnna_weight_address",
        "i_weight_address",
        WeightAddress::default(),
    )
    .connect("taken", "taken")
    .connect("step", "step")
    .connect("pass_end", "pass_end")
    .connect("c_wrap", "c_wrap")
    .connect("diag", held("diag"))
    .connect("mode", held("mode"))
    .connect("weight_row", held("weight_row"))
    .connect("row", "step_weight_row")
    .connect("word", "step_weight_word")
    .connect("channel", "step_channel")
    .connect("diag_after", "step_diag");
    let results = BlockInstance::new(
        "cnna_result_address",
        "i_result_address",
        ResultAddress::new(a.tiles),
    )
    .connect("taken", "taken")
    .connect("tile_move", "tile_move")
    .connect("mode", held("mode"))
    .connect("pool", held("pool"))
    .connect("out_line", held("out_line"))
    .connect("lanes", held("lanes"))
    .connect("line", "pass_line")
    .connect("quarter", "pass_quarter")
    .connect("column", "pass_column")
    .connect("last_lane", "pass_last_lane");
    top.instance(
        Instance::new("hold", "i_command")
            .param("Width", COMMAND_BITS)
            .clock("aclk")
            .input("take_i", 1, "take")
            .input("data_i", COMMAND_BITS, "head_compute")
            .output("data_o", COMMAND_BITS, "command"),
    )
    .block(steps)
    .block(window)
    .block(weights)
    .block(results)
    // That many cycles after the last step, which the sequencer says one cycle late.
    .instance(delay(
        "i_release",
        2,
        timing::release(a.lanes) as usize - 1,
        "releases",
        "released",
    ))
}

/// A word, some cycles later.
pub(super) fn delay(name: &str, width: usize, stages: usize, from: &str, to: &str) -> Instance {
    Instance::new("delay", name)
        .param("Width", width)
        .param("Stages", stages)
        .clock_reset("aclk", "rst")
        .input("data_i", width, from)
        .output("data_o", width, to)
}

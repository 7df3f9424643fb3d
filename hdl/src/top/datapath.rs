//! Engines, buffers, array and post-processing.

use super::masters::read_signals;
use super::sequencer::delay;
use super::{COMMAND_BITS, address_bits, compute, head, join};
use crate::package::{self, pass_bits};
use crate::ports::{self, ADDRESS_BITS};
use cnna_emit::builder::{Instance, Net, TopBuilder};
use cnna_machine::config::{Accelerator, BIAS_ROW, KERNEL_WORDS, POSITIONS, depth};
use cnna_machine::counters::RECORD_BYTES;
use cnna_machine::isa::Queue;
use cnna_machine::num::ACC_BITS;

/// Bits of an accumulator.
const ACC: usize = ACC_BITS as usize;
/// Bits of a bias with what else its channel has.
const BIAS_BITS: usize = 64;

/// Cycles from a step's addresses to: the weight address of lane 0, the window, the operands of lane 0.
const TO_WEIGHT: usize = 4;
const TO_WINDOW: usize = 6;
const TO_OPERANDS: usize = 8;

/// Widths that occur more than once.
struct Widths {
    word: usize,
    beat: usize,
    line: usize,
    pixels: usize,
    out: usize,
    bias: usize,
    perbeat: usize,
}

/// Wires them.
pub(super) fn wire(top: TopBuilder, a: &Accelerator) -> TopBuilder {
    let word = a.word.bits() as usize;
    let w = Widths {
        word,
        beat: 8 * a.beat_bytes(),
        line: a.line_words() * word,
        pixels: POSITIONS * a.tiles,
        out: address_bits(a.out_depth),
        bias: address_bits(a.bias_depth),
        perbeat: a.beat_bytes() / 8,
    };
    let top = load(top, a, &w);
    let top = weight(top, a, &w);
    let top = array(top, a, &w);
    let top = results(top, a, &w);
    store(top, a, &w)
}

/// What every engine has: shape, clock, memory window, command, token.
fn engine(module: &str, name: &str, queue: usize) -> Instance {
    Instance::new(module, &format!("i_{name}"))
        .param("AddrW", ADDRESS_BITS)
        .clock_reset("aclk", "rst")
        .input("halt_i", 1, "halt")
        .input("base_i", ADDRESS_BITS, "base")
        .input("size_i", 32, "size")
        .input("cmd_valid_i", 1, Net::part("queue_start", queue, 1))
        .input("cmd_i", COMMAND_BITS, format!("head_{name}"))
        .output("cmd_ready_o", 1, Net::part("engine_ready", queue, 1))
        .output("signal_o", 1, format!("{name}_done"))
        .output("signal_mask_o", 4, format!("{name}_to"))
        .output("error_o", 1, format!("{name}_error"))
}

/// The signals of the second port, where there is one.
fn second_port(engine: Instance, a: &Accelerator) -> Instance {
    read_signals(a)
        .into_iter()
        .fold(engine, |engine, (signal, width, driven)| {
            let wire = format!("{}_{signal}", ports::SECOND);
            match (a.load_ports > 1, driven) {
                (true, true) => engine.output(&format!("second_{signal}_o"), width, wire),
                (true, false) => engine.input(&format!("second_{signal}_i"), width, wire),
                (false, true) => engine.open(&format!("second_{signal}_o"), width),
                (false, false) => engine.input(&format!("second_{signal}_i"), width, Net::Value(0)),
            }
        })
}

fn load(top: TopBuilder, a: &Accelerator, w: &Widths) -> TopBuilder {
    let columns = a.line_words();
    top.instance(
        second_port(engine("load_engine", "load", 0), a)
            .param("T", a.tiles)
            .param("Second", format!("1'b{}", u8::from(a.load_ports > 1)))
            .param("Depth", a.act_depth)
            .param("Paired", format!("1'b{}", u8::from(a.paired)))
            .param("W", w.word)
            .param("Outstanding", a.outstanding)
            .output("arvalid_o", 1, "m_axi_act_arvalid")
            .input("arready_i", 1, "m_axi_act_arready")
            .output("araddr_o", ADDRESS_BITS, "m_axi_act_araddr")
            .output("arlen_o", 8, "m_axi_act_arlen")
            .input("rvalid_i", 1, "m_axi_act_rvalid")
            .output("rready_o", 1, "act_rready")
            .input("rdata_i", w.beat, "m_axi_act_rdata")
            .input("rlast_i", 1, "m_axi_act_rlast")
            .input("local_valid_i", 1, "local_valid")
            .output("local_ready_o", 1, "local_ready")
            .input("local_data_i", w.beat, "local_data")
            .input("local_second_i", w.beat, "local_second")
            .output("wen_o", columns, "act_wen")
            .output("residual_wen_o", columns, "residual_wen")
            .output("wbank_o", 2, "act_wbank")
            .output("wboth_o", 1, "act_wboth")
            .output("wline_o", 16 * a.tiles, "act_wline")
            .output("wdata_o", w.line, "act_wdata")
            .output("wodd_o", w.line, "act_wodd")
            .output("in_flight_o", 1, Net::part("flights", 0, 1)),
    )
    .assign("m_axi_act_rready", "act_rready")
}

fn weight(top: TopBuilder, a: &Accelerator, w: &Widths) -> TopBuilder {
    let n = a.weight_ports;
    let mut instance = engine("weight_engine", "weight", 1)
        .param("Ports", n)
        .param("W", w.word)
        .param("Outstanding", a.outstanding)
        .output("wvalid_o", n, "wgt_valid")
        .output("wlane_o", 8 * n, "wgt_lane")
        .output("wrow_o", 16 * n, "wgt_row")
        .output("wdata_o", KERNEL_WORDS * w.word * n, "wgt_data")
        .output("bvalid_o", 1, "bias_valid")
        .output("brow_o", 16, "bias_row")
        .output("belem_o", 2, "bias_elem")
        .output("bdata_o", w.beat, "bias_data")
        .output("svalid_o", 1, "set_valid")
        .output("in_flight_o", 1, Net::part("flights", 1, 1));
    for (signal, width, driven) in read_signals(a) {
        let wire = format!("w_{signal}");
        instance = if driven {
            instance.output(&format!("{signal}_o"), width * n, wire)
        } else {
            instance.input(&format!("{signal}_i"), width * n, wire)
        };
    }
    top.instance(instance)
}

/// Window, operands, array, pooling; the step's flags travel beside them.
fn array(top: TopBuilder, a: &Accelerator, w: &Widths) -> TopBuilder {
    let (window, v, acc, max) = (
        w.pixels * w.word,
        w.pixels * (w.word + 2),
        w.pixels * ACC,
        w.pixels * w.word,
    );
    let winograd = u8::from(a.winograd);
    let paired = format!("1'b{}", u8::from(a.paired));
    let wire = |name: &str| Net::Wire(name.into());
    let top = join(
        top,
        "to_weight",
        &[
            (wire("step_weight_row"), 16),
            (wire("step_weight_word"), 3),
            (wire("step_mode"), 2),
            (wire("step_paired"), 1),
        ],
    );
    let top = join(
        top,
        "to_operands",
        &[
            (wire("step_lanes"), 8),
            (wire("step_clear"), 1),
            (wire("step_drain"), 1),
            (wire("step_pool_first"), 1),
            (wire("step_pool_last"), 1),
            (wire("step_diag"), 1),
            (wire("step_channel"), 8),
        ],
    );
    top.instance(delay(
        "i_to_weight",
        22,
        TO_WEIGHT,
        "to_weight",
        "at_weight",
    ))
    .wire("weight_mode", 2)
    .assign("weight_mode", Net::part("at_weight", 19, 2))
    .instance(delay(
        "i_to_window",
        2,
        TO_WINDOW - TO_WEIGHT,
        "weight_mode",
        "window_mode",
    ))
    .instance(delay(
        "i_to_operands",
        21,
        TO_OPERANDS,
        "to_operands",
        "at_operands",
    ))
    .instance(
        Instance::new("act_buffer", "i_act_buffer")
            .param("T", a.tiles)
            .param("W", w.word)
            .param("Depth", a.act_depth)
            .param("Paired", paired.clone())
            .clock("aclk")
            .input("wen_i", a.line_words(), "act_wen")
            .input("wbank_i", 2, "act_wbank")
            .input("wboth_i", 1, "act_wboth")
            .input("wline_i", 16 * a.tiles, "act_wline")
            .input("wdata_i", w.line, "act_wdata")
            .input("wodd_i", w.line, "act_wodd")
            .input("row_a_i", 16, "step_row_a")
            .input("row_b_i", 16, "step_row_b")
            .input("off_i", 16, "step_off")
            .input("x_i", 16, "step_x")
            .input("y_i", 16, "step_y")
            .input("w_i", 16, "step_w")
            .input("h_i", 16, "step_h")
            .input("pool_i", 1, "step_pool")
            .input("paired_i", 1, "step_paired")
            .output("window_o", window, "window")
            .output("second_o", window, "second_window"),
    )
    .instance(
        Instance::new("v_transform", "i_v_transform")
            .param("T", a.tiles)
            .param("W", w.word)
            .param("Winograd", format!("1'b{winograd}"))
            .param("Paired", paired.clone())
            .clock("aclk")
            .input("mode_i", 2, "window_mode")
            .input("window_i", window, "window")
            .input("second_i", window, "second_window")
            .output("v_o", v, "operands")
            .output("x_o", window, "second_operands"),
    )
    .instance(
        Instance::new("pool_unit", "i_pool_unit")
            .param("T", a.tiles)
            .param("W", w.word)
            .clock_reset("aclk", "rst")
            .input("first_i", 1, Net::part("at_operands", 10, 1))
            .input("last_i", 1, Net::part("at_operands", 11, 1))
            .input("v_i", v, "operands")
            .output("valid_o", 1, "pool_valid")
            .output("max_o", max, "pool_max"),
    )
    .instance(
        Instance::new("array", "i_array")
            .param("T", a.tiles)
            .param("Lanes", a.lanes)
            .param("W", w.word)
            .param("Depth", a.weight_depth)
            .param("Ports", a.weight_ports)
            .param("Winograd", format!("1'b{winograd}"))
            .param("Paired", paired)
            .clock_reset("aclk", "rst")
            .input("wvalid_i", a.weight_ports, "wgt_valid")
            .input("wlane_i", 8 * a.weight_ports, "wgt_lane")
            .input("wrow_i", 16 * a.weight_ports, "wgt_row")
            .input(
                "wdata_i",
                KERNEL_WORDS * w.word * a.weight_ports,
                "wgt_data",
            )
            .input("row_i", 16, Net::part("at_weight", 0, 16))
            .input("sel_i", 3, Net::part("at_weight", 16, 3))
            .input("mode_i", 2, "weight_mode")
            .input("paired_i", 1, Net::part("at_weight", 21, 1))
            .input("v_i", v, "operands")
            .input("x_i", window, "second_operands")
            .input("clear_i", 1, Net::part("at_operands", 8, 1))
            .input("drain_i", 1, Net::part("at_operands", 9, 1))
            .input("lanes_i", 8, Net::part("at_operands", 0, 8))
            .input("diag_i", 1, Net::part("at_operands", 12, 1))
            .input("channel_i", 8, Net::part("at_operands", 13, 8))
            .input("pool_valid_i", 1, "pool_valid")
            .input("pool_i", max, "pool_max")
            .output("valid_o", 1, "bus_valid")
            .output("acc_o", acc, "bus_acc"),
    )
}

/// Drain queue, the passes' descriptions, post-processing, biases and the output buffer.
fn results(top: TopBuilder, a: &Accelerator, w: &Widths) -> TopBuilder {
    let pass: Vec<(Net, usize)> = package::PASS
        .iter()
        .rev()
        .map(|&(field, bits)| (described(field), bits))
        .collect();
    let acc = w.pixels * ACC;
    let fifo = |name: &str, width: usize, depth: usize| {
        Instance::new("fifo", name)
            .param("Width", width)
            .param("Depth", depth)
            .clock_reset("aclk", "rst")
    };
    join(top, "pass", &pass)
        .instance(
            fifo("i_drain", acc, depth::DRAIN)
                .param("Head", "1'b0")
                .input("push_i", 1, "bus_valid")
                .input("data_i", acc, "bus_acc")
                .output("ready_o", 1, "drain_ready")
                .output("valid_o", 1, "drain_valid")
                .output("data_o", acc, "drain_acc")
                .input("pop_i", 1, "drain_pop"),
        )
        .instance(
            fifo("i_passes", pass_bits(), depth::PASSES)
                .input("push_i", 1, "pass_push")
                .input("data_i", pass_bits(), "pass")
                .output("ready_o", 1, "pass_ready")
                .output("valid_o", 1, "pass_valid")
                .output("data_o", pass_bits(), "pass_head")
                .input("pop_i", 1, "pass_pop"),
        )
        .instance(
            Instance::new("probes", "i_probes")
                .clock_reset("aclk", "rst")
                .input("busy_i", 1, "busy")
                .input("drain_push_i", 1, "bus_valid")
                .input("drain_ready_i", 1, "drain_ready")
                .input("drain_valid_i", 1, "drain_valid")
                .input("pass_push_i", 1, "pass_push")
                .input("pass_ready_i", 1, "pass_ready")
                .input("pass_valid_i", 1, "pass_valid"),
        )
        .instance(
            Instance::new("bias_buffer", "i_bias_buffer")
                .param("Depth", a.bias_depth)
                .param("Perbeat", w.perbeat)
                .clock("aclk")
                .input("wvalid_i", 1, "bias_valid")
                .input("wrow_i", w.bias, Net::part("bias_row", 0, w.bias))
                .input("welem_i", 2, "bias_elem")
                .input("wdata_i", w.beat, "bias_data")
                .input("rrow_i", w.bias, "bias_rrow")
                .output("rdata_o", BIAS_ROW * BIAS_BITS, "bias_rdata"),
        )
        .instance(
            Instance::new("residual_buffer", "i_residual_buffer")
                .param("T", a.tiles)
                .param("W", w.word)
                .param("Depth", a.residual_depth())
                .clock("aclk")
                .input("wen_i", a.line_words(), "residual_wen")
                .input("wbank_i", 1, Net::part("act_wbank", 0, 1))
                .input("wline_i", 16, Net::part("act_wline", 0, 16))
                .input("wdata_i", w.line, "act_wdata")
                .input("raddr_i", w.out - 1, "residual_line")
                .output("rdata_o", 2 * w.line, "residual_rdata"),
        )
        // Words of activation sets come as biases do; bytes' entries are no wider.
        .wire("set_word", 64)
        .assign(Net::part("set_word", 0, 64), Net::part("bias_data", 0, 64))
        .instance(
            Instance::new("post", "i_post")
                .param("T", a.tiles)
                .param("W", w.word)
                .param("BiasDepth", a.bias_depth)
                .param("OutDepth", a.out_depth)
                .param("Winograd", format!("1'b{}", u8::from(a.winograd)))
                .param("Paired", format!("1'b{}", u8::from(a.paired)))
                .param("Entries", a.word.table_entries())
                .clock_reset("aclk", "rst")
                .input("valid_i", 1, "drain_valid")
                .input("acc_i", acc, "drain_acc")
                .output("pop_o", 1, "drain_pop")
                .input("pass_i", pass_bits(), "pass_head")
                .output("pass_pop_o", 1, "pass_pop")
                .output("bias_row_o", w.bias, "bias_rrow")
                .input("bias_i", BIAS_ROW * BIAS_BITS, "bias_rdata")
                .output("residual_line_o", w.out - 1, "residual_line")
                .input("residual_i", 2 * w.line, "residual_rdata")
                .input("set_valid_i", 1, "set_valid")
                .input("set_word_i", 16, "bias_row")
                .input("set_data_i", 64, "set_word")
                .output("wen_o", 2, "out_wen")
                .output("waddr_o", 2 * w.out, "out_waddr")
                .output("wmask_o", 8, "out_wmask")
                .output("wdata_o", 2 * w.line, "out_wdata")
                .output("saturated_o", 6, "saturated")
                .output("signal_o", 1, "result_done"),
        )
        .instance(
            Instance::new("out_buffer", "i_out_buffer")
                .param("T", a.tiles)
                .param("W", w.word)
                .param("Depth", a.out_depth)
                .clock("aclk")
                .input("wen_i", 2, "out_wen")
                .input("waddr_i", 2 * w.out, "out_waddr")
                .input("wmask_i", 8, "out_wmask")
                .input("wdata_i", 2 * w.line, "out_wdata")
                .input("rbank_i", 1, "out_rbank")
                .input("raddr_i", w.out, "out_raddr")
                .output("rdata_o", w.line, "out_rdata")
                .output("second_o", w.line, "out_second"),
        )
}

/// Where a field of a pass's description comes from: the command, or what moves with its tiles.
fn described(field: &str) -> Net {
    let wire = |name: &str| Net::Wire(name.into());
    match field {
        "last" => wire("tile_last"),
        "signal" => signal_to_store(),
        "last_lane" => wire("pass_last_lane"),
        "line" => wire("pass_line"),
        "quarter" => wire("pass_quarter"),
        "xcol" => wire("pass_column"),
        "row_pitch" => compute("command", "out_row_pitch"),
        "c_pitch" => compute("command", "out_c_pitch"),
        "width" => compute("command", "out_width"),
        same => compute("command", same),
    }
}

/// The store queue's bit of the command's signal mask.
fn signal_to_store() -> Net {
    match head("command", "signal") {
        Net::Part { wire, lo, .. } => Net::Part {
            wire,
            lo: lo + Queue::Store as usize,
            width: 1,
        },
        other => other,
    }
}

fn store(top: TopBuilder, a: &Accelerator, w: &Widths) -> TopBuilder {
    top.instance(
        engine("store_engine", "store", 3)
            .param("T", a.tiles)
            .param("W", w.word)
            .param("OutDepth", a.out_depth)
            .output("end_o", 1, "ended")
            .input("counters_i", 8 * RECORD_BYTES, "counters")
            .output("rbank_o", 1, "out_rbank")
            .output("raddr_o", w.out, "out_raddr")
            .input("rdata_i", w.line, "out_rdata")
            .input("second_i", w.line, "out_second")
            .output("awvalid_o", 1, "m_axi_act_awvalid")
            .input("awready_i", 1, "m_axi_act_awready")
            .output("awaddr_o", ADDRESS_BITS, "m_axi_act_awaddr")
            .output("awlen_o", 8, "m_axi_act_awlen")
            .output("wvalid_o", 1, "act_wvalid")
            .input("wready_i", 1, "m_axi_act_wready")
            .output("wdata_o", w.beat, "m_axi_act_wdata")
            .output("wstrb_o", w.beat / 8, "m_axi_act_wstrb")
            .output("wlast_o", 1, "m_axi_act_wlast")
            .input("bvalid_i", 1, "m_axi_act_bvalid")
            .output("bready_o", 1, "m_axi_act_bready")
            .output("local_valid_o", 1, "local_valid")
            .input("local_ready_i", 1, "local_ready")
            .output("local_data_o", w.beat, "local_data")
            .output("local_second_o", w.beat, "local_second")
            .output("in_flight_o", 1, Net::part("flights", 2, 1)),
    )
    .assign("m_axi_act_wvalid", "act_wvalid")
}

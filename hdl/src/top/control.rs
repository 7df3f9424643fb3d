//! Registers, counters, command fetch, the four queues, and the tokens between them.

use super::{COMMAND_BITS, QUEUES, address_bits, field, head, join};
use crate::control::{ANSWERS, BusError, Counters, Fetch, Registers, Resets, Status, Tokens};
use crate::ports::{self, ADDRESS_BITS};
use cnna_emit::builder::{BlockInstance, Instance, Net, TopBuilder};
use cnna_machine::config::{Accelerator, depth};
use cnna_machine::counters;
use cnna_machine::isa;
use cnna_machine::regs::{self, Reg};

/// Wires them.
pub(super) fn wire(top: TopBuilder, a: &Accelerator) -> TopBuilder {
    let top = registers(top, a);
    let top = errors(top, a);
    let top = fetch(top, a);
    tokens(queues(top, a))
}

/// Resets, registers, counters.
fn registers(mut top: TopBuilder, a: &Accelerator) -> TopBuilder {
    top = top.clock("aclk", "hard_rst").block(
        BlockInstance::new("cnna_resets", "i_resets", Resets::default())
            .connect("pin_n", "aresetn")
            .connect("soft", "soft_rst")
            .connect("hard", "hard_rst")
            .connect("all", "rst"),
    );
    let mut block = BlockInstance::new("cnna_registers", "i_registers", Registers::new(a.hash()));
    for signal in [
        "awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bresp", "bvalid",
        "bready", "araddr", "arvalid", "arready", "rdata", "rresp", "rvalid", "rready",
    ] {
        block = block.connect(signal, format!("s_axil_{signal}"));
    }
    for queue in ["load", "weight", "store", "fetch"] {
        let wire = format!("{queue}_error");
        block = block.connect(&wire, wire.clone());
    }
    for register in counters::REGISTERS.into_iter().chain([regs::COMMANDS]) {
        block = block.connect(&port(register), format!("n_{}", port(register)));
    }
    top = top.block(
        block
            .connect("reset", "soft_rst")
            .connect("halt", "halt")
            .connect("stopping", "stopping")
            .connect("started", "start")
            .connect("clear", "clear_counters")
            .connect("run", "run")
            .connect("base_lo", Net::part("base_all", 0, 32))
            .connect("base_hi", Net::part("base_all", 32, 32))
            .connect("size", "size")
            .connect("program_offset", "program_offset")
            .connect("program_count", "program_count")
            .connect("ended", "ended")
            .connect("bus_error", "bus_error")
            .connect("bad_command", "bad_command")
            .connect("bad_head", Net::part("fetched", 0, 32))
            .connect("in_flight", "in_flight")
            .connect("irq", "irq_o"),
    );
    let mut counting = BlockInstance::new("cnna_counters", "i_counters", Counters::default())
        .connect("clear", "clear_counters")
        .connect("run", "run")
        .connect("saturated_now", "saturated")
        .connect("step", "step")
        .connect("lack_load", "lack_load")
        .connect("lack_weight", "lack_weight")
        .connect("lack_store", "lack_store")
        .connect("read_beat", "read_beat")
        .connect("second_beat", "second_beat")
        .connect("write_beat", "write_beat")
        .connect("dealt", "dealt")
        .connect("commands", "n_commands");
    let mut record = vec![];
    for register in counters::REGISTERS {
        let wire = Net::Wire(format!("n_{}", port(register)));
        counting = counting.connect(&port(register), wire.clone());
        record.push((wire, 32));
    }
    join(
        top.wire("base_all", 64).block(counting),
        "counters",
        &record,
    )
    .wire("base", ADDRESS_BITS)
    .assign("base", Net::part("base_all", 0, ADDRESS_BITS))
    .clock("aclk", "rst")
}

/// What the control blocks call the signal of a counter.
fn port(counter: Reg) -> String {
    counter.name.to_lowercase()
}

/// Busy, and what the memory answers. Responses are errors by their upper bit.
fn errors(top: TopBuilder, a: &Accelerator) -> TopBuilder {
    let mut channels = vec![("m_axi_act", "r"), ("m_axi_act", "b"), ("m_axi_cmd", "r")];
    let weight: Vec<String> = (0..a.weight_ports).map(|p| format!("m_axi_w{p}")).collect();
    channels.extend(weight.iter().map(|name| (name.as_str(), "r")));
    if a.load_ports > 1 {
        channels.push((ports::SECOND, "r"));
    }
    let side_by_side = |signal: &str, bit: Option<usize>| {
        let mut parts: Vec<(Net, usize)> = channels
            .iter()
            .map(|(name, channel)| {
                let wire = format!("{name}_{channel}{signal}");
                let net = bit.map_or(Net::Wire(wire.clone()), |b| Net::part(&wire, b, 1));
                (net, 1)
            })
            .collect();
        parts.resize(ANSWERS, (Net::Value(0), 1));
        parts
    };
    // What the second port moves, where there is one.
    let second = |signal: &str| match a.load_ports {
        1 => Net::Value(0),
        _ => Net::Wire(format!("{}_{signal}", ports::SECOND)),
    };
    let top = join(top, "answered", &side_by_side("valid", None));
    let top = join(top, "answer_failed", &side_by_side("resp", Some(1)));
    top.wire("flights", 4)
        .block(
            BlockInstance::new("cnna_bus_error", "i_bus_error", BusError::default())
                .connect("valid", "answered")
                .connect("failed", "answer_failed")
                .connect("error", "bus_error"),
        )
        .block(
            BlockInstance::new("cnna_status", "i_status", Status::default())
                .connect("run", "run")
                .connect("stopping", "stopping")
                .connect("flights", "flights")
                .connect("rvalid", "m_axi_act_rvalid")
                .connect("rready", "act_rready")
                .connect("second_rvalid", second("rvalid"))
                .connect("second_rready", second("rready"))
                .connect("wvalid", "act_wvalid")
                .connect("wready", "m_axi_act_wready")
                .connect("in_flight", "in_flight")
                .connect("busy", "busy")
                .connect("read_beat", "read_beat")
                .connect("second_beat", "second_beat")
                .connect("write_beat", "write_beat"),
        )
}

/// The command stream: bursts, the command register, and the block that deals commands.
fn fetch(top: TopBuilder, a: &Accelerator) -> TopBuilder {
    let beat_bits = 8 * a.beat_bytes();
    let log = address_bits(COMMAND_BITS / beat_bits);
    let top = join(
        top,
        "program_beats",
        &[
            (Net::Value(0), log),
            (Net::part("program_count", 0, 32 - log), 32 - log),
        ],
    );
    let burst = Instance::new("axi_burst", "i_fetch_burst")
        .param("BeatBytes", a.beat_bytes())
        .param("AddrW", ADDRESS_BITS)
        .param("Outstanding", depth::FETCH_BURSTS)
        .param("Segments", "1'b0")
        .clock_reset("aclk", "rst")
        .input("halt_i", 1, "halt")
        .input("base_i", ADDRESS_BITS, "base")
        .input("size_i", 32, "size")
        .input("desc_valid_i", 1, "start")
        .open("desc_ready_o", 1)
        .input("desc_addr_i", 32, "program_offset")
        .input("desc_beats_i", 32, "program_beats")
        .input("desc_segs_i", 16, Net::Value(1))
        .input("desc_stride_i", 32, Net::Value(0))
        .output("valid_o", 1, "m_axi_cmd_arvalid")
        .input("ready_i", 1, "m_axi_cmd_arready")
        .output("addr_o", ADDRESS_BITS, "m_axi_cmd_araddr")
        .output("len_o", 8, "m_axi_cmd_arlen")
        .input("retire_i", 1, "fetch_retire")
        .output("in_flight_o", 1, Net::part("flights", 3, 1))
        .output("error_o", 1, "fetch_error");
    let command = Instance::new("shift_in", "i_fetched")
        .param("Width", COMMAND_BITS)
        .param("BeatW", beat_bits)
        .clock("aclk")
        .input("take_i", 1, "fetch_take")
        .input("data_i", beat_bits, "m_axi_cmd_rdata")
        .output("data_o", COMMAND_BITS, "fetched");
    // One beat before the command is whole, its words stand one beat higher in the register.
    let early = |net: Net| match net {
        Net::Part { wire, lo, width } => Net::part(&wire, lo + beat_bits, width),
        other => other,
    };
    let mut block = BlockInstance::new("cnna_fetch", "i_fetch", Fetch::new(a))
        .connect("halt", "halt")
        .connect("rvalid", "m_axi_cmd_rvalid")
        .connect("rlast", "m_axi_cmd_rlast")
        .connect("rready", "m_axi_cmd_rready")
        .connect("take", "fetch_take")
        .connect("retire", "fetch_retire")
        .connect("queue", early(head("fetched", "queue")))
        .connect("kind", early(head("fetched", "kind")))
        .connect("stride", field("fetched", isa::Compute::FIELDS, "stride"));
    for (port, fields, name) in [
        ("load_seg_beats", isa::Load::FIELDS, "seg_beats"),
        ("load_seg_count", isa::Load::FIELDS, "seg_count"),
        ("load_stride", isa::Load::FIELDS, "stride"),
        ("load_parity", isa::Load::FIELDS, "parity"),
        ("mode", isa::Compute::FIELDS, "mode"),
        ("paired", isa::Compute::FIELDS, "paired"),
        ("tiles", isa::Compute::FIELDS, "tiles"),
        ("lanes", isa::Compute::FIELDS, "lanes"),
        ("c_count", isa::Compute::FIELDS, "c_count"),
        ("kx_count", isa::Compute::FIELDS, "kx_count"),
        ("ky_count", isa::Compute::FIELDS, "ky_count"),
        ("store_seg_beats", isa::Store::FIELDS, "seg_beats"),
        ("store_seg_count", isa::Store::FIELDS, "seg_count"),
        ("store_rows", isa::Store::FIELDS, "rows"),
    ] {
        block = block.connect(port, early(field("fetched", fields, name)));
    }
    top.instance(burst).instance(command).block(
        block
            .connect("ready", "queue_ready")
            .connect("push", "push")
            .connect("dealt", "dealt")
            .connect("bad", "bad_command"),
    )
}

/// One queue an engine; its head is `head_load` and so on.
fn queues(mut top: TopBuilder, a: &Accelerator) -> TopBuilder {
    top = top.wire("queue_ready", 4).wire("head_valid", 4);
    for (q, name) in QUEUES.iter().enumerate() {
        top = top.instance(
            Instance::new("fifo", &format!("i_queue_{name}"))
                .param("Width", COMMAND_BITS)
                .param("Depth", a.queue_depth)
                .clock_reset("aclk", "rst")
                .input("push_i", 1, Net::part("push", q, 1))
                .input("data_i", COMMAND_BITS, "fetched")
                .output("ready_o", 1, Net::part("queue_ready", q, 1))
                .output("valid_o", 1, Net::part("head_valid", q, 1))
                .output("data_o", COMMAND_BITS, format!("head_{name}"))
                .input("pop_i", 1, Net::part("queue_pop", q, 1)),
        );
    }
    top
}

/// Tokens.
fn tokens(top: TopBuilder) -> TopBuilder {
    let mut block = BlockInstance::new("cnna_tokens", "i_tokens", Tokens::default())
        .connect("enable", "run")
        .connect("valid", "head_valid")
        .connect("ready", "engine_ready")
        .connect("start", "queue_start")
        .connect("pop", "queue_pop")
        .connect("released", "released")
        .connect("result", "result_done")
        .connect("lack_load", "lack_load")
        .connect("lack_weight", "lack_weight")
        .connect("lack_store", "lack_store");
    for name in QUEUES {
        block = block.connect(
            &format!("wait_{name}"),
            head(&format!("head_{name}"), "wait"),
        );
    }
    for name in ["load", "weight", "store"] {
        block = block
            .connect(&format!("{name}_done"), format!("{name}_done"))
            .connect(&format!("{name}_to"), format!("{name}_to"));
    }
    top.wire("engine_ready", 4).block(block)
}

// The accelerator without its bus names: control, queues, engines, buffers, array, post-processing.
// Structure only. One AXI4-Lite slave, one read/write master (activations), Ports + 1 read masters (weights, commands).
`default_nettype none
module core import cnna_pkg::*; #(
  parameter int unsigned T           = 2,
  parameter int unsigned Lanes       = 11,
  parameter int unsigned W           = 16,
  parameter int unsigned ActDepth    = 8192,
  parameter int unsigned WeightDepth = 1024,
  parameter int unsigned BiasDepth   = 128,
  parameter int unsigned OutDepth    = 2048,
  parameter int unsigned Ports       = 3,
  parameter int unsigned Outstanding = 16,
  parameter int unsigned QueueDepth  = 16,
  parameter bit          Winograd    = 1'b1,
  parameter logic [63:0] Hash        = 64'd0,
  localparam int unsigned AddrW = 40,
  localparam int unsigned BeatW = 8 * W
) (
  input  wire logic                   clk_i,
  input  wire logic                   rst_i,
  output logic                        irq_o,
  output logic                        busy_o,
  // AXI4-Lite
  input  wire logic [11:0]            s_awaddr_i,
  input  wire logic                   s_awvalid_i,
  output logic                        s_awready_o,
  input  wire logic [31:0]            s_wdata_i,
  input  wire logic [3:0]             s_wstrb_i,
  input  wire logic                   s_wvalid_i,
  output logic                        s_wready_o,
  output logic [1:0]                  s_bresp_o,
  output logic                        s_bvalid_o,
  input  wire logic                   s_bready_i,
  input  wire logic [11:0]            s_araddr_i,
  input  wire logic                   s_arvalid_i,
  output logic                        s_arready_o,
  output logic [31:0]                 s_rdata_o,
  output logic [1:0]                  s_rresp_o,
  output logic                        s_rvalid_o,
  input  wire logic                   s_rready_i,
  // activations: read
  output logic                        act_arvalid_o,
  input  wire logic                   act_arready_i,
  output logic [AddrW-1:0]            act_araddr_o,
  output logic [7:0]                  act_arlen_o,
  input  wire logic                   act_rvalid_i,
  output logic                        act_rready_o,
  input  wire logic [BeatW-1:0]       act_rdata_i,
  input  wire logic [1:0]             act_rresp_i,
  input  wire logic                   act_rlast_i,
  // activations: write
  output logic                        act_awvalid_o,
  input  wire logic                   act_awready_i,
  output logic [AddrW-1:0]            act_awaddr_o,
  output logic [7:0]                  act_awlen_o,
  output logic                        act_wvalid_o,
  input  wire logic                   act_wready_i,
  output logic [BeatW-1:0]            act_wdata_o,
  output logic                        act_wlast_o,
  input  wire logic                   act_bvalid_i,
  input  wire logic [1:0]             act_bresp_i,
  output logic                        act_bready_o,
  // commands: read
  output logic                        cmd_arvalid_o,
  input  wire logic                   cmd_arready_i,
  output logic [AddrW-1:0]            cmd_araddr_o,
  output logic [7:0]                  cmd_arlen_o,
  input  wire logic                   cmd_rvalid_i,
  output logic                        cmd_rready_o,
  input  wire logic [BeatW-1:0]       cmd_rdata_i,
  input  wire logic [1:0]             cmd_rresp_i,
  input  wire logic                   cmd_rlast_i,
  // weights: read, one a port
  output logic [Ports-1:0]            w_arvalid_o,
  input  wire logic [Ports-1:0]       w_arready_i,
  output logic [Ports*AddrW-1:0]      w_araddr_o,
  output logic [Ports*8-1:0]          w_arlen_o,
  input  wire logic [Ports-1:0]       w_rvalid_i,
  output logic [Ports-1:0]            w_rready_o,
  input  wire logic [Ports*BeatW-1:0] w_rdata_i,
  input  wire logic [Ports*2-1:0]     w_rresp_i,
  input  wire logic [Ports-1:0]       w_rlast_i
);
  localparam int unsigned Perbeat = (W == 16) ? 2 : 1;
  localparam int unsigned N       = 16 * T;
  localparam int unsigned VW      = W + 2;
  localparam int unsigned OutW    = $clog2(OutDepth);

  // Control.
  logic        soft_rst, rst, start, run, the_end;
  logic [63:0] base64;
  logic [31:0] size, prog_offset, prog_count;
  logic        load_flight, weight_flight, store_flight, fetch_flight, in_flight;
  logic        load_error, weight_error, store_error, fetch_error, bus_error_q, bad_command;
  logic        step, lack_load, lack_weight, lack_store, dealt;
  logic [5:0]  saturated;
  logic [255:0] counters;
  logic [511:0] fetched;
  logic [AddrW-1:0] base;
  assign base = base64[AddrW-1:0];
  always_ff @(posedge clk_i) rst <= rst_i | soft_rst;
  assign in_flight = load_flight | weight_flight | store_flight | fetch_flight;
  assign busy_o    = run | in_flight;

  logic [3:0] head_valid, queue_start, queue_pop, engine_ready;
  control #(.Hash(Hash)) i_control (
    .clk_i, .rst_i, .soft_rst_o(soft_rst),
    .awaddr_i(s_awaddr_i), .awvalid_i(s_awvalid_i), .awready_o(s_awready_o),
    .wdata_i(s_wdata_i), .wstrb_i(s_wstrb_i), .wvalid_i(s_wvalid_i), .wready_o(s_wready_o),
    .bresp_o(s_bresp_o), .bvalid_o(s_bvalid_o), .bready_i(s_bready_i),
    .araddr_i(s_araddr_i), .arvalid_i(s_arvalid_i), .arready_o(s_arready_o),
    .rdata_o(s_rdata_o), .rresp_o(s_rresp_o), .rvalid_o(s_rvalid_o), .rready_i(s_rready_i),
    .start_o(start), .run_o(run), .base_o(base64), .size_o(size), .prog_offset_o(prog_offset), .prog_count_o(prog_count),
    .end_i(the_end),
    .load_error_i(load_error), .weight_error_i(weight_error), .store_error_i(store_error),
    .fetch_error_i(fetch_error), .bus_error_i(bus_error_q), .bad_command_i(bad_command), .bad_head_i(fetched[31:0]),
    .step_i(step),
    .wait_load_i  (idle_compute & lack_load),
    .wait_weight_i(idle_compute & lack_weight & ~lack_load),
    .wait_store_i (idle_compute & lack_store & ~lack_load & ~lack_weight),
    .read_beat_i(act_rvalid_i & act_rready_o), .write_beat_i(act_wvalid_o & act_wready_i), .dealt_i(dealt),
    .saturated_i(saturated), .in_flight_i(in_flight), .counters_o(counters), .irq_o
  );
  logic idle_compute;
  assign idle_compute = head_valid[2] & engine_ready[2];

  always_ff @(posedge clk_i) begin
    if (rst) bus_error_q <= 1'b0;
    else begin
      if (act_rvalid_i & act_rresp_i[1]) bus_error_q <= 1'b1;
      if (act_bvalid_i & act_bresp_i[1]) bus_error_q <= 1'b1;
      if (cmd_rvalid_i & cmd_rresp_i[1]) bus_error_q <= 1'b1;
      for (int unsigned p = 0; p < Ports; p++) if (w_rvalid_i[p] & w_rresp_i[p*2+1]) bus_error_q <= 1'b1;
    end
  end
  logic unused_resp;
  always_comb begin
    unused_resp = act_rresp_i[0] | act_bresp_i[0] | cmd_rresp_i[0] | (|base64[63:AddrW]);
    for (int unsigned p = 0; p < Ports; p++) unused_resp = unused_resp | w_rresp_i[p*2];
  end

  // Commands.
  logic [3:0] push, queue_ready;
  fetch #(.W(W), .Lanes(Lanes), .AddrW(AddrW)) i_fetch (
    .clk_i, .rst_i(rst), .base_i(base), .size_i(size),
    .start_i(start), .offset_i(prog_offset), .count_i(prog_count),
    .arvalid_o(cmd_arvalid_o), .arready_i(cmd_arready_i), .araddr_o(cmd_araddr_o), .arlen_o(cmd_arlen_o),
    .rvalid_i(cmd_rvalid_i), .rready_o(cmd_rready_o), .rdata_i(cmd_rdata_i), .rlast_i(cmd_rlast_i),
    .push_o(push), .cmd_o(fetched), .ready_i(queue_ready),
    .dealt_o(dealt), .in_flight_o(fetch_flight), .error_o(fetch_error), .bad_o(bad_command)
  );
  logic [511:0] head [4];
  for (genvar q = 0; q < 4; q++) begin : gen_queue
    fifo #(.Width(512), .Depth(QueueDepth)) i_queue (
      .clk_i, .rst_i(rst), .push_i(push[q]), .data_i(fetched), .ready_o(queue_ready[q]),
      .valid_o(head_valid[q]), .data_o(head[q]), .pop_i(queue_pop[q])
    );
  end

  // Tokens.
  logic       load_signal, weight_signal, store_signal, release_signal, result_signal;
  logic [3:0] load_mask, weight_mask, store_mask, release_mask;
  tokens i_tokens (
    .clk_i, .rst_i(rst), .enable_i(run), .valid_i(head_valid),
    .wait_load_i   (head[0][HEAD_WAIT +: 4]),
    .wait_weight_i (head[1][HEAD_WAIT +: 4]),
    .wait_compute_i(head[2][HEAD_WAIT +: 4]),
    .wait_store_i  (head[3][HEAD_WAIT +: 4]),
    .start_o(queue_start), .pop_i(queue_pop),
    .from_load_i   (load_mask   & {4{load_signal}}),
    .from_weight_i (weight_mask & {4{weight_signal}}),
    .from_compute_i((release_mask & {4{release_signal}}) | {result_signal, 3'b000}),
    .from_store_i  (store_mask  & {4{store_signal}}),
    .lack_load_o(lack_load), .lack_weight_o(lack_weight), .lack_store_o(lack_store)
  );
  assign queue_pop = queue_start & engine_ready;

  // Load.
  logic [4*T-1:0]   act_wen;
  logic [1:0]       act_wbank;
  logic [15:0]      act_wline;
  logic [4*T*W-1:0] act_wdata;
  load_engine #(.T(T), .W(W), .AddrW(AddrW), .Outstanding(Outstanding)) i_load (
    .clk_i, .rst_i(rst), .base_i(base), .size_i(size),
    .cmd_valid_i(queue_start[0]), .cmd_i(head[0]), .cmd_ready_o(engine_ready[0]),
    .signal_o(load_signal), .signal_mask_o(load_mask),
    .arvalid_o(act_arvalid_o), .arready_i(act_arready_i), .araddr_o(act_araddr_o), .arlen_o(act_arlen_o),
    .rvalid_i(act_rvalid_i), .rready_o(act_rready_o), .rdata_i(act_rdata_i), .rlast_i(act_rlast_i),
    .wen_o(act_wen), .wbank_o(act_wbank), .wline_o(act_wline), .wdata_o(act_wdata),
    .in_flight_o(load_flight), .error_o(load_error)
  );

  // Weights and biases.
  logic [Ports-1:0]      wgt_valid;
  logic [Ports*8-1:0]    wgt_lane;
  logic [Ports*16-1:0]   wgt_row;
  logic [Ports*9*W-1:0]  wgt_data;
  logic                  bias_valid;
  logic [15:0]           bias_row;
  logic [1:0]            bias_elem;
  logic [Perbeat*48-1:0] bias_data;
  weight_engine #(.Ports(Ports), .W(W), .AddrW(AddrW), .Outstanding(Outstanding)) i_weight (
    .clk_i, .rst_i(rst), .base_i(base), .size_i(size),
    .cmd_valid_i(queue_start[1]), .cmd_i(head[1]), .cmd_ready_o(engine_ready[1]),
    .signal_o(weight_signal), .signal_mask_o(weight_mask),
    .arvalid_o(w_arvalid_o), .arready_i(w_arready_i), .araddr_o(w_araddr_o), .arlen_o(w_arlen_o),
    .rvalid_i(w_rvalid_i), .rready_o(w_rready_o), .rdata_i(w_rdata_i), .rlast_i(w_rlast_i),
    .wvalid_o(wgt_valid), .wlane_o(wgt_lane), .wrow_o(wgt_row), .wdata_o(wgt_data),
    .bvalid_o(bias_valid), .brow_o(bias_row), .belem_o(bias_elem), .bdata_o(bias_data),
    .in_flight_o(weight_flight), .error_o(weight_error)
  );

  // Compute: steps.
  logic [15:0]       row_a, row_b, off, x, y, w, h, weight_row;
  logic [2:0]        weight_sel;
  logic [1:0]        mode;
  logic              clear, drain, pool_first, pool_last, pass_push;
  logic [7:0]        lanes;
  logic [PASS_W-1:0] pass_new;
  compute_seq #(.T(T), .Lanes(Lanes)) i_seq (
    .clk_i, .rst_i(rst),
    .cmd_valid_i(queue_start[2]), .cmd_i(head[2]), .cmd_ready_o(engine_ready[2]), .step_o(step),
    .row_a_o(row_a), .row_b_o(row_b), .off_o(off), .x_o(x), .y_o(y), .w_o(w), .h_o(h),
    .mode_o(mode), .clear_o(clear), .drain_o(drain), .pool_first_o(pool_first), .pool_last_o(pool_last), .lanes_o(lanes),
    .weight_row_o(weight_row), .weight_sel_o(weight_sel),
    .pass_o(pass_push), .pass_desc_o(pass_new),
    .release_o(release_signal), .release_mask_o(release_mask)
  );

  // Window and operands: 6 + 2 cycles.
  logic [16*T*W-1:0] window;
  logic [N*VW-1:0]   v;
  act_buffer #(.T(T), .W(W), .Depth(ActDepth)) i_act (
    .clk_i, .wen_i(act_wen), .wbank_i(act_wbank), .wline_i(act_wline), .wdata_i(act_wdata),
    .row_a_i(row_a), .row_b_i(row_b), .off_i(off), .x_i(x), .y_i(y), .w_i(w), .h_i(h), .pool_i(mode == MODE_POOL),
    .window_o(window)
  );
  // The step's flags, beside the window (6) and the operands (8); weight addresses four cycles ahead of those (4).
  typedef struct packed {
    logic [1:0]  mode;
    logic        clear;
    logic        drain;
    logic        pool_first;
    logic        pool_last;
    logic [7:0]  lanes;
    logic [15:0] weight_row;
    logic [2:0]  weight_sel;
  } step_t;
  step_t step_s [9];
  assign step_s[0] = '{mode: mode, clear: clear, drain: drain, pool_first: pool_first, pool_last: pool_last, lanes: lanes,
                       weight_row: weight_row, weight_sel: weight_sel};
  for (genvar s = 1; s < 9; s++) begin : gen_step
    always_ff @(posedge clk_i) step_s[s] <= rst ? '0 : step_s[s-1];
  end
  v_transform #(.T(T), .W(W), .Winograd(Winograd)) i_v (.clk_i, .mode_i(step_s[6].mode), .window_i(window), .v_o(v));

  logic           pool_valid;
  logic [N*W-1:0] pool_max;
  pool_unit #(.T(T), .W(W)) i_pool (
    .clk_i, .rst_i(rst), .first_i(step_s[8].pool_first), .last_i(step_s[8].pool_last), .v_i(v),
    .valid_o(pool_valid), .max_o(pool_max)
  );

  logic            bus_valid;
  logic [N*48-1:0] bus_acc;
  array #(.T(T), .Lanes(Lanes), .W(W), .Depth(WeightDepth), .Ports(Ports), .Winograd(Winograd)) i_array (
    .clk_i, .rst_i(rst),
    .wvalid_i(wgt_valid), .wlane_i(wgt_lane), .wrow_i(wgt_row), .wdata_i(wgt_data),
    .row_i(step_s[4].weight_row), .sel_i(step_s[4].weight_sel), .mode_i(step_s[4].mode),
    .v_i(v), .clear_i(step_s[8].clear), .drain_i(step_s[8].drain), .lanes_i(step_s[8].lanes),
    .pool_valid_i(pool_valid), .pool_i(pool_max),
    .valid_o(bus_valid), .acc_o(bus_acc)
  );

  // Drain queue and the passes' descriptions. Neither fills: the sequencer's pace keeps one pass in the queue.
  logic              drain_valid, drain_pop, pass_valid, pass_pop, drain_ready, pass_ready;
  logic [N*48-1:0]   drain_acc;
  logic [PASS_W-1:0] pass_head;
  fifo #(.Width(N*48), .Depth(32)) i_drain (
    .clk_i, .rst_i(rst), .push_i(bus_valid), .data_i(bus_acc), .ready_o(drain_ready),
    .valid_o(drain_valid), .data_o(drain_acc), .pop_i(drain_pop)
  );
  fifo #(.Width(PASS_W), .Depth(16)) i_pass (
    .clk_i, .rst_i(rst), .push_i(pass_push), .data_i(pass_new), .ready_o(pass_ready),
    .valid_o(pass_valid), .data_o(pass_head), .pop_i(pass_pop)
  );

  // Results.
  localparam int unsigned BiasW = $clog2(BiasDepth);
  logic [BiasW-1:0]  bias_rrow;
  logic [4*48-1:0]   bias_rdata;
  logic [1:0]        out_wen;
  logic [OutW-1:0]   out_waddr [2];
  logic [3:0]        out_wmask [2];
  logic [4*T*W-1:0]  out_wdata [2];
  bias_buffer #(.Depth(BiasDepth), .Perbeat(Perbeat)) i_bias (
    .clk_i, .wvalid_i(bias_valid), .wrow_i(BiasW'(bias_row)), .welem_i(bias_elem), .wdata_i(bias_data),
    .rrow_i(bias_rrow), .rdata_o(bias_rdata)
  );
  post #(.T(T), .W(W), .BiasDepth(BiasDepth), .OutDepth(OutDepth), .Winograd(Winograd)) i_post (
    .clk_i, .rst_i(rst),
    .valid_i(drain_valid), .acc_i(drain_acc), .pop_o(drain_pop), .pass_i(pass_head), .pass_pop_o(pass_pop),
    .bias_row_o(bias_rrow), .bias_i(bias_rdata),
    .wen_o(out_wen), .waddr_o(out_waddr), .wmask_o(out_wmask), .wdata_o(out_wdata),
    .saturated_o(saturated), .signal_o(result_signal)
  );

  // Store.
  logic             out_rbank;
  logic [OutW-1:0]  out_raddr;
  logic [4*T*W-1:0] out_rdata;
  out_buffer #(.T(T), .W(W), .Depth(OutDepth)) i_out (
    .clk_i, .wen_i(out_wen), .waddr_i(out_waddr), .wmask_i(out_wmask), .wdata_i(out_wdata),
    .rbank_i(out_rbank), .raddr_i(out_raddr), .rdata_o(out_rdata)
  );
  store_engine #(.T(T), .W(W), .AddrW(AddrW), .OutDepth(OutDepth)) i_store (
    .clk_i, .rst_i(rst), .base_i(base), .size_i(size),
    .cmd_valid_i(queue_start[3]), .cmd_i(head[3]), .cmd_ready_o(engine_ready[3]),
    .signal_o(store_signal), .signal_mask_o(store_mask), .end_o(the_end), .counters_i(counters),
    .rbank_o(out_rbank), .raddr_o(out_raddr), .rdata_i(out_rdata),
    .awvalid_o(act_awvalid_o), .awready_i(act_awready_i), .awaddr_o(act_awaddr_o), .awlen_o(act_awlen_o),
    .wvalid_o(act_wvalid_o), .wready_i(act_wready_i), .wdata_o(act_wdata_o), .wlast_o(act_wlast_o),
    .bvalid_i(act_bvalid_i), .bready_o(act_bready_o),
    .in_flight_o(store_flight), .error_o(store_error)
  );
  logic unused;
  assign unused = &{1'b0, bias_row, drain_ready, pass_ready, pass_valid, base64[63:AddrW]};

`ifndef SYNTHESIS
  // The two queues behind the array may never refuse: their contents would be lost.
  always_ff @(posedge clk_i) begin
    if (~rst & ~rst_i) begin
      assert (~bus_valid | drain_ready) else $fatal(1, "drain queue overflow (instance %m)");
      assert (~pass_push | pass_ready)  else $fatal(1, "pass queue overflow (instance %m)");
      assert (~drain_valid | pass_valid) else $fatal(1, "results without a description (instance %m)");
    end
  end
`endif
endmodule
`default_nettype wire

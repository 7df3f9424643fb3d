// Weight queue: one command drives all weight ports; it is complete when every port has taken its last beat.
// A command is accepted when every port can take it. signal_o pulses one cycle after the last port's done.
`default_nettype none
module weight_engine import cnna_pkg::*; #(
  parameter int unsigned Ports       = 2,
  parameter int unsigned W           = 16,
  parameter int unsigned AddrW       = 40,
  parameter int unsigned Outstanding = 16,
  localparam int unsigned Perbeat    = (W == 16) ? 2 : 1
) (
  input  wire logic                   clk_i,
  input  wire logic                   rst_i,
  input  wire logic                   halt_i,  // no new bursts; the data of those under way are swallowed
  input  wire logic [AddrW-1:0]       base_i,
  input  wire logic [31:0]            size_i,
  // command whose tokens are there
  input  wire logic                   cmd_valid_i,
  /* verilator lint_off UNUSEDSIGNAL */ // an engine reads its own fields of the command
  input  wire logic [511:0]           cmd_i,
  /* verilator lint_on UNUSEDSIGNAL */
  output logic                        cmd_ready_o,
  // complete
  output logic                        signal_o,
  output logic [3:0]                  signal_mask_o,
  // AXI reads
  output logic [Ports-1:0]            arvalid_o,
  input  wire logic [Ports-1:0]       arready_i,
  output logic [Ports*AddrW-1:0]      araddr_o,
  output logic [Ports*8-1:0]          arlen_o,
  input  wire logic [Ports-1:0]       rvalid_i,
  output logic [Ports-1:0]            rready_o,
  input  wire logic [Ports*8*W-1:0]   rdata_i,
  input  wire logic [Ports-1:0]       rlast_i,
  // weight buffer write, one a port
  output logic [Ports-1:0]            wvalid_o,
  output logic [Ports*8-1:0]          wlane_o,
  output logic [Ports*16-1:0]         wrow_o,
  output logic [Ports*9*W-1:0]        wdata_o,
  // bias buffer write
  output logic                        bvalid_o,
  output logic [15:0]                 brow_o,
  output logic [1:0]                  belem_o,
  output logic [Perbeat*64-1:0]          bdata_o,
  // activation set write: row and data are the bias's
  output logic                        svalid_o,
  // status
  output logic                        in_flight_o,
  output logic                        error_o
);
  logic [Ports-1:0] ready, done, flight, err;
  logic             sig_ready, accept;
  assign cmd_ready_o = (&ready) & sig_ready;
  assign accept      = cmd_valid_i & cmd_ready_o;
  assign in_flight_o = |flight;
  assign error_o     = |err;

  logic [Ports-1:0]             bvalid;
  logic [Ports*16-1:0]          brow;
  logic [Ports*2-1:0]           belem;
  logic [Ports*Perbeat*64-1:0]  bdata;
  logic [Ports-1:0]             svalid;
  // Biases and sets travel on port 0 only.
  assign svalid_o = svalid[0];
  assign bvalid_o = bvalid[0];
  assign brow_o   = brow[15:0];
  assign belem_o  = belem[1:0];
  assign bdata_o  = bdata[Perbeat*64-1:0];
  if (Ports > 1) begin : gen_unused
    logic unused;
    assign unused = &{1'b0, svalid[Ports-1:1], bvalid[Ports-1:1], brow[Ports*16-1:16], belem[Ports*2-1:2], bdata[Ports*Perbeat*64-1:Perbeat*64]};
  end

  // A port's number times the stride, of at most 4 ports: written as a product, three strides would take two DSPs.
  logic [31:0] stride;
  assign stride = cmd_i[WEIGHT_PORT_STRIDE +: WEIGHT_PORT_STRIDE_W];
  for (genvar p = 0; p < Ports; p++) begin : gen_port
    logic high;
    assign high = 8'(p) < cmd_i[WEIGHT_SPLIT +: WEIGHT_SPLIT_W];
    weight_port #(.W(W), .AddrW(AddrW), .Outstanding(Outstanding)) i_port (
      .clk_i, .rst_i, .halt_i, .base_i, .size_i,
      .cmd_valid_i(accept),
      .cmd_ready_o(ready[p]),
      .cmd_addr_i (cmd_i[WEIGHT_DDR +: WEIGHT_DDR_W] + (p[0] ? stride : '0) + (p[1] ? stride << 1 : '0)),
      .cmd_beats_i(high ? cmd_i[WEIGHT_BEATS_HIGH +: WEIGHT_BEATS_HIGH_W] : cmd_i[WEIGHT_BEATS_LOW +: WEIGHT_BEATS_LOW_W]),
      .cmd_lanes_i(high ? cmd_i[WEIGHT_LANES_HIGH +: WEIGHT_LANES_HIGH_W] : cmd_i[WEIGHT_LANES_LOW +: WEIGHT_LANES_LOW_W]),
      .cmd_dest_i (cmd_i[WEIGHT_DEST +: WEIGHT_DEST_W]),
      .cmd_kind_i (cmd_i[HEAD_KIND +: 2]),
      .done_o     (done[p]),
      .arvalid_o(arvalid_o[p]), .arready_i(arready_i[p]), .araddr_o(araddr_o[p*AddrW +: AddrW]), .arlen_o(arlen_o[p*8 +: 8]),
      .rvalid_i(rvalid_i[p]), .rready_o(rready_o[p]), .rdata_i(rdata_i[p*8*W +: 8*W]), .rlast_i(rlast_i[p]),
      .wvalid_o(wvalid_o[p]), .wlane_o(wlane_o[p*8 +: 8]), .wrow_o(wrow_o[p*16 +: 16]), .wdata_o(wdata_o[p*9*W +: 9*W]),
      .bvalid_o(bvalid[p]), .brow_o(brow[p*16 +: 16]), .belem_o(belem[p*2 +: 2]), .bdata_o(bdata[p*Perbeat*64 +: Perbeat*64]),
      .svalid_o(svalid[p]),
      .in_flight_o(flight[p]), .error_o(err[p])
    );
  end

  // Commands finished on each port but not yet on all.
  logic [Ports*4-1:0] ahead_q;
  logic [Ports-1:0]   some;
  logic               all_done;
  always_comb begin
    for (int unsigned p = 0; p < Ports; p++) some[p] = ahead_q[p*4 +: 4] != '0;
  end
  assign all_done = &some;
  logic [3:0] mask;
  logic       mask_valid;
  fifo #(.Width(4), .Depth(DEPTH_WEIGHT)) i_signals (
    .clk_i, .rst_i, .push_i(accept), .data_i(cmd_i[HEAD_SIGNAL +: HEAD_SIGNAL_W]), .ready_o(sig_ready),
    .valid_o(mask_valid), .data_o(mask), .pop_i(all_done)
  );
  always_ff @(posedge clk_i) begin
    signal_mask_o <= mask;
    if (rst_i) begin
      ahead_q  <= '0;
      signal_o <= 1'b0;
    end else begin
      signal_o <= all_done & mask_valid;
      for (int unsigned p = 0; p < Ports; p++) begin
        if (done[p] & ~all_done) ahead_q[p*4 +: 4] <= ahead_q[p*4 +: 4] + 4'd1;
        if (all_done & ~done[p]) ahead_q[p*4 +: 4] <= ahead_q[p*4 +: 4] - 4'd1;
      end
    end
  end
endmodule
`default_nettype wire

// The array: 16 positions x T tiles x Lanes output channels. Finished lanes, one a cycle, leave on one bus.
// Latency: 5 cycles from lane 0's operands to its results on the bus, one more for each lane. No back-pressure.
`default_nettype none
module array import cnna_pkg::*; #(
  parameter int unsigned T        = 2,
  parameter int unsigned Lanes    = 11,
  parameter int unsigned W        = 16,
  parameter int unsigned Depth    = 1024,
  parameter int unsigned Ports    = 2,
  parameter bit          Winograd = 1'b1,
  localparam int unsigned AddrW = $clog2(Depth),
  localparam int unsigned VW    = W + 2,
  localparam int unsigned N     = 16 * T
) (
  input  wire logic                 clk_i,
  input  wire logic                 rst_i,
  // weight buffer write, one a port
  input  wire logic [Ports-1:0]     wvalid_i,
  input  wire logic [Ports*8-1:0]   wlane_i,
  input  wire logic [Ports*16-1:0]  wrow_i,
  input  wire logic [Ports*9*W-1:0] wdata_i,
  // weight read for lane 0, four cycles ahead of the operands
  /* verilator lint_off UNUSEDSIGNAL */ // the field is as wide for every buffer depth
  input  wire logic [15:0]          row_i,
  /* verilator lint_on UNUSEDSIGNAL */
  input  wire logic [2:0]           sel_i,
  input  wire logic [1:0]           mode_i,
  // operands for lane 0
  input  wire logic [N*VW-1:0]      v_i,
  input  wire logic                 diag_i,  // for the lane of this channel alone
  input  wire logic [7:0]           channel_i,
  input  wire logic                 clear_i,
  input  wire logic                 drain_i,
  input  wire logic [7:0]           lanes_i,
  // a channel's maximum, in step with lane 0's accumulators
  input  wire logic                 pool_valid_i,
  input  wire logic [N*W-1:0]       pool_i,
  // results
  output logic                      valid_o,
  output logic [N*ACC_W-1:0]           acc_o
);
  logic [AddrW-1:0] row   [Lanes+1];
  logic [2:0]       sel   [Lanes+1];
  logic [1:0]       mode  [Lanes+1];
  logic [N*VW-1:0]  v     [Lanes+1];
  logic             clear [Lanes+1];
  logic             drain [Lanes+1];
  logic [7:0]       count [Lanes+1];
  logic             diag  [Lanes+1];
  logic [7:0]       channel [Lanes+1];
  logic [Lanes-1:0] soon;
  logic [N*ACC_W-1:0]  acc   [Lanes];
  assign row[0]   = AddrW'(row_i);
  assign sel[0]   = sel_i;
  assign mode[0]  = mode_i;
  assign v[0]     = v_i;
  assign clear[0] = clear_i;
  assign drain[0] = drain_i;
  assign count[0] = lanes_i;
  assign diag[0]  = diag_i;
  assign channel[0] = channel_i;

  for (genvar m = 0; m < Lanes; m++) begin : gen_lane
    localparam int unsigned P = m % Ports;
    lane #(.T(T), .W(W), .Depth(Depth), .Index(m), .Winograd(Winograd)) i_lane (
      .clk_i, .rst_i,
      .wvalid_i(wvalid_i[P] & (wlane_i[P*8 +: 8] == 8'(m / Ports))),
      .wrow_i  (AddrW'(wrow_i[P*16 +: 16])),
      .wdata_i (wdata_i[P*9*W +: 9*W]),
      .row_i(row[m]), .sel_i(sel[m]), .mode_i(mode[m]),
      .row_o(row[m+1]), .sel_o(sel[m+1]), .mode_o(mode[m+1]),
      .v_i(v[m]), .clear_i(clear[m]), .drain_i(drain[m]), .lanes_i(count[m]),
      .diag_i(diag[m]), .channel_i(channel[m]), .diag_o(diag[m+1]), .channel_o(channel[m+1]),
      .v_o(v[m+1]), .clear_o(clear[m+1]), .drain_o(drain[m+1]), .lanes_o(count[m+1]),
      .soon_o(soon[m]), .acc_o(acc[m])
    );
  end
  // The last lane's onward signals end here.
  logic unused;
  assign unused = &{1'b0, row[Lanes], sel[Lanes], mode[Lanes], v[Lanes], clear[Lanes], drain[Lanes], count[Lanes], diag[Lanes], channel[Lanes], wrow_i};

  // At most one lane is done in a cycle: the pace of the sequencer sees to it. In two steps: of four lanes the one that is done,
  // which is known a cycle before; then of all fours.
  localparam int unsigned Fours = (Lanes + 3) / 4;
  logic [4*Fours-1:0] soon_all;
  logic [N*ACC_W-1:0] four [Fours];
  assign soon_all = {{(4*Fours-Lanes){1'b0}}, soon};
  for (genvar f = 0; f < Fours; f++) begin : gen_four
    logic [1:0]         which_q;
    logic               none_q;
    logic [N*ACC_W-1:0] four_q;
    logic [N*ACC_W-1:0] choice [4];
    for (genvar i = 0; i < 4; i++) begin : gen_choice
      if (4*f + i < Lanes) begin : gen_lane
        assign choice[i] = acc[4*f+i];
      end else begin : gen_none
        assign choice[i] = '0;
      end
    end
    always_ff @(posedge clk_i) begin
      which_q <= {soon_all[4*f+2] | soon_all[4*f+3], soon_all[4*f+1] | soon_all[4*f+3]};
      none_q  <= ~|soon_all[4*f +: 4];
      if (none_q) four_q <= '0;
      else        four_q <= choice[which_q];
    end
    assign four[f] = four_q;
  end
  // A channel's maximum takes the same way.
  logic           any_q, any_qq, pool_qq;
  logic [N*W-1:0] pool_q;
  logic [N*ACC_W-1:0] bus;
  always_comb begin
    for (int unsigned k = 0; k < N; k++) bus[k*ACC_W +: ACC_W] = {{(ACC_W-W){pool_q[k*W+W-1]}}, pool_q[k*W +: W]};
    for (int unsigned f = 0; f < Fours; f++) bus = bus | four[f];
  end
  always_ff @(posedge clk_i) begin
    any_q   <= |soon & ~rst_i;
    pool_qq <= pool_valid_i & ~rst_i;
    any_qq  <= any_q & ~rst_i;
    if (pool_valid_i) pool_q <= pool_i;
    else              pool_q <= '0;
    valid_o <= (any_qq | pool_qq) & ~rst_i;
    acc_o   <= bus;
  end
endmodule
`default_nettype wire

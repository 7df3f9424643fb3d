// Command fetch: streams the program from memory and deals commands to the four queues in order.
// A command is dealt when its queue has room; until then nothing behind it is (the compiler's order makes that safe).
// Throughput: one command every (beats a command + 1) cycles. Checks the fields whose zero would hang an engine.
`default_nettype none
module fetch import cnna_pkg::*; #(
  parameter int unsigned W           = 16,
  parameter int unsigned Lanes       = 11,
  parameter int unsigned AddrW       = 40,
  parameter int unsigned Outstanding = 4
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  input  wire logic [AddrW-1:0] base_i,
  input  wire logic [31:0]      size_i,
  // program
  input  wire logic             start_i,
  input  wire logic [31:0]      offset_i,
  input  wire logic [31:0]      count_i,
  // AXI read
  output logic                  arvalid_o,
  input  wire logic             arready_i,
  output logic [AddrW-1:0]      araddr_o,
  output logic [7:0]            arlen_o,
  input  wire logic             rvalid_i,
  output logic                  rready_o,
  input  wire logic [8*W-1:0]   rdata_i,
  input  wire logic             rlast_i,
  // queues
  output logic [3:0]            push_o,
  output logic [511:0]          cmd_o,
  input  wire logic [3:0]       ready_i,
  // status
  output logic                  dealt_o,
  output logic                  in_flight_o,
  output logic                  error_o,      // address
  output logic                  bad_o         // malformed command, with cmd_o
);
  localparam int unsigned BeatW  = 8 * W;
  localparam int unsigned Beats  = 512 / BeatW;
  localparam int unsigned CountW = $clog2(Beats);

  logic unused_ready;
  axi_burst #(.BeatBytes(W), .AddrW(AddrW), .Outstanding(Outstanding)) i_burst (
    .clk_i, .rst_i, .base_i, .size_i,
    .desc_valid_i(start_i), .desc_ready_o(unused_ready),
    .desc_addr_i(offset_i), .desc_beats_i(count_i << CountW), .desc_segs_i(16'd1), .desc_stride_i(32'd0),
    .valid_o(arvalid_o), .ready_i(arready_i), .addr_o(araddr_o), .len_o(arlen_o),
    .retire_i(rvalid_i & rready_o & rlast_i), .in_flight_o, .error_o
  );

  logic [CountW-1:0] beat_q;
  logic              full_q, bad_q, push;
  logic [3:0]        target;
  assign rready_o = ~full_q;
  assign target   = 4'b0001 << cmd_o[1:0];
  assign push     = full_q & ~bad & ~bad_q & (|(target & ready_i));
  assign push_o   = push ? target : 4'b0000;
  assign dealt_o  = push;
  assign bad_o    = bad_q;

  // A zero count, an impossible stride or too many lanes.
  logic bad, load_bad, compute_bad, store_bad;
  logic [2:0] stride_load, stride_compute;
  assign stride_load    = cmd_o[LOAD_STRIDE +: 3];
  assign stride_compute = cmd_o[COMPUTE_STRIDE +: 3];
  assign load_bad = (cmd_o[LOAD_SEG_BEATS +: 16] == '0) | (cmd_o[LOAD_SEG_COUNT +: 16] == '0)
                  | ((stride_load != 3'd1) & (stride_load != 3'd2) & (stride_load != 3'd4));
  assign compute_bad = (cmd_o[COMPUTE_TILES +: 16] == '0) | (cmd_o[COMPUTE_LANES +: 16] == '0)
                     | (cmd_o[COMPUTE_C_COUNT +: 16] == '0) | (cmd_o[COMPUTE_KX_COUNT +: 16] == '0)
                     | (cmd_o[COMPUTE_KY_COUNT +: 16] == '0)
                     | ((cmd_o[COMPUTE_MODE +: 2] != MODE_POOL) & (cmd_o[COMPUTE_LANES +: 16] > 16'(Lanes)))
                     | ((stride_compute != 3'd1) & (stride_compute != 3'd2) & (stride_compute != 3'd4));
  assign store_bad = (cmd_o[HEAD_KIND +: 6] == '0)
                   & ((cmd_o[STORE_SEG_BEATS +: 16] == '0) | (cmd_o[STORE_SEG_COUNT +: 16] == '0));
  always_comb begin
    unique case (cmd_o[1:0])
      2'd0:    bad = load_bad;
      2'd1:    bad = cmd_o[HEAD_KIND +: 6] > 6'd2;
      2'd2:    bad = compute_bad;
      default: bad = store_bad | (cmd_o[HEAD_KIND +: 6] > 6'd2);
    endcase
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      beat_q <= '0;
      full_q <= 1'b0;
      bad_q  <= 1'b0;
    end else begin
      if (rvalid_i & rready_o) begin
        beat_q <= beat_q + 1'b1;
        if (&beat_q) full_q <= 1'b1;
      end
      if (push) full_q <= 1'b0;
      if (full_q & bad) bad_q <= 1'b1;
    end
    if (rvalid_i & rready_o) cmd_o <= {rdata_i, cmd_o[511:BeatW]};
  end
endmodule
`default_nettype wire

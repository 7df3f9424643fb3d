// One output channel (VECTOR: eight): its weight rows, their transform, and 16T multiply-accumulators.
// The operands v arrive one cycle later in each lane: this lane passes them on. Weight addresses travel the same way, four
// cycles ahead. soon_o: in the next cycle, and only then, acc_o holds a finished pass; the next may overwrite it after that.
// With diag_i the operands are of channel channel_i, and count in the lane of that number alone.
`default_nettype none
module lane import cnna_pkg::*; #(
  parameter int unsigned T        = 2,
  parameter int unsigned W        = 16,
  parameter int unsigned Depth    = 1024,
  parameter int unsigned Index    = 0,
  parameter bit          Winograd = 1'b1,
  localparam int unsigned AddrW = $clog2(Depth),
  localparam int unsigned UW    = W + 4,
  localparam int unsigned VW    = W + 2,
  localparam int unsigned N     = 16 * T
) (
  input  wire logic              clk_i,
  input  wire logic              rst_i,
  // weight buffer write
  input  wire logic              wvalid_i,
  input  wire logic [AddrW-1:0]  wrow_i,
  input  wire logic [9*W-1:0]    wdata_i,
  // weight read, four cycles ahead of the operands
  input  wire logic [AddrW-1:0]  row_i,
  input  wire logic [2:0]        sel_i,
  input  wire logic [1:0]        mode_i,
  output logic [AddrW-1:0]       row_o,
  output logic [2:0]             sel_o,
  output logic [1:0]             mode_o,
  // operands
  input  wire logic [N*VW-1:0]   v_i,
  input  wire logic              clear_i,
  input  wire logic              drain_i,
  input  wire logic [7:0]        lanes_i,
  input  wire logic              diag_i,
  input  wire logic [7:0]        channel_i,
  output logic [N*VW-1:0]        v_o,
  output logic                   clear_o,
  output logic                   drain_o,
  output logic [7:0]             lanes_o,
  output logic                   diag_o,
  output logic [7:0]             channel_o,
  // results
  output logic                   soon_o,
  output logic [N*ACC_W-1:0]        acc_o
);
  always_ff @(posedge clk_i) begin
    row_o   <= row_i;
    sel_o   <= sel_i;
    mode_o  <= mode_i;
    v_o     <= v_i;
    clear_o <= clear_i;
    drain_o <= drain_i & ~rst_i;
    lanes_o <= lanes_i;
    diag_o  <= diag_i;
    channel_o <= channel_i;
  end

  // Weight row: two cycles; mode and selection wait for it.
  logic [9*W-1:0] row;
  logic [2:0]     sel_q, sel_qq;
  logic [1:0]     mode_q, mode_qq;
  ram #(.Depth(Depth), .Words(1), .WordW(9*W)) i_weights (
    .clk_i, .wen_i(wvalid_i), .waddr_i(wrow_i), .wdata_i, .raddr_i(row_i), .rdata_o(row)
  );
  always_ff @(posedge clk_i) begin
    sel_q   <= sel_i;
    sel_qq  <= sel_q;
    mode_q  <= mode_i;
    mode_qq <= mode_q;
  end
  logic [16*UW-1:0] u;
  u_transform #(.W(W), .Winograd(Winograd)) i_u (.clk_i, .mode_i(mode_qq), .sel_i(sel_qq), .row_i(row), .u_o(u));

  logic clear_q, clear_qq;
  logic done_q;
  logic idle;                    // another lane's operands
  assign idle = diag_i & (channel_i != 8'(Index));
  always_ff @(posedge clk_i) begin
    clear_q  <= clear_i;
    clear_qq <= clear_q;
    done_q   <= drain_i & (8'(Index) < lanes_i) & ~rst_i;
    soon_o   <= done_q & ~rst_i;
  end
  for (genvar t = 0; t < T; t++) begin : gen_tile
    for (genvar k = 0; k < 16; k++) begin : gen_position
      mac #(.UW(UW), .VW(VW)) i_mac (
        .clk_i,
        .u_i    (u[k*UW +: UW]),
        .v_i    (v_i[(t*16+k)*VW +: VW]),
        .idle_i (idle),
        .clear_i(clear_qq),
        .acc_o  (acc_o[(t*16+k)*ACC_W +: ACC_W])
      );
    end
  end
endmodule
`default_nettype wire

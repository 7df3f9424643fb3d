// The address channel of axi3_read and axi3_write: each burst of wide beats leaves as one or two bursts of at most 16 narrow beats.
// Latency: 1 cycle. Throughput: one narrow burst a cycle while at most Depth are without an answer.
// A burst stays within 4 KiB, as AXI demands, and so do its parts. Cuts the path from valid to valid and the payload's.
`default_nettype none
module axi3_address #(
  parameter int unsigned AddrW = 32,
  parameter int unsigned Depth = 32
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  // wide: at most 16 beats of 16 bytes
  input  wire logic             valid_i,
  output logic                  ready_o,
  input  wire logic [AddrW-1:0] addr_i,
  input  wire logic [3:0]       len_i,
  input  wire logic [6:0]       kind_i,   // cache and protection
  // narrow: at most 16 beats of 8 bytes
  output logic                  valid_o,
  input  wire logic             ready_i,
  output logic [AddrW-1:0]      addr_o,
  output logic [3:0]            len_o,
  output logic [6:0]            kind_o,
  // of the oldest narrow burst without an answer: it ends a wide one
  output logic                  ends_o,
  input  wire logic             retire_i
);
  logic             valid_q, room, issue, last;
  logic [AddrW-1:0] addr_q;
  logic [5:0]       left_q;   // narrow beats
  logic [6:0]       kind_q;
  assign last    = left_q <= 6'd16;
  assign valid_o = valid_q & room;
  assign issue   = valid_o & ready_i;
  assign ready_o = ~valid_q | (issue & last);
  assign addr_o  = addr_q;
  assign len_o   = last ? left_q[3:0] - 4'd1 : 4'd15;
  assign kind_o  = kind_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) valid_q <= 1'b0;
    else if (ready_o) valid_q <= valid_i;
    if (ready_o) begin
      addr_q <= addr_i;
      left_q <= {1'b0, len_i, 1'b0} + 6'd2;
      kind_q <= kind_i;
    end else if (issue) begin
      // 16 beats of 8 bytes on; what lies above a page does not change.
      addr_q[11:7] <= addr_q[11:7] + 5'd1;
      left_q       <= left_q - 6'd16;
    end
  end

  logic some;
  fifo #(.Width(1), .Depth(Depth)) i_parts (
    .clk_i, .rst_i, .push_i(issue), .data_i(last), .ready_o(room),
    .valid_o(some), .data_o(ends_o), .pop_i(retire_i)
  );
`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (~rst_i) begin
      assert (~retire_i | some) else $fatal(1, "an answer to no burst (instance %m)");
      assert (~(issue & ~last) | (addr_q[11:7] != '1)) else $fatal(1, "a burst crosses 4 KiB at %h (instance %m)", addr_q);
    end
  end
`else
  logic unused;
  assign unused = some;
`endif
endmodule
`default_nettype wire

// Small queue in distributed RAM, first word falls through.
// Latency: 1 cycle from push to valid_o. Throughput: 1 a cycle. push_i is ignored when full, pop_i when empty.
// Cuts the path from ready to ready: ready_o depends on registers only.
`default_nettype none
module fifo #(
  parameter int unsigned Width = 8,
  parameter int unsigned Depth = 4
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  // in
  input  wire logic             push_i,
  input  wire logic [Width-1:0] data_i,
  output logic                  ready_o,
  // out
  output logic                  valid_o,
  output logic [Width-1:0]      data_o,
  input  wire logic             pop_i
);
  localparam int unsigned PtrW = $clog2(Depth);
  localparam logic [PtrW-1:0] LastPtr = PtrW'(Depth - 1);
  (* ram_style = "distributed" *) logic [Width-1:0] mem [Depth];
  logic [PtrW-1:0] rptr_q, wptr_q;
  logic [PtrW:0]   count_q;
  logic            push, pop;

  assign ready_o = count_q != (PtrW+1)'(Depth);
  assign valid_o = count_q != '0;
  assign data_o  = mem[rptr_q];
  assign push    = push_i & ready_o;
  assign pop     = pop_i & valid_o;

  always_ff @(posedge clk_i) begin
    if (push) mem[wptr_q] <= data_i;
    if (rst_i) begin
      rptr_q  <= '0;
      wptr_q  <= '0;
      count_q <= '0;
    end else begin
      if (push) wptr_q <= (wptr_q == LastPtr) ? '0 : wptr_q + 1'b1;
      if (pop)  rptr_q <= (rptr_q == LastPtr) ? '0 : rptr_q + 1'b1;
      if (push & ~pop) count_q <= count_q + 1'b1;
      if (pop & ~push) count_q <= count_q - 1'b1;
    end
  end
endmodule
`default_nettype wire

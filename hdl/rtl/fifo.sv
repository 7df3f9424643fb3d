// Small queue in distributed RAM, first word falls through.
// Latency: 1 cycle from push to valid_o. Throughput: 1 a cycle. push_i is ignored when full, pop_i when empty.
// Cuts the path from ready to ready: ready_o depends on registers only. Head: the first word is in registers, so that nothing
// waits for the RAM, at a multiplexer and a register a bit; without it data_o comes from the RAM.
`default_nettype none
module fifo #(
  parameter int unsigned Width = 8,
  parameter int unsigned Depth = 4,
  parameter bit          Head  = 1'b1
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
  logic            push, pop, write, read, more, valid_q;

  assign ready_o = count_q != (PtrW+1)'(Depth);
  assign valid_o = valid_q;
  assign push    = push_i & ready_o;
  assign pop     = pop_i & valid_o;
  assign more    = count_q > (PtrW+1)'(1);

  if (Head) begin : gen_head
    // The RAM holds what is behind the head; a word that finds nothing there goes into the head at once.
    logic [Width-1:0] head_q;
    logic             free;
    assign free  = pop_i | ~valid_o;
    assign write = push & (more | ~free);
    assign read  = pop & more;
    assign data_o = head_q;
    always_ff @(posedge clk_i) if (free) head_q <= more ? mem[rptr_q] : data_i;
  end else begin : gen_ram
    assign write  = push;
    assign read   = pop;
    assign data_o = mem[rptr_q];
  end

  always_ff @(posedge clk_i) begin
    if (write) mem[wptr_q] <= data_i;
    if (rst_i) begin
      rptr_q  <= '0;
      wptr_q  <= '0;
      count_q <= '0;
      valid_q <= 1'b0;
    end else begin
      valid_q <= push | more | (valid_q & ~pop_i);
      if (write) wptr_q <= (wptr_q == LastPtr) ? '0 : wptr_q + 1'b1;
      if (read)  rptr_q <= (rptr_q == LastPtr) ? '0 : rptr_q + 1'b1;
      if (push & ~pop) count_q <= count_q + 1'b1;
      if (pop & ~push) count_q <= count_q - 1'b1;
    end
  end
endmodule
`default_nettype wire

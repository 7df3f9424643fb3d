// Simple dual-port RAM: one write port with word enables, one read port.
// Purpose: the one cell from which every block RAM buffer is built. Latency: 2 cycles (output register). No reset.
// Does not resolve a read of the address being written: the token protocol keeps them apart.
`default_nettype none
module ram #(
  parameter int unsigned Depth = 512,
  parameter int unsigned Words = 1,    // words of a line
  parameter int unsigned WordW = 16,   // bits of a word
  localparam int unsigned AddrW = $clog2(Depth)
) (
  input  wire logic                   clk_i,
  // write
  input  wire logic [Words-1:0]       wen_i,
  input  wire logic [AddrW-1:0]       waddr_i,
  input  wire logic [Words*WordW-1:0] wdata_i,
  // read
  input  wire logic [AddrW-1:0]       raddr_i,
  output logic [Words*WordW-1:0]      rdata_o
);
  for (genvar w = 0; w < Words; w++) begin : gen_word
    (* ram_style = "block" *) logic [WordW-1:0] mem [Depth];
    logic [WordW-1:0] read_q;
    always_ff @(posedge clk_i) begin
      if (wen_i[w]) mem[waddr_i] <= wdata_i[w*WordW +: WordW];
      read_q <= mem[raddr_i];
      rdata_o[w*WordW +: WordW] <= read_q;
    end
  end
endmodule
`default_nettype wire

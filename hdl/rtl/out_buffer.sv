// Output buffer: two row banks of lines of 4T words, written in quarter lines, read a line at a time; beside it the same line of
// bank 1.
// Latency: 2 cycles.
`default_nettype none
module out_buffer #(
  parameter int unsigned T     = 2,
  parameter int unsigned W     = 16,
  parameter int unsigned Depth = 512,
  localparam int unsigned AddrW = $clog2(Depth),
  localparam int unsigned LineW = 4 * T * W
) (
  input  wire logic             clk_i,
  // write, one bank beside the other
  input  wire logic [1:0]         wen_i,
  input  wire logic [2*AddrW-1:0] waddr_i,
  input  wire logic [2*4-1:0]     wmask_i,
  input  wire logic [2*LineW-1:0] wdata_i,
  // read
  input  wire logic               rbank_i,
  input  wire logic [AddrW-1:0]   raddr_i,
  output logic [LineW-1:0]        rdata_o,
  output logic [LineW-1:0]        second_o
);
  logic [LineW-1:0] rdata [2];
  for (genvar b = 0; b < 2; b++) begin : gen_bank
    ram #(.Depth(Depth), .Words(4), .WordW(T*W)) i_bank (
      .clk_i,
      .wen_i  (wmask_i[b*4 +: 4] & {4{wen_i[b]}}),
      .waddr_i(waddr_i[b*AddrW +: AddrW]),
      .wdata_i(wdata_i[b*LineW +: LineW]),
      .raddr_i,
      .rdata_o(rdata[b])
    );
  end
  logic bank_q, bank_qq;
  always_ff @(posedge clk_i) begin
    bank_q  <= rbank_i;
    bank_qq <= bank_q;
  end
  assign rdata_o  = bank_qq ? rdata[1] : rdata[0];
  assign second_o = rdata[1];
endmodule
`default_nettype wire

// Residual buffer: two row banks of lines of 4T words, as the output buffer, filled by loads, read in both banks at once.
// Latency: 2 cycles. Addresses count modulo the depth.
`default_nettype none
module residual_buffer #(
  parameter int unsigned T     = 2,
  parameter int unsigned W     = 16,
  parameter int unsigned Depth = 1024,
  localparam int unsigned AddrW = $clog2(Depth),
  localparam int unsigned Cols  = 4 * T,
  localparam int unsigned LineW = Cols * W
) (
  input  wire logic               clk_i,
  // write: words of a line
  input  wire logic [Cols-1:0]    wen_i,
  input  wire logic               wbank_i,
  /* verilator lint_off UNUSEDSIGNAL */ // as wide as any buffer's line
  input  wire logic [15:0]        wline_i,
  /* verilator lint_on UNUSEDSIGNAL */
  input  wire logic [LineW-1:0]   wdata_i,
  // read
  input  wire logic [AddrW-1:0]   raddr_i,
  output logic [2*LineW-1:0]      rdata_o
);
  // Loads write whole quarters.
  logic [3:0] quarters;
  always_comb begin
    for (int unsigned q = 0; q < 4; q++) quarters[q] = wen_i[q*T];
  end
  for (genvar b = 0; b < 2; b++) begin : gen_bank
    ram #(.Depth(Depth), .Words(4), .WordW(T*W)) i_bank (
      .clk_i,
      .wen_i  (quarters & {4{wbank_i == 1'(b)}}),
      .waddr_i(wline_i[AddrW-1:0]),
      .wdata_i,
      .raddr_i,
      .rdata_o(rdata_o[b*LineW +: LineW])
    );
  end
  logic unused;
  assign unused = ^wen_i;
endmodule
`default_nettype wire

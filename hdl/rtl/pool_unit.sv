// Running maximum of the 16T pixels over the taps of one channel.
// Latency: 3 cycles from the operands to the maximum, as an accumulator's. first_i and last_i belong to the operands.
`default_nettype none
module pool_unit #(
  parameter int unsigned T = 2,
  parameter int unsigned W = 16,
  localparam int unsigned VW = W + 2,
  localparam int unsigned N  = 16 * T
) (
  input  wire logic            clk_i,
  input  wire logic            rst_i,
  input  wire logic            first_i,
  input  wire logic            last_i,
  input  wire logic [N*VW-1:0] v_i,
  output logic                 valid_o,
  output logic [N*W-1:0]       max_o
);
  logic [N*W-1:0] max_q, max_qq;
  logic           last_q, last_qq;
  always_ff @(posedge clk_i) begin
    for (int unsigned k = 0; k < N; k++) begin
      if (first_i | ($signed(v_i[k*VW +: W]) > $signed(max_q[k*W +: W]))) max_q[k*W +: W] <= v_i[k*VW +: W];
    end
    max_qq  <= max_q;
    max_o   <= max_qq;
    last_q  <= last_i & ~rst_i;
    last_qq <= last_q & ~rst_i;
    valid_o <= last_qq & ~rst_i;
  end
  logic unused;
  always_comb begin
    unused = 1'b0;
    for (int unsigned k = 0; k < N; k++) unused = unused | (^v_i[k*VW+W +: 2]);
  end
endmodule
`default_nettype wire

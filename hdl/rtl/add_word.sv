// Sum of two words, saturated; over_o and under_o: it left the word, to that side.
// Latency: 1 cycle, 1 a cycle.
`default_nettype none
module add_word #(
  parameter int unsigned W = 16
) (
  input  wire logic         clk_i,
  input  wire logic [W-1:0] a_i,
  input  wire logic [W-1:0] b_i,
  output logic [W-1:0]      word_o,
  output logic              over_o,
  output logic              under_o
);
  localparam logic [W-1:0] Max = {1'b0, {(W-1){1'b1}}};
  logic signed [W:0] sum;
  assign sum = $signed({a_i[W-1], a_i}) + $signed({b_i[W-1], b_i});
  always_ff @(posedge clk_i) begin
    over_o  <= ~sum[W] & sum[W-1];
    under_o <= sum[W] & ~sum[W-1];
    word_o  <= (sum[W] == sum[W-1]) ? sum[W-1:0] : sum[W] ? ~Max : Max;
  end
endmodule
`default_nettype wire

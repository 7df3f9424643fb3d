// Beats of a stream side by side in one word, the first in the lowest bits once Width / BeatW of them are taken.
`default_nettype none
module shift_in #(
  parameter int unsigned Width = 512,
  parameter int unsigned BeatW = 128
) (
  input  wire logic             clk_i,
  input  wire logic             take_i,
  input  wire logic [BeatW-1:0] data_i,
  output logic [Width-1:0]      data_o
);
  always_ff @(posedge clk_i) if (take_i) data_o <= {data_i, data_o[Width-1:BeatW]};
endmodule
`default_nettype wire

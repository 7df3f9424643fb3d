// A word, kept from the cycle after take_i until the next.
`default_nettype none
module hold #(
  parameter int unsigned Width = 1
) (
  input  wire logic             clk_i,
  input  wire logic             take_i,
  input  wire logic [Width-1:0] data_i,
  output logic [Width-1:0]      data_o
);
  always_ff @(posedge clk_i) if (take_i) data_o <= data_i;
endmodule
`default_nettype wire

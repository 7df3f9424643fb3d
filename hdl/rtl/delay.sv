// A word, Stages cycles later. Reset empties it.
`default_nettype none
module delay #(
  parameter int unsigned Width  = 1,
  parameter int unsigned Stages = 1
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  input  wire logic [Width-1:0] data_i,
  output logic [Width-1:0]      data_o
);
  logic [Width-1:0] stage_q [Stages];
  always_ff @(posedge clk_i) stage_q[0] <= rst_i ? '0 : data_i;
  for (genvar s = 1; s < Stages; s++) begin : gen_stage
    always_ff @(posedge clk_i) stage_q[s] <= rst_i ? '0 : stage_q[s-1];
  end
  assign data_o = stage_q[Stages-1];
endmodule
`default_nettype wire

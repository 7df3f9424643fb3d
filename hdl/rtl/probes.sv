// What a simulation watches: whether the machine is busy, and that the queues behind the array never refuse, since their
// contents would be lost. No logic: synthesis drops it.
`default_nettype none
module probes (
  input  wire logic clk_i,
  input  wire logic rst_i,
  input  wire logic busy_i,
  // drain queue
  input  wire logic drain_push_i,
  input  wire logic drain_ready_i,
  input  wire logic drain_valid_i,
  // queue of the passes' descriptions
  input  wire logic pass_push_i,
  input  wire logic pass_ready_i,
  input  wire logic pass_valid_i
);
  logic busy /* verilator public_flat_rd */;
  assign busy = busy_i;
`ifdef SYNTHESIS
  logic unused;
  assign unused = &{1'b0, clk_i, rst_i, busy, drain_push_i, drain_ready_i, drain_valid_i, pass_push_i, pass_ready_i, pass_valid_i};
`else
  always_ff @(posedge clk_i) begin
    if (~rst_i) begin
      assert (~drain_push_i | drain_ready_i) else $fatal(1, "drain queue overflow (instance %m)");
      assert (~pass_push_i | pass_ready_i)   else $fatal(1, "pass queue overflow (instance %m)");
      assert (~drain_valid_i | pass_valid_i) else $fatal(1, "results without a description (instance %m)");
    end
  end
`endif
endmodule
`default_nettype wire

// One DSP48: operand registers, product register, 48-bit accumulator. acc = (clear ? 0 : acc) + u * v, modulo 2^48.
// Latency: 3 cycles from operands to accumulator; clear_i belongs to the operands two cycles before it. idle_i: these operands
// count as zero, by the register's reset.
// The clear is written as an AND in front of the adder: in this form synthesis packs the whole cell into one slice.
`default_nettype none
module mac #(
  parameter int unsigned UW = 20,
  parameter int unsigned VW = 18
) (
  input  wire logic                 clk_i,
  input  wire logic signed [UW-1:0] u_i,
  input  wire logic signed [VW-1:0] v_i,
  input  wire logic                 idle_i,
  input  wire logic                 clear_i,
  output logic signed [47:0]        acc_o
);
  logic signed [UW-1:0]    u_q;
  logic signed [VW-1:0]    v_q;
  logic signed [UW+VW-1:0] p_q;
  logic signed [47:0]      product;
  assign product = {{(48-UW-VW){p_q[UW+VW-1]}}, p_q};
  always_ff @(posedge clk_i) begin
    if (idle_i) u_q <= '0;
    else        u_q <= u_i;
    v_q   <= v_i;
    p_q   <= u_q * v_q;
    acc_o <= (clear_i ? 48'sd0 : acc_o) + product;
  end
endmodule
`default_nettype wire

// One DSP48: operand registers, product register, 48-bit accumulator: acc = (clear ? 0 : acc) + u * v, modulo 2^48.
// Paired: acc = (clear ? 0 : acc) + (u + x) * (v + w); u + x is the slice's pre-adder, v + w a small adder before its port B.
// With x = w = 0 that is the same. With words in all four it is u * v + x * w, and beside it v * x, which lane 0 finds alone, and
// u * w, which the bias takes back (Winograd's inner product, 1968: docs/architecture.md).
// Latency: 3 cycles from operands to accumulator; clear_i belongs to the operands two cycles before it. idle_i: these operands
// count as zero, by the reset of one register: paired it is v's, for a pre-adder's has none that synthesis is sure to use.
// The clear is written as an AND in front of the adder: in this form synthesis packs the whole cell into one slice.
`default_nettype none
module mac #(
  parameter int unsigned UW     = 20,
  parameter int unsigned VW     = 18,
  parameter int unsigned W      = 16,   // bits of x and w
  parameter bit          Paired = 1'b0
) (
  input  wire logic                 clk_i,
  input  wire logic signed [UW-1:0] u_i,
  input  wire logic signed [VW-1:0] v_i,
  input  wire logic [W-1:0]         x_i,
  input  wire logic [W-1:0]         w_i,
  input  wire logic                 idle_i,
  input  wire logic                 clear_i,
  output logic signed [47:0]        acc_o
);
  logic signed [UW-1:0]    u_q;
  logic signed [VW-1:0]    v_q;
  logic signed [UW+VW-1:0] p_q;
  logic signed [47:0]      product;
  assign product = {{(48-UW-VW){p_q[UW+VW-1]}}, p_q};
  if (Paired) begin : gen_paired
    logic signed [UW-1:0] x;
    logic signed [VW-1:0] w;
    assign x = {{(UW-W){x_i[W-1]}}, x_i};
    assign w = {{(VW-W){w_i[W-1]}}, w_i};
    always_ff @(posedge clk_i) begin
      u_q <= u_i + x;
      if (idle_i) v_q <= '0;
      else        v_q <= v_i + w;
    end
  end else begin : gen_single
    always_ff @(posedge clk_i) begin
      if (idle_i) u_q <= '0;
      else        u_q <= u_i;
      v_q <= v_i;
    end
    logic unused;
    assign unused = &{1'b0, x_i, w_i};
  end
  always_ff @(posedge clk_i) begin
    p_q   <= u_q * v_q;
    acc_o <= (clear_i ? 48'sd0 : acc_o) + product;
  end
endmodule
`default_nettype wire

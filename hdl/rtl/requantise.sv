// Accumulator to word: add half, shift right (half up), or shift left; saturate; activate.
// Latency: 3 cycles, 1 a cycle. shift_i: -16..=SHIFT_MAX, beside the accumulator; half_i: 2^(shift-1), or 0 for shifts up to 0.
// saturated_o: the value changed by saturation.
// Source: docs/numerics.md; machine::num::requantise is the same arithmetic.
`default_nettype none
module requantise import cnna_pkg::*; #(
  parameter int unsigned W = 16
) (
  input  wire logic               clk_i,
  input  wire logic signed [ACC_W-1:0] acc_i,
  input  wire logic signed [7:0]  shift_i,
  input  wire logic [SHIFT_MAX-1:0] half_i,
  input  wire logic               relu_i,
  output logic [W-1:0]            word_o,
  output logic                    saturated_o
);
  localparam logic signed [ACC_W:0] Max = {{(ACC_W+2-W){1'b0}}, {(W-1){1'b1}}};
  localparam logic signed [ACC_W:0] Min = ~Max;
  // Anything beyond 18 bits saturates at every left shift.
  localparam logic signed [ACC_W:0] Wide = {{(ACC_W-16){1'b0}}, {17{1'b1}}};

  // 1: round, or clamp for the left shift.
  logic signed [ACC_W:0] acc;
  assign acc = {acc_i[ACC_W-1], acc_i};
  logic signed [ACC_W:0] rounded_q;
  logic signed [7:0]  shift_q;
  logic               relu_q, relu_qq;
  logic [7:0]         left;
  always_ff @(posedge clk_i) begin
    shift_q <= shift_i;
    relu_q  <= relu_i;
    if (shift_i[7]) begin
      rounded_q <= (acc > Wide) ? Wide : (acc < ~Wide) ? ~Wide : acc;
    end else begin
      rounded_q <= acc + $signed({{(ACC_W+1-SHIFT_MAX){1'b0}}, half_i});
    end
  end
  // 2: shift.
  logic signed [ACC_W:0] shifted_q;
  assign left = -shift_q;
  always_ff @(posedge clk_i) begin
    relu_qq   <= relu_q;
    shifted_q <= shift_q[7] ? rounded_q <<< left[4:0] : rounded_q >>> shift_q[5:0];
  end
  // 3: saturate, activate.
  logic over, under;
  assign over  = shifted_q > Max;
  assign under = shifted_q < Min;
  always_ff @(posedge clk_i) begin
    // What the activation makes zero anyway alarms nobody.
    saturated_o <= over | (under & ~relu_qq);
    if (over)       word_o <= Max[W-1:0];
    else if (under) word_o <= relu_qq ? '0 : Min[W-1:0];
    else            word_o <= (relu_qq & shifted_q[ACC_W]) ? '0 : shifted_q[W-1:0];
  end
  logic unused;
  assign unused = &{1'b0, left[7:5]};
endmodule
`default_nettype wire

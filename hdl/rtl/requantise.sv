// Accumulator to word: shift right (half up) or left, saturate, add the residual, saturate.
// Latency: 4 cycles, 1 a cycle; residual_i belongs to the third of them. shift_i: the shift plus 16, 0..=63.
// One shifter for both directions: the accumulator stands 16 bits to the left and one more for the bit that rounds, since
// (a + 2^(s-1)) >> s = (a >> s) + bit s - 1 of a.
// clipped_o: the sum before the residual left the word; over_o, under_o: the one behind it did, to that side.
// Source: docs/numerics.md; machine::num::requantise is the same arithmetic.
`default_nettype none
module requantise import cnna_pkg::*; #(
  parameter int unsigned W = 16
) (
  input  wire logic               clk_i,
  input  wire logic signed [ACC_W-1:0] acc_i,
  input  wire logic [5:0]         shift_i,
  input  wire logic [W-1:0]       residual_i,
  output logic [W-1:0]            word_o,
  output logic                    clipped_o,
  output logic                    over_o,
  output logic                    under_o
);
  localparam int unsigned Kept   = W + 2;           // a bit more than the word, and the bit that rounds
  localparam int unsigned Coarse = Kept + 7;        // the same before the last 0 to 7 places
  localparam int unsigned Wide   = ACC_W + 17;
  localparam int unsigned Chunks = (Wide - Coarse + 7) / 8;
  localparam logic [W-1:0] Max = {1'b0, {(W-1){1'b1}}};

  // 1: by multiples of 8. What is cut off above must all be the sign.
  logic [Wide-1:0]          wide;
  logic [55+Coarse:0]       extended;
  logic signed [Coarse-1:0] coarse_q;
  logic                     far_q, sign_q;
  logic [2:0]               fine_q;
  logic [Chunks-1:0]        differs;
  assign wide     = {acc_i, 17'd0};
  assign extended = {{(56+Coarse-Wide){wide[Wide-1]}}, wide};
  always_comb begin
    for (int unsigned k = 0; k < Chunks; k++) begin
      differs[k] = 1'b0;
      for (int unsigned b = 0; b < 8; b++) begin
        if (Coarse - 1 + 8*k + b < Wide) differs[k] = differs[k] | (wide[Coarse - 1 + 8*k + b] != wide[Wide-1]);
      end
    end
  end
  always_ff @(posedge clk_i) begin
    sign_q <= wide[Wide-1];
    fine_q <= shift_i[2:0];
    far_q  <= 1'b0;
    for (int unsigned k = 0; k < Chunks; k++) begin
      if (differs[k] & (shift_i[5:3] <= 3'(k))) far_q <= 1'b1;
    end
    unique case (shift_i[5:3])
      3'd0:    coarse_q <= extended[0 +: Coarse];
      3'd1:    coarse_q <= extended[8 +: Coarse];
      3'd2:    coarse_q <= extended[16 +: Coarse];
      3'd3:    coarse_q <= extended[24 +: Coarse];
      3'd4:    coarse_q <= extended[32 +: Coarse];
      3'd5:    coarse_q <= extended[40 +: Coarse];
      3'd6:    coarse_q <= extended[48 +: Coarse];
      default: coarse_q <= extended[56 +: Coarse];
    endcase
  end
  // 2: by what is left.
  logic signed [Coarse-1:0] fine;
  logic [Kept-1:0]          kept_q;
  logic                     beyond_q, below_q;
  assign fine = coarse_q >>> fine_q;
  always_ff @(posedge clk_i) begin
    kept_q   <= fine[Kept-1:0];
    beyond_q <= far_q | (fine[Coarse-1:Kept-1] != {(Coarse-Kept+1){fine[Coarse-1]}});
    below_q  <= sign_q;
  end
  // 3: round, saturate.
  logic signed [Kept-1:0] rounded;
  logic [W-1:0]           word_q;
  logic                   clipped_q;
  assign rounded = $signed({kept_q[Kept-1], kept_q[Kept-1:1]}) + $signed({{(Kept-1){1'b0}}, kept_q[0]});
  logic fits;
  assign fits = ~beyond_q & (rounded[Kept-1:W-1] == {(Kept-W+1){rounded[Kept-1]}});
  always_ff @(posedge clk_i) begin
    clipped_q <= ~fits;
    word_q    <= fits ? rounded[W-1:0] : below_q ? ~Max : Max;
  end
  // 4: the residual.
  add_word #(.W(W)) i_residual (.clk_i, .a_i(word_q), .b_i(residual_i), .word_o, .over_o, .under_o);
  always_ff @(posedge clk_i) clipped_o <= clipped_q;
endmodule
`default_nettype wire

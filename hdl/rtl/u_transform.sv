// Weight row of one lane to array operands, 16 of them. WINOGRAD: U = (2G) g (2G)'. DIRECT: the selected weight for every
// position, and paired the one behind it as w. VECTOR: weight k mod 8 for position k.
// Latency: 2 cycles. 4 bits wider than a word: docs/numerics.md.
`default_nettype none
module u_transform import cnna_pkg::*; #(
  parameter int unsigned W        = 16,
  parameter bit          Winograd = 1'b1,
  localparam int unsigned UW = W + 4
) (
  input  wire logic           clk_i,
  input  wire logic [1:0]     mode_i,
  input  wire logic           paired_i,
  input  wire logic [2:0]     sel_i,
  input  wire logic [9*W-1:0] row_i,
  output logic [16*UW-1:0]    u_o,
  output logic [W-1:0]        w_o   // of the second channel of a pair, else 0
);
  logic signed [W-1:0]  word [9];
  for (genvar k = 0; k < 9; k++) begin : gen_word
    assign word[k] = row_i[k*W +: W];
  end

  // Sign bits are written out: there are tools that lose some in a cast of a signed value.
  function automatic logic signed [W+1:0] wider(input logic [W-1:0] value);
    return {{2{value[W-1]}}, value};
  endfunction

  function automatic logic [UW-1:0] operand(input logic [W-1:0] value);
    return {{(UW-W){value[W-1]}}, value};
  endfunction

  // Plain weights.
  logic signed [W-1:0] selected;
  logic signed [W-1:0] plain_q [8];
  assign selected = word[{1'b0, sel_i}];
  always_ff @(posedge clk_i) begin
    for (int unsigned k = 0; k < 8; k++) plain_q[k] <= (mode_i == MODE_VECTOR) ? word[k] : selected;
  end

  // Pairs begin at even words.
  logic [W-1:0] second_q;
  always_ff @(posedge clk_i) begin
    second_q <= paired_i ? word[{1'b0, sel_i[2:1], 1'b1}] : '0;
    w_o      <= second_q;
  end

  if (Winograd) begin : gen_winograd
    logic signed [W+1:0] mid_q [4][3];  // (2G) g
    function automatic logic signed [UW-1:0] widest(input logic [W+1:0] value);
      return {{(UW-W-2){value[W+1]}}, value};
    endfunction
    logic                wino_q;
    always_ff @(posedge clk_i) begin
      wino_q <= mode_i == MODE_WINOGRAD;
      for (int unsigned j = 0; j < 3; j++) begin
        mid_q[0][j] <= wider(word[j]) <<< 1;
        mid_q[1][j] <= wider(word[j]) + wider(word[3+j]) + wider(word[6+j]);
        mid_q[2][j] <= wider(word[j]) - wider(word[3+j]) + wider(word[6+j]);
        mid_q[3][j] <= wider(word[6+j]) <<< 1;
      end
    end
    always_ff @(posedge clk_i) begin
      for (int unsigned i = 0; i < 4; i++) begin
        for (int unsigned j = 0; j < 4; j++) u_o[(4*i+j)*UW +: UW] <= operand(plain_q[(4*i+j) % 8]);
        if (wino_q) begin
          u_o[(4*i+0)*UW +: UW] <= widest(mid_q[i][0]) <<< 1;
          u_o[(4*i+1)*UW +: UW] <= widest(mid_q[i][0]) + widest(mid_q[i][1]) + widest(mid_q[i][2]);
          u_o[(4*i+2)*UW +: UW] <= widest(mid_q[i][0]) - widest(mid_q[i][1]) + widest(mid_q[i][2]);
          u_o[(4*i+3)*UW +: UW] <= widest(mid_q[i][2]) <<< 1;
        end
      end
    end
  end else begin : gen_plain
    always_ff @(posedge clk_i) begin
      for (int unsigned k = 0; k < 16; k++) u_o[k*UW +: UW] <= operand(plain_q[k % 8]);
    end
    logic unused;
    assign unused = &{1'b0, word[8]};
  end
endmodule
`default_nettype wire

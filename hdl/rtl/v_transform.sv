// Window to array operands, 16 a tile. WINOGRAD: V = B' d B of tile t's 4x4 window at columns 2t. DIRECT and POOL: the pixels of
// tile t's 4x4 block at columns 4t, paired those of the second window beside them. VECTOR: column 0 of the row of the image that
// the position computes.
// Latency: 2 cycles. Source: Lavin and Gray 2015, scaled-integer form of docs/numerics.md: 2 bits wider than a word.
`default_nettype none
module v_transform import cnna_pkg::*; #(
  parameter int unsigned T        = 2,
  parameter int unsigned W        = 16,
  parameter bit          Winograd = 1'b1,
  parameter bit          Paired   = 1'b0,
  localparam int unsigned Cols = 4 * T,
  localparam int unsigned VW   = W + 2
) (
  input  wire logic              clk_i,
  input  wire logic [1:0]        mode_i,
  input  wire logic [4*Cols*W-1:0] window_i,
  input  wire logic [4*Cols*W-1:0] second_i,
  output logic [T*16*VW-1:0]     v_o,
  output logic [T*16*W-1:0]      x_o
);
  localparam int unsigned ImageTiles = (T < 2) ? 1 : 2;
  logic signed [W:0]    mid_q [T][4][4];   // B' d, or the plain pixel
  logic                 wino_q;

  function automatic logic signed [W:0] pixel(input int unsigned i, input int unsigned j);
    logic [W-1:0] p;
    p = window_i[(i*Cols+j)*W +: W];
    return {p[W-1], p};
  endfunction

  // Sign bits are written out: there are tools that lose some in a cast of a signed value.
  function automatic logic signed [VW-1:0] wider(input logic [W:0] value);
    return {value[W], value};
  endfunction

  always_ff @(posedge clk_i) begin
    wino_q <= Winograd && (mode_i == MODE_WINOGRAD);
    for (int unsigned t = 0; t < T; t++) begin
      for (int unsigned j = 0; j < 4; j++) begin
        for (int unsigned i = 0; i < 4; i++) begin
          // Position k = 4i + j; images are dealt to tiles, then to halves of the positions.
          mid_q[t][i][j] <= (mode_i == MODE_VECTOR) ? pixel((t % ImageTiles) + ImageTiles * (i / 2), 0)
                                                    : pixel(i, 4*t + j);
        end
        if (Winograd && (mode_i == MODE_WINOGRAD)) begin
          mid_q[t][0][j] <= pixel(0, 2*t + j) - pixel(2, 2*t + j);
          mid_q[t][1][j] <= pixel(1, 2*t + j) + pixel(2, 2*t + j);
          mid_q[t][2][j] <= pixel(2, 2*t + j) - pixel(1, 2*t + j);
          mid_q[t][3][j] <= pixel(1, 2*t + j) - pixel(3, 2*t + j);
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    for (int unsigned t = 0; t < T; t++) begin
      for (int unsigned i = 0; i < 4; i++) begin
        for (int unsigned j = 0; j < 4; j++) v_o[((t*4+i)*4+j)*VW +: VW] <= wider(mid_q[t][i][j]);
        if (wino_q) begin
          v_o[((t*4+i)*4+0)*VW +: VW] <= wider(mid_q[t][i][0]) - wider(mid_q[t][i][2]);
          v_o[((t*4+i)*4+1)*VW +: VW] <= wider(mid_q[t][i][1]) + wider(mid_q[t][i][2]);
          v_o[((t*4+i)*4+2)*VW +: VW] <= wider(mid_q[t][i][2]) - wider(mid_q[t][i][1]);
          v_o[((t*4+i)*4+3)*VW +: VW] <= wider(mid_q[t][i][1]) - wider(mid_q[t][i][3]);
        end
      end
    end
  end

  if (Paired) begin : gen_paired
    logic [4*Cols*W-1:0] second_q;
    always_ff @(posedge clk_i) begin
      second_q <= second_i;
      for (int unsigned t = 0; t < T; t++) begin
        for (int unsigned i = 0; i < 4; i++) begin
          for (int unsigned j = 0; j < 4; j++) x_o[((t*4+i)*4+j)*W +: W] <= second_q[(i*Cols+4*t+j)*W +: W];
        end
      end
    end
  end else begin : gen_single
    assign x_o = '0;
    logic unused;
    assign unused = &{1'b0, second_i};
  end
endmodule
`default_nettype wire

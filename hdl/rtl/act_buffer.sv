// Activation buffer and window: 4 rows x 4T columns of one channel plane at any position, zero (POOL: minimum) outside the map.
// Banked by (row mod 4, column mod 4T): a window is one read of every bank, rotated in rows, then in columns.
// Paired: each bank is two sets, told apart by the line's highest bit. A paired step reads the same window in both: of one channel
// in the lower set, of its neighbour in the upper one. Other steps have the sets as one bank, and a second window of zeros.
// Latency: 6 cycles from the step to the window. Throughput: one window a cycle.
`default_nettype none
module act_buffer import cnna_pkg::*; #(
  parameter int unsigned T     = 2,
  parameter int unsigned W     = 16,
  parameter int unsigned Depth = 1024,
  parameter bit          Paired = 1'b0,
  localparam int unsigned Cols = 4 * T,
  localparam int unsigned ColW = $clog2(Cols)
) (
  input  wire logic              clk_i,
  // write: words of one row bank, or of two neighbours, 0 and 1 or 2 and 3; the line may differ between groups of four columns
  input  wire logic [Cols-1:0]   wen_i,
  input  wire logic [1:0]        wbank_i,
  input  wire logic              wboth_i,
  /* verilator lint_off UNUSEDSIGNAL */ // the field is as wide for every buffer depth
  input  wire logic [T*16-1:0]   wline_i,
  /* verilator lint_on UNUSEDSIGNAL */
  input  wire logic [Cols*W-1:0] wdata_i,
  input  wire logic [Cols*W-1:0] wodd_i,   // of banks 1 and 3
  // step
  input  wire logic [15:0]       row_a_i,
  input  wire logic [15:0]       row_b_i,
  input  wire logic [15:0]       off_i,
  input  wire logic [15:0]       x_i,
  input  wire logic [15:0]       y_i,
  input  wire logic [15:0]       w_i,
  input  wire logic [15:0]       h_i,
  input  wire logic              pool_i,
  input  wire logic              paired_i,
  // window: [row][column]
  output logic [4*Cols*W-1:0]    window_o,
  output logic [4*Cols*W-1:0]    second_o
);
  localparam int unsigned AddrW = $clog2(Depth);
  localparam int unsigned Sets  = Paired ? 2 : 1;
  localparam int unsigned SetW  = $clog2(Depth / Sets);

  // 1: line addresses and masks.
  logic [AddrW-1:0] a_q, b_q;
  logic [1:0]       yb_q;
  logic [ColW-1:0]  xb_q;
  logic [3:0]       rmask_q;
  logic [Cols-1:0]  cmask_q;
  logic             pool_q, paired_q;
  logic [15:0]      xline;
  assign xline = {{ColW{x_i[15]}}, x_i[15:ColW]};
  always_ff @(posedge clk_i) begin
    a_q    <= AddrW'(row_a_i + off_i + xline);
    b_q    <= AddrW'(row_b_i + off_i + xline);
    yb_q   <= y_i[1:0];
    xb_q   <= x_i[ColW-1:0];
    pool_q <= pool_i;
    paired_q <= Paired & paired_i;
    // Unsigned comparison: positions before the map are larger than any size.
    for (int unsigned i = 0; i < 4; i++)    rmask_q[i] <= 16'(y_i + 16'(i)) < h_i;
    for (int unsigned j = 0; j < Cols; j++) cmask_q[j] <= 16'(x_i + 16'(j)) < w_i;
  end

  // 2: one address a bank, for both sets.
  logic [AddrW-1:0] addr_q [4][Cols];
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 4; i++) begin
      for (int unsigned j = 0; j < Cols; j++) begin
        addr_q[i][j] <= ((2'(i) >= yb_q) ? a_q : b_q) + AddrW'((ColW'(j) >= xb_q) ? 0 : 1);
      end
    end
  end

  // 3, 4: banks.
  logic [W-1:0] raw [Sets][4][Cols];
  for (genvar s = 0; s < Sets; s++) begin : gen_set
    for (genvar i = 0; i < 4; i++) begin : gen_row
      for (genvar j = 0; j < Cols; j++) begin : gen_col
        ram #(.Depth(Depth / Sets), .Words(1), .WordW(W)) i_bank (
          .clk_i,
          .wen_i  (wen_i[j] & (wbank_i[1] == i[1]) & (wboth_i | (wbank_i[0] == i[0])) & ((Sets == 1) | (wline_i[(j/4)*16 + AddrW-1] == 1'(s)))),
          .waddr_i(SetW'(wline_i[(j/4)*16 +: 16])),
          .wdata_i(i[0] ? wodd_i[j*W +: W] : wdata_i[j*W +: W]),
          .raddr_i(SetW'(addr_q[i][j])),
          .rdata_o(raw[s][i][j])
        );
      end
    end
  end

  // Masks and rotations travel beside the banks: 2 (address) + 2 (RAM) stages behind the first.
  logic [1:0]      yb_s [3];
  logic [ColW-1:0] xb_s [4];
  logic [3:0]      rmask_s [4];
  logic [Cols-1:0] cmask_s [4];
  logic            pool_s [4];
  logic            paired_s [4];
  always_ff @(posedge clk_i) begin
    yb_s[0] <= yb_q;
    xb_s[0] <= xb_q;
    rmask_s[0] <= rmask_q;
    cmask_s[0] <= cmask_q;
    pool_s[0]  <= pool_q;
    paired_s[0] <= paired_q;
    for (int unsigned s = 1; s < 3; s++) yb_s[s] <= yb_s[s-1];
    for (int unsigned s = 1; s < 4; s++) begin
      xb_s[s]    <= xb_s[s-1];
      rmask_s[s] <= rmask_s[s-1];
      cmask_s[s] <= cmask_s[s-1];
      pool_s[s]  <= pool_s[s-1];
      paired_s[s] <= paired_s[s-1];
    end
  end

  // 5: rows in order. Window row i is in bank (yb + i) mod 4.
  logic [W-1:0] rows_q [4][Cols];
  logic [W-1:0] upper_q [4][Cols];      // of the upper set
  if (Paired) begin : gen_upper
    // The set in which a word of the window lies, in step with its row.
    logic [Cols-1:0] set_q [4], set_qq [4];
    always_ff @(posedge clk_i) begin
      for (int unsigned i = 0; i < 4; i++) begin
        for (int unsigned j = 0; j < Cols; j++) begin
          set_q[i][j]   <= addr_q[2'(yb_s[0] + 2'(i))][j][AddrW-1] & ~paired_s[0];
          upper_q[i][j] <= raw[1][2'(yb_s[2] + 2'(i))][j];
          rows_q[i][j]  <= raw[set_qq[i][j]][2'(yb_s[2] + 2'(i))][j];
        end
        set_qq[i] <= set_q[i];
      end
    end
  end else begin : gen_whole
    always_ff @(posedge clk_i) begin
      for (int unsigned i = 0; i < 4; i++) begin
        for (int unsigned j = 0; j < Cols; j++) rows_q[i][j] <= raw[0][2'(yb_s[2] + 2'(i))][j];
      end
    end
    always_comb begin
      for (int unsigned i = 0; i < 4; i++) begin
        for (int unsigned j = 0; j < Cols; j++) upper_q[i][j] = '0;
      end
    end
  end

  // 6: columns in order, mask.
  logic [W-1:0] outside;
  assign outside = pool_s[3] ? {1'b1, {(W-1){1'b0}}} : '0;
  always_ff @(posedge clk_i) begin
    for (int unsigned i = 0; i < 4; i++) begin
      for (int unsigned j = 0; j < Cols; j++) begin
        window_o[(i*Cols+j)*W +: W] <=
          (rmask_s[3][i] & cmask_s[3][j]) ? rows_q[i][ColW'(xb_s[3] + ColW'(j))] : outside;
        second_o[(i*Cols+j)*W +: W] <=
          (rmask_s[3][i] & cmask_s[3][j] & paired_s[3]) ? upper_q[i][ColW'(xb_s[3] + ColW'(j))] : '0;
      end
    end
  end
endmodule
`default_nettype wire

// Function of one result lane's words: a slope below zero or a table, then a clip.
// Latency: 7 cycles, 1 a cycle. kind_i and set_i belong to the word; slope_i comes 2 cycles, lo_i and hi_i 6 cycles after it.
// One DSP48: table: base * 2^7 + 64 + delta * f; slope: 2^14 + y * m. One block RAM: all sets' entries, base below delta.
`default_nettype none
module activation import cnna_pkg::*; #(
  parameter int unsigned W       = 16,
  parameter int unsigned Entries = 512,               // of a table
  localparam int unsigned IndexW = $clog2(Entries)
) (
  input  wire logic              clk_i,
  // table write
  input  wire logic              wvalid_i,
  input  wire logic [IndexW:0]   windex_i,             // set above index
  input  wire logic [31:0]       wdata_i,
  // words
  input  wire logic [W-1:0]      word_i,
  input  wire logic [1:0]        kind_i,
  input  wire logic              set_i,
  input  wire logic [15:0]       slope_i,
  input  wire logic [W-1:0]      lo_i,
  input  wire logic [W-1:0]      hi_i,
  output logic [W-1:0]           word_o
);
  // 1, 2: the entry. The sign bit turned over makes an index of a word.
  logic [31:0]       entry;
  logic [W-1:0]      word_q [2];
  logic [1:0]        kind_q [5];
  ram #(.Depth(SETS * Entries), .Words(1), .WordW(32)) i_table (
    .clk_i, .wen_i(wvalid_i), .waddr_i(windex_i), .wdata_i,
    .raddr_i({set_i, ~word_i[W-1], word_i[W-2 -: IndexW-1]}), .rdata_o(entry)
  );
  always_ff @(posedge clk_i) begin
    word_q[0] <= word_i;
    word_q[1] <= word_q[0];
    kind_q[0] <= kind_i;
    for (int unsigned s = 1; s < 5; s++) kind_q[s] <= kind_q[s-1];
  end
  // 3, 4, 5: the product and what it is added to.
  logic is_table;
  assign is_table = kind_q[1] == ACT_TABLE;
  logic signed [15:0] a_q, b_q;
  logic signed [23:0] c_q, c_qq;
  logic signed [31:0] product_q, sum_q;
  logic [W-1:0]       plain_q [3];
  logic [6:0]         steps;                          // of a segment; bytes have an entry each
  if (W == 16) begin : gen_segments
    assign steps = word_q[1][6:0];
  end else begin : gen_whole
    assign steps = '0;
  end
  always_ff @(posedge clk_i) begin
    a_q <= is_table ? entry[31:16] : slope_i;
    b_q <= is_table ? {9'd0, steps} : {{(16-W){word_q[1][W-1]}}, word_q[1]};
    c_q <= is_table ? {entry[15], entry[15:0], 7'h40} : 24'h004000;
    c_qq       <= c_q;
    product_q  <= a_q * b_q;
    sum_q      <= product_q + {{8{c_qq[23]}}, c_qq};
    plain_q[0] <= word_q[1];
    for (int unsigned s = 1; s < 3; s++) plain_q[s] <= plain_q[s-1];
  end
  // 6: which.
  logic signed [W:0] chosen_q;
  always_ff @(posedge clk_i) begin
    chosen_q <= {plain_q[2][W-1], plain_q[2]};
    if (kind_q[4] == ACT_TABLE) chosen_q <= sum_q[7 +: W+1];
    else if ((kind_q[4] == ACT_SLOPE) & plain_q[2][W-1]) chosen_q <= sum_q[15 +: W+1];
  end
  // 7: clip.
  logic signed [W:0] lo, hi;
  assign lo = {lo_i[W-1], lo_i};
  assign hi = {hi_i[W-1], hi_i};
  always_ff @(posedge clk_i) begin
    if (chosen_q > hi)      word_o <= hi_i;
    else if (chosen_q < lo) word_o <= lo_i;
    else                    word_o <= chosen_q[W-1:0];
  end
  logic unused;
  assign unused = &{1'b0, sum_q};
endmodule
`default_nettype wire

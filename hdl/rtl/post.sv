// Post-processing: takes finished lanes from the drain queue, one slice a cycle, and makes words in the output buffer.
// A slice is one row of every tile (DIRECT, VECTOR, POOL: 4 slices a lane) or all of Winograd's 2x2 tiles (1 slice a lane).
// Bias, requantisation, residual, activation, residual, pooling, in this order; the residual comes in one of its two places.
// Latency: 18 cycles from the slice to the write. Never stalls: commands start only when their output buffer lines are free.
`default_nettype none
module post import cnna_pkg::*; #(
  parameter int unsigned T         = 2,
  parameter int unsigned W         = 16,
  parameter int unsigned BiasDepth = 128,
  parameter int unsigned OutDepth  = 512,
  parameter bit          Winograd  = 1'b1,
  parameter bit          Paired    = 1'b0,
  parameter int unsigned Entries   = 512,  // of an activation table
  localparam int unsigned N        = 16 * T,
  localparam int unsigned Cols     = 4 * T,
  localparam int unsigned BiasW    = $clog2(BiasDepth),
  localparam int unsigned OutW     = $clog2(OutDepth),
  localparam int unsigned LineW    = Cols * W
) (
  input  wire logic              clk_i,
  input  wire logic              rst_i,
  // drain queue
  input  wire logic              valid_i,
  input  wire logic [N*ACC_W-1:0]   acc_i,
  output logic                   pop_o,
  // description of the pass at its head
  input  wire logic [PASS_W-1:0] pass_i,
  output logic                   pass_pop_o,
  // bias row, 1 cycle
  output logic [BiasW-1:0]       bias_row_o,
  input  wire logic [4*64-1:0]   bias_i,
  // residual buffer, both row banks, 2 cycles
  output logic [OutW-2:0]        residual_line_o,
  input  wire logic [2*LineW-1:0] residual_i,
  // words of the activation sets
  input  wire logic              set_valid_i,
  /* verilator lint_off UNUSEDSIGNAL */ // as wide as a weight command's row, and as the largest word
  input  wire logic [15:0]       set_word_i,
  input  wire logic [63:0]       set_data_i,
  /* verilator lint_on UNUSEDSIGNAL */
  // output buffer write: two row banks, four quarter lines each
  output logic [1:0]             wen_o,
  output logic [2*OutW-1:0]      waddr_o,
  output logic [2*4-1:0]         wmask_o,
  output logic [2*LineW-1:0]     wdata_o,
  // saturated results of this cycle
  output logic [5:0]             saturated_o,
  // the last result of a command is written; token for the store queue if it asked for one
  output logic                   signal_o
);
  pass_t pass;
  assign pass = pass_i;
  localparam int unsigned ImageTiles = (T < 2) ? 1 : 2;

  logic wino, vec, pooling;
  assign wino    = Winograd && (pass.mode == MODE_WINOGRAD);
  assign vec  = pass.mode == MODE_VECTOR;
  assign pooling = pass.mode == MODE_POOL;

  logic [15:0] lane_q, c_line_q;
  logic [1:0]  slice_q;

  // Paired: lane 0 has no weights. It computes what the others have too much, and has no result of its own. What it computes is the
  // same for every group of output channels: of so many passes it is kept, and where it is there lane 0 is like the others.
  localparam int unsigned KeptW = $clog2(DEPTH_KEPT_PASSES);
  logic paired, correction;
  logic [KeptW-1:0] place, place_q;
  assign paired     = Paired & pass.paired;
  assign correction = paired & ~pass.reuses & (lane_q == '0);
  assign place      = (pass.begins & (pass.xcol == '0)) ? '0 : place_q;

  // Slice counters.
  logic        last_slice, last_lane;
  assign last_slice = wino | (slice_q == 2'd3);
  assign last_lane  = lane_q == pass.last_lane;
  assign pop_o      = valid_i & last_slice;
  assign pass_pop_o = pop_o & last_lane;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      lane_q   <= '0;
      c_line_q <= '0;
      slice_q  <= '0;
      place_q  <= '0;
    end else if (valid_i) begin
      if (pass_pop_o & paired) place_q <= place + 1'b1;
      slice_q <= last_slice ? '0 : slice_q + 2'd1;
      if (pop_o) begin
        lane_q   <= last_lane ? '0 : lane_q + 16'd1;
        c_line_q <= last_lane ? '0 : c_line_q + (correction ? 16'd0 : pass.c_pitch);
      end
    end
  end

  // Where the slice goes, and which of its pixels count.
  logic [1:0]      en;
  logic [15:0]     addr;
  logic [3:0]      mask;
  logic [Cols-1:0] valid;
  logic            is_short;       // a row of the last part of a folded map
  logic [15:0]     width;
  logic            row_high;       // second row of a bank
  logic [15:0]     vline;
  logic [1:0]      vquarter;
  logic [15:0]     out_first;      // VECTOR: first output of the slice
  assign out_first = {lane_q[12:0], slice_q[0], 2'b00};
  assign vline     = (T == 1) ? {lane_q[14:0], slice_q[0]} : (T == 2) ? lane_q : {1'b0, lane_q[15:1]};
  assign vquarter  = (T == 4) ? {lane_q[0], slice_q[0]} : {slice_q[0], 1'b0};
  always_comb begin
    row_high = slice_q[1];
    addr = pass.line + c_line_q;
    if (wino) begin
      row_high = 1'b0;
      en   = pass.pool ? 2'b01 : 2'b11;
      mask = pass.pool ? 4'b0001 << pass.quarter : (pass.quarter[1] ? 4'b1100 : 4'b0011);
    end else if (vec) begin
      addr = pass.line + vline;
      if (T == 1) begin
        row_high = 1'b0;
        en   = slice_q[1] ? 2'b10 : 2'b01;
        mask = 4'b1111;
      end else begin
        en   = 2'b11;
        mask = (T == 2) ? (vquarter[1] ? 4'b1100 : 4'b0011) : 4'b0001 << vquarter;
      end
      // Images that the command does not have write nothing: the lines behind the last belong to other results.
      if (slice_q[1] & (pass.rows <= 3'(ImageTiles))) en = 2'b00;
    end else if (pass.pool) begin
      row_high = 1'b0;
      en   = (slice_q == 2'd1) ? 2'b01 : (slice_q == 2'd3) ? 2'b10 : 2'b00;
      mask = pass.quarter[1] ? 4'b1100 : 4'b0011;
    end else begin
      en   = slice_q[0] ? 2'b10 : 2'b01;
      mask = 4'b1111;
    end
    if (row_high) addr = addr + pass.row_pitch;
    is_short = (pass.short_row != '0) & (slice_q >= pass.short_row);
    width    = pass.width - (is_short ? 16'(pass.lacking) : 16'd0);
    for (int unsigned l = 0; l < Cols; l++) begin
      if (wino) begin
        valid[l] = (3'(l / (2*T)) < pass.rows) & (16'(pass.xcol + 16'(l % (2*T))) < pass.width);
      end else if (vec) begin
        valid[l] = ((l / 4) < ImageTiles) & (3'((l / 4) + ImageTiles * 32'(slice_q[1])) < pass.rows)
                 & (16'(out_first + 16'(l % 4)) < pass.width);
      end else begin
        valid[l] = ~pooling & (3'(slice_q) < pass.rows) & (16'(pass.xcol + 16'(l)) < width);
      end
    end
  end

  // Travelling beside the data: stage s is s cycles behind the slice.
  typedef struct packed {
    logic            last;
    logic            wino;
    logic            vec;
    logic            pool;
    logic            paired;
    logic            keep;
    logic            residual;
    logic            residual_last;
    logic            relu;
    logic [1:0]      act;
    logic            act_set;
    logic            per_channel;
    logic [1:0]      slice;
    logic [KeptW-1:0] place;
    logic [1:0]      en;
    logic [OutW-1:0] addr;
    logic [3:0]      mask;
    logic [Cols-1:0] valid;
  } side_t;
  localparam int unsigned Stages = 17;
  side_t side_new;
  side_t side_q [Stages+1];      // 1 to Stages
  assign side_new = '{
    last: valid_i & pass_pop_o & pass.last & pass.signal,
    wino: wino, vec: vec, pool: pass.pool, paired: paired, keep: valid_i & correction, residual: pass.residual,
    residual_last: pass.residual_last, relu: pass.relu, act: pass.act, act_set: pass.act_set,
    per_channel: pass.per_channel, slice: slice_q, place: place,
    en: (valid_i & ~correction) ? en : 2'b00, addr: addr[OutW-1:0], mask: mask, valid: (valid_i & ~correction) ? valid : '0
  };
  assign side_q[0] = side_new;
  always_ff @(posedge clk_i) begin
    for (int unsigned s = 1; s <= Stages; s++) side_q[s] <= rst_i ? '0 : side_q[s-1];
  end

  // 1: the lane, out of the queue's RAM.
  logic [N*ACC_W-1:0] acc_q;
  always_ff @(posedge clk_i) acc_q <= acc_i;

  // 2: rows of the inverse transform, or the slice's pixels.
  logic signed [ACC_W-1:0] mid_q [T][2][4];
  function automatic logic signed [ACC_W-1:0] element(input int unsigned t, input int unsigned i, input int unsigned j);
    return acc_q[((t*4+i)*4+j)*ACC_W +: ACC_W];
  endfunction
  always_ff @(posedge clk_i) begin
    for (int unsigned t = 0; t < T; t++) begin
      for (int unsigned j = 0; j < 4; j++) begin
        if (side_q[1].wino) begin
          mid_q[t][0][j] <= element(t, 0, j) + element(t, 1, j) + element(t, 2, j);
          mid_q[t][1][j] <= element(t, 1, j) - element(t, 2, j) - element(t, 3, j);
        end else begin
          // Written out: a variable index times its width would become a multiplier.
          unique case (side_q[1].slice)
            2'd0:    mid_q[t][0][j] <= element(t, 0, j);
            2'd1:    mid_q[t][0][j] <= element(t, 1, j);
            2'd2:    mid_q[t][0][j] <= element(t, 2, j);
            default: mid_q[t][0][j] <= element(t, 3, j);
          endcase
          mid_q[t][1][j] <= '0;
        end
      end
    end
  end

  // 3: columns of the inverse transform; its low bits are always zero.
  logic signed [ACC_W-1:0] pixel_q [Cols];
  logic signed [ACC_W-1:0] y [T][2][2];
  always_comb begin
    for (int unsigned t = 0; t < T; t++) begin
      for (int unsigned r = 0; r < 2; r++) begin
        y[t][r][0] = mid_q[t][r][0] + mid_q[t][r][1] + mid_q[t][r][2];
        y[t][r][1] = mid_q[t][r][1] - mid_q[t][r][2] - mid_q[t][r][3];
      end
    end
  end
  // Paired: lane 0's slices, kept for the lanes behind it and for the groups behind its own.
  logic [Cols*ACC_W-1:0] kept;
  if (Paired) begin : gen_kept
    (* ram_style = "distributed" *) logic [Cols*ACC_W-1:0] kept_q [4*DEPTH_KEPT_PASSES];
    logic [Cols*ACC_W-1:0] slice;
    for (genvar l = 0; l < Cols; l++) begin : gen_pixel
      assign slice[l*ACC_W +: ACC_W] = mid_q[l/4][0][l%4];
    end
    assign kept = kept_q[{side_q[2].place, side_q[2].slice}];
    always_ff @(posedge clk_i) if (side_q[2].keep) kept_q[{side_q[2].place, side_q[2].slice}] <= slice;
  end else begin : gen_none
    assign kept = '0;
  end
  always_ff @(posedge clk_i) begin
    for (int unsigned t = 0; t < T; t++) begin
      for (int unsigned j = 0; j < 4; j++) begin
        if (~side_q[2].wino) pixel_q[4*t + j] <= mid_q[t][0][j] - (side_q[2].paired ? kept[(4*t + j)*ACC_W +: ACC_W] : '0);
      end
      if (side_q[2].wino) begin
        for (int unsigned r = 0; r < 2; r++) begin
          for (int unsigned c = 0; c < 2; c++) pixel_q[r*2*T + 2*t + c] <= y[t][r][c] >>> WINOGRAD_BITS;
        end
      end
    end
  end

  // Bias: one for all pixels, or in VECTOR mode one for each of four outputs. Its upper bits are its channel's shift or slope.
  logic [15:0] bias_base_q, bias_step_q;
  logic [1:0]  elem_q [3];
  logic        none_q [3];
  logic [5:0]  shift_q [3];
  always_ff @(posedge clk_i) begin
    bias_base_q <= 16'(pass.bias_row);
    bias_step_q <= vec ? {2'b0, lane_q[12:0], slice_q[0]} : {2'b0, lane_q[15:2]};
    bias_row_o  <= BiasW'(bias_base_q + bias_step_q);
    elem_q[0]   <= lane_q[1:0];
    none_q[0]   <= pooling;
    shift_q[0]  <= pass.shift[5:0] + 6'd16;
    for (int unsigned s = 1; s < 3; s++) begin
      elem_q[s]  <= elem_q[s-1];
      none_q[s]  <= none_q[s-1];
      shift_q[s] <= shift_q[s-1];
    end
  end
  logic [63:0] bias [4];         // of the pixels whose column is k modulo 4
  always_comb begin
    for (int unsigned k = 0; k < 4; k++) begin
      if (side_q[3].vec) begin
        bias[k] = bias_i[k*64 +: 64];
      end else begin
        unique case (elem_q[2])
          2'd0:    bias[k] = bias_i[0*64 +: 64];
          2'd1:    bias[k] = bias_i[1*64 +: 64];
          2'd2:    bias[k] = bias_i[2*64 +: 64];
          default: bias[k] = bias_i[3*64 +: 64];
        endcase
      end
    end
  end

  // 4: add the bias.
  logic signed [ACC_W-1:0] sum_q [Cols];
  logic [5:0]  places_q [4];     // of the shift, plus 16
  logic        own_shift;
  assign own_shift = side_q[3].per_channel & (side_q[3].act != ACT_SLOPE);
  always_ff @(posedge clk_i) begin
    for (int unsigned k = 0; k < 4; k++) places_q[k] <= shift_q[2] + (own_shift ? {1'b0, bias[k][ACC_W +: 5]} : 6'd0);
    for (int unsigned l = 0; l < Cols; l++) sum_q[l] <= pixel_q[l] + (none_q[2] ? '0 : bias[l % 4][ACC_W-1:0]);
  end

  // 5 to 8: requantise, add the residual. In WINOGRAD mode the lanes are two rows, else one.
  assign residual_line_o = side_q[4].addr[OutW-2:0];
  logic [W-1:0] residual_q [Cols];
  always_ff @(posedge clk_i) begin
    for (int unsigned l = 0; l < Cols; l++) begin
      if (~side_q[6].residual)  residual_q[l] <= '0;
      else if (~side_q[6].wino) residual_q[l] <= side_q[6].en[1] ? residual_i[(Cols+l)*W +: W] : residual_i[l*W +: W];
      else if (side_q[6].mask[3]) residual_q[l] <= residual_i[(l/(2*T)*Cols + 2*T + l%(2*T))*W +: W];
      else                        residual_q[l] <= residual_i[(l/(2*T)*Cols + l%(2*T))*W +: W];
    end
  end
  logic [W-1:0]    word [Cols];
  logic [Cols-1:0] clipped, over, under;
  for (genvar l = 0; l < Cols; l++) begin : gen_requantise
    requantise #(.W(W)) i_requantise (
      .clk_i, .acc_i(sum_q[l]), .shift_i(places_q[l % 4]), .residual_i(side_q[7].residual_last ? '0 : residual_q[l]),
      .word_o(word[l]), .clipped_o(clipped[l]), .over_o(over[l]), .under_o(under[l])
    );
  end

  // 9 to 15: activate.
  localparam logic [W-1:0] Max = {1'b0, {(W-1){1'b1}}};
  localparam int unsigned  EntryW = $clog2(Entries);
  logic [W-1:0] lo_q [SETS], hi_q [SETS];
  logic [15:0]  slope_q [SETS];
  logic         write_set, write_entry;
  logic [0:0]   set_at;
  assign set_at      = set_word_i[$clog2(SET_PITCH)];
  assign write_set   = set_valid_i & set_word_i[EntryW];
  assign write_entry = set_valid_i & ~set_word_i[EntryW];
  always_ff @(posedge clk_i) begin
    if (write_set) begin
      lo_q[set_at]    <= set_data_i[0 +: W];
      hi_q[set_at]    <= set_data_i[16 +: W];
      slope_q[set_at] <= set_data_i[32 +: 16];
    end
  end
  // A channel's slope, beside its results.
  logic [15:0] own_slope_q [11];  // 4 to 10
  logic [15:0] slope;
  always_ff @(posedge clk_i) begin
    own_slope_q[4] <= bias[0][ACC_W +: 16];
    for (int unsigned s = 5; s < 11; s++) own_slope_q[s] <= own_slope_q[s-1];
  end
  assign slope = side_q[10].per_channel ? own_slope_q[10] : slope_q[side_q[10].act_set];
  // Bounds of a slice's results.
  function automatic logic [W-1:0] lowest(input logic [1:0] act, input logic act_set, input logic relu);
    if (act != ACT_NONE) return lo_q[act_set];
    return relu ? '0 : ~Max;
  endfunction
  function automatic logic [W-1:0] highest(input logic [1:0] act, input logic act_set);
    return (act != ACT_NONE) ? hi_q[act_set] : Max;
  endfunction
  logic [W-1:0] result [Cols];
  for (genvar l = 0; l < Cols; l++) begin : gen_activation
    activation #(.W(W), .Entries(Entries)) i_activation (
      .clk_i, .wvalid_i(write_entry), .windex_i({set_at, set_word_i[EntryW-1:0]}), .wdata_i(set_data_i[31:0]),
      .word_i(word[l]), .kind_i(side_q[8].act), .set_i(side_q[8].act_set), .slope_i(slope),
      .lo_i(lowest(side_q[14].act, side_q[14].act_set, side_q[14].relu)),
      .hi_i(highest(side_q[14].act, side_q[14].act_set)), .word_o(result[l])
    );
  end

  // 16: the residual that comes last.
  localparam int unsigned Wait = 8;
  logic [W-1:0]    late_q [Wait][Cols];
  logic [W-1:0]    total [Cols];
  logic [Cols-1:0] late_over, late_under;
  always_ff @(posedge clk_i) begin
    for (int unsigned l = 0; l < Cols; l++) begin
      late_q[0][l] <= side_q[7].residual_last ? residual_q[l] : '0;
      for (int unsigned s = 1; s < Wait; s++) late_q[s][l] <= late_q[s-1][l];
    end
  end
  for (genvar l = 0; l < Cols; l++) begin : gen_late
    add_word #(.W(W)) i_sum (
      .clk_i, .a_i(result[l]), .b_i(late_q[Wait-1][l]), .word_o(total[l]), .over_o(late_over[l]), .under_o(late_under[l])
    );
  end

  // 17: maxima of neighbours in a row.
  function automatic logic [W-1:0] larger(input logic [W-1:0] a, input logic [W-1:0] b);
    return ($signed(a) > $signed(b)) ? a : b;
  endfunction
  logic [W-1:0] word_q [Cols];
  logic [W-1:0] pairs_q [2*T];
  always_ff @(posedge clk_i) begin
    for (int unsigned l = 0; l < Cols; l++) word_q[l] <= total[l];
    for (int unsigned p = 0; p < 2*T; p++) pairs_q[p] <= larger(total[2*p], total[2*p+1]);
  end

  // 18: pool and lay out for the output buffer.
  logic [W-1:0] above_q [2*T];     // pairs of the slice before
  side_t side;
  assign side = side_q[Stages];
  always_ff @(posedge clk_i) begin
    for (int unsigned p = 0; p < 2*T; p++) above_q[p] <= pairs_q[p];
    wen_o    <= rst_i ? 2'b00 : side.en;
    signal_o <= side.last & ~rst_i;
    for (int unsigned b = 0; b < 2; b++) begin
      waddr_o[b*OutW +: OutW] <= side.addr;
      wmask_o[b*4 +: 4] <= side.mask;
      for (int unsigned l = 0; l < Cols; l++) begin
        if (side.wino & side.pool) begin
          // Tile l mod T: rows r * 2T, columns 2t, 2t + 1: pairs t and T + t.
          wdata_o[(b*Cols+l)*W +: W] <= larger(pairs_q[l % T], pairs_q[T + (l % T)]);
        end else if (side.wino) begin
          wdata_o[(b*Cols+l)*W +: W] <= word_q[b*2*T + (l % (2*T))];
        end else if (side.vec) begin
          wdata_o[(b*Cols+l)*W +: W] <= word_q[((T == 1) ? 0 : b*4) + (l % 4)];
        end else if (side.pool) begin
          wdata_o[(b*Cols+l)*W +: W] <= larger(pairs_q[l % (2*T)], above_q[l % (2*T)]);
        end else begin
          wdata_o[(b*Cols+l)*W +: W] <= word_q[l];
        end
      end
    end
  end

  // Saturations, those that the activation undoes left out: a sum is only then the last word if no residual comes.
  logic [Cols-1:0] alarm_q, again_q;
  logic            undoes_below, undoes_above, then_sum;
  assign then_sum     = side_q[8].residual & ~side_q[8].residual_last;
  assign undoes_below = lowest(side_q[8].act, side_q[8].act_set, side_q[8].relu) != ~Max;
  assign undoes_above = highest(side_q[8].act, side_q[8].act_set) != Max;
  always_ff @(posedge clk_i) begin
    for (int unsigned l = 0; l < Cols; l++) begin
      alarm_q[l] <= side_q[8].valid[l] & clipped[l] & (then_sum | ~(word[l][W-1] ? undoes_below : undoes_above));
      again_q[l] <= side_q[8].valid[l] & ((over[l] & ~undoes_above) | (under[l] & ~undoes_below));
    end
    saturated_o <= '0;
    if (~rst_i) saturated_o <= count(alarm_q) + count(again_q) + count((late_over | late_under) & side_q[16].valid);
  end
  function automatic logic [5:0] count(input logic [Cols-1:0] bits);
    logic [5:0] n;
    n = '0;
    for (int unsigned l = 0; l < Cols; l++) n = n + 6'(bits[l]);
    return n;
  endfunction
  logic unused;
  assign unused = &{1'b0, addr, side, lane_q, pass.shift};
endmodule
`default_nettype wire

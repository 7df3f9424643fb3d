// Compute queue: steps through passes, taps and channels, one step a cycle; makes addresses, masks' positions and flags.
// A command starts in the cycle after it is taken. The last step of a pass waits until the pass before has left the drain
// queue (pace). No other stall exists after the start, so a command's time follows from its fields alone.
// Tokens for load and weight: Release + Lanes cycles after the last step; those for store travel with the results.
`default_nettype none
module compute_seq import cnna_pkg::*; #(
  parameter int unsigned T     = 2,
  parameter int unsigned Lanes = 11
) (
  input  wire logic         clk_i,
  input  wire logic         rst_i,
  // command whose tokens are there
  input  wire logic         cmd_valid_i,
  input  wire logic [511:0] cmd_i,
  output logic              cmd_ready_o,
  output logic              step_o,           // a step is issued in this cycle (counter)
  // step: window
  output logic [15:0]       row_a_o,          // line of the slot of the window's first row
  output logic [15:0]       row_b_o,          // line of the next slot in the ring
  output logic [15:0]       off_o,            // channel and plane, in lines
  output logic [15:0]       x_o,              // column of the window, signed
  output logic [15:0]       y_o,              // row of the window, signed
  output logic [15:0]       w_o,              // columns of this plane
  output logic [15:0]       h_o,              // rows of this plane
  // step: array
  output logic [1:0]        mode_o,
  output logic              clear_o,          // first step of a pass that clears
  output logic              drain_o,          // last step of a pass that drains (not POOL)
  output logic              pool_first_o,     // first tap of a channel
  output logic              pool_last_o,      // last tap of a channel
  output logic [7:0]        lanes_o,
  output logic [15:0]       weight_row_o,
  output logic [2:0]        weight_sel_o,
  // a pass that drains ends with this step: its results' description
  output logic              pass_o,
  output logic [PASS_W-1:0] pass_desc_o,
  // tokens to load and weight
  output logic              release_o,
  output logic [3:0]        release_mask_o
);
  // Fields of the current command.
  logic [511:0] cmd_q;
  logic         run_q;

  logic [1:0]  mode;
  logic        pool_mode, direct, first, last;
  logic [15:0] tiles, lanes, c_count, kx_count, ky_count;
  logic [2:0]  stride;
  assign mode      = cmd_q[COMPUTE_MODE +: 2];
  assign pool_mode = mode == MODE_POOL;
  assign direct    = mode == MODE_DIRECT;
  assign first     = cmd_q[COMPUTE_FIRST];
  assign last      = cmd_q[COMPUTE_LAST];
  assign tiles     = cmd_q[COMPUTE_TILES +: 16];
  assign lanes     = cmd_q[COMPUTE_LANES +: 16];
  assign c_count   = cmd_q[COMPUTE_C_COUNT +: 16];
  assign kx_count  = cmd_q[COMPUTE_KX_COUNT +: 16];
  assign ky_count  = cmd_q[COMPUTE_KY_COUNT +: 16];
  assign stride    = cmd_q[COMPUTE_STRIDE +: 3];

  // Counters.
  logic [15:0] tile_q, c_q, kx_q, ky_q;
  logic        c_end, kx_end, ky_end, tile_end;
  assign c_end    = c_q + 16'd1 == c_count;
  assign kx_end   = kx_q + 16'd1 == kx_count;
  assign ky_end   = ky_q + 16'd1 == ky_count;
  assign tile_end = tile_q + 16'd1 == tiles;

  // Position state.
  logic [15:0] x_tile_q, x_q, y_q, row_q, c_off_q, px_off_q, py_off_q;
  logic [1:0]  px_q, py_q;
  logic [15:0] row_next;
  assign row_next = row_q + cmd_q[COMPUTE_ROW_PITCH +: 16];

  // Pass ends.
  logic taps_end, entry_end, pass_end, drains, held, step;
  assign taps_end  = kx_end & ky_end;
  assign pass_end  = taps_end & c_end;
  assign entry_end = pool_mode ? taps_end : pass_end;     // results leave here
  assign drains    = last & entry_end;
  logic [7:0] pace_q;
  assign held = drains & (pace_q != '0);
  assign step = run_q & ~held;

  // Cycles the entry's results take to leave the drain queue, at least MinPass.
  logic [7:0] drain_time;
  logic [7:0] drain_raw;
  always_comb begin
    drain_raw = {lanes[5:0], 2'b00};
    if (pool_mode) drain_raw = 8'd4;
    if (mode == MODE_WINOGRAD) drain_raw = lanes[7:0];
    drain_time = (drain_raw < TIMING_MIN_PASS) ? TIMING_MIN_PASS : drain_raw;
  end

  // Taps: which counters move. Conv modes: c innermost; POOL: c outermost.
  logic c_step, kx_step, ky_step, tile_step;
  assign c_step    = step & (pool_mode ? taps_end : 1'b1);
  assign kx_step   = step & (pool_mode ? 1'b1 : c_end);
  assign ky_step   = kx_step & kx_end;
  assign tile_step = step & pass_end;

  // Phases: px counts to stride, then the column moves.
  logic px_carry, py_carry;
  logic [15:0] row_sum, row_moved;
  /* verilator lint_off UNUSEDSIGNAL */ // only the carry decides
  logic [2:0]  yb_sum;
  /* verilator lint_on UNUSEDSIGNAL */
  assign px_carry = {1'b0, px_q} + 3'd1 == stride;
  assign py_carry = {1'b0, py_q} + 3'd1 == stride;
  assign yb_sum   = {1'b0, y_q[1:0]} + {1'b0, cmd_q[COMPUTE_DILATION_Y +: 2]};
  assign row_sum  = row_q + (yb_sum[2] ? cmd_q[COMPUTE_ROW_STEP_CARRY +: 16] : cmd_q[COMPUTE_ROW_STEP +: 16]);
  assign row_moved = (row_sum >= cmd_q[COMPUTE_RING_END +: 16]) ? row_sum - cmd_q[COMPUTE_RING_LINES +: 16] : row_sum;

  logic [15:0] x_tile_next;
  assign x_tile_next = x_tile_q + cmd_q[COMPUTE_X_STEP +: 16];

  // Weights: a row a step, or 8 steps a row in DIRECT mode.
  logic [15:0] wrow_q;
  logic [2:0]  wsel_q;

  // Results: quarter lines that a tile advances.
  logic [15:0] xcol_q;
  logic [17:0] quarter_q, quarter_step;
  logic [15:0] xcol_step;
  always_comb begin
    quarter_step = 18'd4;
    if ((mode == MODE_WINOGRAD) ^ cmd_q[COMPUTE_POOL]) quarter_step = 18'd2;
    if ((mode == MODE_WINOGRAD) & cmd_q[COMPUTE_POOL]) quarter_step = 18'd1;
    xcol_step = (mode == MODE_WINOGRAD) ? 16'(2 * T) : 16'(4 * T);
  end

  logic take;
  assign cmd_ready_o = ~run_q;
  assign take        = cmd_valid_i & cmd_ready_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      run_q  <= 1'b0;
      pace_q <= '0;
    end else begin
      if (take) run_q <= 1'b1;
      if (tile_step & tile_end) run_q <= 1'b0;
      if (step & drains) pace_q <= drain_time - 8'd1;
      else if (pace_q != '0) pace_q <= pace_q - 8'd1;
    end

    if (take) begin
      cmd_q    <= cmd_i;
      tile_q   <= '0;
      x_tile_q <= cmd_i[COMPUTE_X_START +: 16];
      xcol_q   <= '0;
      quarter_q <= '0;
    end else if (tile_step) begin
      tile_q    <= tile_q + 16'd1;
      x_tile_q  <= x_tile_next;
      xcol_q    <= xcol_q + xcol_step;
      quarter_q <= quarter_q + quarter_step;
    end

    // Channel.
    if (take) begin
      c_q     <= '0;
      c_off_q <= '0;
    end else if (c_step) begin
      c_q     <= c_end ? '0 : c_q + 16'd1;
      c_off_q <= c_end ? '0 : c_off_q + cmd_q[COMPUTE_C_PITCH +: 16];
    end

    // Tap column.
    if (take) begin
      kx_q     <= '0;
      x_q      <= cmd_i[COMPUTE_X_START +: 16];
      px_q     <= cmd_i[COMPUTE_PX0 +: 2];
      px_off_q <= cmd_i[COMPUTE_PLANE_X0 +: 16];
    end else if (kx_step) begin
      if (kx_end) begin
        kx_q     <= '0;
        x_q      <= tile_step ? x_tile_next : x_tile_q;
        px_q     <= cmd_q[COMPUTE_PX0 +: 2];
        px_off_q <= cmd_q[COMPUTE_PLANE_X0 +: 16];
      end else begin
        kx_q     <= kx_q + 16'd1;
        x_q      <= px_carry ? x_q + 16'(cmd_q[COMPUTE_DILATION_X +: 6]) : x_q;
        px_q     <= px_carry ? '0 : px_q + 2'd1;
        px_off_q <= px_carry ? '0 : px_off_q + cmd_q[COMPUTE_PLANE_PITCH +: 16];
      end
    end

    // Tap row.
    if (take) begin
      ky_q     <= '0;
      y_q      <= cmd_i[COMPUTE_Y_START +: 16];
      row_q    <= cmd_i[COMPUTE_ROW_LINE +: 16];
      py_q     <= cmd_i[COMPUTE_PY0 +: 2];
      py_off_q <= cmd_i[COMPUTE_PLANE_Y0 +: 16];
    end else if (ky_step) begin
      if (ky_end) begin
        ky_q     <= '0;
        y_q      <= cmd_q[COMPUTE_Y_START +: 16];
        row_q    <= cmd_q[COMPUTE_ROW_LINE +: 16];
        py_q     <= cmd_q[COMPUTE_PY0 +: 2];
        py_off_q <= cmd_q[COMPUTE_PLANE_Y0 +: 16];
      end else begin
        ky_q     <= ky_q + 16'd1;
        y_q      <= py_carry ? y_q + 16'(cmd_q[COMPUTE_DILATION_Y +: 6]) : y_q;
        row_q    <= py_carry ? row_moved : row_q;
        py_q     <= py_carry ? '0 : py_q + 2'd1;
        py_off_q <= py_carry ? '0 : py_off_q + cmd_q[COMPUTE_PLANE_Y_PITCH +: 16];
      end
    end

    // Weight row.
    if (take) begin
      wrow_q <= cmd_i[COMPUTE_WEIGHT_ROW +: 16];
      wsel_q <= '0;
    end else if (step) begin
      if (pass_end) begin
        wrow_q <= cmd_q[COMPUTE_WEIGHT_ROW +: 16];
        wsel_q <= '0;
      end else begin
        wsel_q <= direct ? wsel_q + 3'd1 : 3'd0;
        wrow_q <= (~direct | (&wsel_q)) ? wrow_q + 16'd1 : wrow_q;
      end
    end
  end

  // Step outputs: registered once, with the flags of the step.
  logic valid_q;
  always_ff @(posedge clk_i) begin
    valid_q      <= step & ~rst_i;
    row_a_o      <= row_q;
    row_b_o      <= (row_next >= cmd_q[COMPUTE_RING_END +: 16]) ? row_next - cmd_q[COMPUTE_RING_LINES +: 16] : row_next;
    off_o        <= c_off_q + px_off_q + py_off_q;
    x_o          <= x_q;
    y_o          <= y_q;
    // An idle step sees no column: the window is zero.
    w_o          <= step ? cmd_q[COMPUTE_W_FULL +: 16] + 16'(px_q < cmd_q[COMPUTE_W_REM +: 2]) : '0;
    h_o          <= cmd_q[COMPUTE_H_FULL +: 16] + 16'(py_q < cmd_q[COMPUTE_H_REM +: 2]);
    mode_o       <= mode;
    clear_o      <= step & first & (c_q == '0) & (kx_q == '0) & (ky_q == '0);
    drain_o      <= step & drains & ~pool_mode & ~rst_i;
    pool_first_o <= (kx_q == '0) & (ky_q == '0);
    pool_last_o  <= step & drains & pool_mode & ~rst_i;
    lanes_o      <= lanes[7:0];
    weight_row_o <= wrow_q;
    weight_sel_o <= wsel_q;
  end
  assign step_o = valid_q;

  // Description of the results, queued for the post-processing.
  logic cmd_last;
  assign cmd_last    = tile_step & tile_end;
  // POOL: described with the first channel, whose results arrive first.
  assign pass_o      = step & last & (pool_mode ? (taps_end & (c_q == '0)) : pass_end);
  assign pass_desc_o = {
    tile_end,
    cmd_q[HEAD_SIGNAL + 3],
    mode,
    cmd_q[COMPUTE_RELU],
    cmd_q[COMPUTE_POOL],
    cmd_q[COMPUTE_ROWS +: 3],
    cmd_q[COMPUTE_SHIFT +: 8],
    cmd_q[COMPUTE_BIAS_ROW +: 8],
    lanes,
    cmd_q[COMPUTE_OUT_LINE +: 16] + quarter_q[17:2],
    quarter_q[1:0],
    cmd_q[COMPUTE_OUT_ROW_PITCH +: 16],
    cmd_q[COMPUTE_OUT_C_PITCH +: 16],
    cmd_q[COMPUTE_OUT_WIDTH +: 16],
    xcol_q
  };

  // Tokens for load and weight, when the last lane has read its last operands.
  localparam int unsigned Delay = TIMING_RELEASE + Lanes;
  logic [Delay-1:0] release_q;
  logic [3:0]       mask_q [Delay];
  always_ff @(posedge clk_i) begin
    release_q <= rst_i ? '0 : {release_q[Delay-2:0], cmd_last};
    mask_q[0] <= cmd_q[HEAD_SIGNAL +: 4];
    for (int unsigned i = 1; i < Delay; i++) mask_q[i] <= mask_q[i-1];
  end
  assign release_o      = release_q[Delay-1];
  assign release_mask_o = mask_q[Delay-1] & 4'b0011;
endmodule
`default_nettype wire

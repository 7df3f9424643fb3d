// Store queue: rows of results from the output buffer to memory, marks (counters to memory), fences and the end of the program.
// One command at a time. A local STORE's beats go to the load queue's local loads, one behind the other, instead, or two at once: those
// of the same line of both banks. STORE is complete with its last beat taken; MARK waits for every earlier write's answer, writes its
// record and waits for that answer; FENCE waits only; END pulses end_o. Throughput: one line of the output buffer a cycle,
// also from row to row.
// halt_i: no new bursts; the beats that those under way still owe go out without strobes, so that memory keeps what it has.
`default_nettype none
module store_engine import cnna_pkg::*; #(
  parameter int unsigned T        = 2,
  parameter int unsigned W        = 16,
  parameter int unsigned AddrW    = 40,
  parameter int unsigned OutDepth = 512,
  localparam int unsigned OutAddrW = $clog2(OutDepth)
) (
  input  wire logic                 clk_i,
  input  wire logic                 rst_i,
  input  wire logic                 halt_i,
  input  wire logic [AddrW-1:0]     base_i,
  input  wire logic [31:0]          size_i,
  // command whose tokens are there
  input  wire logic                 cmd_valid_i,
  /* verilator lint_off UNUSEDSIGNAL */ // an engine reads its own fields of the command
  input  wire logic [511:0]         cmd_i,
  /* verilator lint_on UNUSEDSIGNAL */
  output logic                      cmd_ready_o,
  // complete
  output logic                      signal_o,
  output logic [3:0]                signal_mask_o,
  output logic                      end_o,
  // counters for a mark
  input  wire logic [8*RECORD_BYTES-1:0]         counters_i,
  // output buffer read, 2 cycles
  output logic                      rbank_o,
  output logic [OutAddrW-1:0]       raddr_o,
  input  wire logic [4*T*W-1:0]     rdata_i,
  input  wire logic [4*T*W-1:0]     second_i,   // of bank 1
  // AXI write
  output logic                      awvalid_o,
  input  wire logic                 awready_i,
  output logic [AddrW-1:0]          awaddr_o,
  output logic [7:0]                awlen_o,
  output logic                      wvalid_o,
  input  wire logic                 wready_i,
  output logic [8*W-1:0]            wdata_o,
  output logic [W-1:0]              wstrb_o,
  output logic                      wlast_o,
  input  wire logic                 bvalid_i,
  output logic                      bready_o,
  // beats of a local store
  output logic                      local_valid_o,
  input  wire logic                 local_ready_i,
  output logic [8*W-1:0]            local_data_o,
  output logic [8*W-1:0]            local_second_o,
  // status
  output logic                      in_flight_o,
  output logic                      error_o
);
  localparam int unsigned BeatBytes = W;
  localparam int unsigned BeatW     = 8 * W;
  localparam int unsigned LineW     = 4 * T * W;
  localparam int unsigned MarkBeats = RECORD_BYTES / BeatBytes;

  typedef enum logic [2:0] {Idle, Data, MarkWait, MarkData, MarkAnswer} state_e;
  state_e state_q;
  logic [3:0] signal_q;

  logic [1:0] kind;
  assign kind = cmd_i[HEAD_KIND +: 2];
  logic accept, is_store, is_end;
  assign is_store = kind == STORE_KIND_STORE;
  assign is_end   = kind == STORE_KIND_END;

  // Addresses: a row after the other, as fast as their bursts leave.
  logic        desc_valid, desc_ready, more_rows;
  logic [31:0] row_addr_q, row_stride_q, seg_stride_q;
  logic [15:0] seg_beats_q, seg_count_q;
  logic [2:0]  rows_q;               // rows whose bursts have not been asked for
  logic        fence_q;
  logic        answered, mark_go, fence_go;
  assign answered    = (state_q == MarkWait) & ~in_flight_o & desc_ready;
  assign mark_go     = answered & ~fence_q;
  assign fence_go    = answered & fence_q;
  assign accept      = cmd_valid_i & cmd_ready_o;
  assign cmd_ready_o = (state_q == Idle) & desc_ready;
  assign more_rows   = (state_q == Data) & (rows_q != '0);
  assign desc_valid  = more_rows | mark_go;
  axi_burst #(.BeatBytes(BeatBytes), .AddrW(AddrW), .Outstanding(DEPTH_STORE_BURSTS)) i_burst (
    .clk_i, .rst_i, .halt_i, .base_i, .size_i,
    .desc_valid_i (desc_valid),
    .desc_ready_o (desc_ready),
    .desc_addr_i  (row_addr_q),
    .desc_beats_i (32'(seg_beats_q)),
    .desc_segs_i  (seg_count_q),
    .desc_stride_i(seg_stride_q),
    .valid_o(awvalid_o), .ready_i(awready_i), .addr_o(awaddr_o), .len_o(awlen_o),
    .retire_i(bvalid_i), .in_flight_o, .error_o
  );
  assign bready_o = 1'b1;

  // Lengths of the issued bursts, for wlast. As deep as there are bursts in flight: never full.
  logic       len_ready, len_valid, bus_out, last_of_burst;
  logic [7:0] len;
  logic [7:0] burst_q;
  fifo #(.Width(8), .Depth(DEPTH_STORE_BURSTS)) i_len (
    .clk_i, .rst_i, .push_i(awvalid_o & awready_i), .data_i(awlen_o), .ready_o(len_ready),
    .valid_o(len_valid), .data_o(len), .pop_i(bus_out & last_of_burst)
  );
  assign last_of_burst = burst_q == len;
  assign wlast_o       = last_of_burst;

  // Reading lines ahead: a line is asked for only when the beat queue will have room for it.
  logic [15:0]         segs_left_q, beats_left_q;                // beats of the row still to ask for
  logic [2:0]          rows_left_q;                               // rows, with this one
  logic [OutAddrW-1:0] line_q, row_line_q, row_pitch_q;
  logic                bank_q, both_q, sub_q, asking_q, row_end;
  logic [3:0]          room_q;                                    // free places in the beat queue
  logic                ask, ask_last;
  logic [1:0]          ask_beat_q;                                // a line arrives two cycles after its ask
  logic                half_q, half_qq, last_q, last_qq;
  assign ask      = asking_q & (room_q != '0);
  assign row_end  = (beats_left_q == 16'd1) & (segs_left_q == 16'd1) & ((T != 1) | sub_q);
  assign ask_last = ask & row_end & (rows_left_q == 3'd1);
  assign rbank_o  = bank_q;
  assign raddr_o  = line_q;

  // A beat from lines: T = 1 joins two lines, T = 4 takes half of one.
  logic             beat_push;
  logic [BeatW-1:0] beat_data, beat_second;
  if (T == 1) begin : gen_join
    logic [LineW-1:0] low_q, low_second_q;
    always_ff @(posedge clk_i) begin
      if (ask_beat_q[1] & ~half_qq) {low_second_q, low_q} <= {second_i, rdata_i};
    end
    assign beat_push   = ask_beat_q[1] & half_qq;
    assign beat_data   = {rdata_i, low_q};
    assign beat_second = {second_i, low_second_q};
  end else begin : gen_split
    assign beat_push = ask_beat_q[1];
    if (LineW == BeatW) begin : gen_whole
      assign beat_data   = rdata_i;
      assign beat_second = second_i;
      logic unused;
      assign unused = half_qq;
    end else begin : gen_half
      assign beat_data   = half_qq ? rdata_i[BeatW +: BeatW] : rdata_i[0 +: BeatW];
      assign beat_second = half_qq ? second_i[BeatW +: BeatW] : second_i[0 +: BeatW];
    end
  end

  // Beats waiting for the bus. Marks put their record in directly.
  logic             q_valid, q_ready, q_last, mark_push, beat_out, local_q;
  logic [BeatW-1:0] q_data, q_second, mark_data;
  logic [1:0]       mark_q;
  logic [8*RECORD_BYTES-1:0]     counters_q;
  assign mark_push = (state_q == MarkData);
  assign mark_data = counters_q[mark_q * BeatW +: BeatW];
  fifo #(.Width(2*BeatW + 1), .Depth(DEPTH_STORE_BEATS)) i_beats (
    .clk_i, .rst_i, .push_i(beat_push | mark_push),
    .data_i({beat_second, mark_push ? {1'b0, mark_data} : {last_qq, beat_data}}),
    .ready_o(q_ready), .valid_o(q_valid), .data_o({q_second, q_last, q_data}), .pop_i(beat_out)
  );
  // A beat on offer may not change; every other one is empty from the halt on.
  logic flush, stalled_q;
  assign flush    = halt_i & ~stalled_q;
  assign wvalid_o = ((q_valid & ~local_q) | halt_i) & len_valid;
  assign wdata_o  = flush ? '0 : q_data;
  assign wstrb_o  = {BeatBytes{~flush}};
  assign bus_out  = wvalid_o & wready_i;
  assign beat_out = bus_out | (local_valid_o & local_ready_i);
  assign local_valid_o = q_valid & local_q;
  assign local_data_o  = q_data;
  assign local_second_o = q_second;

  logic sent;
  assign sent = beat_out & q_last;

  always_ff @(posedge clk_i) begin
    signal_mask_o <= signal_q;
    if (rst_i) begin
      state_q    <= Idle;
      signal_o   <= 1'b0;
      end_o      <= 1'b0;
      asking_q   <= 1'b0;
      ask_beat_q <= '0;
      room_q     <= 4'(DEPTH_STORE_BEATS);
      burst_q    <= '0;
      stalled_q  <= 1'b0;
    end else begin
      stalled_q  <= wvalid_o & ~wready_i & ~flush;
      signal_o   <= 1'b0;
      end_o      <= 1'b0;
      ask_beat_q <= {ask_beat_q[0], ask};
      if (bus_out) burst_q <= last_of_burst ? '0 : burst_q + 8'd1;
      // Room: taken when a beat is asked for (T = 1: with its second line), given back when it leaves.
      if ((ask & ((T != 1) | sub_q)) & ~(beat_out & (state_q == Data))) room_q <= room_q - 4'd1;
      if (~(ask & ((T != 1) | sub_q)) & (beat_out & (state_q == Data))) room_q <= room_q + 4'd1;
      if (ask_last) asking_q <= 1'b0;
      unique case (state_q)
        Idle: if (accept) begin
          if (is_store) begin
            state_q  <= Data;
            asking_q <= 1'b1;
          end
          if (~is_store & ~is_end) state_q <= MarkWait;
          if (is_end) begin
            end_o    <= 1'b1;
            signal_o <= 1'b1;
          end
        end
        Data: if (sent) begin
          state_q  <= Idle;
          signal_o <= 1'b1;
        end
        MarkWait: begin
          if (mark_go) state_q <= MarkData;
          if (fence_go) begin
            state_q  <= Idle;
            signal_o <= 1'b1;
          end
        end
        MarkData: if (mark_q == 2'(MarkBeats - 1)) state_q <= MarkAnswer;
        default: if (bvalid_i) begin
          state_q  <= Idle;
          signal_o <= 1'b1;
        end
      endcase
    end
    // Datapath registers.
    half_q  <= sub_q;
    half_qq <= half_q;
    last_q  <= ask_last;
    last_qq <= last_q;
    mark_q  <= (state_q == MarkData) ? mark_q + 2'd1 : 2'd0;
    if (mark_go) counters_q <= counters_i;
    if (accept) begin
      signal_q     <= cmd_i[HEAD_SIGNAL +: HEAD_SIGNAL_W];
      fence_q      <= kind == STORE_KIND_FENCE;
      seg_beats_q  <= is_store ? cmd_i[STORE_SEG_BEATS +: STORE_SEG_BEATS_W] : 16'(MarkBeats);
      seg_count_q  <= is_store ? cmd_i[STORE_SEG_COUNT +: STORE_SEG_COUNT_W] : 16'd1;
      seg_stride_q <= cmd_i[STORE_SEG_STRIDE +: STORE_SEG_STRIDE_W];
      row_stride_q <= cmd_i[STORE_ROW_STRIDE +: STORE_ROW_STRIDE_W];
      row_pitch_q  <= OutAddrW'(cmd_i[STORE_ROW_PITCH +: STORE_ROW_PITCH_W]);
      beats_left_q <= cmd_i[STORE_SEG_BEATS +: STORE_SEG_BEATS_W];
      segs_left_q  <= cmd_i[STORE_SEG_COUNT +: STORE_SEG_COUNT_W];
      rows_left_q  <= cmd_i[STORE_ROWS +: STORE_ROWS_W];
      line_q       <= OutAddrW'(cmd_i[STORE_LINE +: STORE_LINE_W]);
      row_line_q   <= OutAddrW'(cmd_i[STORE_LINE +: STORE_LINE_W]);
      bank_q       <= cmd_i[STORE_BANK];
      local_q      <= is_store & cmd_i[STORE_LOCAL];
      both_q       <= cmd_i[STORE_BOTH];
      sub_q        <= 1'b0;
    end else if (ask) begin
      // T = 1: two lines a beat. T = 4: two beats a line. T = 2: one.
      sub_q <= (T == 2) ? 1'b0 : ~sub_q;
      if (T != 4 | sub_q) line_q <= line_q + 1'b1;
      if (T != 1 | sub_q) begin
        beats_left_q <= (beats_left_q == 16'd1) ? seg_beats_q : beats_left_q - 16'd1;
        if (beats_left_q == 16'd1) segs_left_q <= segs_left_q - 16'd1;
      end
      if (row_end) begin
        // The next row lies in the other bank, beside this one or a row on; that behind a pair in the same.
        sub_q       <= 1'b0;
        bank_q      <= ~bank_q & ~both_q;
        rows_left_q <= rows_left_q - 3'd1;
        segs_left_q <= seg_count_q;
        line_q      <= (bank_q | both_q) ? row_line_q + row_pitch_q : row_line_q;
        if (bank_q | both_q) row_line_q <= row_line_q + row_pitch_q;
      end
    end
    if (accept) begin
      rows_q     <= cmd_i[STORE_LOCAL] ? '0 : cmd_i[STORE_ROWS +: STORE_ROWS_W];
      row_addr_q <= cmd_i[STORE_DDR +: STORE_DDR_W];
    end else if (more_rows & desc_ready) begin
      rows_q     <= rows_q - 3'd1;
      row_addr_q <= row_addr_q + row_stride_q;
    end
  end
  logic unused_ready;
  assign unused_ready = &{q_ready, len_ready};
endmodule
`default_nettype wire

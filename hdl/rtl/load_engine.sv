// Load queue: rows of activations from memory into the activation buffer, dealing columns to planes for strides 2 and 4.
// Issues the next command's bursts while earlier data are still on their way. A command is complete (signal_o, one cycle,
// with its mask) one cycle after its last beat is taken. Throughput: one beat a cycle, but one phase a cycle where a beat goes
// to four planes (stride 4) or to two lines (T = 1).
// Stride 2, T > 1: the even columns are written with the beat, the odd ones a cycle later, beside the even ones of the next
// beat: these lie in another group of four columns. A beat waits a cycle where that is not so: in the same group, which a
// channel's row of odd length leads to, or in another command.
// Parity: channels go to the lower and the upper set of the buffer in turn, two of them to the same lines.
// Local: the beats are those of the store queue's local store, and memory is not asked. Both (stride 1): with each comes a second
// one, for the next row bank; from memory it comes by a port of its own, whose beats wait in a queue, so that ready depends on
// registers only.
`default_nettype none
module load_engine import cnna_pkg::*; #(
  parameter int unsigned T           = 2,
  parameter int unsigned Depth       = 1024,  // lines of the buffer; the highest bit of a line tells the set
  parameter bit          Paired      = 1'b0,
  parameter int unsigned W           = 16,
  parameter int unsigned AddrW       = 40,
  parameter int unsigned Outstanding = 16,
  parameter bit          Second      = 1'b0   // a second read port
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  input  wire logic             halt_i,  // no new bursts; the data of those under way are swallowed
  input  wire logic [AddrW-1:0] base_i,
  input  wire logic [31:0]      size_i,
  // command whose tokens are there
  input  wire logic             cmd_valid_i,
  /* verilator lint_off UNUSEDSIGNAL */ // an engine reads its own fields of the command
  input  wire logic [511:0]     cmd_i,
  /* verilator lint_on UNUSEDSIGNAL */
  output logic                  cmd_ready_o,
  // complete
  output logic                  signal_o,
  output logic [3:0]            signal_mask_o,
  // AXI read
  output logic                  arvalid_o,
  input  wire logic             arready_i,
  output logic [AddrW-1:0]      araddr_o,
  output logic [7:0]            arlen_o,
  input  wire logic             rvalid_i,
  output logic                  rready_o,
  input  wire logic [8*W-1:0]   rdata_i,
  input  wire logic             rlast_i,
  // AXI read of the second row
  output logic                  second_arvalid_o,
  input  wire logic             second_arready_i,
  output logic [AddrW-1:0]      second_araddr_o,
  output logic [7:0]            second_arlen_o,
  input  wire logic             second_rvalid_i,
  output logic                  second_rready_o,
  input  wire logic [8*W-1:0]   second_rdata_i,
  input  wire logic             second_rlast_i,
  // beats of a local store
  input  wire logic             local_valid_i,
  output logic                  local_ready_o,
  input  wire logic [8*W-1:0]   local_data_i,
  input  wire logic [8*W-1:0]   local_second_i,
  // activation or residual buffer write
  output logic [4*T-1:0]        wen_o,
  output logic [4*T-1:0]        residual_wen_o,
  output logic [1:0]            wbank_o,
  output logic                  wboth_o,
  output logic [T*16-1:0]       wline_o, // one a group of four columns
  output logic [4*T*W-1:0]      wdata_o,
  output logic [4*T*W-1:0]      wodd_o,  // of the activation buffer's banks 1 and 3
  // status
  output logic                  in_flight_o,
  output logic                  error_o
);
  localparam int unsigned LineWords = 4 * T;
  localparam int unsigned PosW      = $clog2(LineWords);
  localparam int unsigned GroupW    = (T == 1) ? 1 : $clog2(T);
  localparam int unsigned BeatBytes = W;  // 8 words of W/8 bytes

  // Issue: bursts of the next command.
  logic burst_ready, second_ready, rx_ready, accept;
  logic first_flight, second_flight, first_error, second_error;
  assign cmd_ready_o = burst_ready & second_ready & rx_ready;
  assign in_flight_o = first_flight | second_flight;
  assign error_o     = first_error | second_error;
  assign accept      = cmd_valid_i & cmd_ready_o;

  axi_burst #(.BeatBytes(BeatBytes), .AddrW(AddrW), .Outstanding(Outstanding)) i_burst (
    .clk_i, .rst_i, .halt_i, .base_i, .size_i,
    .desc_valid_i (accept & ~cmd_i[LOAD_LOCAL]),
    .desc_ready_o (burst_ready),
    .desc_addr_i  (cmd_i[LOAD_DDR +: LOAD_DDR_W]),
    .desc_beats_i (32'(cmd_i[LOAD_SEG_BEATS +: LOAD_SEG_BEATS_W])),
    .desc_segs_i  (cmd_i[LOAD_SEG_COUNT +: LOAD_SEG_COUNT_W]),
    .desc_stride_i(cmd_i[LOAD_SEG_STRIDE +: LOAD_SEG_STRIDE_W]),
    .valid_o(arvalid_o), .ready_i(arready_i), .addr_o(araddr_o), .len_o(arlen_o),
    .retire_i(rvalid_i & rready_o & rlast_i),
    .in_flight_o(first_flight), .error_o(first_error)
  );

  logic           held_valid, held_pop;   // the second port's next beat
  logic [8*W-1:0] held_data;
  if (Second) begin : gen_second
    logic held_ready;
    assign second_rready_o = held_ready | halt_i;
    axi_burst #(.BeatBytes(BeatBytes), .AddrW(AddrW), .Outstanding(Outstanding)) i_second (
      .clk_i, .rst_i, .halt_i, .base_i, .size_i,
      .desc_valid_i (accept & cmd_i[LOAD_BOTH] & ~cmd_i[LOAD_LOCAL]),
      .desc_ready_o (second_ready),
      .desc_addr_i  (cmd_i[LOAD_DDR +: LOAD_DDR_W] + cmd_i[LOAD_SECOND +: LOAD_SECOND_W]),
      .desc_beats_i (32'(cmd_i[LOAD_SEG_BEATS +: LOAD_SEG_BEATS_W])),
      .desc_segs_i  (cmd_i[LOAD_SEG_COUNT +: LOAD_SEG_COUNT_W]),
      .desc_stride_i(cmd_i[LOAD_SEG_STRIDE +: LOAD_SEG_STRIDE_W]),
      .valid_o(second_arvalid_o), .ready_i(second_arready_i), .addr_o(second_araddr_o), .len_o(second_arlen_o),
      .retire_i(second_rvalid_i & second_rready_o & second_rlast_i),
      .in_flight_o(second_flight), .error_o(second_error)
    );
    fifo #(.Width(8*W), .Depth(DEPTH_SECOND)) i_held (
      .clk_i, .rst_i, .push_i(second_rvalid_i), .data_i(second_rdata_i), .ready_o(held_ready),
      .valid_o(held_valid), .data_o(held_data), .pop_i(held_pop)
    );
  end else begin : gen_single
    assign second_ready     = 1'b1;
    assign second_arvalid_o = 1'b0;
    assign second_araddr_o  = '0;
    assign second_arlen_o   = '0;
    assign second_rready_o  = 1'b0;
    assign second_flight    = 1'b0;
    assign second_error     = 1'b0;
    assign held_valid       = 1'b1;
    assign held_data        = '0;
    logic unused;
    assign unused = &{1'b0, second_arready_i, second_rvalid_i, second_rdata_i, second_rlast_i, held_pop};
  end

  // Receive: where the beats of accepted commands go.
  typedef struct packed {
    logic [3:0]  signal;
    logic [15:0] seg_beats;
    logic [15:0] seg_count;
    logic [15:0] line;
    logic [1:0]  bank;
    logic [2:0]  stride;
    logic        target;
    logic [15:0] channel_beats;
    logic [15:0] plane_pitch;
    logic        parity;
    logic        local_beats;
    logic        both;
  } rx_t;
  rx_t rx_new, rx;
  logic rx_valid, rx_pop;
  assign rx_new = '{
    signal:        cmd_i[HEAD_SIGNAL +: HEAD_SIGNAL_W],
    seg_beats:     cmd_i[LOAD_SEG_BEATS +: LOAD_SEG_BEATS_W],
    seg_count:     cmd_i[LOAD_SEG_COUNT +: LOAD_SEG_COUNT_W],
    line:          cmd_i[LOAD_LINE +: LOAD_LINE_W],
    bank:          cmd_i[LOAD_ROW_BANK +: LOAD_ROW_BANK_W],
    stride:        cmd_i[LOAD_STRIDE +: LOAD_STRIDE_W],
    target:        cmd_i[LOAD_TARGET],
    channel_beats: cmd_i[LOAD_CHANNEL_BEATS +: LOAD_CHANNEL_BEATS_W],
    plane_pitch:   cmd_i[LOAD_PLANE_PITCH +: LOAD_PLANE_PITCH_W],
    parity:        cmd_i[LOAD_PARITY],
    local_beats:   cmd_i[LOAD_LOCAL],
    both:          cmd_i[LOAD_BOTH]
  };
  fifo #(.Width($bits(rx_t)), .Depth(DEPTH_RECEIVE)) i_rx (
    .clk_i, .rst_i, .push_i(accept), .data_i(rx_new), .ready_o(rx_ready),
    .valid_o(rx_valid), .data_o(rx), .pop_i(rx_pop)
  );

  // Progress within the current command.
  logic            fresh_q;               // nothing received yet: counters start from the command
  logic [15:0]     line_q, first_q;        // first: of the channel
  logic [15:0]     beat_q, seg_q, chan_q;  // still to come of the segment, the command, the channel's row, with this one
  logic [PosW-1:0] pos_q;
  logic [1:0]      phase_q;
  logic [15:0]     offset_q;              // plane offset of the phase

  logic [15:0]     line, first, beat, seg, chan;
  logic [PosW-1:0] pos;
  assign line  = fresh_q ? rx.line : line_q;
  assign first = fresh_q ? rx.line : first_q;
  assign beat = fresh_q ? rx.seg_beats : beat_q;
  assign seg  = fresh_q ? rx.seg_count : seg_q;
  assign chan = fresh_q ? rx.channel_beats : chan_q;
  assign pos  = fresh_q ? '0 : pos_q;

  logic dealt;                            // stride > 1
  assign dealt = rx.stride != 3'd1;
  logic [1:0] last_phase;
  always_comb begin
    unique case (rx.stride)
      3'd2:    last_phase = (T == 1) ? 2'd1 : 2'd0;
      3'd4:    last_phase = 2'd3;
      default: last_phase = (T == 1) ? 2'd1 : 2'd0;
    endcase
  end

  // Odd columns that are still to be written: in this cycle, whatever else is.
  logic              late_q;
  logic [1:0]        late_bank_q;
  logic [GroupW-1:0] late_group_q;
  logic [15:0]       late_line_q;
  logic [4*W-1:0]    late_data_q;
  logic              split, blocked;
  logic [GroupW-1:0] group_q;             // where the next beat goes, within a command
  assign group_q = (T == 1) ? '0 : GroupW'(pos_q >> 2);
  assign split   = (T != 1) & (rx.stride == 3'd2);
  assign blocked = late_q & (~split | fresh_q | (group_q == late_group_q));

  logic take, done_phase, last_beat, last_seg, last_chan;
  logic             takes, valid;         // a beat of the source that the command has
  logic [8*W-1:0]   data, second;
  logic lacking;                          // the second row's beat has not come
  assign lacking    = rx.both & ~rx.local_beats & ~held_valid;
  assign valid      = rx.local_beats ? local_valid_i : rvalid_i;
  assign data       = rx.local_beats ? local_data_i : rdata_i;
  assign second     = ~rx.both ? data : rx.local_beats ? local_second_i : held_data;
  assign take       = valid & rx_valid & ~blocked & ~lacking;
  assign done_phase = phase_q == last_phase;
  assign takes      = rx_valid & done_phase & ~blocked & ~lacking;
  assign held_pop   = rx.both & ~rx.local_beats & rvalid_i & takes;
  assign rready_o   = (takes & ~rx.local_beats) | halt_i;
  assign local_ready_o = takes & rx.local_beats;
  assign last_beat  = beat == 16'd1;
  assign last_seg   = seg == 16'd1;
  assign last_chan  = chan == 16'd1;
  assign rx_pop     = take & done_phase & last_beat & last_seg;

  // Words that one phase writes, and where the line moves after it.
  logic [PosW:0] next_pos;
  logic          line_full;
  always_comb begin
    unique case (rx.stride)
      3'd2:    next_pos = (PosW+1)'(pos) + (PosW+1)'(4);
      3'd4:    next_pos = (PosW+1)'(pos) + (PosW+1)'(2);
      default: next_pos = (PosW+1)'(pos) + ((T == 1) ? (PosW+1)'(4) : (PosW+1)'(8));
    endcase
  end
  assign line_full = next_pos[PosW] | (dealt & last_chan);

  // The line behind this one; behind the last of a channel that of the next, which may lie beside it in the upper set.
  localparam int unsigned SetBit = $clog2(Depth) - 1;
  logic        turn;
  logic [15:0] next_line;
  assign turn = Paired & rx.parity & done_phase & last_chan;
  always_comb begin
    next_line = line + 16'(line_full);
    if (turn) begin
      if (~line[SetBit]) next_line = first;
      next_line[SetBit] = ~line[SetBit];
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      fresh_q  <= 1'b1;
      phase_q  <= '0;
      offset_q <= '0;
      late_q   <= 1'b0;
      signal_o <= 1'b0;
    end else begin
      late_q   <= take & split;
      signal_o <= rx_pop;
      if (take) begin
        phase_q  <= done_phase ? '0 : phase_q + 2'd1;
        offset_q <= done_phase ? '0 : offset_q + rx.plane_pitch;
        fresh_q  <= rx_pop;
      end
    end
    signal_mask_o <= rx.signal;
    if (take) begin
      // Contiguous lines advance in every phase, planes only after the last.
      first_q <= turn ? next_line : first;
      if (~dealt | done_phase) begin
        line_q <= next_line;
        pos_q  <= line_full ? '0 : next_pos[PosW-1:0];
      end else begin
        line_q <= line;
        pos_q  <= pos;
      end
      if (done_phase) begin
        beat_q <= last_beat ? rx.seg_beats : beat - 16'd1;
        seg_q  <= last_beat ? seg - 16'd1 : seg;
        chan_q <= last_chan ? rx.channel_beats : chan - 16'd1;
      end else begin
        beat_q <= beat;
        seg_q  <= seg;
        chan_q <= chan;
      end
    end
  end

  // Word j of the line takes the beat's word that lands there.
  logic [2:0] source [LineWords];
  logic       enable [LineWords];
  always_comb begin
    for (int unsigned j = 0; j < LineWords; j++) begin
      unique case (rx.stride)
        3'd2: begin
          source[j] = {j[1:0], (T == 1) & phase_q[0]};
          enable[j] = (j[PosW-1:0] & ~PosW'(3)) == pos;
        end
        3'd4: begin
          source[j] = {j[0], phase_q};
          enable[j] = (j[PosW-1:0] & ~PosW'(1)) == pos;
        end
        default: begin
          source[j] = (T == 1) ? {phase_q[0], j[1:0]} : j[2:0];
          enable[j] = (T == 4) ? (j[PosW-1:0] & ~PosW'(7)) == pos : 1'b1;
        end
      endcase
    end
  end
  logic [T-1:0] late;                     // groups that take the odd columns
  always_comb begin
    for (int unsigned g = 0; g < T; g++) late[g] = late_q & (late_group_q == GroupW'(g));
  end
  always_ff @(posedge clk_i) begin
    late_bank_q  <= rx.bank;
    late_group_q <= fresh_q ? '0 : group_q;
    late_line_q  <= line + rx.plane_pitch;
    for (int unsigned i = 0; i < 4; i++) late_data_q[i*W +: W] <= data[(2*i+1)*W +: W];
    wbank_o <= late_q ? late_bank_q : rx.bank;
    wboth_o <= ~late_q & rx.both;
    for (int unsigned g = 0; g < T; g++) begin
      wline_o[g*16 +: 16] <= late[g] ? late_line_q : line + (dealt ? offset_q : 16'd0);
    end
    for (int unsigned j = 0; j < LineWords; j++) begin
      wen_o[j]          <= (take & enable[j] & ~rx.target) | late[j/4];
      residual_wen_o[j] <= take & enable[j] & rx.target;
      wdata_o[j*W +: W] <= late[j/4] ? late_data_q[(j%4)*W +: W] : data[source[j]*W +: W];
      wodd_o[j*W +: W]  <= late[j/4] ? late_data_q[(j%4)*W +: W] : second[source[j]*W +: W];
    end
  end
endmodule
`default_nettype wire

// Cuts a transfer of segments into AXI bursts: at most 16 beats, never across a block of 16 beats (so never across 4 KiB).
// Latency: the first address 1 cycle after the descriptor; then one burst a cycle while fewer than Outstanding are in flight.
// A burst that would leave the window is not issued: error_o stays high until reset. Used for reads (AR) and writes (AW).
// halt_i: no new address is offered; one that is on offer stays until it is taken, as AXI demands. When in_flight_o has
// fallen, nothing is owed to the bus and a reset is safe.
// Addresses and strides are multiples of a beat.
// Room, last burst and the next segment's start are computed one burst ahead, so that a burst leaves from registers.
`default_nettype none
module axi_burst #(
  parameter int unsigned BeatBytes   = 16,
  parameter int unsigned AddrW       = 40,
  parameter int unsigned Outstanding = 16,
  parameter bit          Segments    = 1'b1   // 0: every transfer has one segment
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  input  wire logic             halt_i,
  // memory window
  input  wire logic [AddrW-1:0] base_i,
  /* verilator lint_off UNUSEDSIGNAL */ // a burst is whole beats
  input  wire logic [31:0]      size_i,
  /* verilator lint_on UNUSEDSIGNAL */
  // descriptor: segments of beats
  input  wire logic             desc_valid_i,
  output logic                  desc_ready_o,
  input  wire logic [31:0]      desc_addr_i,
  input  wire logic [31:0]      desc_beats_i,
  input  wire logic [15:0]      desc_segs_i,
  input  wire logic [31:0]      desc_stride_i,
  // address channel
  output logic                  valid_o,
  input  wire logic             ready_i,
  output logic [AddrW-1:0]      addr_o,
  output logic [7:0]            len_o,
  // burst answered
  input  wire logic             retire_i,
  // status
  output logic                  in_flight_o,
  output logic                  error_o
);
  localparam int unsigned BeatLog  = $clog2(BeatBytes);
  localparam int unsigned BlockLog = BeatLog + 4;
  localparam int unsigned CountW   = $clog2(Outstanding + 1);

  // Beats up to the end of the block of 16 in which an address lies.
  function automatic logic [4:0] room_at(input logic [3:0] beat);
    // The negative of four bits, written out: a subtraction would take a carry chain.
    return {beat == '0, beat[3] ^ (beat[2:0] != '0), beat[2] ^ (beat[1:0] != '0), beat[1] ^ beat[0], beat[0]};
  endfunction
  // Few beats, in the lowest six bits: whether a limit of at most 32 holds them.
  function automatic logic at_most(input logic [31:0] beats, input logic [5:0] limit);
    return (beats[31:6] == '0) & (beats[5:0] <= limit);
  endfunction

  logic              active_q, error_q;
  logic [31:0]       addr_q, left_q;   // of the burst offered: address, beats left of its segment
  logic [4:0]        room_q, burst_q;  // beats to the end of its block, beats of it
  logic [4:0]        end_q;            // beat of the block before which it ends
  logic              last_q, final_q;  // last burst of its segment, segment the last
  logic [CountW-1:0] count_q;

  // A burst does not leave its block: it fits if the block lies whole in the window, or in part and the burst ends in that.
  logic fits, issue;
  logic whole_q, part_q;
  assign fits = whole_q | (part_q & (end_q <= {1'b0, size_i[BeatLog +: 4]}));

  logic offered_q;  // an address was on offer and not taken
  assign valid_o      = active_q & fits & (count_q != CountW'(Outstanding)) & (~halt_i | offered_q);
  assign addr_o       = base_i + AddrW'(addr_q);
  assign len_o        = {3'b0, burst_q} - 8'd1;
  assign issue        = valid_o & ready_i;
  assign desc_ready_o = ~active_q & ~error_q;
  assign error_o      = error_q;
  assign in_flight_o  = (count_q != '0) | offered_q;

  // A transfer without beats is taken and forgotten.
  logic take, start;
  assign take  = desc_valid_i & desc_ready_o;
  assign start = take & (desc_beats_i != '0);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      active_q  <= 1'b0;
      error_q   <= 1'b0;
      count_q   <= '0;
      offered_q <= 1'b0;
    end else begin
      offered_q <= valid_o & ~ready_i;
      if (start) active_q <= 1'b1;
      if (issue & last_q & final_q) active_q <= 1'b0;
      if (active_q & ~fits) begin
        active_q <= 1'b0;
        error_q  <= 1'b1;
      end
      if (issue & ~retire_i) count_q <= count_q + 1'b1;
      if (retire_i & ~issue) count_q <= count_q - 1'b1;
    end
  end
`ifndef SYNTHESIS
  // The hard reset of power-on apart, a reset may not forget what the bus is owed.
  always_ff @(posedge clk_i) begin
    if (~rst_i) assert (~retire_i | (count_q != '0)) else $fatal(1, "an answer to no burst (instance %m)");
  end
`endif

  // The next segment, ready when the last burst of this one leaves.
  logic [31:0] next_addr, next_left;
  logic [4:0]  next_room;
  logic        next_last, next_final;
  if (Segments) begin : gen_segments
    logic [31:0] next_q, stride_q, beats_q, from, step, ahead;
    logic [15:0] segs_q;                // segments after this one
    logic [4:0]  room_ahead, next_room_q;
    logic        next_last_q, next_final_q;
    // From the descriptor's segment or the next one to the one behind it.
    assign from       = active_q ? next_q : desc_addr_i;
    assign step       = active_q ? stride_q : desc_stride_i;
    assign ahead      = from + step;
    assign room_ahead = room_at(ahead[BeatLog +: 4]);
    always_ff @(posedge clk_i) begin
      if (take) begin
        stride_q <= desc_stride_i;
        beats_q  <= desc_beats_i;
      end
      if (take | (issue & last_q)) begin
        segs_q       <= (active_q ? segs_q : desc_segs_i) - 16'd1;
        next_q       <= ahead;
        next_room_q  <= room_ahead;
        next_last_q  <= at_most(active_q ? beats_q : desc_beats_i, {1'b0, room_ahead});
        next_final_q <= (active_q ? segs_q : desc_segs_i) == 16'd2;
      end
    end
    assign next_addr  = next_q;
    assign next_left  = beats_q;
    assign next_room  = next_room_q;
    assign next_last  = next_last_q;
    assign next_final = next_final_q;
  end else begin : gen_single
    assign next_addr  = '0;
    assign next_left  = '0;
    assign next_room  = '0;
    assign next_last  = 1'b0;
    assign next_final = 1'b0;
    logic unused;
    assign unused = &{1'b0, desc_segs_i, desc_stride_i};
  end

  // The block of the next burst against the window's end. One block on is compared with an end one block earlier.
  localparam int unsigned BlockW = 32 - BlockLog;
  logic [BlockW-1:0] block, limit, size_q, before_q;
  logic              some_q, on;
  assign on    = active_q & ~last_q;
  assign block = ~active_q ? desc_addr_i[31:BlockLog] : last_q ? next_addr[31:BlockLog] : addr_q[31:BlockLog];
  assign limit = on ? before_q : size_q;
  always_ff @(posedge clk_i) begin
    size_q   <= size_i[31:BlockLog];
    before_q <= size_i[31:BlockLog] - 1'b1;
    some_q   <= size_i[31:BlockLog] != '0;
    if (take | issue) begin
      whole_q <= (block < limit) & (some_q | ~on);
      part_q  <= (block == limit) & (some_q | ~on);
    end
  end

  logic [4:0]  desc_room;
  logic        desc_last, more_last;
  logic [31:0] more_left;
  assign desc_room = room_at(desc_addr_i[BeatLog +: 4]);
  assign desc_last = at_most(desc_beats_i, {1'b0, desc_room});
  assign more_left = left_q - 32'(room_q);
  // The limit is room + 16, for a room of 1 to 16.
  assign more_last = at_most(left_q, {room_q[4], ~room_q[4], room_q[3:0]});
  always_ff @(posedge clk_i) begin
    // Idle or not, rather than started or not, chooses the data: a start comes late in the cycle.
    if (take | issue) begin
      if (~active_q) begin
        addr_q  <= desc_addr_i;
        left_q  <= desc_beats_i;
        room_q  <= desc_room;
        burst_q <= desc_last ? desc_beats_i[4:0] : desc_room;
        end_q   <= desc_last ? {1'b0, desc_addr_i[BeatLog +: 4]} + desc_beats_i[4:0] : 5'd16;
        last_q  <= desc_last;
        final_q <= ~Segments | (desc_segs_i == 16'd1);
      end else if (last_q) begin
        addr_q  <= next_addr;
        left_q  <= next_left;
        room_q  <= next_room;
        burst_q <= next_last ? next_left[4:0] : next_room;
        end_q   <= next_last ? {1'b0, next_addr[BeatLog +: 4]} + next_left[4:0] : 5'd16;
        last_q  <= next_last;
        final_q <= next_final;
      end else begin
        addr_q  <= {addr_q[31:BlockLog] + 1'b1, 4'b0, addr_q[BeatLog-1:0]};
        left_q  <= more_left;
        room_q  <= 5'd16;
        burst_q <= more_last ? more_left[4:0] : 5'd16;
        end_q   <= more_last ? more_left[4:0] : 5'd16;
        last_q  <= more_last;
      end
    end
  end
endmodule
`default_nettype wire

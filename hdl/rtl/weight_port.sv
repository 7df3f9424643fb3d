// One AXI read port of the weight queue: a stream of beats becomes rows of lane words, or biases.
// PLAIN: a beat is one lane word of 8. KERNEL: a gearbox makes 8 lane words of 9 from 9 beats. BIAS: a beat is BeatBytes / 8
// biases. SET: a beat is a word of an activation set. Always ready; one beat a cycle. done_o pulses one cycle after a command's last beat (at once when it has none here).
`default_nettype none
module weight_port import cnna_pkg::*; #(
  parameter int unsigned W           = 16,
  parameter int unsigned AddrW       = 40,
  parameter int unsigned Outstanding = 16,
  localparam int unsigned Perbeat    = (W == 16) ? 2 : 1
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  input  wire logic             halt_i,  // no new bursts; the data of those under way are swallowed
  input  wire logic [AddrW-1:0] base_i,
  input  wire logic [31:0]      size_i,
  // this port's part of a command
  input  wire logic             cmd_valid_i,
  output logic                  cmd_ready_o,
  input  wire logic [31:0]      cmd_addr_i,
  input  wire logic [31:0]      cmd_beats_i,
  input  wire logic [7:0]       cmd_lanes_i,
  input  wire logic [15:0]      cmd_dest_i,
  input  wire logic [1:0]       cmd_kind_i,
  output logic                  done_o,
  // AXI read
  output logic                  arvalid_o,
  input  wire logic             arready_i,
  output logic [AddrW-1:0]      araddr_o,
  output logic [7:0]            arlen_o,
  input  wire logic             rvalid_i,
  output logic                  rready_o,
  input  wire logic [8*W-1:0]   rdata_i,
  input  wire logic             rlast_i,
  // weight buffer write: lane index counts this port's lanes
  output logic                  wvalid_o,
  output logic [7:0]            wlane_o,
  output logic [15:0]           wrow_o,
  output logic [9*W-1:0]        wdata_o,
  // bias buffer write
  output logic                  bvalid_o,
  output logic [15:0]           brow_o,
  output logic [1:0]            belem_o,
  output logic [Perbeat*64-1:0] bdata_o,
  // activation set write: row and data are the bias's
  output logic                  svalid_o,
  // status
  output logic                  in_flight_o,
  output logic                  error_o
);
  localparam int unsigned BeatBytes = W;

  logic burst_ready, rx_ready, accept;
  assign cmd_ready_o = burst_ready & rx_ready;
  assign accept      = cmd_valid_i & cmd_ready_o;
  axi_burst #(.BeatBytes(BeatBytes), .AddrW(AddrW), .Outstanding(Outstanding), .Segments(1'b0)) i_burst (
    .clk_i, .rst_i, .halt_i, .base_i, .size_i,
    .desc_valid_i(accept), .desc_ready_o(burst_ready),
    .desc_addr_i(cmd_addr_i), .desc_beats_i(cmd_beats_i), .desc_segs_i(16'd1), .desc_stride_i(32'd0),
    .valid_o(arvalid_o), .ready_i(arready_i), .addr_o(araddr_o), .len_o(arlen_o),
    .retire_i(rvalid_i & rready_o & rlast_i), .in_flight_o, .error_o
  );

  typedef struct packed {
    logic [31:0] beats;
    logic        none;    // no beats
    logic [7:0]  last_lane;
    logic [15:0] dest;
    logic [1:0]  kind;
  } rx_t;
  rx_t rx_new, rx;
  logic rx_valid, rx_pop;
  assign rx_new = '{beats: cmd_beats_i, none: cmd_beats_i == '0, last_lane: cmd_lanes_i - 8'd1, dest: cmd_dest_i, kind: cmd_kind_i};
  fifo #(.Width($bits(rx_t)), .Depth(DEPTH_RECEIVE)) i_rx (
    .clk_i, .rst_i, .push_i(accept), .data_i(rx_new), .ready_o(rx_ready),
    .valid_o(rx_valid), .data_o(rx), .pop_i(rx_pop)
  );

  logic        fresh_q;
  logic [31:0] left_q, left;
  logic [15:0] row_q, row;
  logic [7:0]  lane_q;            // these three are zero when a command begins
  logic [1:0]  elem_q;
  logic [3:0]  gear_q;            // KERNEL: leftover words of the gearbox are 9 - gear; 0: none
  logic [8*W-1:0] keep_q;         // leftover words, right-aligned
  assign left = fresh_q ? rx.beats : left_q;
  assign row  = fresh_q ? rx.dest : row_q;

  logic take, empty, kernel, word_out;
  assign empty    = rx_valid & rx.none;
  assign rready_o = (rx_valid & ~empty) | halt_i;
  assign take     = rvalid_i & rx_valid & ~empty;
  assign rx_pop   = empty | (take & (left == 32'd1));
  assign kernel   = rx.kind == WEIGHT_KIND_KERNEL;
  logic bias, set;
  assign bias     = rx.kind == WEIGHT_KIND_BIAS;
  assign set      = rx.kind == WEIGHT_KIND_SET;
  assign word_out = take & ~bias & ~set & ~(kernel & (gear_q == '0));

  // Lane word: 9 - gear leftover words, then the first gear words of the beat.
  logic [9*W-1:0] joined;
  logic [8*W-1:0] rest;
  always_comb begin
    joined = {{W{1'b0}}, rdata_i};
    rest   = rdata_i;
    if (kernel) begin
      joined = {{W{1'b0}}, keep_q};
      for (int unsigned g = 1; g <= 8; g++) begin
        if (gear_q == 4'(g)) begin
          for (int unsigned k = 0; k < g; k++) joined[(9-g+k)*W +: W] = rdata_i[k*W +: W];
          rest = rdata_i >> (g*W);
        end
      end
    end
  end

  logic last_lane;
  assign last_lane = lane_q == rx.last_lane;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      fresh_q  <= 1'b1;
      done_o   <= 1'b0;
      wvalid_o <= 1'b0;
      bvalid_o <= 1'b0;
      svalid_o <= 1'b0;
    end else begin
      done_o   <= rx_pop;
      wvalid_o <= word_out;
      bvalid_o <= take & bias;
      svalid_o <= take & set;
      if (rx_pop) fresh_q <= 1'b1;
      else if (take) fresh_q <= 1'b0;
    end
    if (take) begin
      left_q <= left - 32'd1;
      keep_q <= rest;
      gear_q <= (gear_q == 4'd8) ? 4'd0 : gear_q + 4'd1;
      elem_q <= elem_q + 2'(Perbeat);
      if (word_out) lane_q <= last_lane ? '0 : lane_q + 8'd1;
      row_q  <= row;
      if (bias) begin
        if (elem_q == 2'(4 - Perbeat)) row_q <= row + 16'd1;
      end else if (set | (word_out & last_lane)) begin
        row_q <= row + 16'd1;
      end
    end
    if (rst_i | rx_pop) begin
      gear_q <= '0;
      lane_q <= '0;
      elem_q <= '0;
    end
    wlane_o <= lane_q;
    wrow_o  <= row;
    wdata_o <= joined;
    brow_o  <= row;
    belem_o <= elem_q;
    bdata_o <= rdata_i;
  end
endmodule
`default_nettype wire

// Cuts a transfer of segments into AXI bursts: at most 16 beats, never across a block of 16 beats (so never across 4 KiB).
// Latency: the first address 1 cycle after the descriptor; then one burst a cycle while fewer than Outstanding are in flight.
// A burst that would leave the window is not issued: error_o stays high until reset. Used for reads (AR) and writes (AW).
`default_nettype none
module axi_burst #(
  parameter int unsigned BeatBytes   = 16,
  parameter int unsigned AddrW       = 40,
  parameter int unsigned Outstanding = 16
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  // memory window
  input  wire logic [AddrW-1:0] base_i,
  input  wire logic [31:0]      size_i,
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
  localparam int unsigned BeatLog = $clog2(BeatBytes);
  localparam int unsigned CountW  = $clog2(Outstanding + 1);

  logic              active_q, error_q;
  logic [31:0]       addr_q, seg_q, stride_q, left_q, beats_q;
  logic [15:0]       segs_q;
  logic [CountW-1:0] count_q;

  // Beats up to the next block boundary, and of the burst.
  logic [4:0]  room, burst;
  logic        last_burst, fits, issue;
  logic [32:0] burst_end;
  assign room       = 5'd16 - {1'b0, addr_q[BeatLog +: 4]};
  assign last_burst = left_q <= {27'b0, room};
  assign burst      = last_burst ? left_q[4:0] : room;
  assign burst_end  = {1'b0, addr_q} + (33'(burst) << BeatLog);
  assign fits     = burst_end <= {1'b0, size_i};

  assign valid_o      = active_q & fits & (count_q != CountW'(Outstanding));
  assign addr_o       = base_i + AddrW'(addr_q);
  assign len_o        = {3'b0, burst} - 8'd1;
  assign issue        = valid_o & ready_i;
  assign desc_ready_o = ~active_q & ~error_q;
  assign error_o      = error_q;
  assign in_flight_o  = count_q != '0;

  logic start;
  assign start = desc_valid_i & desc_ready_o & (desc_beats_i != '0);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      active_q <= 1'b0;
      error_q  <= 1'b0;
      count_q  <= '0;
    end else begin
      if (start) active_q <= 1'b1;
      if (issue & last_burst & (segs_q == 16'd1)) active_q <= 1'b0;
      if (active_q & ~fits) begin
        active_q <= 1'b0;
        error_q  <= 1'b1;
      end
      if (issue & ~retire_i) count_q <= count_q + 1'b1;
      if (retire_i & ~issue) count_q <= count_q - 1'b1;
    end
    if (start) begin
      addr_q   <= desc_addr_i;
      seg_q    <= desc_addr_i;
      stride_q <= desc_stride_i;
      left_q   <= desc_beats_i;
      beats_q  <= desc_beats_i;
      segs_q   <= desc_segs_i;
    end else if (issue) begin
      if (last_burst) begin
        addr_q <= seg_q + stride_q;
        seg_q  <= seg_q + stride_q;
        left_q <= beats_q;
        segs_q <= segs_q - 16'd1;
      end else begin
        addr_q <= addr_q + (32'(burst) << BeatLog);
        left_q <= left_q - 32'(burst);
      end
    end
  end
endmodule
`default_nettype wire

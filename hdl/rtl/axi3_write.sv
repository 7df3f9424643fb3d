// An AXI4 write port of 128 bits as an AXI3 one of 64 bits, see axi3_read. Wide beats are halved, the low half first; the answers
// to both parts of a burst become one.
// Latency: 1 cycle for addresses; data wait for their address. Throughput: one narrow beat a cycle. Cuts addresses only.
// A slave that takes no address before it sees the data would wait for ever; the processing system's ports do not.
`default_nettype none
module axi3_write #(
  parameter int unsigned AddrW       = 32,
  parameter int unsigned Outstanding = 16   // wide bursts in flight
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  // wide
  input  wire logic             s_awvalid_i,
  output logic                  s_awready_o,
  input  wire logic [AddrW-1:0] s_awaddr_i,
  input  wire logic [3:0]       s_awlen_i,
  input  wire logic [3:0]       s_awcache_i,
  input  wire logic [2:0]       s_awprot_i,
  input  wire logic             s_wvalid_i,
  output logic                  s_wready_o,
  input  wire logic [127:0]     s_wdata_i,
  input  wire logic [15:0]      s_wstrb_i,
  input  wire logic             s_wlast_i,
  output logic                  s_bvalid_o,
  input  wire logic             s_bready_i,
  output logic [1:0]            s_bresp_o,
  // narrow
  output logic                  m_awvalid_o,
  input  wire logic             m_awready_i,
  output logic [AddrW-1:0]      m_awaddr_o,
  output logic [3:0]            m_awlen_o,
  output logic [3:0]            m_awcache_o,
  output logic [2:0]            m_awprot_o,
  output logic                  m_wvalid_o,
  input  wire logic             m_wready_i,
  output logic [63:0]           m_wdata_o,
  output logic [7:0]            m_wstrb_o,
  output logic                  m_wlast_o,
  input  wire logic             m_bvalid_i,
  output logic                  m_bready_o,
  input  wire logic [1:0]       m_bresp_i
);
  localparam int unsigned Parts = 2 * Outstanding;
  localparam int unsigned OwedW = $clog2(Parts + 1);

  logic             ends, issue, beat, owed, high_q;
  logic [3:0]       count_q;   // narrow beats of this burst that have gone
  logic [1:0]       worst_q;   // of the parts whose answers were kept
  logic [OwedW-1:0] owed_q;    // narrow bursts whose addresses have gone and whose data have not all
  axi3_address #(.AddrW(AddrW), .Depth(Parts)) i_address (
    .clk_i, .rst_i,
    .valid_i(s_awvalid_i), .ready_o(s_awready_o), .addr_i(s_awaddr_i), .len_i(s_awlen_i),
    .kind_i({s_awprot_i, s_awcache_i}),
    .valid_o(m_awvalid_o), .ready_i(m_awready_i), .addr_o(m_awaddr_o), .len_o(m_awlen_o),
    .kind_o({m_awprot_o, m_awcache_o}),
    .ends_o(ends), .retire_i(m_bvalid_i & m_bready_o)
  );
  assign issue      = m_awvalid_o & m_awready_i;
  assign owed       = owed_q != '0;
  assign m_wvalid_o = s_wvalid_i & owed;
  assign s_wready_o = m_wready_i & owed & high_q;
  assign m_wdata_o  = high_q ? s_wdata_i[127:64] : s_wdata_i[63:0];
  assign m_wstrb_o  = high_q ? s_wstrb_i[15:8] : s_wstrb_i[7:0];
  assign m_wlast_o  = high_q & (s_wlast_i | (count_q == 4'd15));
  assign beat       = m_wvalid_o & m_wready_i;
  // Only the part that ends a wide burst answers it.
  assign m_bready_o = ~ends | s_bready_i;
  assign s_bvalid_o = m_bvalid_i & ends;
  assign s_bresp_o  = worst_q | m_bresp_i;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      high_q  <= 1'b0;
      count_q <= '0;
      worst_q <= '0;
      owed_q  <= '0;
    end else begin
      if (beat) begin
        high_q  <= ~high_q;
        count_q <= m_wlast_o ? '0 : count_q + 4'd1;
      end
      if (m_bvalid_i & m_bready_o) worst_q <= ends ? '0 : m_bresp_i;
      if (issue & ~(beat & m_wlast_o)) owed_q <= owed_q + 1'b1;
      if (~issue & beat & m_wlast_o)   owed_q <= owed_q - 1'b1;
    end
  end
endmodule
`default_nettype wire

// An AXI4 read port of 128 bits as an AXI3 one of 64 bits: what a high-performance port of the Zynq-7000 is, so that nothing else
// stands between the two. Narrow beats are joined, the low half first; bursts of more than 8 wide beats become two.
// Latency: 1 cycle for addresses, none for data. Throughput: one narrow beat a cycle. Cuts addresses only.
// Wants bursts of whole wide beats, at most 16, and answers in order: one identity.
`default_nettype none
module axi3_read #(
  parameter int unsigned AddrW       = 32,
  parameter int unsigned Outstanding = 16   // wide bursts in flight
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  // wide
  input  wire logic             s_arvalid_i,
  output logic                  s_arready_o,
  input  wire logic [AddrW-1:0] s_araddr_i,
  input  wire logic [3:0]       s_arlen_i,
  input  wire logic [3:0]       s_arcache_i,
  input  wire logic [2:0]       s_arprot_i,
  output logic                  s_rvalid_o,
  input  wire logic             s_rready_i,
  output logic [127:0]          s_rdata_o,
  output logic [1:0]            s_rresp_o,
  output logic                  s_rlast_o,
  // narrow
  output logic                  m_arvalid_o,
  input  wire logic             m_arready_i,
  output logic [AddrW-1:0]      m_araddr_o,
  output logic [3:0]            m_arlen_o,
  output logic [3:0]            m_arcache_o,
  output logic [2:0]            m_arprot_o,
  input  wire logic             m_rvalid_i,
  output logic                  m_rready_o,
  input  wire logic [63:0]      m_rdata_i,
  input  wire logic [1:0]       m_rresp_i,
  input  wire logic             m_rlast_i
);
  logic        ends, half_q;
  logic [63:0] low_q;
  logic [1:0]  resp_q;
  axi3_address #(.AddrW(AddrW), .Depth(2 * Outstanding)) i_address (
    .clk_i, .rst_i,
    .valid_i(s_arvalid_i), .ready_o(s_arready_o), .addr_i(s_araddr_i), .len_i(s_arlen_i),
    .kind_i({s_arprot_i, s_arcache_i}),
    .valid_o(m_arvalid_o), .ready_i(m_arready_i), .addr_o(m_araddr_o), .len_o(m_arlen_o),
    .kind_o({m_arprot_o, m_arcache_o}),
    .ends_o(ends), .retire_i(m_rvalid_i & m_rready_o & m_rlast_i)
  );
  assign m_rready_o = ~half_q | s_rready_i;
  assign s_rvalid_o = half_q & m_rvalid_i;
  assign s_rdata_o  = {m_rdata_i, low_q};
  // Of two answers the worse: OKAY 0, SLVERR 2, DECERR 3.
  assign s_rresp_o  = resp_q | m_rresp_i;
  assign s_rlast_o  = m_rlast_i & ends;
  always_ff @(posedge clk_i) begin
    if (rst_i) half_q <= 1'b0;
    else if (m_rvalid_i & m_rready_o) half_q <= ~half_q;
    if (~half_q) begin
      low_q  <= m_rdata_i;
      resp_q <= m_rresp_i;
    end
  end
endmodule
`default_nettype wire

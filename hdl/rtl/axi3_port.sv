// An AXI4 master of 128 bits as an AXI3 master of 64 bits: what a high-performance port of the Zynq-7000 is, so that nothing else
// stands between the two. Beats are halved and joined, the low half first; bursts of more than 8 wide beats become two.
// Latency: addresses and write data 1 cycle, as the latter wait for their address; read data none. One narrow beat a cycle.
// Wants bursts of whole wide beats, at most 16, and answers in order: one identity, 0. Cuts addresses only; data channels pass
// through. A slave that takes no write address before it sees the data would wait for ever; these ports do not.
`default_nettype none
module axi3_port #(
  parameter int unsigned AddrW       = 32,
  parameter int unsigned Outstanding = 16,   // wide bursts in flight, each direction
  parameter bit          Writes      = 1'b1
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  // wide
  input  wire logic             s_arvalid_i,
  output logic                  s_arready_o,
  input  wire logic [AddrW-1:0] s_araddr_i,
  /* verilator lint_off UNUSEDSIGNAL */ // at most 16 beats
  input  wire logic [7:0]       s_arlen_i,
  /* verilator lint_on UNUSEDSIGNAL */
  input  wire logic [3:0]       s_arcache_i,
  input  wire logic [2:0]       s_arprot_i,
  output logic                  s_rvalid_o,
  input  wire logic             s_rready_i,
  output logic [127:0]          s_rdata_o,
  output logic [1:0]            s_rresp_o,
  output logic                  s_rlast_o,
  input  wire logic             s_awvalid_i,
  output logic                  s_awready_o,
  input  wire logic [AddrW-1:0] s_awaddr_i,
  /* verilator lint_off UNUSEDSIGNAL */
  input  wire logic [7:0]       s_awlen_i,
  /* verilator lint_on UNUSEDSIGNAL */
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
  input  wire logic             m_rlast_i,
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

  // Read: of two answers the worse, OKAY 0 < SLVERR 2 < DECERR 3.
  logic        read_ends, half_q;
  logic [63:0] low_q;
  logic [1:0]  resp_q;
  axi3_address #(.AddrW(AddrW), .Depth(Parts)) i_read (
    .clk_i, .rst_i,
    .valid_i(s_arvalid_i), .ready_o(s_arready_o), .addr_i(s_araddr_i), .len_i(s_arlen_i[3:0]),
    .kind_i({s_arprot_i, s_arcache_i}),
    .valid_o(m_arvalid_o), .ready_i(m_arready_i), .addr_o(m_araddr_o), .len_o(m_arlen_o),
    .kind_o({m_arprot_o, m_arcache_o}),
    .ends_o(read_ends), .retire_i(m_rvalid_i & m_rready_o & m_rlast_i)
  );
  assign m_rready_o = ~half_q | s_rready_i;
  assign s_rvalid_o = half_q & m_rvalid_i;
  assign s_rdata_o  = {m_rdata_i, low_q};
  assign s_rresp_o  = resp_q | m_rresp_i;
  assign s_rlast_o  = m_rlast_i & read_ends;
  always_ff @(posedge clk_i) begin
    if (rst_i) half_q <= 1'b0;
    else if (m_rvalid_i & m_rready_o) half_q <= ~half_q;
    if (~half_q) begin
      low_q  <= m_rdata_i;
      resp_q <= m_rresp_i;
    end
  end

  if (Writes) begin : gen_write
    logic       issue, ends, beat, high_q, swallow;
    logic [3:0] count_q;                  // narrow beats of this burst that have gone
    logic [1:0] worst_q;
    // Narrow bursts whose addresses have gone and whose data have not all.
    logic [$clog2(Parts+1)-1:0] owed_q;
    axi3_address #(.AddrW(AddrW), .Depth(Parts)) i_write (
      .clk_i, .rst_i,
      .valid_i(s_awvalid_i), .ready_o(s_awready_o), .addr_i(s_awaddr_i), .len_i(s_awlen_i[3:0]),
      .kind_i({s_awprot_i, s_awcache_i}),
      .valid_o(m_awvalid_o), .ready_i(m_awready_i), .addr_o(m_awaddr_o), .len_o(m_awlen_o),
      .kind_o({m_awprot_o, m_awcache_o}),
      .ends_o(ends), .retire_i(m_bvalid_i & m_bready_o)
    );
    assign issue      = m_awvalid_o & m_awready_i;
    assign m_wvalid_o = s_wvalid_i & (owed_q != '0);
    assign s_wready_o = m_wready_i & (owed_q != '0) & high_q;
    assign m_wdata_o  = high_q ? s_wdata_i[127:64] : s_wdata_i[63:0];
    assign m_wstrb_o  = high_q ? s_wstrb_i[15:8] : s_wstrb_i[7:0];
    assign m_wlast_o  = high_q & (s_wlast_i | (count_q == 4'd15));
    assign beat       = m_wvalid_o & m_wready_i;
    // The answer to a part that ends no wide burst is kept.
    assign swallow    = ~ends;
    assign m_bready_o = swallow | s_bready_i;
    assign s_bvalid_o = m_bvalid_i & ~swallow;
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
        if (m_bvalid_i & m_bready_o) worst_q <= swallow ? m_bresp_i : '0;
        if (issue & ~(beat & m_wlast_o)) owed_q <= owed_q + 1'b1;
        if (~issue & beat & m_wlast_o)   owed_q <= owed_q - 1'b1;
      end
    end
  end else begin : gen_none
    assign {s_awready_o, s_wready_o, s_bvalid_o, s_bresp_o} = '0;
    assign {m_awvalid_o, m_awaddr_o, m_awlen_o, m_awcache_o, m_awprot_o} = '0;
    assign {m_wvalid_o, m_wdata_o, m_wstrb_o, m_wlast_o, m_bready_o} = '0;
    logic unused;
    assign unused = &{1'b0, s_awvalid_i, s_awaddr_i, s_awlen_i, s_awcache_i, s_awprot_i, s_wvalid_i, s_wdata_i, s_wstrb_i,
                      s_wlast_i, s_bready_i, m_awready_i, m_wready_i, m_bvalid_i, m_bresp_i};
  end
`ifndef SYNTHESIS
  always_ff @(posedge clk_i) begin
    if (~rst_i) begin
      assert (~s_arvalid_i | (s_arlen_i < 8'd16)) else $fatal(1, "a read of %0d beats (instance %m)", s_arlen_i + 9'd1);
      assert (~Writes | ~s_awvalid_i | (s_awlen_i < 8'd16)) else $fatal(1, "a write of %0d beats (instance %m)", s_awlen_i + 9'd1);
    end
  end
`endif
endmodule
`default_nettype wire

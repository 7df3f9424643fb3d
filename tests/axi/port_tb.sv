// axi3_read and axi3_write between cocotbext-axi's master and slave, which want identities and lengths of 8 bits.
// All signals are the module's own: cocotb writes what drives nothing here. (Verilator 5.006 undoes its writes of ports.)
`default_nettype none
module port_tb;
  logic         clk, rst;
  logic         s_axi_awid, s_axi_awvalid, s_axi_awready, m_axi_awid, m_axi_awvalid, m_axi_awready;
  logic         s_axi_wlast, s_axi_wvalid, s_axi_wready, m_axi_wlast, m_axi_wvalid, m_axi_wready;
  logic         s_axi_bid, s_axi_bvalid, s_axi_bready, m_axi_bid, m_axi_bvalid, m_axi_bready;
  logic         s_axi_arid, s_axi_arvalid, s_axi_arready, m_axi_arid, m_axi_arvalid, m_axi_arready;
  logic         s_axi_rid, s_axi_rlast, s_axi_rvalid, s_axi_rready, m_axi_rid, m_axi_rlast, m_axi_rvalid;
  logic         m_axi_rready;
  logic [1:0]   s_axi_awburst, s_axi_bresp, s_axi_arburst, s_axi_rresp, m_axi_awburst, m_axi_bresp, m_axi_arburst;
  logic [1:0]   m_axi_rresp;
  logic [2:0]   s_axi_awsize, s_axi_awprot, s_axi_arsize, s_axi_arprot, m_axi_awsize, m_axi_awprot, m_axi_arsize;
  logic [2:0]   m_axi_arprot;
  logic [3:0]   s_axi_awcache, s_axi_arcache, m_axi_awcache, m_axi_arcache;
  logic [7:0]   s_axi_awlen, s_axi_arlen, m_axi_awlen, m_axi_wstrb, m_axi_arlen;
  logic [15:0]  s_axi_wstrb;
  logic [31:0]  s_axi_awaddr, s_axi_araddr, m_axi_awaddr, m_axi_araddr;
  logic [63:0]  m_axi_wdata, m_axi_rdata;
  logic [127:0] s_axi_wdata, s_axi_rdata;
  assign {s_axi_bid, s_axi_rid, m_axi_awid, m_axi_arid} = '0;
  assign {m_axi_awlen[7:4], m_axi_arlen[7:4]} = '0;
  assign {m_axi_awsize, m_axi_arsize} = {3'd3, 3'd3};
  assign {m_axi_awburst, m_axi_arburst} = {2'd1, 2'd1};
  axi3_read #(.Outstanding(4)) i_read (
    .clk_i(clk), .rst_i(rst),
    .s_arvalid_i(s_axi_arvalid), .s_arready_o(s_axi_arready), .s_araddr_i(s_axi_araddr), .s_arlen_i(s_axi_arlen[3:0]),
    .s_arcache_i(s_axi_arcache), .s_arprot_i(s_axi_arprot),
    .s_rvalid_o(s_axi_rvalid), .s_rready_i(s_axi_rready), .s_rdata_o(s_axi_rdata), .s_rresp_o(s_axi_rresp),
    .s_rlast_o(s_axi_rlast),
    .m_arvalid_o(m_axi_arvalid), .m_arready_i(m_axi_arready), .m_araddr_o(m_axi_araddr), .m_arlen_o(m_axi_arlen[3:0]),
    .m_arcache_o(m_axi_arcache), .m_arprot_o(m_axi_arprot),
    .m_rvalid_i(m_axi_rvalid), .m_rready_o(m_axi_rready), .m_rdata_i(m_axi_rdata), .m_rresp_i(m_axi_rresp),
    .m_rlast_i(m_axi_rlast)
  );
  axi3_write #(.Outstanding(4)) i_write (
    .clk_i(clk), .rst_i(rst),
    .s_awvalid_i(s_axi_awvalid), .s_awready_o(s_axi_awready), .s_awaddr_i(s_axi_awaddr), .s_awlen_i(s_axi_awlen[3:0]),
    .s_awcache_i(s_axi_awcache), .s_awprot_i(s_axi_awprot),
    .s_wvalid_i(s_axi_wvalid), .s_wready_o(s_axi_wready), .s_wdata_i(s_axi_wdata), .s_wstrb_i(s_axi_wstrb),
    .s_wlast_i(s_axi_wlast),
    .s_bvalid_o(s_axi_bvalid), .s_bready_i(s_axi_bready), .s_bresp_o(s_axi_bresp),
    .m_awvalid_o(m_axi_awvalid), .m_awready_i(m_axi_awready), .m_awaddr_o(m_axi_awaddr), .m_awlen_o(m_axi_awlen[3:0]),
    .m_awcache_o(m_axi_awcache), .m_awprot_o(m_axi_awprot),
    .m_wvalid_o(m_axi_wvalid), .m_wready_i(m_axi_wready), .m_wdata_o(m_axi_wdata), .m_wstrb_o(m_axi_wstrb),
    .m_wlast_o(m_axi_wlast),
    .m_bvalid_i(m_axi_bvalid), .m_bready_o(m_axi_bready), .m_bresp_i(m_axi_bresp)
  );
  logic unused;
  assign unused = &{1'b0, s_axi_awid, s_axi_awsize, s_axi_awburst, s_axi_arid, s_axi_arsize, s_axi_arburst, m_axi_bid, m_axi_rid};
endmodule
`default_nettype wire

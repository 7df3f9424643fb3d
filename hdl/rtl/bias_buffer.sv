// Biases: rows of four, in distributed RAM: as wide as an accumulator, and 16 bits of their channel above. Written one or two at a time, read a row at a time.
// Latency: 1 cycle.
`default_nettype none
module bias_buffer #(
  parameter int unsigned Depth   = 128,
  parameter int unsigned Perbeat = 2,
  localparam int unsigned AddrW = $clog2(Depth)
) (
  input  wire logic                  clk_i,
  input  wire logic                  wvalid_i,
  input  wire logic [AddrW-1:0]      wrow_i,
  input  wire logic [1:0]            welem_i,
  input  wire logic [Perbeat*64-1:0] wdata_i,
  input  wire logic [AddrW-1:0]      rrow_i,
  output logic [4*64-1:0]            rdata_o
);
  for (genvar e = 0; e < 4; e++) begin : gen_elem
    (* ram_style = "distributed" *) logic [64-1:0] mem [Depth];
    always_ff @(posedge clk_i) begin
      if (wvalid_i && (welem_i == 2'(e - (e % Perbeat)))) mem[wrow_i] <= wdata_i[(e % Perbeat)*64 +: 64];
      rdata_o[e*64 +: 64] <= mem[rrow_i];
    end
  end
endmodule
`default_nettype wire

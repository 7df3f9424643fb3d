// Tokens between the queues: a command may start when every queue in its wait mask has sent a token.
// Combinational from the counters to start_o; a token sent in a cycle counts from the next.
`default_nettype none
module tokens import cnna_pkg::*; (
  input  wire logic       clk_i,
  input  wire logic       rst_i,
  input  wire logic       enable_i,
  // heads of the queues: load, weight, compute, store
  input  wire logic [3:0] valid_i,
  input  wire logic [3:0] wait_load_i,
  input  wire logic [3:0] wait_weight_i,
  input  wire logic [3:0] wait_compute_i,
  input  wire logic [3:0] wait_store_i,
  output logic [3:0]      start_o,
  input  wire logic [3:0] pop_i,
  // tokens sent
  input  wire logic [3:0] from_load_i,
  input  wire logic [3:0] from_weight_i,
  input  wire logic [3:0] from_compute_i,
  input  wire logic [3:0] from_store_i,
  // why compute does not start
  output logic            lack_load_o,
  output logic            lack_weight_o,
  output logic            lack_store_o
);
  // Counters by path (isa::TOKEN_PATHS).
  localparam int unsigned CountW = 16;
  logic [CountW-1:0] load_compute_q, weight_compute_q, store_compute_q;
  logic [CountW-1:0] compute_load_q, store_load_q, compute_weight_q, compute_store_q;

  logic load_ok, weight_ok, compute_ok, store_ok;
  assign load_ok    = (~wait_load_i[2] | (compute_load_q != '0)) & (~wait_load_i[3] | (store_load_q != '0));
  assign weight_ok  = ~wait_weight_i[2] | (compute_weight_q != '0);
  assign lack_load_o   = wait_compute_i[0] & (load_compute_q == '0);
  assign lack_weight_o = wait_compute_i[1] & (weight_compute_q == '0);
  assign lack_store_o  = wait_compute_i[3] & (store_compute_q == '0);
  assign compute_ok = ~(lack_load_o | lack_weight_o | lack_store_o);
  assign store_ok   = ~wait_store_i[2] | (compute_store_q != '0);
  assign start_o    = {4{enable_i}} & valid_i & {store_ok, compute_ok, weight_ok, load_ok};

  function automatic logic [CountW-1:0] next(input logic [CountW-1:0] q, input logic add, input logic sub);
    return q + CountW'(add) - CountW'(sub);
  endfunction
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      load_compute_q   <= '0;
      weight_compute_q <= '0;
      store_compute_q  <= '0;
      compute_load_q   <= '0;
      store_load_q     <= '0;
      compute_weight_q <= '0;
      compute_store_q  <= '0;
    end else begin
      load_compute_q   <= next(load_compute_q,   from_load_i[2],    pop_i[2] & wait_compute_i[0]);
      weight_compute_q <= next(weight_compute_q, from_weight_i[2],  pop_i[2] & wait_compute_i[1]);
      store_compute_q  <= next(store_compute_q,  from_store_i[2],   pop_i[2] & wait_compute_i[3]);
      compute_load_q   <= next(compute_load_q,   from_compute_i[0], pop_i[0] & wait_load_i[2]);
      store_load_q     <= next(store_load_q,     from_store_i[0],   pop_i[0] & wait_load_i[3]);
      compute_weight_q <= next(compute_weight_q, from_compute_i[1], pop_i[1] & wait_weight_i[2]);
      compute_store_q  <= next(compute_store_q,  from_compute_i[3], pop_i[3] & wait_store_i[2]);
    end
  end
  logic unused;
  assign unused = &{1'b0, wait_load_i[1:0], wait_weight_i[3], wait_weight_i[1:0], wait_compute_i[2], wait_store_i[3],
                    wait_store_i[1:0], from_load_i[3], from_load_i[1:0], from_weight_i[3], from_weight_i[1:0],
                    from_compute_i[2], from_store_i[3], from_store_i[1]};
endmodule
`default_nettype wire

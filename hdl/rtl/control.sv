// Registers (AXI4-Lite slave, one access at a time), start and end of programs, counters.
// All registers are level-based: no read has a side effect, nothing clears by being written.
`default_nettype none
module control import cnna_pkg::*; #(
  parameter logic [63:0] Hash = 64'd0
) (
  input  wire logic        clk_i,
  input  wire logic        rst_i,           // hard reset
  output logic             soft_rst_o,
  // AXI4-Lite
  input  wire logic [11:0] awaddr_i,
  input  wire logic        awvalid_i,
  output logic             awready_o,
  input  wire logic [31:0] wdata_i,
  input  wire logic [3:0]  wstrb_i,
  input  wire logic        wvalid_i,
  output logic             wready_o,
  output logic [1:0]       bresp_o,
  output logic             bvalid_o,
  input  wire logic        bready_i,
  input  wire logic [11:0] araddr_i,
  input  wire logic        arvalid_i,
  output logic             arready_o,
  output logic [31:0]      rdata_o,
  output logic [1:0]       rresp_o,
  output logic             rvalid_o,
  input  wire logic        rready_i,
  // program
  output logic             start_o,         // one cycle
  output logic             run_o,
  output logic [63:0]      base_o,
  output logic [31:0]      size_o,
  output logic [31:0]      prog_offset_o,
  output logic [31:0]      prog_count_o,
  input  wire logic        end_i,
  // errors, by engine
  input  wire logic        load_error_i,
  input  wire logic        weight_error_i,
  input  wire logic        store_error_i,
  input  wire logic        fetch_error_i,
  input  wire logic        bus_error_i,
  input  wire logic        bad_command_i,
  input  wire logic [31:0] bad_head_i,
  // counted events
  input  wire logic        step_i,
  input  wire logic        wait_load_i,
  input  wire logic        wait_weight_i,
  input  wire logic        wait_store_i,
  input  wire logic        read_beat_i,
  input  wire logic        write_beat_i,
  input  wire logic        dealt_i,
  input  wire logic [5:0]  saturated_i,
  input  wire logic        in_flight_i,
  output logic [255:0]     counters_o,
  output logic             irq_o
);
  // Host-writable registers.
  logic        reset_q;
  logic [31:0] start_q, done_q, base_lo_q, base_hi_q, size_q, offset_q, count_q;
  logic        run_q;
  logic [7:0]  error_q;
  logic [31:0] info_q;
  logic [31:0] cycles_q, saturated_q, busy_q, wait_load_q, wait_weight_q, wait_store_q, reads_q, writes_q, commands_q;

  // Writes: address and data together.
  logic write;
  assign write     = awvalid_i & wvalid_i & ~bvalid_o;
  assign awready_o = write;
  assign wready_o  = write;
  assign bresp_o   = 2'b00;
  assign rresp_o   = 2'b00;
  function automatic logic [31:0] merge(input logic [31:0] old, input logic [31:0] data, input logic [3:0] strobe);
    for (int unsigned b = 0; b < 4; b++) merge[b*8 +: 8] = strobe[b] ? data[b*8 +: 8] : old[b*8 +: 8];
  endfunction
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      bvalid_o  <= 1'b0;
      reset_q   <= 1'b0;
      start_q   <= '0;
      base_lo_q <= '0;
      base_hi_q <= '0;
      size_q    <= '0;
      offset_q  <= '0;
      count_q   <= '0;
    end else begin
      if (write) bvalid_o <= 1'b1;
      else if (bready_i) bvalid_o <= 1'b0;
      if (write) begin
        unique case (awaddr_i)
          REG_CONTROL:     if (wstrb_i[0]) reset_q <= wdata_i[0];
          REG_START:       start_q   <= merge(start_q, wdata_i, wstrb_i);
          REG_MEM_BASE_LO: base_lo_q <= merge(base_lo_q, wdata_i, wstrb_i);
          REG_MEM_BASE_HI: base_hi_q <= merge(base_hi_q, wdata_i, wstrb_i);
          REG_MEM_SIZE:    size_q    <= merge(size_q, wdata_i, wstrb_i);
          REG_PROG_OFFSET: offset_q  <= merge(offset_q, wdata_i, wstrb_i);
          REG_PROG_COUNT:  count_q   <= merge(count_q, wdata_i, wstrb_i);
          default: ;
        endcase
      end
      // A reset forgets a pending start, so that the device comes up idle.
      if (reset_q) start_q <= done_q;
    end
  end

  // Reads.
  logic [31:0] value;
  always_comb begin
    unique case (araddr_i)
      REG_ID:          value = ID_VALUE;
      REG_VERSION:     value = VERSION_VALUE;
      REG_HASH_LO:     value = Hash[31:0];
      REG_HASH_HI:     value = Hash[63:32];
      REG_CONTROL:     value = {31'd0, reset_q};
      REG_START:       value = start_q;
      REG_DONE:        value = done_q;
      REG_STATUS:      value = {16'd0, error_q, 6'd0, in_flight_i, run_q};
      REG_ERROR_INFO:  value = info_q;
      REG_MEM_BASE_LO: value = base_lo_q;
      REG_MEM_BASE_HI: value = base_hi_q;
      REG_MEM_SIZE:    value = size_q;
      REG_PROG_OFFSET: value = offset_q;
      REG_PROG_COUNT:  value = count_q;
      REG_CYCLES:      value = cycles_q;
      REG_SATURATED:   value = saturated_q;
      REG_BUSY:        value = busy_q;
      REG_WAIT_LOAD:   value = wait_load_q;
      REG_WAIT_WEIGHT: value = wait_weight_q;
      REG_WAIT_STORE:  value = wait_store_q;
      REG_READ_BEATS:  value = reads_q;
      REG_WRITE_BEATS: value = writes_q;
      REG_COMMANDS:    value = commands_q;
      default:         value = '0;
    endcase
  end
  assign arready_o = arvalid_i & ~rvalid_o;
  always_ff @(posedge clk_i) begin
    if (rst_i) rvalid_o <= 1'b0;
    else if (arready_o) rvalid_o <= 1'b1;
    else if (rready_i) rvalid_o <= 1'b0;
    if (arready_o) rdata_o <= value;
  end

  // Programs.
  logic       begin_run, any_error, stop;
  logic [7:0] error;
  assign begin_run = ~run_q & (start_q != done_q) & ~reset_q;
  assign stop      = run_q & (end_i | any_error);
  always_comb begin
    any_error = 1'b1;
    if (load_error_i)        error = ERROR_LOAD_ADDRESS;
    else if (weight_error_i) error = ERROR_WEIGHT_ADDRESS;
    else if (store_error_i)  error = ERROR_STORE_ADDRESS;
    else if (fetch_error_i)  error = ERROR_FETCH_ADDRESS;
    else if (bus_error_i)    error = ERROR_BUS;
    else if (bad_command_i)  error = ERROR_COMMAND;
    else begin
      error     = 8'd0;
      any_error = 1'b0;
    end
  end
  always_ff @(posedge clk_i) begin
    start_o <= begin_run & ~rst_i;
    if (rst_i) begin
      run_q   <= 1'b0;
      done_q  <= '0;
      error_q <= '0;
      info_q  <= '0;
    end else begin
      if (begin_run) begin
        run_q   <= 1'b1;
        error_q <= '0;
        info_q  <= '0;
      end else if (stop) begin
        run_q   <= 1'b0;
        done_q  <= start_q;
        error_q <= error;
        info_q  <= bad_command_i ? bad_head_i : '0;
      end
      if (reset_q) begin
        run_q   <= 1'b0;
        error_q <= '0;
        info_q  <= '0;
      end
    end
    if (rst_i | begin_run) begin
      cycles_q      <= '0;
      saturated_q   <= '0;
      busy_q        <= '0;
      wait_load_q   <= '0;
      wait_weight_q <= '0;
      wait_store_q  <= '0;
      reads_q       <= '0;
      writes_q      <= '0;
      commands_q    <= '0;
    end else if (run_q) begin
      cycles_q      <= cycles_q + 32'd1;
      saturated_q   <= saturated_q + 32'(saturated_i);
      busy_q        <= busy_q + 32'(step_i);
      wait_load_q   <= wait_load_q + 32'(wait_load_i);
      wait_weight_q <= wait_weight_q + 32'(wait_weight_i);
      wait_store_q  <= wait_store_q + 32'(wait_store_i);
      reads_q       <= reads_q + 32'(read_beat_i);
      writes_q      <= writes_q + 32'(write_beat_i);
      commands_q    <= commands_q + 32'(dealt_i);
    end
  end
  assign run_o         = run_q;
  assign soft_rst_o    = reset_q;
  assign base_o        = {base_hi_q, base_lo_q};
  assign size_o        = size_q;
  assign prog_offset_o = offset_q;
  assign prog_count_o  = count_q;
  assign counters_o    = {writes_q, reads_q, wait_store_q, wait_weight_q, wait_load_q, busy_q, saturated_q, cycles_q};
  assign irq_o         = ~run_q & (done_q != '0);
endmodule
`default_nettype wire

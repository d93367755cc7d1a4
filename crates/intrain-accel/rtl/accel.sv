// The accelerator: C = A * B, tile by tile, from memory to memory.
//
//   memory -> loader -> operand_buffer A -> skew -> systolic_array -> sr_round -> output_fifo -> writer -> memory
//                       operand_buffer B -> skew ---^   (one rounding unit and one FIFO a column)
//                       tile_control issues the steps
//
// Memory: requests and writes are valid/ready; data comes back in order, at any later clock, and is always taken. Seeds are
// pushed while no command runs, the last column's first, N in all. Reset: rst_ni low for at least N + 4 clocks, as
// the operands' delay lines have none. cmd_ready_o falls when a command is accepted and rises after its last write.
module accel #(
  parameter int          N           = 28,
  parameter int          Word        = 16,
  parameter int          Acc         = 48,
  parameter int          Saturate    = 0,
  parameter int          Panel       = 4,
  parameter int          Depth       = 1024,
  parameter int          OutputTiles = 2,
  parameter int          LfsrBits    = 16,
  parameter logic [31:0] Taps        = 32'h0000_002d,
  parameter int          RandomBits  = 32,
  parameter int          Formats     = 2,
  parameter logic [23:0] Drops       = {6'd0, 6'd0, 6'd8, 6'd14},
  parameter int          Nearest     = 0,
  parameter int          DspRound    = 0,
  parameter int          Out         = 48,
  parameter int          CountBits   = 24,
  parameter int          AddrBits    = 32,
  parameter int          StatWidth   = 48
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // Seeds
  input  logic                 seed_valid_i,
  input  logic [LfsrBits-1:0]  seed_i,
  // Command
  input  logic                 cmd_valid_i,
  output logic                 cmd_ready_o,
  input  logic [CountBits-1:0] cmd_row_tiles_i,
  input  logic [CountBits-1:0] cmd_column_tiles_i,
  input  logic [CountBits-1:0] cmd_steps_i,         // k
  input  logic [2:0]           cmd_format_i,        // index; Formats: whole accumulators
  input  logic [AddrBits-1:0]  cmd_a_base_i,        // in beats
  input  logic [AddrBits-1:0]  cmd_b_base_i,
  input  logic [AddrBits-1:0]  cmd_c_base_i,
  // Reads: a beat is one step of k of a tile, N words, row or column 0 lowest
  output logic                 read_valid_o,
  input  logic                 read_ready_i,
  output logic [AddrBits-1:0]  read_addr_o,
  input  logic                 data_valid_i,
  input  logic [N*Word-1:0]    data_i,
  // Writes: a beat is one row of a tile, N results, column 0 lowest
  output logic                 write_valid_o,
  input  logic                 write_ready_i,
  output logic [AddrBits-1:0]  write_addr_o,
  output logic [N*Out-1:0]     write_data_o,
  // Counts of the last command, see counters.sv
  output logic [StatWidth-1:0] stat_cycles_o,
  output logic [StatWidth-1:0] stat_array_o,
  output logic [StatWidth-1:0] stat_steps_o,
  output logic [StatWidth-1:0] stat_wait_load_o,
  output logic [StatWidth-1:0] stat_wait_drain_o,
  output logic [StatWidth-1:0] stat_wait_output_o,
  output logic [StatWidth-1:0] stat_a_beats_o,
  output logic [StatWidth-1:0] stat_b_beats_o,
  output logic [StatWidth-1:0] stat_c_beats_o
);
  localparam int StepWidth  = $clog2(Depth);
  localparam int ASlots     = 2 * Panel;
  localparam int ASlotWidth = $clog2(ASlots);
  localparam int FifoWidth  = (N * OutputTiles > 1) ? $clog2(N * OutputTiles) : 1;

  // Command: accepted into registers; the units start from those, one clock later.
  logic                 busy_q, start_q, accept, tile_written, last_tile;
  logic [CountBits-1:0] row_tiles_q, column_tiles_q, steps_q;
  logic [2:0]           format_q;
  logic [AddrBits-1:0]  a_base_q, b_base_q, c_base_q;

  assign cmd_ready_o = !busy_q;
  assign accept      = cmd_valid_i && cmd_ready_o;

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      busy_q  <= 1'b0;
      start_q <= 1'b0;
    end else begin
      start_q <= accept;
      if (accept)                         busy_q <= 1'b1;
      else if (tile_written && last_tile) busy_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (accept) begin
      row_tiles_q    <= cmd_row_tiles_i;
      column_tiles_q <= cmd_column_tiles_i;
      steps_q        <= cmd_steps_i;
      format_q       <= cmd_format_i;
      a_base_q       <= cmd_a_base_i;
      b_base_q       <= cmd_b_base_i;
      c_base_q       <= cmd_c_base_i;
    end
  end

  // Loader
  logic                  read_is_a, a_write, b_write, a_loaded, b_loaded, a_freed, b_freed;
  logic [ASlotWidth-1:0] a_write_slot;
  logic                  b_write_slot;
  logic [StepWidth-1:0]  write_step;

  loader #(
    .Panel      (Panel),
    .Depth      (Depth),
    .CountBits  (CountBits),
    .AddrBits   (AddrBits),
    .StepWidth  (StepWidth),
    .ASlotWidth (ASlotWidth)
  ) u_loader (
    .clk_i,
    .rst_ni,
    .start_i         (start_q),
    .row_tiles_i     (row_tiles_q),
    .column_tiles_i  (column_tiles_q),
    .steps_i         (steps_q),
    .a_base_i        (a_base_q),
    .b_base_i        (b_base_q),
    .request_valid_o (read_valid_o),
    .request_ready_i (read_ready_i),
    .request_addr_o  (read_addr_o),
    .request_is_a_o  (read_is_a),
    .data_valid_i,
    .a_write_o       (a_write),
    .b_write_o       (b_write),
    .a_slot_o        (a_write_slot),
    .b_slot_o        (b_write_slot),
    .step_o          (write_step),
    .a_loaded_o      (a_loaded),
    .b_loaded_o      (b_loaded),
    .a_freed_i       (a_freed),
    .b_freed_i       (b_freed)
  );

  // Tile control
  logic                  issue, first, last, wait_load, wait_drain, wait_output;
  logic [ASlotWidth-1:0] a_slot;
  logic                  b_slot;
  logic [StepWidth-1:0]  step;

  tile_control #(
    .N           (N),
    .Panel       (Panel),
    .OutputTiles (OutputTiles),
    .CountBits   (CountBits),
    .StepWidth   (StepWidth),
    .ASlotWidth  (ASlotWidth)
  ) u_tile_control (
    .clk_i,
    .rst_ni,
    .start_i        (start_q),
    .row_tiles_i    (row_tiles_q),
    .column_tiles_i (column_tiles_q),
    .steps_i        (steps_q),
    .a_loaded_i     (a_loaded),
    .b_loaded_i     (b_loaded),
    .a_freed_o      (a_freed),
    .b_freed_o      (b_freed),
    .issue_o        (issue),
    .first_o        (first),
    .last_o         (last),
    .a_slot_o       (a_slot),
    .b_slot_o       (b_slot),
    .step_o         (step),
    .tile_written_i (tile_written),
    .last_tile_o    (last_tile),
    .wait_load_o    (wait_load),
    .wait_drain_o   (wait_drain),
    .wait_output_o  (wait_output)
  );

  // Buffers: operands and flags stand at the edge two clocks after a step is issued.
  logic [N*Word-1:0] a_edge, b_edge;
  logic [1:0]        issue_q, first_q, last_q;

  operand_buffer #(
    .Width     (N * Word),
    .Slots     (ASlots),
    .Depth     (Depth),
    .AddrWidth (ASlotWidth + StepWidth)
  ) u_a_buffer (
    .clk_i,
    .rst_ni,
    .write_i      (a_write),
    .write_addr_i ({a_write_slot, write_step}),
    .write_data_i (data_i),
    .read_i       (issue),
    .read_addr_i  ({a_slot, step}),
    .data_o       (a_edge)
  );

  operand_buffer #(
    .Width     (N * Word),
    .Slots     (2),
    .Depth     (Depth),
    .AddrWidth (1 + StepWidth)
  ) u_b_buffer (
    .clk_i,
    .rst_ni,
    .write_i      (b_write),
    .write_addr_i ({b_write_slot, write_step}),
    .write_data_i (data_i),
    .read_i       (issue),
    .read_addr_i  ({b_slot, step}),
    .data_o       (b_edge)
  );

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      issue_q <= 2'b00;
      first_q <= 2'b00;
      last_q  <= 2'b00;
    end else begin
      issue_q <= {issue_q[0], issue};
      first_q <= {first_q[0], first};
      last_q  <= {last_q[0], last};
    end
  end

  // Array
  logic [N*Word-1:0] a_skewed, b_skewed;
  logic [N-1:0]      first_skewed, last_skewed, acc_valid;
  logic [N*Acc-1:0]  acc;

  skew #(.N (N), .Width (Word)) u_a_skew (
    .clk_i,
    .data_i (a_edge),
    .data_o (a_skewed)
  );
  skew #(.N (N), .Width (Word)) u_b_skew (
    .clk_i,
    .data_i (b_edge),
    .data_o (b_skewed)
  );
  skew #(.N (N), .Width (1)) u_first_skew (
    .clk_i,
    .data_i ({N{first_q[1]}}),
    .data_o (first_skewed)
  );
  skew #(.N (N), .Width (1)) u_last_skew (
    .clk_i,
    .data_i ({N{last_q[1]}}),
    .data_o (last_skewed)
  );

  systolic_array #(
    .N        (N),
    .Word     (Word),
    .Acc      (Acc),
    .Saturate (Saturate)
  ) u_array (
    .clk_i,
    .rst_ni,
    .a_i     (a_skewed),
    .first_i (first_skewed),
    .last_i  (last_skewed),
    .b_i     (b_skewed),
    .valid_o (acc_valid),
    .acc_o   (acc)
  );

  // Columns: seeds go from column 0 upwards.
  logic [(N+1)*LfsrBits-1:0] seeds /*verilator split_var*/;
  logic [N-1:0]              result_valid, empty;
  logic                      pop;

  assign seeds[LfsrBits-1:0] = seed_i;

  genvar j;
  for (j = 0; j < N; j = j + 1) begin : g_column
    logic [Out-1:0] result;
    if (DspRound != 0) begin : g_dsp
      sr_round_dsp #(
        .Word       (Word),
        .Acc        (Acc),
        .Out        (Out),
        .LfsrBits   (LfsrBits),
        .Taps       (Taps),
        .RandomBits (RandomBits),
        .Formats    (Formats),
        .Drops      (Drops),
        .Nearest    (Nearest)
      ) u_round (
        .clk_i,
        .rst_ni,
        .seed_load_i (seed_valid_i),
        .seed_i      (seeds[j*LfsrBits +: LfsrBits]),
        .seed_o      (seeds[(j+1)*LfsrBits +: LfsrBits]),
        .format_i    (format_q),
        .valid_i     (acc_valid[j]),
        .acc_i       (acc[j*Acc +: Acc]),
        .valid_o     (result_valid[j]),
        .result_o    (result)
      );
    end else begin : g_fabric
      sr_round #(
        .Word       (Word),
        .Acc        (Acc),
        .Out        (Out),
        .LfsrBits   (LfsrBits),
        .Taps       (Taps),
        .RandomBits (RandomBits),
        .Formats    (Formats),
        .Drops      (Drops),
        .Nearest    (Nearest)
      ) u_round (
        .clk_i,
        .rst_ni,
        .seed_load_i (seed_valid_i),
        .seed_i      (seeds[j*LfsrBits +: LfsrBits]),
        .seed_o      (seeds[(j+1)*LfsrBits +: LfsrBits]),
        .format_i    (format_q),
        .valid_i     (acc_valid[j]),
        .acc_i       (acc[j*Acc +: Acc]),
        .valid_o     (result_valid[j]),
        .result_o    (result)
      );
    end

    output_fifo #(
      .Width     (Out),
      .AddrWidth (FifoWidth)
    ) u_fifo (
      .clk_i,
      .rst_ni,
      .push_i  (result_valid[j]),
      .data_i  (result),
      .pop_i   (pop),
      .empty_o (empty[j]),
      .data_o  (write_data_o[j*Out +: Out])
    );
  end

  // Only the last column says when a row is there; the last seed goes nowhere.
  logic unused;
  assign unused = ^{empty, result_valid, seeds[N*LfsrBits +: LfsrBits]};

  // Writer
  writer #(
    .N        (N),
    .AddrBits (AddrBits)
  ) u_writer (
    .clk_i,
    .start_i        (start_q),
    .base_i         (c_base_q),
    .row_there_i    (!empty[N-1]),
    .pop_o          (pop),
    .write_valid_o,
    .write_ready_i,
    .write_addr_o,
    .tile_written_o (tile_written)
  );

  // Counts
  counters #(
    .Width (StatWidth)
  ) u_counters (
    .clk_i,
    .rst_ni,
    .start_i       (start_q),
    .busy_i        (busy_q),
    .issue_i       (issue),
    .wait_load_i   (wait_load),
    .wait_drain_i  (wait_drain),
    .wait_output_i (wait_output),
    .operand_i     (issue_q[1]),
    .result_i      (result_valid[N-1]),
    .a_beat_i      (read_valid_o && read_ready_i && read_is_a),
    .b_beat_i      (read_valid_o && read_ready_i && !read_is_a),
    .c_beat_i      (pop),
    .cycles_o      (stat_cycles_o),
    .array_o       (stat_array_o),
    .steps_o       (stat_steps_o),
    .wait_load_o   (stat_wait_load_o),
    .wait_drain_o  (stat_wait_drain_o),
    .wait_output_o (stat_wait_output_o),
    .a_beats_o     (stat_a_beats_o),
    .b_beats_o     (stat_b_beats_o),
    .c_beats_o     (stat_c_beats_o)
  );
endmodule

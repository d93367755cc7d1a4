// Issues the steps of all passes to the array, one a clock, as soon as their slots are full.
//
// Two more rules, both for a tile's last step only: it is at least 2N - 1 clocks behind the last step before, so that
// sums do not meet in the drain, and it takes room in the output FIFOs for the whole tile. So nothing behind it ever stalls.
module tile_control #(
  parameter int N           = 28,
  parameter int Panel       = 4,
  parameter int OutputTiles = 2,    // tiles for which the output FIFOs have room
  parameter int CountBits   = 24,
  parameter int StepWidth   = 10,   // clog2(Depth)
  parameter int ASlotWidth  = 3     // clog2(2 * Panel)
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  // Product
  input  logic                  start_i,
  input  logic [CountBits-1:0]  row_tiles_i,
  input  logic [CountBits-1:0]  column_tiles_i,
  input  logic [CountBits-1:0]  steps_i,
  // Slots
  input  logic                  a_loaded_i,
  input  logic                  b_loaded_i,
  output logic                  a_freed_o,
  output logic                  b_freed_o,
  // Steps
  output logic                  issue_o,
  output logic                  first_o,         // of a tile
  output logic                  last_o,
  output logic [ASlotWidth-1:0] a_slot_o,
  output logic                  b_slot_o,
  output logic [StepWidth-1:0]  step_o,          // in both slots
  // Output
  input  logic                  tile_written_i,
  output logic                  last_tile_o,     // all is issued, and all tiles but one are written
  // Why no step is issued
  output logic                  wait_load_o,
  output logic                  wait_drain_o,
  output logic                  wait_output_o
);
  localparam int ASlots = 2 * Panel;
  localparam int DrainWidth = (N > 1) ? $clog2(2 * N - 1) : 1;
  localparam int RoomWidth  = $clog2(OutputTiles + 1);
  localparam logic [ASlotWidth-1:0] OneA   = {{(ASlotWidth-1){1'b0}}, 1'b1};
  localparam logic [ASlotWidth-1:0] PanelA = ASlotWidth'(Panel);
  localparam logic [RoomWidth-1:0]  OneR   = {{(RoomWidth-1){1'b0}}, 1'b1};

  logic                 done, chunked, first_chunk, last_chunk, last_row, last_column, unused_first_column;
  logic [4:0]           row;
  logic [StepWidth-1:0] last_step_number, step;
  logic                 single, last_step, pass_end;

  pass_walker #(
    .Panel     (Panel),
    .CountBits (CountBits),
    .StepWidth (StepWidth)
  ) u_walker (
    .clk_i,
    .rst_ni,
    .start_i,
    .row_tiles_i,
    .column_tiles_i,
    .steps_i,
    .advance_i      (pass_end),
    .skip_rows_i    (1'b0),
    .done_o         (done),
    .chunked_o      (chunked),
    .single_o       (single),
    .last_step_o    (last_step_number),
    .first_chunk_o  (first_chunk),
    .last_chunk_o   (last_chunk),
    .row_o          (row),
    .last_row_o     (last_row),
    .first_column_o (unused_first_column),
    .last_column_o  (last_column)
  );

  step_counter #(
    .StepWidth (StepWidth)
  ) u_steps (
    .clk_i,
    .start_i,
    .single_i    (single),
    .last_step_i (last_step_number),
    .advance_i   (issue_o),
    .step_o      (step),
    .last_o      (last_step)
  );

  // When
  logic [5:0]            a_ready_q;   // full slots of A, from the current row tile on
  logic [1:0]            b_ready_q;
  logic [DrainWidth-1:0] drain_q;     // clocks until the next last step may be issued
  logic [RoomWidth-1:0]  room_q;
  logic                  tile_end, loaded, drained, has_room;

  assign tile_end      = last_step && last_chunk;
  assign loaded        = (a_ready_q != 6'd0) && (b_ready_q != 2'd0);
  assign drained       = !tile_end || (drain_q == {DrainWidth{1'b0}});
  assign has_room      = !tile_end || (room_q != {RoomWidth{1'b0}});
  assign issue_o       = !done && loaded && drained && has_room;
  assign first_o       = issue_o && first_chunk && (step == {StepWidth{1'b0}});
  assign last_o        = issue_o && tile_end;
  assign step_o        = step;
  assign pass_end      = issue_o && last_step;
  assign wait_load_o   = !done && !loaded;
  assign wait_drain_o  = !done && loaded && !drained;
  assign wait_output_o = !done && loaded && drained && !has_room;
  assign last_tile_o   = done && (room_q == RoomWidth'(OutputTiles - 1));

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      drain_q <= {DrainWidth{1'b0}};
      room_q  <= RoomWidth'(OutputTiles);
    end else begin
      if (last_o)                                 drain_q <= DrainWidth'(2 * N - 2);
      else if (drain_q != {DrainWidth{1'b0}}) drain_q <= drain_q - {{(DrainWidth-1){1'b0}}, 1'b1};
      room_q <= room_q - (last_o ? OneR : {RoomWidth{1'b0}}) + (tile_written_i ? OneR : {RoomWidth{1'b0}});
    end
  end

  // Slots: a panel's row tiles of A stay until its last column tile, a column tile of B until its last row tile. Behind the
  // last row tile of a column tile that is not the last one, the panel's slots are there again.
  logic panel_end, rewind;

  assign panel_end = pass_end && last_row && last_column;
  assign rewind    = pass_end && last_row && !last_column && !chunked;
  assign a_freed_o = pass_end && (chunked || last_column);
  assign b_freed_o = pass_end && (chunked || last_row);

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      a_ready_q <= 6'd0;
      b_ready_q <= 2'd0;
    end else begin
      a_ready_q <= (rewind ? a_ready_q + {1'b0, row} : a_ready_q - {5'd0, pass_end}) + {5'd0, a_loaded_i};
      b_ready_q <= b_ready_q - {1'b0, b_freed_o} + {1'b0, b_loaded_i};
    end
  end

  // The panel's half of A's slots, its row tile in it; slots 0 and 1 in turn where k is cut into chunks.
  logic [ASlotWidth-1:0] a_half_q, a_slot_q;
  logic                  b_slot_q;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      a_half_q <= {ASlotWidth{1'b0}};
      a_slot_q <= {ASlotWidth{1'b0}};
      b_slot_q <= 1'b0;
    end else if (pass_end) begin
      if (chunked) begin
        a_slot_q <= a_slot_q ^ OneA;
      end else if (panel_end) begin
        a_half_q <= PanelA - a_half_q;
        a_slot_q <= PanelA - a_half_q;
      end else begin
        a_slot_q <= last_row ? a_half_q : a_slot_q + OneA;
      end
      if (b_freed_o) b_slot_q <= !b_slot_q;
    end
  end

  assign a_slot_o = a_slot_q;
  assign b_slot_o = b_slot_q;

`ifdef INTRAIN_CHECK
  always_ff @(posedge clk_i) begin
    if (rst_ni && !done && a_ready_q + {1'b0, row} > 6'(ASlots)) $fatal(1, "tile_control: more slots of A than there are");
    if (rst_ni && !done && b_ready_q > 2'd2) $fatal(1, "tile_control: more slots of B than there are");
  end
`else
  logic unused;
  assign unused = (ASlots == 0);
`endif
endmodule

// Fills the buffers' slots from memory, as early as a slot is free.
//
// Operands lie in memory tile by tile, each k beats; a request is the address of one beat, data comes back in order at any
// later clock and is always taken. A slot is taken with the last request of its tile, and free again when the tile
// control has read it for the last time. Slots: 2 * Panel of A and 2 of B; 2 and 2 where k is cut into chunks.
module loader #(
  parameter int Panel      = 4,
  parameter int Depth      = 1024,
  parameter int CountBits  = 24,
  parameter int AddrBits   = 32,
  parameter int StepWidth  = 10,    // clog2(Depth)
  parameter int ASlotWidth = 3      // clog2(2 * Panel)
) (
  input  logic                  clk_i,
  input  logic                  rst_ni,
  // Product
  input  logic                  start_i,
  input  logic [CountBits-1:0]  row_tiles_i,
  input  logic [CountBits-1:0]  column_tiles_i,
  input  logic [CountBits-1:0]  steps_i,
  input  logic [AddrBits-1:0]   a_base_i,
  input  logic [AddrBits-1:0]   b_base_i,
  // Requests
  output logic                  request_valid_o,
  input  logic                  request_ready_i,
  output logic [AddrBits-1:0]   request_addr_o,
  output logic                  request_is_a_o,
  // Data
  input  logic                  data_valid_i,
  output logic                  a_write_o,
  output logic                  b_write_o,
  output logic [ASlotWidth-1:0] a_slot_o,
  output logic                  b_slot_o,
  output logic [StepWidth-1:0]  step_o,
  // Slots
  output logic                  a_loaded_o,     // a slot is full from the next clock on
  output logic                  b_loaded_o,
  input  logic                  a_freed_i,      // a slot is free from the next clock on
  input  logic                  b_freed_i
);
  localparam int ASlots = 2 * Panel;
  localparam logic [AddrBits-1:0]   One    = {{(AddrBits-1){1'b0}}, 1'b1};
  localparam logic [ASlotWidth-1:0] OneA   = {{(ASlotWidth-1){1'b0}}, 1'b1};
  localparam logic [ASlotWidth-1:0] LastA  = ASlotWidth'(ASlots - 1);

  // Requests
  logic                 accept, done, is_a, last_beat, chunked, last_chunk, last_row, last_column;
  logic [StepWidth-1:0] unused_beat;

  load_sequence #(
    .Panel     (Panel),
    .CountBits (CountBits),
    .StepWidth (StepWidth)
  ) u_request (
    .clk_i,
    .rst_ni,
    .start_i,
    .row_tiles_i,
    .column_tiles_i,
    .steps_i,
    .advance_i     (accept),
    .done_o        (done),
    .is_a_o        (is_a),
    .beat_o        (unused_beat),
    .last_beat_o   (last_beat),
    .chunked_o     (chunked),
    .last_chunk_o  (last_chunk),
    .last_row_o    (last_row),
    .last_column_o (last_column)
  );

  logic [ASlotWidth:0] a_free_q;
  logic [1:0]          b_free_q;
  logic                a_taken, b_taken;

  assign request_valid_o = !done && (is_a ? a_free_q != {(ASlotWidth+1){1'b0}} : b_free_q != 2'd0);
  assign request_is_a_o  = is_a;
  assign accept          = request_valid_o && request_ready_i;
  assign a_taken         = accept && is_a && last_beat;
  assign b_taken         = accept && !is_a && last_beat;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      a_free_q <= (steps_i > Depth[CountBits-1:0]) ? (ASlotWidth+1)'(2) : (ASlotWidth+1)'(ASlots);
      b_free_q <= 2'd2;
    end else begin
      a_free_q <= a_free_q - {{ASlotWidth{1'b0}}, a_taken} + {{ASlotWidth{1'b0}}, a_freed_i};
      b_free_q <= b_free_q - {1'b0, b_taken} + {1'b0, b_freed_i};
    end
  end

  // Addresses: A and B are read on and on; where they are read again they go back to the panel's first row tile (A), to
  // the column tile's begin, or to the first column tile (B).
  logic [AddrBits-1:0] a_addr_q, a_panel_q, b_addr_q, b_tile_q;
  logic                tile_end;

  assign tile_end       = accept && last_beat && last_chunk;
  assign request_addr_o = is_a ? a_addr_q : b_addr_q;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      a_addr_q  <= a_base_i;
      a_panel_q <= a_base_i;
      b_addr_q  <= b_base_i;
      b_tile_q  <= b_base_i;
    end else if (accept && is_a) begin
      if (tile_end && chunked && last_row && !last_column) begin
        a_addr_q <= a_panel_q;
      end else begin
        a_addr_q <= a_addr_q + One;
        if (tile_end && last_row) a_panel_q <= a_addr_q + One;
      end
    end else if (accept) begin
      if (tile_end && chunked && !last_row) begin
        b_addr_q <= b_tile_q;
      end else if (tile_end && last_column) begin
        b_addr_q <= b_base_i;
        b_tile_q <= b_base_i;
      end else begin
        b_addr_q <= b_addr_q + One;
        if (tile_end) b_tile_q <= b_addr_q + One;
      end
    end
  end

  // Data
  logic unused_done, data_is_a, data_last, data_chunked, unused_last_chunk, unused_last_row, unused_last_column;

  load_sequence #(
    .Panel     (Panel),
    .CountBits (CountBits),
    .StepWidth (StepWidth)
  ) u_data (
    .clk_i,
    .rst_ni,
    .start_i,
    .row_tiles_i,
    .column_tiles_i,
    .steps_i,
    .advance_i     (data_valid_i),
    .done_o        (unused_done),
    .is_a_o        (data_is_a),
    .beat_o        (step_o),
    .last_beat_o   (data_last),
    .chunked_o     (data_chunked),
    .last_chunk_o  (unused_last_chunk),
    .last_row_o    (unused_last_row),
    .last_column_o (unused_last_column)
  );

  logic [ASlotWidth-1:0] a_slot_q;
  logic                  b_slot_q;

  assign a_write_o  = data_valid_i && data_is_a;
  assign b_write_o  = data_valid_i && !data_is_a;
  assign a_loaded_o = a_write_o && data_last;
  assign b_loaded_o = b_write_o && data_last;
  assign a_slot_o   = a_slot_q;
  assign b_slot_o   = b_slot_q;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      a_slot_q <= {ASlotWidth{1'b0}};
      b_slot_q <= 1'b0;
    end else begin
      if (a_loaded_o) begin
        a_slot_q <= (a_slot_q == (data_chunked ? OneA : LastA)) ? {ASlotWidth{1'b0}} : a_slot_q + OneA;
      end
      if (b_loaded_o) b_slot_q <= !b_slot_q;
    end
  end
endmodule

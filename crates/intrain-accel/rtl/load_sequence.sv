// The loads of a product in their order, beat by beat: for each pass that needs one, the tile of B, then that of A.
//
// Where a tile takes one pass, B is loaded for each column tile and A with the panel's first; where k is cut into chunks,
// both are loaded for every pass. The loader has one of these for requests and one for the data that comes back.
module load_sequence #(
  parameter int Panel     = 4,
  parameter int CountBits = 24,
  parameter int StepWidth = 10     // clog2(Depth)
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // Product
  input  logic                 start_i,
  input  logic [CountBits-1:0] row_tiles_i,
  input  logic [CountBits-1:0] column_tiles_i,
  input  logic [CountBits-1:0] steps_i,
  // Walk
  input  logic                 advance_i,      // one beat is done
  output logic                 done_o,
  // Beat
  output logic                 is_a_o,         // else of B
  output logic [StepWidth-1:0] beat_o,         // in its slot
  output logic                 last_beat_o,    // of its slot
  // Place
  output logic                 chunked_o,
  output logic                 last_chunk_o,
  output logic                 last_row_o,
  output logic                 last_column_o
);
  logic                 is_a_q;
  logic                 first_column, ends, leave_a, leave_b, single;
  logic [StepWidth-1:0] last_step;

  // B hands over to A in the same pass, or goes on to the next column tile; A always goes on.
  assign ends    = advance_i && last_beat_o;
  assign leave_b = ends && !is_a_q && !chunked_o && !first_column;
  assign leave_a = ends && is_a_q;

  logic       unused_first_chunk;
  logic [4:0] unused_row;

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
    .advance_i      (leave_a || leave_b),
    .skip_rows_i    (leave_b),
    .done_o,
    .chunked_o,
    .single_o       (single),
    .last_step_o    (last_step),
    .first_chunk_o  (unused_first_chunk),
    .last_chunk_o,
    .row_o          (unused_row),
    .last_row_o,
    .first_column_o (first_column),
    .last_column_o
  );

  step_counter #(
    .StepWidth (StepWidth)
  ) u_beats (
    .clk_i,
    .start_i,
    .single_i    (single),
    .last_step_i (last_step),
    .advance_i,
    .step_o      (beat_o),
    .last_o      (last_beat_o)
  );

  always_ff @(posedge clk_i) begin
    if (start_i)   is_a_q <= 1'b0;
    else if (ends) is_a_q <= is_a_q ? !(chunked_o || last_row_o) : (chunked_o || first_column);
  end

  assign is_a_o = is_a_q;
endmodule

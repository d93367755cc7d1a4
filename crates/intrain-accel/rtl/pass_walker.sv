// Walks the passes of a product: for each panel of row tiles, each column tile, each row tile of the panel, each chunk of k.
//
// The outputs describe the pass that is current; advance_i goes to the next one. After the last pass, done_o is high
// until the next start. Loads and tile control each have their own walkers. What a pass is the last of stands in
// registers, found out one pass ahead: what hangs on it decides within a clock whether to go on.
module pass_walker #(
  parameter int Panel     = 4,     // row tiles of a panel, 1 to 16
  parameter int CountBits = 24,
  parameter int StepWidth = 10     // clog2 of the most steps of a pass
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // Product
  input  logic                 start_i,
  input  logic [CountBits-1:0] row_tiles_i,     // held until the product is done, as the next two
  input  logic [CountBits-1:0] column_tiles_i,
  input  logic [CountBits-1:0] steps_i,         // k
  // Walk
  input  logic                 advance_i,
  input  logic                 skip_rows_i,     // with advance_i: from any row to the next column tile
  output logic                 done_o,
  // Pass
  output logic                 chunked_o,       // tiles take several passes
  output logic                 single_o,        // this pass has one step
  output logic [StepWidth-1:0] last_step_o,     // number of this pass's last step, from 0
  output logic                 first_chunk_o,
  output logic                 last_chunk_o,
  output logic [4:0]           row_o,           // row tile in the panel
  output logic                 last_row_o,
  output logic                 first_column_o,
  output logic                 last_column_o
);
  localparam int ChunkBits = CountBits - StepWidth;
  localparam logic [CountBits-1:0] One   = {{(CountBits-1){1'b0}}, 1'b1};
  localparam logic [CountBits-1:0] Two   = {{(CountBits-2){1'b0}}, 2'b10};
  localparam logic [CountBits-1:0] Rows  = Panel[CountBits-1:0];
  localparam logic [CountBits-1:0] Rows2 = {Rows[CountBits-2:0], 1'b0};

  // k - 1: whole chunks before the last one, and the number of the last one's last step.
  logic [CountBits-1:0] last_of_k;
  logic                 chunked, short_tail;
  assign last_of_k  = steps_i - One;
  assign chunked    = (last_of_k[CountBits-1:StepWidth] != {ChunkBits{1'b0}});
  assign short_tail = (last_of_k[StepWidth-1:0] == {StepWidth{1'b0}});

  // What is left, what is current included: row tiles from the panel's first, column tiles; chunks behind this one.
  logic [CountBits-1:0] rows_left_q, columns_left_q;
  logic [ChunkBits-1:0] chunks_left_q, chunks_q;
  logic [StepWidth-1:0] last_step_q, tail_q;
  logic [4:0]           row_q, panel_rows_q;
  logic                 chunked_q, first_chunk_q, last_chunk_q, last_row_q, first_column_q, last_column_q;
  logic                 last_panel_q, done_q, short_tail_q, single_q;
  logic                 next_chunk, next_tile, next_row, next_column, next_panel;

  assign next_chunk  = advance_i && !last_chunk_q;
  assign next_tile   = advance_i && last_chunk_q;
  assign next_row    = next_tile && !last_row_q && !skip_rows_i;
  assign next_column = next_tile && (last_row_q || skip_rows_i);
  assign next_panel  = next_column && last_column_q;

  // Chunks
  always_ff @(posedge clk_i) begin
    if (start_i) begin
      chunked_q     <= chunked;
      short_tail_q  <= short_tail;
      chunks_q      <= last_of_k[CountBits-1:StepWidth];
      tail_q        <= last_of_k[StepWidth-1:0];
      chunks_left_q <= last_of_k[CountBits-1:StepWidth];
      last_chunk_q  <= !chunked;
      single_q      <= !chunked && short_tail;
      last_step_q   <= chunked ? {StepWidth{1'b1}} : last_of_k[StepWidth-1:0];
      first_chunk_q <= 1'b1;
    end else if (next_chunk) begin
      chunks_left_q <= chunks_left_q - {{(ChunkBits-1){1'b0}}, 1'b1};
      last_chunk_q  <= (chunks_left_q == {{(ChunkBits-1){1'b0}}, 1'b1});
      single_q      <= (chunks_left_q == {{(ChunkBits-1){1'b0}}, 1'b1}) && short_tail_q;
      if (chunks_left_q == {{(ChunkBits-1){1'b0}}, 1'b1}) last_step_q <= tail_q;
      first_chunk_q <= 1'b0;
    end else if (next_tile) begin
      chunks_left_q <= chunks_q;
      last_chunk_q  <= !chunked_q;
      single_q      <= !chunked_q && short_tail_q;
      last_step_q   <= chunked_q ? {StepWidth{1'b1}} : tail_q;
      first_chunk_q <= 1'b1;
    end
  end

  // Column tiles
  always_ff @(posedge clk_i) begin
    if (start_i || next_panel) begin
      columns_left_q <= column_tiles_i;
      last_column_q  <= (column_tiles_i == One);
      first_column_q <= 1'b1;
    end else if (next_column) begin
      columns_left_q <= columns_left_q - One;
      last_column_q  <= (columns_left_q == Two);
      first_column_q <= 1'b0;
    end
  end

  // Panels of row tiles: the last one has what is left.
  always_ff @(posedge clk_i) begin
    if (start_i) begin
      rows_left_q  <= row_tiles_i;
      last_panel_q <= (row_tiles_i <= Rows);
      panel_rows_q <= (row_tiles_i <= Rows) ? row_tiles_i[4:0] : Rows[4:0];
    end else if (next_panel) begin
      rows_left_q  <= rows_left_q - Rows;
      last_panel_q <= (rows_left_q <= Rows2);
      if (rows_left_q <= Rows2) panel_rows_q <= rows_left_q[4:0] - Rows[4:0];
    end
  end

  // Row tiles of the panel
  always_ff @(posedge clk_i) begin
    if (start_i) begin
      row_q      <= 5'd0;
      last_row_q <= (Panel == 1) || (row_tiles_i == One);
    end else if (next_row) begin
      row_q      <= row_q + 5'd1;
      last_row_q <= (row_q + 5'd2 == panel_rows_q);
    end else if (next_column) begin
      row_q      <= 5'd0;
      last_row_q <= next_panel ? (Panel == 1) || (rows_left_q == Rows + One) : (panel_rows_q == 5'd1);
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni)                         done_q <= 1'b1;
    else if (start_i)                    done_q <= 1'b0;
    else if (next_panel && last_panel_q) done_q <= 1'b1;
  end

  assign done_o         = done_q;
  assign chunked_o      = chunked_q;
  assign single_o       = single_q;
  assign last_step_o    = last_step_q;
  assign first_chunk_o  = first_chunk_q;
  assign last_chunk_o   = last_chunk_q;
  assign row_o          = row_q;
  assign last_row_o     = last_row_q;
  assign first_column_o = first_column_q;
  assign last_column_o  = last_column_q;
endmodule

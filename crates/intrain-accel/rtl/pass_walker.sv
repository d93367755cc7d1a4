// Walks the passes of a product: for each panel of row tiles, each column tile, each row tile of the panel, each chunk of k.
//
// The outputs describe the pass that is current; advance_i goes to the next one. After the last pass, done_o is high
// until the next start. Loads and tile control each have their own walkers.
module pass_walker #(
  parameter int Panel     = 4,     // row tiles of a panel, 1 to 16
  parameter int Depth     = 1024,  // most steps of a pass, a power of two
  parameter int CountBits = 24
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
  output logic [CountBits-1:0] length_o,        // steps of this pass, 1 to Depth
  output logic                 first_chunk_o,
  output logic                 last_chunk_o,
  output logic [4:0]           row_o,           // row tile in the panel
  output logic [4:0]           panel_rows_o,    // row tiles of the panel
  output logic                 last_row_o,
  output logic                 first_column_o,
  output logic                 last_column_o
);
  localparam logic [CountBits-1:0] DepthCount = Depth[CountBits-1:0];
  localparam logic [CountBits-1:0] PanelCount = Panel[CountBits-1:0];

  // What is left, what is current included: row tiles from the panel's first, column tiles, steps of the tile.
  logic [CountBits-1:0] rows_left_q, columns_left_q, steps_left_q;
  logic [4:0]           row_q;
  logic                 first_chunk_q, first_column_q, done_q;
  logic                 last_panel, next_row;

  assign last_panel    = (rows_left_q <= PanelCount);
  assign panel_rows_o  = last_panel ? rows_left_q[4:0] : PanelCount[4:0];
  assign chunked_o     = (steps_i > DepthCount);
  assign last_chunk_o  = (steps_left_q <= DepthCount);
  assign length_o      = last_chunk_o ? steps_left_q : DepthCount;
  assign last_row_o    = (row_q + 5'd1 == panel_rows_o);
  assign last_column_o = (columns_left_q == {{(CountBits-1){1'b0}}, 1'b1});
  assign next_row      = !last_row_o && !skip_rows_i;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      rows_left_q    <= row_tiles_i;
      columns_left_q <= column_tiles_i;
      steps_left_q   <= steps_i;
      row_q          <= 5'd0;
      first_chunk_q  <= 1'b1;
      first_column_q <= 1'b1;
    end else if (advance_i && !last_chunk_o) begin
      steps_left_q  <= steps_left_q - DepthCount;
      first_chunk_q <= 1'b0;
    end else if (advance_i) begin
      steps_left_q  <= steps_i;
      first_chunk_q <= 1'b1;
      row_q         <= next_row ? row_q + 5'd1 : 5'd0;
      if (!next_row) begin
        first_column_q <= last_column_o;
        columns_left_q <= last_column_o ? column_tiles_i
                                        : columns_left_q - {{(CountBits-1){1'b0}}, 1'b1};
        if (last_column_o) rows_left_q <= rows_left_q - PanelCount;
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni)      done_q <= 1'b1;
    else if (start_i) done_q <= 1'b0;
    else if (advance_i && last_chunk_o && !next_row && last_column_o && last_panel) done_q <= 1'b1;
  end

  assign done_o         = done_q;
  assign first_chunk_o  = first_chunk_q;
  assign row_o          = row_q;
  assign first_column_o = first_column_q;
endmodule

// Writes the results to memory in their order: a beat is one row of a tile, all rows of all tiles.
//
// A row is there when its last column's FIFO has a result: column j gets it j clocks after column 0.
module writer #(
  parameter int N        = 28,
  parameter int AddrBits = 32
) (
  input  logic                clk_i,
  // Product
  input  logic                start_i,
  input  logic [AddrBits-1:0] base_i,
  // FIFOs
  input  logic                row_there_i,
  output logic                pop_o,
  // Memory
  output logic                write_valid_o,
  input  logic                write_ready_i,
  output logic [AddrBits-1:0] write_addr_o,
  // Tiles
  output logic                tile_written_o
);
  localparam int RowWidth = (N > 1) ? $clog2(N) : 1;

  logic [RowWidth-1:0] row_q;
  logic [AddrBits-1:0] addr_q;
  logic                last_row;

  assign last_row       = (row_q == RowWidth'(N - 1));
  assign write_valid_o  = row_there_i;
  assign pop_o          = row_there_i && write_ready_i;
  assign write_addr_o   = addr_q;
  assign tile_written_o = pop_o && last_row;

  always_ff @(posedge clk_i) begin
    if (start_i) begin
      row_q  <= {RowWidth{1'b0}};
      addr_q <= base_i;
    end else if (pop_o) begin
      row_q  <= last_row ? {RowWidth{1'b0}} : row_q + RowWidth'(1);
      addr_q <= addr_q + {{(AddrBits-1){1'b0}}, 1'b1};
    end
  end
endmodule

// The results of one column until all columns of their row are there: the deskew of the array's wavefront.
//
// data_o is the oldest result while empty_o is low. Never full: a tile is only finished when there is room for all its
// rows (tile_control.sv).
module output_fifo #(
  parameter int Width     = 48,
  parameter int AddrWidth = 6    // holds 2^AddrWidth results
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // In
  input  logic             push_i,
  input  logic [Width-1:0] data_i,
  // Out
  input  logic             pop_i,
  output logic             empty_o,
  output logic [Width-1:0] data_o
);
  logic [Width-1:0]   mem [2**AddrWidth];
  // One bit more than an address: equal pointers are an empty FIFO.
  logic [AddrWidth:0] write_q, read_q;

  always_ff @(posedge clk_i) begin
    if (push_i) mem[write_q[AddrWidth-1:0]] <= data_i;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      write_q <= {(AddrWidth+1){1'b0}};
      read_q  <= {(AddrWidth+1){1'b0}};
    end else begin
      write_q <= write_q + {{AddrWidth{1'b0}}, push_i};
      read_q  <= read_q + {{AddrWidth{1'b0}}, pop_i};
    end
  end

  assign empty_o = (write_q == read_q);
  assign data_o  = mem[read_q[AddrWidth-1:0]];

`ifdef INTRAIN_CHECK
  always_ff @(posedge clk_i) begin
    if (rst_ni && push_i && (write_q - read_q) == {1'b1, {AddrWidth{1'b0}}}) $fatal(1, "output_fifo: full");
    if (rst_ni && pop_i && empty_o) $fatal(1, "output_fifo: empty");
  end
`endif
endmodule

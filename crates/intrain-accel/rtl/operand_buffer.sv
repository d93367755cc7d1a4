// The slots of one operand: block RAM, one beat (a step of k of a tile: N words) at an address {slot, step}.
//
// A beat that is asked for in one clock stands at data_o two clocks later (the RAM's register and one more); in clocks that
// were not asked for, data_o is 0, so that idle steps add nothing to a sum.
module operand_buffer #(
  parameter int Width     = 448,  // bits of a beat
  parameter int Slots     = 8,
  parameter int Depth     = 1024, // beats in a slot, a power of two
  parameter int AddrWidth = 13    // clog2(Slots) + clog2(Depth)
) (
  input  logic                 clk_i,
  input  logic                 rst_ni,
  // Write
  input  logic                 write_i,
  input  logic [AddrWidth-1:0] write_addr_i,
  input  logic [Width-1:0]     write_data_i,
  // Read
  input  logic                 read_i,
  input  logic [AddrWidth-1:0] read_addr_i,
  output logic [Width-1:0]     data_o
);
  logic [Width-1:0] mem [Slots*Depth];
  logic [Width-1:0] read_q, data_q;
  logic             valid_q;

  always_ff @(posedge clk_i) begin
    if (write_i) mem[write_addr_i] <= write_data_i;
    read_q <= mem[read_addr_i];
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else         valid_q <= read_i;
  end

  always_ff @(posedge clk_i) begin
    if (!valid_q) data_q <= {Width{1'b0}};
    else          data_q <= read_q;
  end

  assign data_o = data_q;
endmodule

// The edge of the array: lane i leaves i clocks after it entered, so that operands meet in the nodes.
//
// Shift registers without reset (SRL16 on Xilinx): the reset lasts until they are empty, see accel.sv.
module skew #(
  parameter int N     = 28,
  parameter int Width = 16
) (
  input  logic               clk_i,
  input  logic [N*Width-1:0] data_i,
  output logic [N*Width-1:0] data_o
);
  genvar i;
  for (i = 0; i < N; i = i + 1) begin : g_lane
    if (i == 0) begin : g_through
      logic unused;
      assign unused            = clk_i;
      assign data_o[Width-1:0] = data_i[Width-1:0];
    end else if (i == 1) begin : g_one
      logic [Width-1:0] lane_q;
      always_ff @(posedge clk_i) lane_q <= data_i[Width +: Width];
      assign data_o[Width +: Width] = lane_q;
    end else begin : g_more
      logic [i*Width-1:0] lane_q;
      always_ff @(posedge clk_i) lane_q <= {lane_q[(i-1)*Width-1:0], data_i[i*Width +: Width]};
      assign data_o[i*Width +: Width] = lane_q[i*Width-1 -: Width];
    end
  end
endmodule

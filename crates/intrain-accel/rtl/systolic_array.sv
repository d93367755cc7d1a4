// N x N nodes, output-stationary: A from the left, B from the top, sums out of the top row.
//
// Row i of A and column j of B enter i and j clocks after row 0 and column 0 (skew.sv). The sum of row i leaves column j
// 4 + 2i + j clocks after the `last` step of row 0 stood at the input.
module systolic_array #(
  parameter int N        = 28,
  parameter int Word     = 16,
  parameter int Acc      = 48,
  parameter int Saturate = 0
) (
  input  logic              clk_i,
  input  logic              rst_ni,
  // A: one word a row, row 0 lowest, each with its flags
  input  logic [N*Word-1:0] a_i,
  input  logic [N-1:0]      first_i,
  input  logic [N-1:0]      last_i,
  // B: one word a column
  input  logic [N*Word-1:0] b_i,
  // Sums: one a column
  output logic [N-1:0]      valid_o,
  output logic [N*Acc-1:0]  acc_o
);
  // Between nodes: A and its flags before column j, B before row i, sums above row i.
  logic [N*(N+1)*Word-1:0] a /*verilator split_var*/;
  logic [N*(N+1)-1:0]      first /*verilator split_var*/;
  logic [N*(N+1)-1:0]      last /*verilator split_var*/;
  logic [(N+1)*N*Word-1:0] b /*verilator split_var*/;
  logic [(N+1)*N-1:0]      valid /*verilator split_var*/;
  logic [(N+1)*N*Acc-1:0]  acc /*verilator split_var*/;

  genvar i, j;
  for (i = 0; i < N; i = i + 1) begin : g_edge
    assign a[i*(N+1)*Word +: Word] = a_i[i*Word +: Word];
    assign first[i*(N+1)]          = first_i[i];
    assign last[i*(N+1)]           = last_i[i];
    assign b[i*Word +: Word]       = b_i[i*Word +: Word];
    assign valid[N*N + i]          = 1'b0;
    assign acc[(N*N+i)*Acc +: Acc] = {Acc{1'b0}};
    assign valid_o[i]              = valid[i];
    assign acc_o[i*Acc +: Acc]     = acc[i*Acc +: Acc];
  end

  for (i = 0; i < N; i = i + 1) begin : g_row
    for (j = 0; j < N; j = j + 1) begin : g_column
      pe #(
        .Word     (Word),
        .Acc      (Acc),
        .Saturate (Saturate)
      ) u_pe (
        .clk_i,
        .rst_ni,
        .a_i           (a[(i*(N+1)+j)*Word +: Word]),
        .first_i       (first[i*(N+1)+j]),
        .last_i        (last[i*(N+1)+j]),
        .a_o           (a[(i*(N+1)+j+1)*Word +: Word]),
        .first_o       (first[i*(N+1)+j+1]),
        .last_o        (last[i*(N+1)+j+1]),
        .b_i           (b[(i*N+j)*Word +: Word]),
        .b_o           (b[((i+1)*N+j)*Word +: Word]),
        .drain_valid_i (valid[(i+1)*N+j]),
        .drain_i       (acc[((i+1)*N+j)*Acc +: Acc]),
        .drain_valid_o (valid[i*N+j]),
        .drain_o       (acc[(i*N+j)*Acc +: Acc])
      );
    end
  end

  // What leaves the last column and the last row goes nowhere.
  for (i = 0; i < N; i = i + 1) begin : g_unused
    logic unused;
    assign unused = ^{a[(i*(N+1)+N)*Word +: Word], first[i*(N+1)+N], last[i*(N+1)+N],
                      b[(N*N+i)*Word +: Word]};
  end
endmodule

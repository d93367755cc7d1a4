// One node of the array: multiplies what passes by and adds it up, output-stationary.
//
// A enters from the left and leaves to the right, B enters at the top and leaves below, one clock later. `first` and `last`
// travel with A. A tile's sum is a_i * b_i over the steps from `first` to `last`; steps between tiles are zeros.
//
//   clock   0     1     2       3      4
//           a_i   a_q   m_q     acc_q  drain_q   (the sum of the step that was `last`)
//
// Sums leave upwards through drain_q, the top row's first, one every 2 clocks in a column. They never meet if the last
// steps of two tiles are at least 2N - 1 clocks apart. Wrapping, node and clear map into one DSP48E1.
module pe #(
  parameter int Word     = 16,  // bits of an operand
  parameter int Acc      = 48,  // bits of the accumulator, at least 2 * Word
  parameter int Saturate = 0    // 1: the sum stays at the end of its range, after each addition
) (
  input  logic                   clk_i,
  input  logic                   rst_ni,
  // A, with its flags, to the right
  input  logic signed [Word-1:0] a_i,
  input  logic                   first_i,
  input  logic                   last_i,
  output logic signed [Word-1:0] a_o,
  output logic                   first_o,
  output logic                   last_o,
  // B, downwards
  input  logic signed [Word-1:0] b_i,
  output logic signed [Word-1:0] b_o,
  // Sums, upwards
  input  logic                   drain_valid_i,
  input  logic signed [Acc-1:0]  drain_i,
  output logic                   drain_valid_o,
  output logic signed [Acc-1:0]  drain_o
);
  logic signed [Word-1:0]   a_q, b_q;
  logic signed [2*Word-1:0] m_q;
  logic signed [Acc-1:0]    acc_q, acc_d, drain_q;
  logic                     first_q, last_q, first_m_q, last_m_q, last_acc_q, drain_valid_q;

  always_ff @(posedge clk_i) begin
    a_q   <= a_i;
    b_q   <= b_i;
    m_q   <= a_q * b_q;
    acc_q <= acc_d;
  end

  if (Saturate != 0) begin : g_saturate
    logic signed [Acc:0] sum;
    assign sum = (first_m_q ? {(Acc+1){1'b0}} : {acc_q[Acc-1], acc_q})
               + {{(Acc+1-2*Word){m_q[2*Word-1]}}, m_q};
    // The two top bits differ where the sum has left the range; the upper one is its sign.
    assign acc_d = (sum[Acc] == sum[Acc-1]) ? sum[Acc-1:0] : {sum[Acc], {(Acc-1){~sum[Acc]}}};
  end else begin : g_wrap
    assign acc_d = (first_m_q ? {Acc{1'b0}} : acc_q) + Acc'(m_q);
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) begin
      first_q       <= 1'b0;
      last_q        <= 1'b0;
      first_m_q     <= 1'b0;
      last_m_q      <= 1'b0;
      last_acc_q    <= 1'b0;
      drain_valid_q <= 1'b0;
    end else begin
      first_q       <= first_i;
      last_q        <= last_i;
      first_m_q     <= first_q;
      last_m_q      <= last_q;
      last_acc_q    <= last_m_q;
      drain_valid_q <= last_acc_q | drain_valid_i;
    end
  end

  always_ff @(posedge clk_i) begin
    drain_q <= last_acc_q ? acc_q : drain_i;
  end

  assign a_o           = a_q;
  assign first_o       = first_q;
  assign last_o        = last_q;
  assign b_o           = b_q;
  assign drain_o       = drain_q;
  assign drain_valid_o = drain_valid_q;

`ifdef INTRAIN_CHECK
  always_ff @(posedge clk_i) begin
    if (rst_ni && last_acc_q && drain_valid_i) $fatal(1, "pe: two sums meet in the drain");
  end
`endif
endmodule

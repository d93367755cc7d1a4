// The rounding unit of one column with its addition in one DSP48E1: A:B = random bits, C = accumulator, P = sum.
//
// Ports, clocks and values are sr_round.sv's. P has 48 bits and the sum may need one more, but the addend is never
// negative: only a sum of a positive accumulator can pass the top, so the sum is negative iff both the accumulator and
// P are. With INTRAIN_DSP48E1 defined the slice is instantiated, for Yosys and Vivado; else it is described.
module sr_round_dsp #(
  parameter int          Word       = 16,
  parameter int          Acc        = 48,
  parameter int          Out        = 48,
  parameter int          LfsrBits   = 16,
  parameter logic [31:0] Taps       = 32'h0000_002d,
  parameter int          RandomBits = 32,
  parameter int          Formats    = 2,
  parameter logic [23:0] Drops      = {6'd0, 6'd0, 6'd8, 6'd14},
  parameter int          Nearest    = 0
) (
  input  logic                clk_i,
  input  logic                rst_ni,
  // Seeds
  input  logic                seed_load_i,
  input  logic [LfsrBits-1:0] seed_i,
  output logic [LfsrBits-1:0] seed_o,
  // Accumulators
  input  logic [2:0]          format_i,  // must not change while results are in the unit
  input  logic                valid_i,
  input  logic [Acc-1:0]      acc_i,
  // Results
  output logic                valid_o,
  output logic [Out-1:0]      result_o
);
  logic [2:0]     valid_q;
  logic           negative_q, negative_sum_q;
  logic [Acc-1:0] addend;
  logic [47:0]    c, p;
  logic [Acc:0]   sum;
  logic [Out-1:0] result_d, result_q;

  round_addend #(
    .Acc        (Acc),
    .LfsrBits   (LfsrBits),
    .Taps       (Taps),
    .RandomBits (RandomBits),
    .Formats    (Formats),
    .Drops      (Drops),
    .Nearest    (Nearest),
    .Exact      ((Out > Word) ? 1 : 0)
  ) u_addend (
    .clk_i,
    .seed_load_i,
    .seed_i,
    .seed_o,
    .format_i,
    .draw_i   (valid_i),
    .addend_o (addend)
  );

  // The accumulator's sign fills the slice; the addend's bits above are 0.
  assign c = 48'($signed(acc_i));

  dsp_add u_add (
    .clk_i,
    .ab_i (48'(addend)),
    .c_i  (c),
    .p_o  (p)
  );

  always_ff @(posedge clk_i) begin
    negative_q     <= acc_i[Acc-1];
    negative_sum_q <= negative_q;
  end

  if (Acc == 48) begin : g_whole
    assign sum = {negative_sum_q & p[47], p};
  end else begin : g_part
    // Bit Acc of P is the true sign already: the sum is below 2^47 in magnitude.
    assign sum = p[Acc:0];
    logic unused;
    assign unused = ^{negative_sum_q, p};
  end

  round_narrow #(
    .Word    (Word),
    .Acc     (Acc),
    .Out     (Out),
    .Formats (Formats),
    .Drops   (Drops)
  ) u_narrow (
    .format_i,
    .sum_i    (sum),
    .result_o (result_d)
  );

  always_ff @(posedge clk_i) begin
    result_q <= result_d;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 3'b000;
    else         valid_q <= {valid_q[1:0], valid_i};
  end

  assign valid_o  = valid_q[2];
  assign result_o = result_q;
endmodule

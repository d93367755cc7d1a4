// The rounding unit of one column, in carry chains: adds random bits to an accumulator, drops them, saturates.
//
// y = saturate(floor((acc + addend) / 2^d)), section 5.3 of the arithmetic contract. A result every clock, 3 clocks later:
// the accumulator in a register and the drawn bits in theirs, their exact sum (one bit more than the accumulator), the narrowed
// result. Nothing is drawn while seeds are loaded.
// sr_round_dsp.sv has the same ports, clocks and values.
module sr_round #(
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
  logic [Acc-1:0] addend, acc_q;
  logic [Acc:0]   sum_q;
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

  round_narrow #(
    .Word    (Word),
    .Acc     (Acc),
    .Out     (Out),
    .Formats (Formats),
    .Drops   (Drops)
  ) u_narrow (
    .format_i,
    .sum_i    (sum_q),
    .result_o (result_d)
  );

  always_ff @(posedge clk_i) begin
    acc_q    <= acc_i;
    sum_q    <= {acc_q[Acc-1], acc_q} + {1'b0, addend};
    result_q <= result_d;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 3'b000;
    else         valid_q <= {valid_q[1:0], valid_i};
  end

  assign valid_o  = valid_q[2];
  assign result_o = result_q;
endmodule

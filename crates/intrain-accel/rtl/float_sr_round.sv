// The float rounding unit of one column: draws random bits and rounds to a narrower float.
//
// A result every clock, 2 clocks later: the value in a register and the drawn bits in theirs, the rounded code. R is the top
// RandomBits bits of the draw, at most LfsrBits. Nothing is drawn while seeds are loaded. float_round.sv says what is computed.
module float_sr_round #(
  parameter int          InExponent = 8,
  parameter int          InMantissa = 23,
  parameter int          InBias     = 127,
  parameter int          Exponent   = 4,
  parameter int          Mantissa   = 3,
  parameter int          Bias       = 7,
  parameter int          Top        = 1,  // 0: ieee, 1: fn, 2: finite
  parameter int          Round      = 0,  // 0: sr-a, 1: sr-b, 2: sr-c
  parameter int          RandomBits = 8,
  parameter int          LfsrBits   = 16,
  parameter logic [31:0] Taps       = 32'h0000_002d
) (
  input  logic                           clk_i,
  input  logic                           rst_ni,
  // Seeds
  input  logic                           seed_load_i,
  input  logic [LfsrBits-1:0]            seed_i,
  output logic [LfsrBits-1:0]            seed_o,
  // Values
  input  logic                           valid_i,
  input  logic [InExponent+InMantissa:0] value_i,
  // Results
  output logic                           valid_o,
  output logic [Exponent+Mantissa:0]     code_o
);
  logic [LfsrBits-1:0]            draw;
  logic [1:0]                     valid_q;
  logic [InExponent+InMantissa:0] value_q;
  logic [Exponent+Mantissa:0]     code_d, code_q;

  lfsr #(
    .Bits (LfsrBits),
    .Taps (Taps)
  ) u_lfsr (
    .clk_i,
    .load_i  (seed_load_i),
    .seed_i,
    .draw_i  (valid_i),
    .state_o (draw)
  );
  assign seed_o = draw;

  float_round #(
    .InExponent (InExponent),
    .InMantissa (InMantissa),
    .InBias     (InBias),
    .Exponent   (Exponent),
    .Mantissa   (Mantissa),
    .Bias       (Bias),
    .Top        (Top),
    .Round      (Round),
    .RandomBits (RandomBits)
  ) u_round (
    .value_i  (value_q),
    .random_i (draw[LfsrBits-1 -: RandomBits]),
    .code_o   (code_d)
  );

  always_ff @(posedge clk_i) begin
    value_q <= value_i;
    code_q  <= code_d;
  end

  always_ff @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 2'b00;
    else         valid_q <= {valid_q[0], valid_i};
  end

  assign valid_o = valid_q[1];
  assign code_o  = code_q;
endmodule

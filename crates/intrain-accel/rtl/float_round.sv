// Rounds a float to a narrower one, such as FP8 or FP4: stochastically or to the nearest, saturating. Combinational.
//
// Section 12 of the arithmetic contract with sat-finite: sr-a, sr-b, sr-c by random_i, the R of section 12.2, or nearest-even.
// The magnitude is q + v steps of the target. The code of q and the first bits of v stand beside each other as one number, to
// which R is added: a carry out of v makes the next code, also where that is the first one of the next binade. sr-b adds half a
// unit of R as well, sr-c what its rounding of v to RandomBits bits carries; nearest-even is sr-c without random bits.
// Bounds: Exponent <= InExponent <= 11, 1 <= Mantissa <= InMantissa, Bias <= InBias, so that the source's subnormal numbers are
// none of the target's normal ones. The source is an IEEE format.
module float_round #(
  parameter int InExponent = 8,
  parameter int InMantissa = 23,
  parameter int InBias     = 127,
  parameter int Exponent   = 4,
  parameter int Mantissa   = 3,
  parameter int Bias       = 7,
  parameter int Top        = 1,  // 0: ieee, 1: fn, 2: finite
  parameter int Round      = 0,  // 0: sr-a, 1: sr-b, 2: sr-c, 3: nearest-even
  parameter int RandomBits = 8   // 1 to 32; with nearest-even they are not looked at
) (
  input  logic [InExponent+InMantissa:0] value_i,
  input  logic [RandomBits-1:0]          random_i,
  output logic [Exponent+Mantissa:0]     code_o
);
  // Bits of v that are kept: those that R is added to, and the next one where it matters.
  localparam int Keep = (Round == 0) ? RandomBits : (Round == 3) ? 1 : RandomBits + 1;
  // The leading one, the mantissa, and the kept bits of v.
  localparam int Wide = 1 + Mantissa + Keep;
  // Source mantissas shorter than that have zeros behind.
  localparam int Fraction = (InMantissa > Wide - 1) ? InMantissa : Wide - 1;
  // A source exponent field of Offset + 1 is the target's least normal binade.
  localparam int Offset  = InBias - Bias;
  localparam int Ones    = (1 << (Exponent + Mantissa)) - 1;
  localparam int MaxCode = (Top == 0) ? Ones - (1 << Mantissa) : (Top == 1) ? Ones - 1 : Ones;
  localparam int NanCode = (Top == 0) ? (MaxCode + 1) | (1 << (Mantissa - 1)) : MaxCode + 1;
  localparam int Sum     = 1 + Exponent + Mantissa + Keep;

  logic                  sign, special, nan;
  logic [InExponent-1:0] in_field;
  logic [InMantissa-1:0] in_fraction;
  assign {sign, in_field, in_fraction} = value_i;
  assign special = &in_field;
  assign nan     = special & (|in_fraction);

  // The bits of the source's magnitude that can be kept, and whether there are ones below.
  logic [Fraction-1:0] fraction;
  logic [Wide-2:0]     head;
  logic                tail;
  assign fraction = Fraction'(in_fraction) << (Fraction - InMantissa);
  assign head     = fraction[Fraction-1 -: Wide-1];
  if (Fraction > Wide - 1) begin : g_tail
    assign tail = |fraction[Fraction-Wide:0];
  end else begin : g_no_tail
    assign tail = 1'b0;
  end

  // Below the target's normal numbers the magnitude moves down.
  logic [Exponent-1:0] field;
  logic [Wide-2:0]     kept;
  logic                lost, too_large;
  if (Offset == 0) begin : g_same_bias
    localparam logic [InExponent:0] Largest = (InExponent + 1)'(MaxCode >> Mantissa);
    assign field     = in_field[Exponent-1:0];
    assign kept      = head;
    assign lost      = tail;
    assign too_large = {1'b0, in_field} > Largest;
  end else begin : g_subnormal
    localparam int                  ShiftBits = $clog2(Wide + 1);
    localparam logic [InExponent:0] Least     = (InExponent + 1)'(Offset + 1);
    localparam logic [InExponent:0] Largest   = (InExponent + 1)'(Offset + (MaxCode >> Mantissa));
    logic [InExponent:0]  exponent, down;
    logic [ShiftBits-1:0] shift;
    logic                 one, is_normal, vanishes;
    // Subnormal numbers of the source have no leading one and the exponent of the least normal ones. Where all of them vanish,
    // as those of binary32 do, they need not be told from others.
    if (Offset > Wide) begin : g_far
      assign one      = 1'b1;
      assign exponent = {1'b0, in_field};
    end else begin : g_near
      assign one      = |in_field;
      assign exponent = {1'b0, in_field[InExponent-1:1], in_field[0] | ~one};
    end
    assign is_normal = exponent >= Least;
    assign down      = Least - exponent;
    // Wide places down, nothing is left but what sticks, and that is too little for any rounding up.
    assign vanishes  = !is_normal && down >= (InExponent + 1)'(Wide);
    assign shift     = is_normal ? {ShiftBits{1'b0}} : vanishes ? ShiftBits'(Wide) : down[ShiftBits-1:0];
    assign field     = is_normal ? Exponent'(exponent - (Least - 1'b1)) : {Exponent{1'b0}};
    assign too_large = exponent > Largest;
    if (Round >= 2) begin : g_sticky
      logic [2*Wide-1:0] moved;
      assign moved = {one, head, {Wide{1'b0}}} >> shift;
      assign kept  = moved[2*Wide-2:Wide];
      assign lost  = tail | (|moved[Wide-1:0]);
      logic unused_one;
      assign unused_one = moved[2*Wide-1];
    end else begin : g_cut
      logic [Wide-1:0] moved;
      assign moved = {one, head} >> shift;
      assign kept  = moved[Wide-2:0];
      assign lost  = tail;
      logic unused_one;
      assign unused_one = moved[Wide-1];
    end
  end

  // The code with v behind it, and what is added.
  logic [Sum-1:0] addend, sum;
  logic           last;
  if (Round == 0) begin : g_a
    assign last   = kept[0];
    assign addend = {{(Sum-RandomBits){1'b0}}, random_i};
    logic unused_lost;
    assign unused_lost = lost;
  end else if (Round == 1) begin : g_b
    assign last   = kept[0];
    assign addend = {{(Sum-RandomBits-1){1'b0}}, random_i, 1'b1};
    logic unused_lost;
    assign unused_lost = lost;
  end else if (Round == 2) begin : g_c
    assign last   = kept[0] & (lost | kept[1]);
    assign addend = {{(Sum-RandomBits-1){1'b0}}, random_i, 1'b1};
  end else begin : g_nearest
    assign last   = kept[0] & (lost | kept[1]);
    assign addend = {{(Sum-1){1'b0}}, 1'b1};
    logic unused_random;
    assign unused_random = ^random_i;
  end
  assign sum = {1'b0, field, kept[Wide-2:1], last} + addend;

  logic [Exponent+Mantissa:0]   magnitude;
  logic [Exponent+Mantissa-1:0] held;
  assign magnitude = sum[Sum-1:Keep];
  assign held      = (special || too_large || magnitude > (Exponent + Mantissa + 1)'(MaxCode))
                     ? (Exponent + Mantissa)'(MaxCode) : magnitude[Exponent+Mantissa-1:0];
  if (Top == 2) begin : g_no_nan
    // The contract has NaN become the largest positive value.
    assign code_o = {sign & ~nan, held};
  end else begin : g_nan
    assign code_o = {sign, nan ? (Exponent + Mantissa)'(NanCode) : held};
  end
  logic unused_below;
  assign unused_below = ^sum[Keep-1:0];
endmodule

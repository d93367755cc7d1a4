// What a float rounding unit must do, stated by the values of codes, for every binary32 number and every random number.
//
// The unit shifts, cuts and adds. Here every magnitude is an exact integer, in units of 2^-149, and nothing is cut: code_i is
// any code whose value is not above it, while the next one's is, and the magnitude's distance from that value is compared with
// the threshold that R makes of the step. That there is such a code for each magnitude is asserted as well: intervals join.
// FORMAT names the target, ROUND the rounding, as the numbers of float_round.sv.
`ifndef FORMAT
`define FORMAT 0
`endif
module float_proof (
  input logic [31:0] value_i,
  input logic [7:0]  random_i,
  input logic [7:0]  code_i
);
  // e4m3, e5m2, e2m1.
  localparam int         Exponent = (`FORMAT == 0) ? 4 : (`FORMAT == 1) ? 5 : 2;
  localparam int         Mantissa = (`FORMAT == 0) ? 3 : (`FORMAT == 1) ? 2 : 1;
  localparam int         Bias     = (`FORMAT == 0) ? 7 : (`FORMAT == 1) ? 15 : 1;
  localparam int         Top      = (`FORMAT == 0) ? 1 : (`FORMAT == 1) ? 0 : 2;
  localparam logic [7:0] MaxCode  = (`FORMAT == 0) ? 8'h7e : (`FORMAT == 1) ? 8'h7b : 8'h07;
  localparam logic [7:0] NanCode  = (`FORMAT == 0) ? 8'h7f : (`FORMAT == 1) ? 8'h7e : 8'h07;
  localparam logic [7:0] Sign     = (`FORMAT == 2) ? 8'h08 : 8'h80;
  localparam logic [7:0] NanSign  = (`FORMAT == 2) ? 8'h00 : 8'h80;
  localparam int         N        = 8;
  // The largest binary32 number has 277 bits in units of 2^-149; a threshold has N + 1 bits more below.
  localparam int         Width    = 277 + N + 1;
  // The least magnitude of the target, in these units, is 2^Grain.
  localparam int         Grain    = 149 + 1 - Bias - Mantissa;

  function automatic logic [Width-1:0] source_value(input logic [30:0] bits);
    if (bits[30:23] == 8'd0) source_value = Width'(bits[22:0]);
    else                     source_value = Width'({1'b1, bits[22:0]}) << (bits[30:23] - 8'd1);
  endfunction

  // The step above a code is 2^step_exponent.
  function automatic logic [8:0] step_exponent(input logic [7:0] code);
    if (code < (8'd2 << Mantissa)) step_exponent = 9'(Grain);
    else                           step_exponent = 9'(Grain) + ({1'b0, code} >> Mantissa) - 9'd1;
  endfunction

  function automatic logic [Width-1:0] target_value(input logic [7:0] code);
    logic [7:0] fraction;
    fraction = code & ((8'd1 << Mantissa) - 8'd1);
    if (code >= (8'd1 << Mantissa)) fraction = fraction | (8'd1 << Mantissa);
    target_value = Width'(fraction) << step_exponent(code);
  endfunction

  logic [Width-1:0] magnitude, value, step, distance;
  assign magnitude = source_value(value_i[30:0]);
  assign value     = target_value(code_i);
  assign step      = Width'(1) << step_exponent(code_i);
  assign distance  = magnitude - value;

  // What R asks for, of 2^N parts of a step: P(up) is the share of R for which v reaches it.
  logic [8:0]       parts;
  logic [Width-1:0] scaled, whole, less_half;
  assign parts     = 9'd256 - {1'b0, random_i};
  assign scaled    = distance << (N + 1);
  assign whole     = Width'({parts, 1'b0}) << step_exponent(code_i);
  assign less_half = whole - step;

  logic [3:0] up;
  assign up[0] = scaled >= whole;
  assign up[1] = scaled >= less_half;
  // v 2^N halfway between parts - 1 and parts goes to the even one.
  assign up[2] = scaled > less_half || (scaled == less_half && !parts[0]);
  assign up[3] = {distance, 1'b0} > {1'b0, step} || ({distance, 1'b0} == {1'b0, step} && code_i[0]);

  logic is_nan, is_finite, is_between;
  assign is_nan     = value_i[30:0] > 31'h7f80_0000;
  assign is_finite  = value_i[30:0] < 31'h7f80_0000;
  assign is_between = code_i <= MaxCode && value <= magnitude && (code_i == MaxCode || magnitude < value + step);

  genvar r;
  for (r = 0; r < 4; r = r + 1) begin : g_round
    logic [Exponent+Mantissa:0] code;
    float_round #(
      .Exponent (Exponent), .Mantissa (Mantissa), .Bias (Bias), .Top (Top), .Round (r), .RandomBits (N)
    ) u_unit (
      .value_i, .random_i, .code_o (code)
    );
    logic [7:0] expected;
    always_comb begin
      if (is_nan)                 expected = NanCode | (value_i[31] ? NanSign : 8'd0);
      else begin
        expected = (is_finite && code_i < MaxCode) ? code_i + 8'(up[r]) : MaxCode;
        expected = expected | (value_i[31] ? Sign : 8'd0);
      end
    end
    always_comb begin
      if (!is_finite || is_between) assert (8'(code) == expected);
    end
  end

  always_comb begin
    if (code_i < MaxCode) assert (target_value(code_i + 8'd1) == value + step);
    assert (target_value(8'd0) == Width'(0));
    cover (is_finite && is_between && code_i == 8'd0 && up[0] && !up[3]);
    cover (is_finite && is_between && code_i == MaxCode - 8'd1 && up[1] && !up[0]);
    cover (is_finite && is_between && code_i == 8'd1 && up[1] && !up[2]);
  end
endmodule

// An addition of 48 bits in one DSP48E1: ab_i and the c_i of a clock before, modulo 2^48, stand at p_o a clock later.
//
// Registers C and P are used, A and B come from registers of their own; the multiplier is not used. INTRAIN_DSP48E1 takes the slice itself (7-series, UG479);
// without it the same is described, and tools map it as they can.
module dsp_add (
  input  logic        clk_i,
  input  logic [47:0] ab_i,
  input  logic [47:0] c_i,
  output logic [47:0] p_o
);
`ifdef INTRAIN_DSP48E1
  // OPMODE: X = A:B (11), Y = 0 (00), Z = C (011). ALUMODE 0000: Z + X + Y + CARRYIN.
  DSP48E1 #(
    .ACASCREG       (0),
    .ADREG          (0),
    .ALUMODEREG     (0),
    .AREG           (0),
    .BCASCREG       (0),
    .BREG           (0),
    .CARRYINREG     (0),
    .CARRYINSELREG  (0),
    .CREG           (1),
    .DREG           (0),
    .INMODEREG      (0),
    .MREG           (0),
    .OPMODEREG      (0),
    .PREG           (1),
    .USE_MULT       ("NONE"),
    .USE_SIMD       ("ONE48")
  ) u_dsp (
    .CLK           (clk_i),
    .A             (ab_i[47:18]),
    .B             (ab_i[17:0]),
    .C             (c_i),
    .D             (25'd0),
    .ALUMODE       (4'b0000),
    .INMODE        (5'b00000),
    .OPMODE        (7'b0110011),
    .CARRYIN       (1'b0),
    .CARRYINSEL    (3'b000),
    .ACIN          (30'd0),
    .BCIN          (18'd0),
    .PCIN          (48'd0),
    .CARRYCASCIN   (1'b0),
    .MULTSIGNIN    (1'b0),
    .CEA1          (1'b0),
    .CEA2          (1'b0),
    .CEAD          (1'b0),
    .CEALUMODE     (1'b0),
    .CEB1          (1'b0),
    .CEB2          (1'b0),
    .CEC           (1'b1),
    .CECARRYIN     (1'b0),
    .CECTRL        (1'b0),
    .CED           (1'b0),
    .CEINMODE      (1'b0),
    .CEM           (1'b0),
    .CEP           (1'b1),
    .RSTA          (1'b0),
    .RSTALLCARRYIN (1'b0),
    .RSTALUMODE    (1'b0),
    .RSTB          (1'b0),
    .RSTC          (1'b0),
    .RSTCTRL       (1'b0),
    .RSTD          (1'b0),
    .RSTINMODE     (1'b0),
    .RSTM          (1'b0),
    .RSTP          (1'b0),
    .P             (p_o)
  );
`else
  (* use_dsp = "yes" *) logic [47:0] p_q;
  logic [47:0] c_q;

  always_ff @(posedge clk_i) begin
    c_q <= c_i;
    p_q <= ab_i + c_q;
  end

  assign p_o = p_q;
`endif
endmodule

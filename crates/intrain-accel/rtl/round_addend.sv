// What a rounding unit adds to an accumulator, for each format: random bits below the last bit kept, or half minus one.
//
// Stochastic: R << (d - b), R the top b = min(d, RandomBits) bits of the draw, d = dropped bits of the format.
// Nearest: 2^(d-1) - 1, so that ties go down; 0 for d = 0. Whole accumulators (format number Formats): 0.
// The addend of a result stands at the output in the clock after its draw_i.
module round_addend #(
  parameter int          Acc        = 48,
  parameter int          LfsrBits   = 16,
  parameter logic [31:0] Taps       = 32'h0000_002d,
  parameter int          RandomBits = 32,              // 32: as many as are dropped
  parameter int          Formats    = 2,               // 1 to 4
  parameter logic [23:0] Drops      = {6'd0, 6'd0, 6'd8, 6'd14},  // format f at 6 * f
  parameter int          Nearest    = 0,
  parameter int          Exact      = 1                // 1: whole accumulators are asked for, too
) (
  input  logic                clk_i,
  // Seeds
  input  logic                seed_load_i,
  input  logic [LfsrBits-1:0] seed_i,
  output logic [LfsrBits-1:0] seed_o,
  // Draws
  input  logic [2:0]          format_i,
  input  logic                draw_i,
  output logic [Acc-1:0]      addend_o
);
  logic [Formats*Acc-1:0] addend;

  genvar f;
  if (Nearest != 0) begin : g_nearest
    for (f = 0; f < Formats; f = f + 1) begin : g_format
      localparam int D = {26'd0, Drops[6*f +: 6]};
      // For d = 0 the shift gives 0 as well: 2^-1 is no bit.
      assign addend[f*Acc +: Acc] = (D == 0) ? {Acc{1'b0}} : ({Acc{1'b1}} >> (Acc + 1 - D));
    end
    assign seed_o = seed_i;
    logic unused;
    assign unused = clk_i | seed_load_i | draw_i;
  end else begin : g_stochastic
    logic [LfsrBits-1:0] draw;
    lfsr #(
      .Bits (LfsrBits),
      .Taps (Taps)
    ) u_lfsr (
      .clk_i,
      .load_i  (seed_load_i),
      .seed_i,
      .draw_i,
      .state_o (draw)
    );
    assign seed_o = draw;
    for (f = 0; f < Formats; f = f + 1) begin : g_format
      localparam int D = {26'd0, Drops[6*f +: 6]};
      localparam int B = (D < RandomBits) ? D : RandomBits;
      if (B == 0) begin : g_none
        assign addend[f*Acc +: Acc] = {Acc{1'b0}};
      end else begin : g_some
        assign addend[f*Acc +: Acc] = {{(Acc-B){1'b0}}, draw[LfsrBits-1 -: B]} << (D - B);
      end
    end
    // Narrow formats leave low bits of the draw alone.
    logic unused;
    assign unused = ^draw;
  end

  if (Formats == 1 && Exact == 0) begin : g_one
    assign addend_o = addend;
    logic unused_format;
    assign unused_format = ^format_i;
  end else begin : g_choice
    always_comb begin
      addend_o = {Acc{1'b0}};
      for (int g = 0; g < Formats; g = g + 1) begin
        if (format_i == 3'(g)) addend_o = addend[g*Acc +: Acc];
      end
    end
  end
endmodule

// The end of rounding: drops a format's low bits and saturates to a word; a whole accumulator passes.
//
// result = saturate(floor(sum / 2^d)). Where the bits above the word are not all equal to the sign, the result has
// left the range. Combinational.
module round_narrow #(
  parameter int          Word    = 16,
  parameter int          Acc     = 48,
  parameter int          Out     = 48,  // bits of a result: Acc where whole accumulators may leave, else Word
  parameter int          Formats = 2,
  parameter logic [23:0] Drops   = {6'd0, 6'd0, 6'd8, 6'd14}
) (
  input  logic [2:0]     format_i,
  input  logic [Acc:0]   sum_i,
  output logic [Out-1:0] result_o
);
  logic [Formats*Word-1:0] word;

  genvar f;
  for (f = 0; f < Formats; f = f + 1) begin : g_format
    localparam int D = {26'd0, Drops[6*f +: 6]};
    logic signed [Acc:0] shifted;
    logic                fits;
    assign shifted = $signed(sum_i) >>> D;
    assign fits    = (shifted[Acc:Word-1] == {(Acc+2-Word){shifted[Acc]}});
    assign word[f*Word +: Word] = fits ? shifted[Word-1:0] : {shifted[Acc], {(Word-1){~shifted[Acc]}}};
  end

  logic [Word-1:0] chosen;
  if (Formats == 1) begin : g_one
    assign chosen = word;
    logic unused_format;
    assign unused_format = ^format_i;
  end else begin : g_choice
    always_comb begin
      chosen = {Word{1'b0}};
      for (int g = 0; g < Formats; g = g + 1) begin
        if (format_i == 3'(g)) chosen = word[g*Word +: Word];
      end
    end
  end

  if (Out > Word) begin : g_exact
    assign result_o = (format_i == Formats[2:0]) ? Out'(sum_i[Acc-1:0])
                                                 : {{(Out-Word){chosen[Word-1]}}, chosen};
  end else begin : g_word
    assign result_o = chosen;
  end
endmodule

// A column's random bits: a Fibonacci register that shifts right and leaps by its whole length at each draw.
//
// One step: state = {parity(state & Taps), state[Bits-1:1]}. A draw is Bits steps in one clock, a product of the state
// and a constant matrix over GF(2): the state after it stands at state_o from the clock after draw_i on. Seeds come in by a
// chain through all columns, while load_i is high; the first seed in goes the farthest.
module lfsr #(
  parameter int          Bits = 16,
  parameter logic [31:0] Taps = 32'h0000_002d
) (
  input  logic            clk_i,
  // Seeds
  input  logic            load_i,
  input  logic [Bits-1:0] seed_i,
  // Draws
  input  logic            draw_i,
  output logic [Bits-1:0] state_o  // and the seed of the next column, while load_i is high
);
  // Row j, at j * Bits: which bits of the state make bit j of the state after Bits steps.
  function automatic logic [Bits*Bits-1:0] leap_rows();
    logic [Bits-1:0] state;
    leap_rows = {(Bits*Bits){1'b0}};
    for (int i = 0; i < Bits; i = i + 1) begin
      state    = {Bits{1'b0}};
      state[i] = 1'b1;
      for (int step = 0; step < Bits; step = step + 1) begin
        state = {^(state & Taps[Bits-1:0]), state[Bits-1:1]};
      end
      for (int j = 0; j < Bits; j = j + 1) leap_rows[j*Bits + i] = state[j];
    end
  endfunction

  localparam logic [Bits*Bits-1:0] Leap = leap_rows();

  logic [Bits-1:0] state_q, leapt;

  genvar j;
  for (j = 0; j < Bits; j = j + 1) begin : g_bit
    assign leapt[j] = ^(state_q & Leap[j*Bits +: Bits]);
  end

  always_ff @(posedge clk_i) begin
    if (load_i)      state_q <= seed_i;
    else if (draw_i) state_q <= leapt;
  end

  assign state_o = state_q;
endmodule

// What a rounding unit must do, stated another way than it does it, and compared in every clock.
//
// The unit adds random bits and drops; here the floor is taken first, and the fraction's carry added to it. The unit's
// register leaps; here it takes one step after the other. Proven by induction for any accumulator, any state and any format
// at the widths of the paper's machine. ROUND names the unit.
`ifndef ROUND
`define ROUND sr_round
`endif
module round_proof (
  input logic        clk_i,
  input logic        load_i,
  input logic [15:0] seed_i,
  input logic        valid_i,
  input logic [47:0] acc_i
);
  localparam int          Word    = 16;
  localparam int          Acc     = 48;
  localparam int          Bits    = 16;
  localparam int          Formats = 2;
  localparam logic [15:0] Taps    = 16'h002d;
  localparam logic [23:0] Drops   = {6'd0, 6'd0, 6'd8, 6'd14};

  // A command's format, the same as long as its results are in the unit.
  (* anyconst *) logic [2:0] format;

  logic started_q = 1'b0;
  always_ff @(posedge clk_i) started_q <= 1'b1;

  logic           valid, unused_seed;
  logic [15:0]    state;
  logic [Acc-1:0] result;
  `ROUND #(
    .Word (Word), .Acc (Acc), .Out (Acc), .LfsrBits (Bits), .Taps ({16'd0, Taps}),
    .RandomBits (32), .Formats (Formats), .Drops (Drops), .Nearest (0)
  ) u_unit (
    .clk_i, .rst_ni (started_q), .seed_load_i (load_i), .seed_i, .seed_o (state),
    .format_i (format), .valid_i, .acc_i, .valid_o (valid), .result_o (result)
  );

  // One step of the register of section 3.4.
  function automatic logic [15:0] stepped(input logic [15:0] s);
    stepped = {^(s & Taps), s[15:1]};
  endfunction

  logic [15:0] spec_state_q, drawn;
  always_comb begin
    drawn = spec_state_q;
    for (int i = 0; i < Bits; i = i + 1) drawn = stepped(drawn);
  end
  always_ff @(posedge clk_i) begin
    if (load_i)       spec_state_q <= seed_i;
    else if (valid_i) spec_state_q <= drawn;
  end

  // floor(acc / 2^d), plus one where fraction and random number reach 2^d, held in 16 bits.
  function automatic logic [Acc-1:0] rounded(input logic [47:0] acc, input logic [15:0] draw, input int d);
    logic signed [49:0] floor_plus;
    logic        [16:0] fraction;
    fraction   = {1'b0, acc[15:0] & ((16'd1 << d) - 16'd1)} + {1'b0, draw >> (Bits - d)};
    floor_plus = ($signed({acc[47], acc[47], acc}) >>> d) + $signed({49'd0, fraction[d]});
    if (floor_plus > 50'sd32767)       rounded = 48'd32767;
    else if (floor_plus < -50'sd32768) rounded = -48'd32768;
    else                               rounded = floor_plus[47:0];
  endfunction

  logic [Acc-1:0] expected;
  always_comb begin
    case (format)
      3'd0:    expected = rounded(acc_i, drawn, 14);
      3'd1:    expected = rounded(acc_i, drawn, 8);
      default: expected = acc_i;
    endcase
  end

  logic [Acc-1:0] expected1_q, expected2_q, expected3_q;
  logic [2:0]     valid_q = 3'b000;
  always_ff @(posedge clk_i) begin
    expected1_q <= expected;
    expected2_q <= expected1_q;
    expected3_q <= expected2_q;
    valid_q     <= started_q ? {valid_q[1:0], valid_i} : 3'b000;
  end

  always_ff @(posedge clk_i) begin
    assume (format <= 3'd2);
    // Seeds are loaded before anything is rounded, and not in a clock in which something is.
    if (!started_q) assume (load_i);
    assume (!(load_i && valid_i));
    if (started_q) begin
      assert (state == spec_state_q);
      assert (valid == valid_q[2]);
      if (valid_q[2]) assert (result == expected3_q);
    end
    cover (valid_q[2] && format == 3'd0 && result == 48'd32767 && expected3_q == 48'd32767);
    cover (valid_q[2] && format == 3'd1 && result == -48'd32768);
    cover (valid_q[2] && format == 3'd0 && result == 48'd1);
  end
endmodule

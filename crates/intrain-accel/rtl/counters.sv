// Counts where the time of a product goes; the counts stand until the next command.
//
// cycles: from the edge that accepts the command to the edge that accepts the last write beat, both counted. array: from
// the clock in which the first operand stands at the array's edge to that in which the last result leaves a rounding
// unit, both counted. waits: clocks between the first and the last step in which none is issued, by reason.
module counters #(
  parameter int Width = 48
) (
  input  logic             clk_i,
  input  logic             rst_ni,
  // Product
  input  logic             start_i,
  input  logic             busy_i,
  // Events
  input  logic             issue_i,
  input  logic             wait_load_i,
  input  logic             wait_drain_i,
  input  logic             wait_output_i,
  input  logic             operand_i,       // at the array's edge
  input  logic             result_i,        // out of the last column's rounding unit
  input  logic             a_beat_i,
  input  logic             b_beat_i,
  input  logic             c_beat_i,
  // Counts
  output logic [Width-1:0] cycles_o,
  output logic [Width-1:0] array_o,
  output logic [Width-1:0] steps_o,
  output logic [Width-1:0] wait_load_o,
  output logic [Width-1:0] wait_drain_o,
  output logic [Width-1:0] wait_output_o,
  output logic [Width-1:0] a_beats_o,
  output logic [Width-1:0] b_beats_o,
  output logic [Width-1:0] c_beats_o
);
  localparam logic [Width-1:0] Zero = {Width{1'b0}};

  logic [Width-1:0] cycles_q, since_q, array_q, steps_q;
  logic [Width-1:0] wait_load_q, wait_drain_q, wait_output_q, a_beats_q, b_beats_q, c_beats_q;
  logic             issued_q, entered_q;  // since the command was accepted

  // start_i is one clock behind the command, so two are counted by its end. since_q is the number of this clock, 1 when
  // the first operand enters.
  always_ff @(posedge clk_i) begin
    if (!rst_ni || start_i) begin
      cycles_q      <= {{(Width-2){1'b0}}, start_i, 1'b0};
      since_q       <= {{(Width-1){1'b0}}, 1'b1};
      array_q       <= Zero;
      steps_q       <= Zero;
      wait_load_q   <= Zero;
      wait_drain_q  <= Zero;
      wait_output_q <= Zero;
      a_beats_q     <= Zero;
      b_beats_q     <= Zero;
      c_beats_q     <= Zero;
      issued_q      <= 1'b0;
      entered_q     <= 1'b0;
    end else begin
      cycles_q      <= cycles_q + {{(Width-1){1'b0}}, busy_i};
      since_q       <= since_q + {{(Width-1){1'b0}}, entered_q || operand_i};
      steps_q       <= steps_q + {{(Width-1){1'b0}}, issue_i};
      wait_load_q   <= wait_load_q + {{(Width-1){1'b0}}, issued_q && wait_load_i};
      wait_drain_q  <= wait_drain_q + {{(Width-1){1'b0}}, issued_q && wait_drain_i};
      wait_output_q <= wait_output_q + {{(Width-1){1'b0}}, issued_q && wait_output_i};
      a_beats_q     <= a_beats_q + {{(Width-1){1'b0}}, a_beat_i};
      b_beats_q     <= b_beats_q + {{(Width-1){1'b0}}, b_beat_i};
      c_beats_q     <= c_beats_q + {{(Width-1){1'b0}}, c_beat_i};
      issued_q      <= issued_q || issue_i;
      entered_q     <= entered_q || operand_i;
      if (result_i) array_q <= since_q;
    end
  end

  assign cycles_o      = cycles_q;
  assign array_o       = array_q;
  assign steps_o       = steps_q;
  assign wait_load_o   = wait_load_q;
  assign wait_drain_o  = wait_drain_q;
  assign wait_output_o = wait_output_q;
  assign a_beats_o     = a_beats_q;
  assign b_beats_o     = b_beats_q;
  assign c_beats_o     = c_beats_q;
endmodule

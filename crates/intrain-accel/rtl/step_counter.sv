// Counts the steps of a pass, from 0 to its last one, and begins again.
//
// Whether a step is the last one is found out a step ahead, for a pass of one step by the walker: what hangs on it decides
// within a clock whether to go on.
module step_counter #(
  parameter int StepWidth = 10
) (
  input  logic                 clk_i,
  input  logic                 start_i,
  // Pass
  input  logic                 single_i,     // it has one step
  input  logic [StepWidth-1:0] last_step_i,  // number of its last one
  // Steps
  input  logic                 advance_i,
  output logic [StepWidth-1:0] step_o,
  output logic                 last_o
);
  localparam logic [StepWidth-1:0] One = {{(StepWidth-1){1'b0}}, 1'b1};

  logic [StepWidth-1:0] step_q;
  logic                 last_q;

  assign step_o = step_q;
  assign last_o = single_i || last_q;

  always_ff @(posedge clk_i) begin
    if (start_i || (advance_i && last_o)) begin
      step_q <= {StepWidth{1'b0}};
      last_q <= 1'b0;
    end else if (advance_i) begin
      step_q <= step_q + One;
      last_q <= (step_q + One == last_step_i);
    end
  end
endmodule

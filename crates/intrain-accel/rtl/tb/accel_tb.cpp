// Test bench for Verilator: runs the commands of a folder of .hex files, one after the other, against a model of memory.
//
//   operands.hex  one read beat a line, most significant digit first, from address 0
//   memory.hex    latency rate read_cost           (rate 0: no limit)
//   commands.hex  row_tiles column_tiles steps format a_base b_base c_base write_cost capacity, a line a command
//   seeds.hex     N seeds a line, column 0 first, a line a command
//
// writes results.hex (one write beat a line, from address 0) and counters.hex (a line a command, in the order of
// counters.sv). All numbers are hexadecimal. Usage: accel_tb FOLDER. Exit code 1: the folder is not as it should be;
// 2: the hardware does not answer or writes elsewhere.
//
// Memory: a request that is accepted in one cycle has its data `latency` cycles later. Reads and writes share a bucket of
// tokens, full at the first request of a command: a beat takes its cost, writes before reads, and each cycle adds `rate`.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "Vintrain_accel.h"
#include "intrain_accel.h"
#include "verilated.h"

namespace {

using Beat = std::vector<uint32_t>;  // least significant word first

constexpr int kReset = INTRAIN_ACCEL_N + 4;  // as few as accel.sv promises
constexpr uint64_t kPatience = 10'000'000;  // cycles without a beat
constexpr size_t kReadWords = (INTRAIN_ACCEL_N * INTRAIN_ACCEL_WORD + 31) / 32;
constexpr size_t kWriteBits = INTRAIN_ACCEL_N * INTRAIN_ACCEL_OUT;

[[noreturn]] void fail(int code, const std::string& message) {
  std::cerr << "accel_tb: " << message << "\n";
  std::exit(code);
}

// Ports are integers up to 64 bits, arrays of words above.
template <class Port>
void put(Port& port, const Beat& beat) {
  uint64_t value = 0;
  for (size_t i = beat.size(); i-- > 0;) value = value << 32 | beat[i];
  port = static_cast<Port>(value);
}
template <size_t Words>
void put(VlWide<Words>& port, const Beat& beat) {
  for (size_t i = 0; i < Words; i++) port[i] = i < beat.size() ? beat[i] : 0;
}
template <class Port>
Beat get(const Port& port) {
  const uint64_t value = port;
  return {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
}
template <size_t Words>
Beat get(const VlWide<Words>& port) {
  Beat beat(Words);
  for (size_t i = 0; i < Words; i++) beat[i] = port[i];
  return beat;
}

std::string to_hex(const Beat& beat, size_t bits) {
  const size_t digits = (bits + 3) / 4;
  std::string text(digits, '0');
  for (size_t i = 0; i < digits; i++) {
    const uint32_t word = i / 8 < beat.size() ? beat[i / 8] : 0;
    text[digits - 1 - i] = "0123456789abcdef"[word >> (4 * (i % 8)) & 15];
  }
  return text;
}

Beat from_hex(const std::string& text, size_t words) {
  Beat beat(words, 0);
  for (size_t i = 0; i < text.size(); i++) {
    const int digit = std::stoi(text.substr(text.size() - 1 - i, 1), nullptr, 16);
    if (i / 8 < words) beat[i / 8] |= static_cast<uint32_t>(digit) << (4 * (i % 8));
  }
  return beat;
}

std::ifstream open_in(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(1, path + ": cannot be read");
  return file;
}

std::vector<std::vector<uint64_t>> read_numbers(const std::string& path, size_t columns) {
  std::ifstream file = open_in(path);
  std::vector<std::vector<uint64_t>> lines;
  for (std::string text; std::getline(file, text);) {
    std::istringstream line(text);
    std::vector<uint64_t> numbers;
    for (uint64_t number; line >> std::hex >> number;) numbers.push_back(number);
    if (numbers.size() != columns) fail(1, path + ": a line has not " + std::to_string(columns) + " numbers");
    lines.push_back(numbers);
  }
  return lines;
}

struct Memory {
  std::vector<Beat> operands;
  std::vector<Beat> results;
  uint64_t latency = 1, rate = 0, read_cost = 0, write_cost = 0, capacity = 0, tokens = 0;
  std::deque<std::pair<uint64_t, uint64_t>> pending;  // when, address

  bool has(uint64_t cost) const { return rate == 0 || tokens >= cost; }
  void take(uint64_t cost) { tokens -= rate == 0 ? 0 : cost; }
  void refill() { tokens = tokens + rate > capacity ? capacity : tokens + rate; }
};

class Bench {
 public:
  explicit Bench(Memory& memory) : memory_(memory) {
    context_.randReset(2);  // nothing may depend on what a register holds at power-up
    top_ = new Vintrain_accel(&context_);
    top_->clk_i = 0;
    top_->rst_ni = 0;
    top_->cmd_valid_i = 0;
    top_->seed_valid_i = 0;
    top_->data_valid_i = 0;
    top_->read_ready_i = 0;
    top_->write_ready_i = 0;
    for (int i = 0; i < kReset; i++) clock();
    top_->rst_ni = 1;
  }
  ~Bench() { delete top_; }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void run(const std::vector<uint64_t>& command, const std::vector<uint64_t>& seeds, std::ostream& counters) {
    top_->seed_valid_i = 1;
    for (size_t i = seeds.size(); i-- > 0;) {
      top_->seed_i = seeds[i];
      clock();
    }
    top_->seed_valid_i = 0;
    top_->cmd_row_tiles_i = command[0];
    top_->cmd_column_tiles_i = command[1];
    top_->cmd_steps_i = command[2];
    top_->cmd_format_i = command[3];
    top_->cmd_a_base_i = command[4];
    top_->cmd_b_base_i = command[5];
    top_->cmd_c_base_i = command[6];
    top_->cmd_valid_i = 1;
    top_->eval();
    if (!top_->cmd_ready_o) fail(2, "the command is not accepted");
    clock();
    top_->cmd_valid_i = 0;
    memory_.write_cost = command[7];
    memory_.capacity = memory_.tokens = command[8];
    uint64_t quiet = 0, next = command[6];
    for (top_->eval(); !top_->cmd_ready_o; top_->eval()) {
      quiet = memory_cycle(next) ? 0 : quiet + 1;
      if (quiet > kPatience) fail(2, "no beat for " + std::to_string(kPatience) + " cycles");
    }
    if (next != command[6] + command[0] * command[1] * INTRAIN_ACCEL_N) fail(2, "not all results are written");
    counters << std::hex << top_->stat_cycles_o << ' ' << top_->stat_array_o << ' ' << top_->stat_steps_o << ' '
             << top_->stat_wait_load_o << ' ' << top_->stat_wait_drain_o << ' ' << top_->stat_wait_output_o << ' '
             << top_->stat_a_beats_o << ' ' << top_->stat_b_beats_o << ' ' << top_->stat_c_beats_o << '\n';
  }

 private:
  void clock() {
    top_->eval();
    top_->clk_i = 1;
    top_->eval();
    top_->clk_i = 0;
    now_++;
  }

  // One cycle with memory; whether a beat was accepted. Valid outputs do not depend on ready inputs.
  bool memory_cycle(uint64_t& next) {
    const bool arrives = !memory_.pending.empty() && memory_.pending.front().first == now_;
    top_->data_valid_i = arrives;
    if (arrives) {
      put(top_->data_i, memory_.operands[memory_.pending.front().second]);
      memory_.pending.pop_front();
    }
    const bool write = memory_.has(memory_.write_cost);
    top_->write_ready_i = write;
    const bool written = write && top_->write_valid_o;
    if (written) {
      memory_.take(memory_.write_cost);
      if (top_->write_addr_o != next) fail(2, "a result is written out of its order");
      if (next >= memory_.results.size()) memory_.results.resize(next + 1);
      memory_.results[next++] = get(top_->write_data_o);
    }
    const bool read = memory_.has(memory_.read_cost);
    top_->read_ready_i = read;
    const bool requested = read && top_->read_valid_o;
    if (requested) {
      memory_.take(memory_.read_cost);
      if (top_->read_addr_o >= memory_.operands.size()) fail(2, "an operand is read from where there is none");
      memory_.pending.emplace_back(now_ + memory_.latency, top_->read_addr_o);
    }
    clock();
    memory_.refill();
    return written || requested;
  }

  VerilatedContext context_;
  Vintrain_accel* top_;
  Memory& memory_;
  uint64_t now_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) fail(1, "usage: accel_tb FOLDER");
  const std::string folder = std::string(argv[1]) + "/";

  Memory memory;
  std::ifstream operands = open_in(folder + "operands.hex");
  for (std::string line; std::getline(operands, line);) memory.operands.push_back(from_hex(line, kReadWords));
  const auto rates = read_numbers(folder + "memory.hex", 3);
  const auto commands = read_numbers(folder + "commands.hex", 9);
  const auto seeds = read_numbers(folder + "seeds.hex", INTRAIN_ACCEL_N);
  if (rates.size() != 1) fail(1, "memory.hex: not one line");
  if (commands.size() != seeds.size()) fail(1, "commands.hex and seeds.hex differ in length");
  memory.latency = rates[0][0];
  memory.rate = rates[0][1];
  memory.read_cost = rates[0][2];

  std::ofstream counters(folder + "counters.hex");
  Bench bench(memory);
  for (size_t i = 0; i < commands.size(); i++) bench.run(commands[i], seeds[i], counters);

  std::ofstream results(folder + "results.hex");
  for (const Beat& beat : memory.results) results << to_hex(beat, kWriteBits) << '\n';
  results.close();
  counters.close();
  if (!results || !counters) fail(1, folder + ": results cannot be written");
  return 0;
}

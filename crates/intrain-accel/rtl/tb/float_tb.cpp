// Test bench for Verilator: runs float rounding units side by side on values and random words from standard input.
//
// A record is a value and a word, 32 bits each, least significant byte first. Per record it writes a byte per unit, in the
// order of codes_o, least significant first: what stands there before the record's clock edge. Blocks of kBlock records are
// read whole before their bytes are written. Exit code 1: a broken record.

#include <cstdint>
#include <cstdio>
#include <vector>

#include "Vfloat_bench.h"
#include "verilated.h"

namespace {

constexpr size_t kBlock = 1 << 16;

void clock_edge(Vfloat_bench& bench) {
  bench.clk_i = 1;
  bench.eval();
  bench.clk_i = 0;
  bench.eval();
}

}  // namespace

int main(int, char**) {
  VerilatedContext context;
  Vfloat_bench bench(&context);
  const size_t units = sizeof(bench.codes_o);  // a multiple of 4, and more than 8
  bench.clk_i = 0;
  bench.rst_ni = 0;
  bench.eval();
  clock_edge(bench);
  bench.rst_ni = 1;
  std::vector<uint8_t> records(8 * kBlock), codes;
  while (const size_t bytes = fread(records.data(), 1, records.size(), stdin)) {
    if (bytes % 8 != 0) return 1;
    codes.clear();
    for (size_t at = 0; at < bytes; at += 8) {
      uint32_t fields[2] = {0, 0};
      for (size_t i = 0; i < 8; i++) fields[i / 4] |= uint32_t{records[at + i]} << (8 * (i % 4));
      bench.value_i = fields[0];
      bench.word_i = fields[1];
      bench.eval();
      for (size_t i = 0; i < units; i++) {
        codes.push_back(static_cast<uint8_t>(bench.codes_o[i / 4] >> (8 * (i % 4))));
      }
      clock_edge(bench);
    }
    if (fwrite(codes.data(), 1, codes.size(), stdout) != codes.size()) return 1;
    fflush(stdout);
  }
  return 0;
}

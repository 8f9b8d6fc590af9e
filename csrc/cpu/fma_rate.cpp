// Measures how fast this machine multiplies and adds in registers. Benchmarks compare kernels with this rate.
#include "kernels.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {

double fma_chain(int64_t rounds) {
  // All loops are unrolled, because a chain that is indexed at run time would be in memory. There are enough
  // independent chains to hide the latency of two pipes, and few enough for the registers.
  constexpr int kChains = kVectorWidth == 16 ? 20 : 12;
  Vec chain[kChains];
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) chain[i] = vec_set(0.01f * float(i + 1));
  const Vec factor = vec_set(0.999f), term = vec_set(0.001f);
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) chain[i] = vec_fma(chain[i], factor, term);
    // Keeps the compiler from merging rounds or removing them.
#pragma GCC unroll 32
#if defined(__aarch64__)
    for (int i = 0; i < kChains; ++i) asm volatile("" : "+w"(chain[i]));
#else
    for (int i = 0; i < kChains; ++i) asm volatile("" : "+v"(chain[i]));
#endif
  }
#pragma GCC unroll 32
  for (int i = 1; i < kChains; ++i) chain[0] += chain[i];
  volatile float sink = chain[0][0];
  (void)sink;
  return 2.0 * kChains * kVectorWidth * double(rounds);
}

}  // namespace LMF_ISA
}  // namespace lmf

// How many threads a small call starts.
#pragma once

#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Multiply-adds that take about as long as waking a thread that sleeps.
constexpr int64_t kWorthWaking = kVectorWidth * (int64_t(1) << 16);

// threads: those that the caller may use. multiply_adds: of the whole call, about.
inline int useful_threads(int threads, int64_t multiply_adds) {
  const int64_t useful = 1 + multiply_adds / kWorthWaking;
  return useful < threads ? int(useful) : threads;
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

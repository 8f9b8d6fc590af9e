// The sum of sixteen lanes, and the even and the odd ones of 32 numbers.
#pragma once

#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

inline float total(const Lanes& x) {
  alignas(64) float value[kLanes];
  store(value, x);
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) value[i] += value[i + half];
  return value[0];
}

// The even and the odd ones of 32 numbers.
inline void deinterleave(const Lanes& a, const Lanes& b, Lanes* even, Lanes* odd) {
#if defined(__AVX512F__)
  const __m512i step = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  even->v[0] = _mm512_permutex2var_ps(a.v[0], step, b.v[0]);
  odd->v[0] = _mm512_permutex2var_ps(a.v[0], _mm512_add_epi32(step, _mm512_set1_epi32(1)), b.v[0]);
#else
  alignas(64) float all[2 * kLanes], half[2][kLanes];
  store(all, a);
  store(all + kLanes, b);
  for (int i = 0; i < kLanes; ++i) {
    half[0][i] = all[2 * i];
    half[1][i] = all[2 * i + 1];
  }
  *even = load(half[0]);
  *odd = load(half[1]);
#endif
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// The sum of sixteen lanes, and the even and the odd ones of 32 numbers.
#pragma once

#include "lanes.h"
#include "transpose.h"

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
#elif defined(__AVX2__)
  const auto picked = [](const Lanes& x, auto shuffled) {  // of each half of 128 bits, then in order
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(shuffled(x.v[0], x.v[1])), 0xd8));
  };
  const auto evens = [](Vec low, Vec high) { return _mm256_shuffle_ps(low, high, 0x88); };
  const auto odds = [](Vec low, Vec high) { return _mm256_shuffle_ps(low, high, 0xdd); };
  *even = {picked(a, evens), picked(b, evens)};
  *odd = {picked(a, odds), picked(b, odds)};
#else
  for (int i = 0; i < 2; ++i) {
    even->v[i] = LMF_SHUFFLE4(a.v[2 * i], a.v[2 * i + 1], 0, 2, 4, 6);
    even->v[i + 2] = LMF_SHUFFLE4(b.v[2 * i], b.v[2 * i + 1], 0, 2, 4, 6);
    odd->v[i] = LMF_SHUFFLE4(a.v[2 * i], a.v[2 * i + 1], 1, 3, 5, 7);
    odd->v[i + 2] = LMF_SHUFFLE4(b.v[2 * i], b.v[2 * i + 1], 1, 3, 5, 7);
  }
#endif
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

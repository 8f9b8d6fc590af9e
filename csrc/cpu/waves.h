// Where a Fourier head's product goes in a row of activations (LTE, arXiv 2111.08918, section 3; DLTE).
#pragma once

#include "dense_trunk.h"
#include "sincospi.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Channels j .. j + 15 of each half of `coef * [cos(pi q), sin(pi q)]`. coef and row: (2 * half).
template <class F, class Y>
inline void store_waves(const F* coef, const Lanes& q, int64_t half, int64_t j, Y* row) {
  const int64_t left = half - j;
  Lanes wave[2];
  sincospi(q, &wave[0], &wave[1]);
  for (int k = 0; k < 2; ++k) {
    const Lanes a = mul(load_some(coef + k * half + j, left), wave[k]);
    if (half % kLanes == 0) {
      store_as(row + k * half + j, a);
    } else {
      alignas(64) float value[kLanes];
      store(value, a);
      for (int64_t i = 0; i < kLanes && i < left; ++i) assign(row + k * half + j + i, value[i]);
    }
  }
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

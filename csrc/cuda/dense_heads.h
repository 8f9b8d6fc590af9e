// The heads: the first activation of a lane's two rows, as the operand of the first pass, from the parameters of their
// LR cells or vertices. head_channel has the order of the channels, PackedLayout that of a head's table.
//
// A Row says where a row's parameters lie in the fields (offset, in elements) and knows the family's formula:
// affine(base, w) with the four entries w that the table has for a channel, and angle(f_y, f_x, phase_y, phase_x).
#pragma once

#include "dense_pass.h"
#include "sincospi.h"

namespace lmf::dense {

// Halves 8 i to 8 i + 7 of a row's parameters.
LMF_DEVICE uint4 load_eight(const uint16_t* params, int i) {
  return warp::load(reinterpret_cast<const uint4*>(params) + i);
}

// Word i of a vector, i known at compile time.
LMF_DEVICE uint32_t word(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// relu(affine(base)), with `width` channels, a multiple of 8. The others are 0.
template <class Half, class Constants, class Row>
LMF_DEVICE void linear_head(Operand& x, const uint16_t* fields, const Row (&at)[2], int width, const float4* table) {
  const int t = warp::lane() & 3;
  LMF_UNROLL
  for (int m = 0; m < kWidth / 32; ++m) {
    uint4 base[2] = {};
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      if (32 * m + 8 * t < width) base[r] = load_eight(fields + at[r].offset, 4 * m + t);
    }
    LMF_UNROLL
    for (int q = 0; q < 4; ++q) {  // channels 2q and 2q + 1 of the eight
      const float4 w0 = Constants::load(table + (8 * m + 2 * q) * 4 + t);
      const float4 w1 = Constants::load(table + (8 * m + 2 * q + 1) * 4 + t);
      LMF_UNROLL
      for (int r = 0; r < 2; ++r) {
        const uint32_t pair = word(base[r], q);
        x[2 * m + q / 2][2 * (q % 2) + r] = warp::pack_relu<Half>(at[r].affine(warp::widen_low<Half>(pair), w0),
                                                                  at[r].affine(warp::widen_high<Half>(pair), w1));
      }
    }
  }
}

// coef * [cos(pi q), sin(pi q)], q = angle(freq, phase) (LTE, section 3). width: of the product, a multiple of 16.
template <class Half, class Constants, class Row>
LMF_DEVICE void fourier_head(Operand& x, const uint16_t* fields, const Row (&at)[2], int width, const float4* table) {
  const int t = warp::lane() & 3, angles = width / 2;
  LMF_UNROLL
  for (int m = 0; m < kWidth / 64; ++m) {
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      uint4 cosine = {}, sine = {}, low = {}, high = {};  // coefficients, and frequencies (y, x) of four angles each
      if (32 * m + 8 * t < angles) {
        const uint16_t *coef = fields + at[r].offset, *freq = coef + width;
        cosine = load_eight(coef, 4 * m + t);
        sine = load_eight(coef + angles, 4 * m + t);
        low = load_eight(freq, 8 * m + 2 * t);
        high = load_eight(freq, 8 * m + 2 * t + 1);
      }
      LMF_UNROLL
      for (int q = 0; q < 4; ++q) {  // angles 2q and 2q + 1 of the eight
        const float4 phase = Constants::load(table + (4 * m + q) * 4 + t);
        const auto wave = [&](uint32_t f, float py, float px, float* c, float* s) {
          sincospi(at[r].angle(warp::widen_low<Half>(f), warp::widen_high<Half>(f), py, px), c, s);
        };
        float c0, s0, c1, s1;
        wave(word(q < 2 ? low : high, 2 * (q % 2)), phase.x, phase.y, &c0, &s0);
        wave(word(q < 2 ? low : high, 2 * (q % 2) + 1), phase.z, phase.w, &c1, &s1);
        const uint32_t c = word(cosine, q), s = word(sine, q);
        x[2 * m + q / 2][2 * (q % 2) + r] =
            warp::pack<Half>(warp::widen_low<Half>(c) * c0, warp::widen_high<Half>(c) * c1);
        x[kSteps / 2 + 2 * m + q / 2][2 * (q % 2) + r] =
            warp::pack<Half>(warp::widen_low<Half>(s) * s0, warp::widen_high<Half>(s) * s1);
      }
    }
  }
}

}  // namespace lmf::dense

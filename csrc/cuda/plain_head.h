// The heads of the plain family: the first activation of two pixels per lane, as the operand of the first pass, from
// the parameters of their cells. dense::head_channel has the order of the channels.
#pragma once

#include "dense_pass.h"
#include "plain_corners.h"
#include "sincospi.h"

namespace lmf::plain {

// Halves 8 i to 8 i + 7 of a cell's parameters.
LMF_DEVICE uint4 load_eight(const uint16_t* params, int i) {
  return warp::load(reinterpret_cast<const uint4*>(params) + i);
}

// Word i of a vector, i known at compile time.
LMF_DEVICE uint32_t word(const uint4& v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// relu(base + W_rel rel + W_cell rel_cell), with `width` channels, a multiple of 8. The others are 0. table: see
// PackedLayout.
template <class Half>
LMF_DEVICE void linear_head(dense::Operand& x, const uint16_t* fields, const PixelCorner (&at)[2], int width,
                            const float4* table) {
  const int t = warp::lane() & 3;
  LMF_UNROLL
  for (int m = 0; m < dense::kWidth / 32; ++m) {
    uint4 base[2] = {};
    LMF_UNROLL
    for (int r = 0; r < 2; ++r) {
      if (32 * m + 8 * t < width) base[r] = load_eight(fields + at[r].offset, 4 * m + t);
    }
    LMF_UNROLL
    for (int q = 0; q < 4; ++q) {  // channels 2q and 2q + 1 of the eight
      const float4 w0 = warp::shared_load(table + (8 * m + 2 * q) * 4 + t);
      const float4 w1 = warp::shared_load(table + (8 * m + 2 * q + 1) * 4 + t);
      LMF_UNROLL
      for (int r = 0; r < 2; ++r) {
        const auto affine = [&](float value, const float4& w) {
          value = warp::fma(w.w, at[r].rel_cell_x, warp::fma(w.z, at[r].rel_cell_y, value));
          return warp::fma(w.y, at[r].rel_x, warp::fma(w.x, at[r].rel_y, value));
        };
        const uint32_t pair = word(base[r], q);
        x[2 * m + q / 2][2 * (q % 2) + r] =
            warp::pack_relu<Half>(affine(warp::widen_low<Half>(pair), w0), affine(warp::widen_high<Half>(pair), w1));
      }
    }
  }
}

// coef * [cos(pi q), sin(pi q)], q = freq rel + phase rel_cell (LTE, section 3). width: of the product, a multiple
// of 16.
template <class Half>
LMF_DEVICE void fourier_head(dense::Operand& x, const uint16_t* fields, const PixelCorner (&at)[2], int width,
                             const float4* table) {
  const int t = warp::lane() & 3, angles = width / 2;
  LMF_UNROLL
  for (int m = 0; m < dense::kWidth / 64; ++m) {
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
        const float4 phase = warp::shared_load(table + (4 * m + q) * 4 + t);
        const auto wave = [&](uint32_t f, float py, float px, float* c, float* s) {
          const float fixed = warp::fma(px, at[r].rel_cell_x, py * at[r].rel_cell_y);
          sincospi(warp::fma(warp::widen_low<Half>(f), at[r].rel_y,
                             warp::fma(warp::widen_high<Half>(f), at[r].rel_x, fixed)),
                   c, s);
        };
        float c0, s0, c1, s1;
        wave(word(q < 2 ? low : high, 2 * (q % 2)), phase.x, phase.y, &c0, &s0);
        wave(word(q < 2 ? low : high, 2 * (q % 2) + 1), phase.z, phase.w, &c1, &s1);
        const uint32_t c = word(cosine, q), s = word(sine, q);
        x[2 * m + q / 2][2 * (q % 2) + r] =
            warp::pack<Half>(warp::widen_low<Half>(c) * c0, warp::widen_high<Half>(c) * c1);
        x[dense::kSteps / 2 + 2 * m + q / 2][2 * (q % 2) + r] =
            warp::pack<Half>(warp::widen_low<Half>(s) * s0, warp::widen_high<Half>(s) * s1);
      }
    }
  }
}

}  // namespace lmf::plain

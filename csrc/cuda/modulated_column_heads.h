// The first layer of the kernel by columns: a lane's four channels of its column, in each row of a chunk.
#pragma once

#include "modulated_columns.h"
#include "modulated_fragments.h"
#include "sincospi.h"

namespace lmf::modulated {

// Where a column lies at one corner: rel of row 0, and how much rel_y grows from row to row, both as half of rel.
struct ColumnPlace {
  float y, x;
};

// t = lane % 4. Opaque, because the compiler would otherwise load the head's weights once for the whole kernel and
// spill registers.
LMF_DEVICE int lane_in_group() { return warp::opaque(warp::lane() & 3); }

template <class Half, Head head>
struct ColumnHead;

// relu(FiLM(base + rel_y W_y + rel_x W_x + cell)) is affine in the row: a constant and a step, both in halves.
template <class Half>
struct ColumnHead<Half, Head::linear> {
  // A lane's part of a record.
  struct Inputs {
    uint2 base;
  };

  LMF_DEVICE static Inputs load(const uint16_t* params, int depth) {
    return {warp::load(reinterpret_cast<const uint2*>(params + 2 * depth * kWidth))};
  }

  // Writes the head's weights as this kernel uses them: 2 W_y (16) | 2 W_x (16) | cell (16) | steps in halves (16).
  LMF_DEVICE static void fill(float* values, const ModulatedCall& c, float y_step, warp::Position position) {
    const ModulatedLayout<int> layout = make_layout(Head::linear, c.mlp.depth);
    const auto weight = [&](int i) { return read_element(c.mlp.weights, c.mlp.element, i); };
    const int threads = position.warps * warp::kSize;
    for (int n = position.warp * warp::kSize + warp::lane(); n < kWidth; n += threads) {
      warp::shared_store(values + n, 2.0f * weight(layout.rel() + n));
      warp::shared_store(values + kWidth + n, 2.0f * weight(layout.rel() + kWidth + n));
      warp::shared_store(values + 2 * kWidth + n,
                         warp::fma(weight(layout.cell() + kWidth + n), c.render.rel_cell_x,
                                   warp::multiply(weight(layout.cell() + n), c.render.rel_cell_y)));
      if (n % 2) continue;
      const float low = 2.0f * weight(layout.rel() + n), high = 2.0f * weight(layout.rel() + n + 1);
      warp::shared_store(reinterpret_cast<uint32_t*>(values + 3 * kWidth) + n / 2,
                         warp::pack<Half>(warp::multiply(low, y_step), warp::multiply(high, y_step)));
    }
  }

  template <int N>
  LMF_DEVICE static void apply(uint32_t (&act)[N][4], const float* values, Inputs in, Film film, ColumnPlace at) {
    const int t = lane_in_group();
    const float4* four = reinterpret_cast<const float4*>(values) + t;
    const float4 y = warp::shared_load(four), x = warp::shared_load(four + 4), cell = warp::shared_load(four + 8);
    const uint2 step = warp::shared_load(reinterpret_cast<const uint2*>(values + 3 * kWidth) + t);
    const float4 base = widen_four<Half>(in.base);
    const auto affine = [&](float a, float cell, float y, float x) {
      return warp::fma(x, at.x, warp::fma(y, at.y, a + cell));
    };
    const uint32_t low = warp::pack<Half>(affine(base.x, cell.x, y.x, x.x), affine(base.y, cell.y, y.y, x.y));
    const uint32_t high = warp::pack<Half>(affine(base.z, cell.z, y.z, x.z), affine(base.w, cell.w, y.w, x.w));
    const uint2 factor = one_plus<Half>(film.scale);
    const uint32_t start[2] = {warp::fma_pair<Half>(low, factor.x, film.shift.x),
                               warp::fma_pair<Half>(high, factor.y, film.shift.y)};
    constexpr uint32_t minus_zero = 0x80008000u;  // x * y - 0 is x * y
    const uint32_t slope[2] = {warp::fma_pair<Half>(step.x, factor.x, minus_zero),
                               warp::fma_pair<Half>(step.y, factor.y, minus_zero)};
    LMF_UNROLL
    for (int i = 0; i < N; ++i) {
      LMF_UNROLL
      for (int r = 0; r < 2; ++r) {
        const uint32_t row = integer_pair(Half{}, 2 * i + r);
        act[i][r] = warp::fma_relu_pair<Half>(slope[0], row, start[0]);
        act[i][2 + r] = warp::fma_relu_pair<Half>(slope[1], row, start[1]);
      }
    }
  }
};

// The Fourier product: cosines and sines of products 2t and 2t + 1. From row to row their angle q grows by the same d,
// so that v(i + 1) = 2 cos(pi d) v(i) - v(i - 1) holds for each of them (Chebyshev). Over a chunk's rows this costs
// less than 1e-5 of accuracy in float32.
template <class Half>
struct ColumnHead<Half, Head::fourier> {
  struct Inputs {
    uint32_t cosines, sines;  // their coefficients
    uint2 freq;
  };

  LMF_DEVICE static Inputs load(const uint16_t* params, int depth) {
    const uint16_t* coef = params + 2 * depth * kWidth - 2 * (warp::lane() & 3);
    return {warp::load(reinterpret_cast<const uint32_t*>(coef)),
            warp::load(reinterpret_cast<const uint32_t*>(coef + 8)),
            warp::load(reinterpret_cast<const uint2*>(params + (2 * depth + 1) * kWidth))};
  }

  // Writes the part of each angle that depends on the cell size (8), and twice the step of the rows.
  LMF_DEVICE static void fill(float* values, const ModulatedCall& c, float y_step, warp::Position position) {
    const auto weight = [&](int i) { return read_element(c.mlp.weights, c.mlp.element, i); };
    const int threads = position.warps * warp::kSize;
    for (int j = position.warp * warp::kSize + warp::lane(); j < kWidth / 2; j += threads) {
      warp::shared_store(values + j, warp::fma(weight(kWidth / 2 + j), c.render.rel_cell_x,
                                               warp::multiply(weight(j), c.render.rel_cell_y)));
      if (j == 0) warp::shared_store(values + kWidth / 2, 2.0f * y_step);
    }
  }

  template <int N>
  LMF_DEVICE static void apply(uint32_t (&act)[N][4], const float* values, Inputs in, Film, ColumnPlace at) {
    const float2 phase = warp::shared_load(reinterpret_cast<const float2*>(values) + lane_in_group());
    const float step = warp::shared_load(values + kWidth / 2);
    const float4 freq = widen_four<Half>(in.freq);
    const float rel_y = 2.0f * at.y, rel_x = 2.0f * at.x;
    float v[2][4], twice[2];  // of the last two rows: cosine 2t, cosine 2t + 1, the sines
    LMF_UNROLL
    for (int e = 0; e < 2; ++e) {
      const float fy = e ? freq.z : freq.x, fx = e ? freq.w : freq.y;
      float c0, s0, cd, sd;
      sincospi(warp::fma(fy, rel_y, warp::fma(fx, rel_x, e ? phase.y : phase.x)), &c0, &s0);
      sincospi(warp::multiply(fy, step), &cd, &sd);
      const float cosine = e ? warp::widen_high<Half>(in.cosines) : warp::widen_low<Half>(in.cosines);
      const float sine = e ? warp::widen_high<Half>(in.sines) : warp::widen_low<Half>(in.sines);
      v[0][e] = warp::multiply(cosine, c0);
      v[0][2 + e] = warp::multiply(sine, s0);
      v[1][e] = warp::multiply(cosine, warp::fma(c0, cd, -warp::multiply(s0, sd)));
      v[1][2 + e] = warp::multiply(sine, warp::fma(s0, cd, warp::multiply(c0, sd)));
      twice[e] = 2.0f * cd;
    }
    LMF_UNROLL
    for (int i = 0; i < N; ++i) {
      LMF_UNROLL
      for (int r = 0; r < 2; ++r) {
        if (i > 0) {
          LMF_UNROLL
          for (int k = 0; k < 4; ++k) v[r][k] = warp::fma(twice[k & 1], v[1 - r][k], -v[r][k]);
        }
        act[i][r] = warp::pack<Half>(v[r][0], v[r][1]);
        act[i][2 + r] = warp::pack<Half>(v[r][2], v[r][3]);
      }
    }
  }
};

}  // namespace lmf::modulated

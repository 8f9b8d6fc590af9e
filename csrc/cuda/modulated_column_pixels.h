// What a lane of the kernels by columns does with one channel of its pixels: the skip image, the epilogue, the store.
#pragma once

#include "modulated_columns.h"

namespace lmf::modulated {

// The bias, and the bilinear skip image if there is one, in each row of a column. The skip is affine in the row.
template <int kRows>
LMF_DEVICE void start_column(float (&value)[kRows], float bias, const RenderCall& call, const ColumnPlan& plan,
                             const CellPair& y, const CellPair& x, int batch, int channel) {
  float start = bias, slope = 0.0f;
  const Skip& s = call.skip;
  if (s.data) {
    const unsigned char* at = static_cast<const unsigned char*>(s.data) + batch * plan.skip_b + channel * plan.skip_c +
                              int64_t(y.cell0 - plan.lr_y0) * plan.skip_y + int64_t(x.cell0 - plan.lr_x0) * plan.skip_x;
    const int64_t to_y = y.moves ? plan.skip_y : 0, to_x = x.moves ? plan.skip_x : 0;
    const auto along_x = [&](const unsigned char* row) {
      const float first = read_element(row, s.element, 0), second = read_element(row + to_x, s.element, 0);
      return warp::fma(x.f, second, warp::multiply(1.0f - x.f, first));
    };
    const float top = along_x(at), bottom = along_x(at + to_y);
    slope = warp::multiply(plan.y_step, bottom) - warp::multiply(plan.y_step, top);
    start = warp::fma(y.f, bottom, warp::fma(1.0f - y.f, top, bias));
  }
  LMF_UNROLL
  for (int i = 0; i < kRows; ++i) value[i] = warp::fma(slope, float(i), start);
}

// The address of row 0 of a chunk, which may lie before the window.
LMF_DEVICE unsigned char* column_address(const Output& o, const ColumnPlan& plan, int batch, int channel, int row,
                                         int col) {
  return static_cast<unsigned char*>(o.data) + batch * plan.out_b + channel * plan.out_c + int64_t(row) * plan.out_y +
         int64_t(col) * plan.out_x;
}

// Stores the rows i whose bit i is set. at: the address of row 0.
template <class T, int kRows, class F>
LMF_DEVICE void store_rows(const float (&value)[kRows], unsigned char* at, int64_t down, uint32_t rows, F convert) {
  LMF_UNROLL
  for (int i = 0; i < kRows; ++i, at += down) {
    if (rows >> i & 1) warp::store(reinterpret_cast<T*>(at), T(convert(value[i])));
  }
}

template <int kRows>
LMF_DEVICE void store_column(Store store, float (&value)[kRows], const ColumnPlan& plan, unsigned char* at,
                             uint32_t rows) {
  LMF_UNROLL
  for (int i = 0; i < kRows; ++i) {
    value[i] =
        warp::clamp(warp::fma(value[i], plan.finish_scale, plan.finish_shift), plan.finish_low, plan.finish_high);
  }
  switch (store) {
    case Store::float32: return store_rows<float>(value, at, plan.out_y, rows, [](float v) { return v; });
    case Store::uint8:
      return store_rows<uint8_t>(value, at, plan.out_y, rows, [](float v) { return warp::round_to_byte(v * 255.0f); });
    case Store::float16:
      return store_rows<uint16_t>(value, at, plan.out_y, rows, [](float v) { return warp::pack<warp::F16>(v, 0.0f); });
    case Store::bfloat16:
      return store_rows<uint16_t>(value, at, plan.out_y, rows, [](float v) { return warp::pack<warp::BF16>(v, 0.0f); });
  }
}

}  // namespace lmf::modulated

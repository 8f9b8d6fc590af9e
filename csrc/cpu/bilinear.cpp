// Compiled once, without a flag for an instruction set: memory limits it. Each product and each sum is rounded by
// itself
// (-ffp-contract=off), so that a pixel has the same bits in every window, and those of lmf_kernels/cmsr/bilinear.py.
#include "bilinear.h"

#include <cstring>
#include <vector>

#include "../common/geometry.h"

namespace lmf {
namespace {

typedef float Vec4 __attribute__((vector_size(16), aligned(4)));

// One axis of the window: for each position the two source positions, counted from the first one held, and the weight
// of the second.
struct Axis {
  std::vector<int32_t> low, high;
  std::vector<float> weight;

  Axis(int64_t start, int64_t count, int64_t n_in, int64_t n_out, int64_t first)
      : low(count), high(count), weight(count) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t num = (2 * (start + i) + 1) * n_in - n_out, den = 2 * n_out, k = floor_div(num, den);
      low[i] = int32_t(clamp_cell(k, n_in) - first);
      high[i] = int32_t(clamp_cell(k + 1, n_in) - first);
      weight[i] = float(double(num - k * den) / double(den));
    }
  }
};

// A source row (source_cols, 3) at the window's columns. `row` has room for one float more.
void resize_row(const float* source, int64_t source_cols, const Axis& x, float* row) {
  const int64_t cols = int64_t(x.low.size());
  int64_t i = 0;
  // Four floats at a time: the fourth is overwritten by the next pixel, and of the last column there is none to read.
  for (; i < cols && x.high[i] < source_cols - 1; ++i) {
    const float w = x.weight[i];
    const Vec4 low = *reinterpret_cast<const Vec4*>(source + 3 * x.low[i]);
    const Vec4 high = *reinterpret_cast<const Vec4*>(source + 3 * x.high[i]);
    *reinterpret_cast<Vec4*>(row + 3 * i) = low * (1.0f - w) + high * w;
  }
  for (; i < cols; ++i) {
    const float *low = source + 3 * x.low[i], *high = source + 3 * x.high[i], w = x.weight[i];
    for (int c = 0; c < 3; ++c) row[3 * i + c] = low[c] * (1.0f - w) + high[c] * w;
  }
}

// The epilogue and the store of one output row. `row` (cols, 3) is overwritten.
void store_row(float* row, const Output& out, int64_t offset) {
  const int64_t n = 3 * out.cols;
  if (out.epilogue == Epilogue::unit) {
    for (int64_t i = 0; i < n; ++i) {
      const float v = row[i] * 0.5f + 0.5f;
      row[i] = v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
    }
  }
  const bool dense = out.stride_c == 1 && out.stride_x == 3;
  if (out.store == Store::uint8) {
    uint8_t* p = static_cast<uint8_t*>(out.data) + offset;
    for (int64_t i = 0; i < n; ++i) {
      // Adding 1.5 * 2^23 leaves 255 * v, rounded half to even, in the low bits.
      const float shifted = row[i] * 255.0f + 12582912.0f;
      std::memcpy(&row[i], &shifted, sizeof shifted);
    }
    const uint32_t* bits = reinterpret_cast<const uint32_t*>(row);
    if (dense) {
      for (int64_t i = 0; i < n; ++i) p[i] = uint8_t(bits[i]);
    } else {
      for (int64_t i = 0; i < out.cols; ++i)
        for (int c = 0; c < 3; ++c) p[i * out.stride_x + c * out.stride_c] = uint8_t(bits[3 * i + c]);
    }
    return;
  }
  float* p = static_cast<float*>(out.data) + offset;
  if (dense) {
    std::memcpy(p, row, size_t(n) * sizeof(float));
  } else {
    for (int c = 0; c < 3; ++c)
      for (int64_t i = 0; i < out.cols; ++i) p[i * out.stride_x + c * out.stride_c] = row[3 * i + c];
  }
}

}  // namespace

void resize_bilinear(const BilinearCall& call) {
  const Output& out = call.out;
  const Axis y(out.y0, out.rows, call.full_rows, out.height, call.y0);
  const Axis x(out.x0, out.cols, call.full_cols, out.width, call.x0);
  const int64_t tasks = call.batch * out.rows, row_floats = 3 * out.cols;
#pragma omp parallel num_threads(call.threads) if (call.threads > 1)
  {
    std::vector<float> memory(size_t(3 * (row_floats + 4)));
    float *wide[2] = {memory.data(), memory.data() + row_floats + 4}, *row = memory.data() + 2 * (row_floats + 4);
    int64_t held[2] = {-1, -1};  // source row, over all pictures, that wide[0] and wide[1] hold
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tasks; ++t) {
      const int64_t b = t / out.rows, i = t % out.rows;
      const int64_t need[2] = {b * call.rows + y.low[i], b * call.rows + y.high[i]};
      const float* from[2];
      for (int k = 0; k < 2; ++k) {
        int slot = held[0] == need[k] ? 0 : held[1] == need[k] ? 1 : -1;
        if (slot < 0) {
          slot = held[0] == need[1 - k] ? 1 : 0;
          resize_row(call.source + need[k] * call.cols * 3, call.cols, x, wide[slot]);
          held[slot] = need[k];
        }
        from[k] = wide[slot];
      }
      const float w = y.weight[i], v = 1.0f - w;
      for (int64_t j = 0; j < row_floats; ++j) row[j] = from[0][j] * v + from[1][j] * w;
      store_row(row, out, b * out.stride_b + i * out.stride_y);
    }
  }
}

}  // namespace lmf

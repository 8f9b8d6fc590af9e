// Places of output pixels among the LR cells, as csrc/common/geometry.h has them, in arithmetic that a GPU is quick at.
#pragma once

#include "../common/geometry.h"
#include "../common/params.h"
#include "warp.h"

namespace lmf {

// One of two registers; indexing an array by a run-time value would put it into memory.
template <class T>
LMF_DEVICE T pick(int which, T zero, T one) {
  return which ? one : zero;
}

// quotient of a / b for 0 <= a, 0 < b: in 32 bits where both fit, which takes a fifth of the instructions.
LMF_DEVICE int64_t quotient(int64_t a, int64_t b) {
  if ((uint64_t(a) | uint64_t(b)) >> 32) return a / b;
  return int64_t(uint32_t(a) / uint32_t(b));
}

// geometry.h's grid_corners with a float32 quotient of the exact integers.
LMF_DEVICE AxisCorners corners_on_grid(int64_t pos, int64_t n_in, int64_t n_out) {
  const int64_t num = (2 * pos + 1) * n_in - n_out, den = 2 * n_out;
  const int64_t k0 = quotient(num + den, den) - 1;  // num > -den
  const int64_t remainder = num - k0 * den;
  const float f = float(remainder) / float(den);
  AxisCorners c;
  c.cell[0] = clamp_cell(k0, n_in);
  c.cell[1] = clamp_cell(k0 + 1, n_in);
  c.rel[0] = 2.0f * (f + float(k0 - c.cell[0]));
  c.rel[1] = 2.0f * (f + float(k0 - c.cell[1]));
  c.weight[0] = 1.0f - f;
  c.weight[1] = f;
  c.nearest = clamp_cell(k0 + (remainder >= n_out), n_in) == c.cell[0] ? 0 : 1;
  return c;
}

// The two axes of one pixel or query, and the cell size that its network sees.
struct PixelPlace {
  AxisCorners y, x;
  float rel_cell_y, rel_cell_x;
};

// Pixel (row, col) of the output window, or query `col` of batch entry `batch`.
LMF_DEVICE PixelPlace place_pixel(const ModulatedCall& call, int64_t batch, int64_t row, int64_t col) {
  const Fields& f = call.fields;
  PixelPlace p;
  if (call.points.coord) {
    const int64_t query = 2 * (batch * call.out.cols + col);
    p.y = point_corners(warp::load(call.points.coord + query), f.lr_h);
    p.x = point_corners(warp::load(call.points.coord + query + 1), f.lr_w);
    p.rel_cell_y = warp::load(call.points.cell + query) * float(f.lr_h);
    p.rel_cell_x = warp::load(call.points.cell + query + 1) * float(f.lr_w);
  } else {
    p.y = corners_on_grid(call.out.y0 + row, f.lr_h, call.out.H);
    p.x = corners_on_grid(call.out.x0 + col, f.lr_w, call.out.W);
    p.rel_cell_y = call.rel_cell[0];
    p.rel_cell_x = call.rel_cell[1];
  }
  return p;
}

// Where the record of LR cell (y, x) begins, in elements.
LMF_DEVICE int64_t record_offset(const Fields& f, int64_t batch, int64_t y, int64_t x) {
  return batch * f.stride[0] + (y - f.lr_y0) * f.stride[1] + (x - f.lr_x0) * f.stride[2];
}

}  // namespace lmf

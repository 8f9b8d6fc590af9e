// Maps output pixels to LR cells as csrc/common/geometry.h does, in arithmetic that is fast on a GPU.
#pragma once

#include "../common/geometry.h"
#include "../common/params.h"
#include "warp.h"

namespace lmf {

// Selects one of two registers. An array that is indexed at run time would be in memory.
template <class T>
LMF_DEVICE T pick(int which, T zero, T one) {
  return which ? one : zero;
}

// a / b for 0 <= a and 0 < b. Where both fit in 32 bits the division takes a fifth of the instructions.
LMF_DEVICE int64_t quotient(int64_t a, int64_t b) {
  if ((uint64_t(a) | uint64_t(b)) >> 32) return a / b;
  return int64_t(uint32_t(a) / uint32_t(b));
}

// grid_corners of geometry.h, with a float32 quotient of the exact integers.
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

// Where one pixel or query point lies among the LR cells, and the cell size that its network sees.
struct PixelCoordinates {
  AxisCorners y, x;
  float rel_cell_y, rel_cell_x;
};

// Grid mode: pixel (row, col) of the output window. Points mode: query point `col` of image `batch`.
LMF_DEVICE PixelCoordinates pixel_coordinates(const RenderCall& call, int64_t batch, int64_t row, int64_t col) {
  const Fields& f = call.fields;
  PixelCoordinates p;
  if (call.points.coord) {
    const int64_t query = 2 * (batch * call.out.cols + col);
    p.y = point_corners(warp::load(call.points.coord + query), f.lr_h);
    p.x = point_corners(warp::load(call.points.coord + query + 1), f.lr_w);
    p.rel_cell_y = warp::load(call.points.cell + query) * float(f.lr_h);
    p.rel_cell_x = warp::load(call.points.cell + query + 1) * float(f.lr_w);
  } else {
    p.y = corners_on_grid(call.out.y0 + row, f.lr_h, call.out.height);
    p.x = corners_on_grid(call.out.x0 + col, f.lr_w, call.out.width);
    p.rel_cell_y = call.rel_cell_y;
    p.rel_cell_x = call.rel_cell_x;
  }
  return p;
}

// Offset of the parameters of LR cell (y, x) in the fields, in elements.
LMF_DEVICE int64_t cell_offset(const Fields& f, int64_t batch, int64_t y, int64_t x) {
  return batch * f.stride_b + (y - f.lr_y0) * f.stride_y + (x - f.lr_x0) * f.stride_x;
}

// A run of neighbouring pixels in a row of the output window. Each row is split into runs of `width` pixels, of which
// the last may be shorter, and the runs of all rows and images are numbered from 0.
struct PixelRun {
  int64_t batch, row, col;  // of the first pixel

  LMF_DEVICE PixelRun(const Output& o, int64_t index, int width) {
    const int64_t across = quotient(o.cols + width - 1, width), line = quotient(index, across);
    batch = quotient(line, o.rows);
    row = line - batch * o.rows;
    col = (index - line * across) * width;
  }
};

}  // namespace lmf

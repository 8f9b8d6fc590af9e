// Maps output pixels to LR cells. All kernels use this rule (LIIF, arXiv 2012.09161, section 3: local ensemble).
#pragma once

#include <cstdint>

#include "host_device.h"

namespace lmf {

// The two ensemble corners along one axis. u is the pixel's position in LR index units.
struct AxisCorners {
  int64_t cell[2];  // LR cell of each corner, clamped to [0, n)
  float rel[2];     // 2 * (u - cell): half a cell is 1
  float weight[2];  // 1 - f and f, where f = u - floor(u) of the unclamped position
  int nearest;      // index of the corner with the nearest cell
};

namespace {  // internal linkage: objects compiled for different instruction sets must not share these functions

LMF_HOST_DEVICE inline int64_t clamp_cell(int64_t k, int64_t n) { return k < 0 ? 0 : (k >= n ? n - 1 : k); }

LMF_HOST_DEVICE inline int64_t floor_div(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q * b > a ? q - 1 : q;
}

// The corners of output position `pos` on a grid of n_out positions over n_in cells. u = (2 * pos + 1) * n_in /
// (2 * n_out) - 1/2 is computed as an exact fraction, so that no size loses precision.
LMF_HOST_DEVICE inline AxisCorners grid_corners(int64_t pos, int64_t n_in, int64_t n_out) {
  const int64_t num = (2 * pos + 1) * n_in - n_out, den = 2 * n_out;
  const int64_t k0 = floor_div(num, den);
  const double f = double(num - k0 * den) / double(den);
  AxisCorners c;
  for (int a = 0; a < 2; ++a) {
    c.cell[a] = clamp_cell(k0 + a, n_in);
    c.rel[a] = float(2.0 * (double(k0 - c.cell[a]) + f));
  }
  c.weight[0] = float(1.0 - f);
  c.weight[1] = float(f);
  c.nearest = clamp_cell(floor_div(num + n_out, den), n_in) == c.cell[0] ? 0 : 1;
  return c;
}

// The corners of a float32 coordinate x in [-1, 1] over n cells. u = ((x + 1) * n - 1) / 2 is computed in double:
// float32 would move the pixel on wide maps.
LMF_HOST_DEVICE inline AxisCorners point_corners(float x, int64_t n) {
  const double u = ((double(x) + 1.0) * double(n) - 1.0) * 0.5;
  // A coordinate far outside the map reads a border cell, and NaN reads any cell. rel and weight keep the true value,
  // so that NaN reaches the output. The integer part comes from a bounded copy, because converting a huge or NaN double
  // to an integer is undefined.
  double safe = u;
  if (!(safe > -4e15)) safe = -4e15;
  if (!(safe < 4e15)) safe = 4e15;
  int64_t k0 = int64_t(safe);
  if (double(k0) > safe) --k0;
  double f = u - double(k0);
  if (f >= 1.0 || f < 0.0) f = 0.0;  // a float32 coordinate beyond 4e15 half cells has no fraction
  AxisCorners c;
  for (int a = 0; a < 2; ++a) {
    c.cell[a] = clamp_cell(k0 + a, n);
    c.rel[a] = float(2.0 * (u - double(c.cell[a])));
  }
  c.weight[0] = float(1.0 - f);
  c.weight[1] = float(f);
  c.nearest = clamp_cell(f >= 0.5 ? k0 + 1 : k0, n) == c.cell[0] ? 0 : 1;
  return c;
}

}  // namespace
}  // namespace lmf

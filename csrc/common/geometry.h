// Where an output pixel falls among the LR cells. One rule for every kernel (LIIF, section 3: local ensemble).
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define LMF_HOST_DEVICE __host__ __device__
#else
#define LMF_HOST_DEVICE
#endif

namespace lmf {
namespace {  // internal linkage: these must not be shared between objects compiled for different instruction sets

// The two ensemble corners of one axis, and the nearest cell among them.
struct AxisCorners {
  int64_t cell[2];   // clamped to [0, n)
  float rel[2];      // 2 * (u - cell): half a cell is 1
  float weight[2];   // 1 - f, f of the UNCLAMPED position
  int nearest;       // which corner holds the nearest cell
};

LMF_HOST_DEVICE inline int64_t clamp_cell(int64_t k, int64_t n) { return k < 0 ? 0 : (k >= n ? n - 1 : k); }

LMF_HOST_DEVICE inline int64_t floor_div(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q * b > a ? q - 1 : q;
}

// u = (2 * pos + 1) * n_in / (2 * n_out) - 1/2 as an exact fraction, so that no size loses precision.
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

// u = ((x + 1) * n - 1) / 2 for a float32 coordinate x, in double: in float32 a wide map would move the pixel.
LMF_HOST_DEVICE inline AxisCorners point_corners(float x, int64_t n) {
  const double u = ((double(x) + 1.0) * double(n) - 1.0) * 0.5;
  // Far outside (or NaN) the cell is one at the border, or any; rel and f keep the true value, so a NaN reaches the
  // output. The integer part comes from a bounded copy: converting a huge or NaN double is undefined.
  double safe = u;
  if (!(safe > -4e15)) safe = -4e15;
  if (!(safe < 4e15)) safe = 4e15;
  int64_t k0 = int64_t(safe);
  if (double(k0) > safe) --k0;
  double f = u - double(k0);
  if (f >= 1.0 || f < 0.0) f = 0.0;  // beyond 4e15 half cells a float32 coordinate has no fraction
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

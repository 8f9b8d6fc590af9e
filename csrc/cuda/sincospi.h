// cos(pi q) and sin(pi q) for the Fourier head, with an absolute error of about 1e-7 for |q| < 2^21. Both are NaN if q
// is not finite.
#pragma once

#include "warp.h"

namespace lmf {

LMF_DEVICE void sincospi(float q, float* cos_out, float* sin_out) {
  // Adding the magic number rounds 2 q to the nearest integer n. t = q - n / 2 is exact and lies in [-1/4, 1/4].
  const float magic = 12582912.0f;  // 1.5 * 2^23
  const float shifted = warp::fma(q, 2.0f, magic);
  const float n = shifted - magic;
  const float t = warp::fma(n, -0.5f, q);
  const float t2 = t * t;
  // Taylor series of sin(pi t) / t and cos(pi t). The first omitted term is below 2e-9 in this range.
  float s = 0.08214588661f;
  s = warp::fma(s, t2, -0.59926452932f);
  s = warp::fma(s, t2, 2.55016403987f);
  s = warp::fma(s, t2, -5.16771278005f);
  s = warp::fma(s, t2, 3.14159265359f) * t;
  float c = -0.02580689139f;
  c = warp::fma(c, t2, 0.23533063035f);
  c = warp::fma(c, t2, -1.33526276885f);
  c = warp::fma(c, t2, 4.05871212641f);
  c = warp::fma(c, t2, -4.93480220054f);
  c = warp::fma(c, t2, 1.0f);
  // In odd quadrants (n mod 4) sine and cosine swap. The signs follow the unit circle.
  const int k = warp::bits_of(shifted);
  const float sine = k & 1 ? c : s, cosine = k & 1 ? s : c;
  *sin_out = k & 2 ? -sine : sine;
  *cos_out = (k + 1) & 2 ? -cosine : cosine;
}

}  // namespace lmf

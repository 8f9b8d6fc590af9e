// cos(pi q) and sin(pi q) for the Fourier head, with an absolute error of about 1e-7 for |q| < 2^21.
#pragma once

#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

inline void vec_sincospi(Vec q, Vec* cos_out, Vec* sin_out) {
  // Adding the magic number rounds 2 q to the nearest integer n. t = q - n / 2 is exact and lies in [-1/4, 1/4].
  const Vec magic = vec_set(12582912.0f);  // 1.5 * 2^23
  const Vec shifted = q + q + magic;
  const Vec n = shifted - magic;
  const Vec t = vec_fma(n, vec_set(-0.5f), q);
  const Vec t2 = t * t;
  // Taylor series of sin(pi t) / t and cos(pi t). The first omitted term is below 2e-9 in this range.
  Vec s = vec_set(0.08214588661f);
  s = vec_fma(s, t2, vec_set(-0.59926452932f));
  s = vec_fma(s, t2, vec_set(2.55016403987f));
  s = vec_fma(s, t2, vec_set(-5.16771278005f));
  s = vec_fma(s, t2, vec_set(3.14159265359f)) * t;
  Vec c = vec_set(-0.02580689139f);
  c = vec_fma(c, t2, vec_set(0.23533063035f));
  c = vec_fma(c, t2, vec_set(-1.33526276885f));
  c = vec_fma(c, t2, vec_set(4.05871212641f));
  c = vec_fma(c, t2, vec_set(-4.93480220054f));
  c = vec_fma(c, t2, vec_set(1.0f));
  // In odd quadrants (n mod 4) sine and cosine swap. The signs follow the unit circle.
  const VecI k = (VecI)shifted;
  const VecI swap = -(k & 1);
  const VecI si = ((VecI)s & ~swap) | ((VecI)c & swap);
  const VecI ci = ((VecI)c & ~swap) | ((VecI)s & swap);
  *sin_out = (Vec)(si ^ ((k & 2) << 30));
  *cos_out = (Vec)(ci ^ (((k + 1) & 2) << 30));
}

inline void sincospi(const Lanes& q, Lanes* cos_out, Lanes* sin_out) {
  LMF_EACH_VECTOR vec_sincospi(q.v[i], &cos_out->v[i], &sin_out->v[i]);
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

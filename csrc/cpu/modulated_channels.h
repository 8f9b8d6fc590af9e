// The modulated render MLP of sixteen evaluations that read a cell each. A lane is a channel, so that a cell's
// parameters are vectors as they lie in memory: to transpose those of sixteen cells, as modulated_net.h needs them,
// takes longer than the network. Only for networks with sixteen channels throughout, as the papers have them. Every sum
// is computed in the order of modulated_net.h, so the bits are the same.
#pragma once

#include "halves.h"
#include "lane_moves.h"
#include "modulated_net.h"
#include "transpose.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Sixteen evaluations, each of them a pixel at one of its ensemble corners.
template <class T>
struct Evaluations {
  const T* const* params;            // of the cell of each
  const T* const* next;              // parameters that are fetched to the cache meanwhile
  const float *rel_y, *rel_x;        // position of each pixel relative to its cell
  const float (*from_cell)[kLanes];  // of each: see cell_parts
};

// Evaluations whose sums are in registers at a time.
#if defined(__AVX512F__)
constexpr int kSumsAtOnce = 16;
#elif defined(__AVX2__) || defined(__ARM_NEON)
constexpr int kSumsAtOnce = 4;
#else
constexpr int kSumsAtOnce = 2;
#endif

inline bool has_sixteen_channels(const Net& net) {
  return net.hidden == kLanes && (net.head == Head::linear || net.in_dim == kLanes);
}

// Eight floats, twice.
inline Lanes twice(const float* p) {
  alignas(64) float value[kLanes];
  for (int i = 0; i < kLanes; ++i) value[i] = p[i % (kLanes / 2)];
  return load(value);
}

// The part of the head that depends on rel_cell alone, of sixteen pixels. Linear head: W_cell rel_cell. Fourier head:
// phase rel_cell, once for the cosines and once for the sines.
inline void cell_parts(const Net& net, const float* rel_cell_y, const float* rel_cell_x, float (*parts)[kLanes]) {
  const bool linear = net.head == Head::linear;
  const Lanes wy = linear ? load_any(net.cell) : twice(net.phase);
  const Lanes wx = linear ? load_any(net.cell + kLanes) : twice(net.phase + kLanes / 2);
  for (int i = 0; i < kLanes; ++i) store(parts[i], add(mul(wy, set(rel_cell_y[i])), mul(wx, set(rel_cell_x[i]))));
}

// FiLM of one evaluation: relu(sum * (1 + scale) + shift).
template <class T>
inline Lanes film(const Net& net, const Evaluations<T>& at, int i, int layer, const Lanes& sum) {
  const int scale = layer * kLanes, shift = (net.depth + layer) * kLanes;
  __builtin_prefetch(at.next[i] + scale);
  __builtin_prefetch(at.next[i] + shift);
  const T* p = at.params[i];
  return relu(fma(sum, add(load_any(p + scale), set(1.0f)), load_any(p + shift)));
}

// One dense layer with FiLM, in place. x: (16 evaluations, 16 channels). w: (16, 16).
template <class T>
inline void film_layer(const Net& net, const Evaluations<T>& at, int layer, const float* w, float (*x)[kLanes]) {
#define LMF_EVALUATIONS _Pragma("GCC unroll 16") for (int i = 0; i < kSumsAtOnce; ++i)
  for (int first = 0; first < kLanes; first += kSumsAtOnce) {
    float (*rows)[kLanes] = x + first;
    Vec sum[kSumsAtOnce][kVectors];
    Lanes wk = load_any(w);
    LMF_EVALUATIONS {
      const Vec xk = vec_broadcast(rows[i]);
      _Pragma("GCC unroll 4") for (int j = 0; j < kVectors; ++j) sum[i][j] = xk * wk.v[j];
    }
    for (int k = 1; k < kLanes; ++k) {
      wk = load_any(w + k * kLanes);
      LMF_EVALUATIONS {
        const Vec xk = vec_broadcast(rows[i] + k);
        _Pragma("GCC unroll 4") for (int j = 0; j < kVectors; ++j) sum[i][j] = vec_fma(xk, wk.v[j], sum[i][j]);
      }
    }
    LMF_EVALUATIONS {
      Lanes sums;
      _Pragma("GCC unroll 4") for (int j = 0; j < kVectors; ++j) sums.v[j] = sum[i][j];
      store(rows[i], film(net, at, first + i, layer, sums));
    }
  }
#undef LMF_EVALUATIONS
}

template <class T>
inline void linear_head(const Net& net, const Evaluations<T>& at, float (*x)[kLanes]) {
  const Lanes wy = load_any(net.rel), wx = load_any(net.rel + kLanes);
  const int64_t base = net.layout.base();
  for (int i = 0; i < kLanes; ++i) {
    const Lanes b = add(load_any(at.params[i] + base), load(at.from_cell[i]));
    const Lanes a = fma(set(at.rel_x[i]), wx, fma(set(at.rel_y[i]), wy, b));
    __builtin_prefetch(at.next[i] + base);
    store(x[i], film(net, at, i, 0, a));
  }
}

// The cosines of the lower eight angles (times pi) and the sines of the upper eight. q: eight angles, twice.
inline Lanes cosines_and_sines(const Lanes& q) {
  Lanes r;
#if defined(__AVX512F__)
  Vec c, s;
  vec_sincospi(q.v[0], &c, &s);
  r.v[0] = _mm512_mask_blend_ps(0xff00, c, s);
#else
  for (int i = 0; i < kVectors / 2; ++i) vec_sincospi(q.v[i], &r.v[i], &r.v[i + kVectors / 2]);
#endif
  return r;
}

// coef * [cos(pi q), sin(pi q)], q = freq . rel + phase . rel_cell (LTE, arXiv 2111.08918).
template <class T>
inline void fourier_product(const Net& net, const Evaluations<T>& at, float (*x)[kLanes]) {
  const int64_t coef = net.layout.coef(), freq = net.layout.freq();
  for (int i = 0; i < kLanes; ++i) {
    const Lanes f = load_any(at.params[i] + freq);
    Lanes fy, fx;  // eight, twice
    deinterleave(f, f, &fy, &fx);
    const Lanes q = fma(fx, set(at.rel_x[i]), fma(fy, set(at.rel_y[i]), load(at.from_cell[i])));
    __builtin_prefetch(at.next[i] + coef);
    __builtin_prefetch(at.next[i] + freq);
    store(x[i], mul(load_any(at.params[i] + coef), cosines_and_sines(q)));
  }
}

// The whole MLP. rgb: [0][channel] of the sixteen evaluations, a lane for each.
template <class T>
inline void evaluate(const Net& net, const Evaluations<T>& at, Lanes (&rgb)[1][3]) {
  alignas(64) float x[kLanes][kLanes];
  const float* w = net.w1;
  if (net.head == Head::linear) {
    linear_head(net, at, x);
  } else {
    fourier_product(net, at, x);
    film_layer(net, at, 0, net.w0, x);
  }
  for (int l = 1; l < net.depth; ++l, w += kLanes * kLanes) film_layer(net, at, l, w, x);
  const float* rows[kLanes];
  for (int i = 0; i < kLanes; ++i) rows[i] = x[i];
  Lanes columns[kLanes];
  transpose(rows, kLanes, kLanes, reinterpret_cast<float*>(columns));
  output_layer<1>(net, columns, rgb);
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

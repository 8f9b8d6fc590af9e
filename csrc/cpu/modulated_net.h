// The modulated render MLP of sixteen pixels at one ensemble corner (LMF, arXiv 2404.16451, section 3.2).
#pragma once

#include "../common/modulated_layout.h"
#include "lanes.h"
#include "sincospi.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// The render MLP: its sizes, the matrices in its weights, and the layout of its cell parameters.
struct Net {
  Head head;
  int in_dim, hidden, depth;
  ModulatedLayout<int64_t> layout;
  const float *rel, *cell;     // linear head: (2, hidden) each
  const float *phase, *w0;     // Fourier head: (2, in_dim / 2) and (in_dim, hidden)
  const float* w1;             // W_1 .. W_{depth-1}, (hidden, hidden) each
  const float *w_out, *b_out;  // (hidden, 3) and (3)

  explicit Net(const ModulatedMlp& m) : head(m.head), in_dim(m.in_dim), hidden(m.hidden), depth(m.depth), layout(m) {
    const float* weights = static_cast<const float*>(m.weights);
    rel = weights + layout.rel();
    cell = weights + layout.cell();
    phase = weights + layout.phase();
    w0 = weights + layout.w0();
    w1 = weights + layout.w1();
    w_out = weights + layout.w_out();
    b_out = weights + layout.b_out();
  }
};

// Sixteen pixels at one ensemble corner.
struct Corner {
  const float* params;  // (channels, 16): parameters of sixteen cells, with 1 + scale in place of scale
  Select select;        // which of these cells each pixel reads
  Lanes rel_y, rel_x;   // position of the pixel relative to its cell
};

// sums[o] = sum over k of x[k] * w[k * ldw + o]. Both loops are unrolled if IN is known.
template <int IN, int OUT>
inline __attribute__((always_inline)) void dot_block(const Lanes* x, int in_run_time, const float* w, int ldw,
                                                     Lanes* sums) {
  const int in = IN > 0 ? IN : in_run_time;
#pragma GCC unroll 32
  for (int o = 0; o < OUT; ++o) sums[o] = mul(x[0], set(w[o]));
  if constexpr (IN > 0) {
#pragma GCC unroll 32
    for (int k = 1; k < IN; ++k) {
#pragma GCC unroll 32
      for (int o = 0; o < OUT; ++o) sums[o] = fma(x[k], set(w[k * ldw + o]), sums[o]);
    }
  } else {
    for (int k = 1; k < in; ++k) {
      w += ldw;
      const Lanes xk = x[k];
#pragma GCC unroll 32
      for (int o = 0; o < OUT; ++o) sums[o] = fma(xk, set(w[o]), sums[o]);
    }
  }
}

// FiLM of outputs o0 to o0 + OUT - 1 of one layer: y = relu(sum * (1 + scale) + shift).
template <int OUT>
inline __attribute__((always_inline)) void film(const Lanes* sums, const Net& net, int layer, int o0, const Corner& at,
                                                Lanes* y) {
  const float* scale = at.params + (net.layout.scale(layer) + o0) * kLanes;
  const float* shift = at.params + (net.layout.shift(layer) + o0) * kLanes;
#pragma GCC unroll 32
  for (int o = 0; o < OUT; ++o)
    y[o] = relu(fma(sums[o], select(scale + o * kLanes, at.select), select(shift + o * kLanes, at.select)));
}

// Outputs from o on of one dense layer with FiLM, x (in) -> y (HID, or net.hidden if HID is 0). BLOCK sums are in
// registers at a time. The remaining outputs are computed in blocks of half that size, and so on.
template <int IN, int HID, int BLOCK>
inline __attribute__((always_inline)) void film_layer(const Lanes* x, int in, const float* w, const Net& net, int layer,
                                                      const Corner& at, Lanes* y, int o = 0) {
  const int hidden = HID > 0 ? HID : net.hidden;
  Lanes sums[BLOCK];
#pragma GCC unroll 8
  for (; o + BLOCK <= hidden; o += BLOCK) {
    dot_block<IN, BLOCK>(x, in, w + o, hidden, sums);
    film<BLOCK>(sums, net, layer, o, at, y + o);
  }
  if constexpr (BLOCK > 1 && (HID == 0 || HID % BLOCK != 0)) {
    if (o < hidden) film_layer<IN, HID, BLOCK / 2>(x, in, w, net, layer, at, y, o);
  }
}

// Linear head: the first layer is affine in rel, because the cell's base holds the rest of it.
template <int HID>
inline __attribute__((always_inline)) void linear_head(const Net& net, const Corner& at, Lanes* y) {
  const int hidden = HID > 0 ? HID : net.hidden;
  const float* base = at.params + net.layout.base() * kLanes;
#pragma GCC unroll 32
  for (int o = 0; o < hidden; ++o) {
    Lanes a = select(base + o * kLanes, at.select);
    a = fma(at.rel_y, set(net.rel[o]), a);
    a = fma(at.rel_x, set(net.rel[hidden + o]), a);
    film<1>(&a, net, 0, o, at, y + o);
  }
}

// Fourier product: x0 = coef * [cos(pi q), sin(pi q)], q = freq . rel + phase (LTE, arXiv 2111.08918).
// phase: (in_dim / 2, 16), aligned, already multiplied by rel_cell.
inline void fourier_product(const Net& net, const Corner& at, const float* phase, Lanes* x0) {
  const int half = net.in_dim / 2;
  const float* coef = at.params + net.layout.coef() * kLanes;
  const float* freq = at.params + net.layout.freq() * kLanes;
  for (int j = 0; j < half; ++j) {
    Lanes q = load(phase + j * kLanes);
    q = fma(select(freq + 2 * j * kLanes, at.select), at.rel_y, q);
    q = fma(select(freq + (2 * j + 1) * kLanes, at.select), at.rel_x, q);
    Lanes c, s;
    sincospi(q, &c, &s);
    x0[j] = mul(select(coef + j * kLanes, at.select), c);
    x0[half + j] = mul(select(coef + (half + j) * kLanes, at.select), s);
  }
}

// The whole MLP at a corner. x_scratch, y_scratch: max(in_dim, hidden) lanes each. phase: see fourier_product.
template <int HID, int BLOCK>
inline void evaluate(const Net& net, const Corner& at, const float* phase, Lanes* x_scratch, Lanes* y_scratch,
                     Lanes* rgb) {
  constexpr int kLocal = HID > 0 ? HID : 1;
  Lanes x_local[kLocal], y_local[kLocal];
  Lanes* x = HID > 0 ? x_local : x_scratch;
  Lanes* y = HID > 0 ? y_local : y_scratch;
  const int hidden = HID > 0 ? HID : net.hidden;
  if (net.head == Head::linear) {
    linear_head<HID>(net, at, x);
  } else {
    fourier_product(net, at, phase, y_scratch);
    film_layer<0, HID, BLOCK>(y_scratch, net.in_dim, net.w0, net, 0, at, x);
  }
  const float* w = net.w1;
  for (int l = 1; l < net.depth; ++l, w += int64_t(hidden) * hidden) {
    film_layer<HID, HID, BLOCK>(x, hidden, w, net, l, at, y);
    if constexpr (HID > 0) {
#pragma GCC unroll 32
      for (int o = 0; o < HID; ++o) x[o] = y[o];
    } else {
      Lanes* t = x;
      x = y;
      y = t;
    }
  }
  dot_block<HID, 3>(x, hidden, net.w_out, 3, rgb);
  for (int c = 0; c < 3; ++c) rgb[c] = add(rgb[c], set(net.b_out[c]));
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

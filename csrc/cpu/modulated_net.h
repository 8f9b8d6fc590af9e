// The modulated render MLP of a few rows of sixteen pixels at one ensemble corner (LMF, arXiv 2404.16451, section 3.2).
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

  // weights: those of m in float32.
  Net(const ModulatedMlp& m, const float* weights)
      : head(m.head), in_dim(m.in_dim), hidden(m.hidden), depth(m.depth), layout(m) {
    rel = weights + layout.rel();
    cell = weights + layout.cell();
    phase = weights + layout.phase();
    w0 = weights + layout.w0();
    w1 = weights + layout.w1();
    w_out = weights + layout.w_out();
    b_out = weights + layout.b_out();
  }
};

// ROWS rows of sixteen pixels, one below the other, at one ensemble corner. All rows read the same cells, so a kernel
// loads each weight, and permutes each modulation, once for all of them. CORNERS = ROWS: one row of pixels at that many
// corners in the same LR row instead, which share the weights alone.
template <int ROWS, int CORNERS = 1>
struct Corner {
  const float* params;                // (channels, 16): parameters of sixteen cells, with 1 + scale in place of scale
  Select select[CORNERS];             // which of these cells each pixel reads
  Lanes rel_y[ROWS], rel_x[CORNERS];  // positions of the pixels relative to their cells

  static constexpr int corner(int r) { return CORNERS == 1 ? 0 : r; }  // of row r
};

// A block of pixel vectors times outputs whose sums are in registers at a time: the same kBlockVectors vectors of each
// of the ROWS rows, and kBlockOutputs outputs. An input and a weight are loaded once per block. The loop over inputs
// loads one weight for each output and one input for each vector, so that a multiply-add finds both operands in
// registers: with a broadcast from memory as its operand it would issue only once a cycle on Intel.
#if defined(__AVX512F__)
template <int ROWS>
constexpr int kBlockVectors = 1;
template <int ROWS>
constexpr int kBlockOutputs = ROWS == 1   ? 16
                              : ROWS == 2 ? 8
                                          : 4;
#elif defined(__AVX2__)
template <int ROWS>
constexpr int kBlockVectors = ROWS == 1 ? 2 : 1;
template <int ROWS>
constexpr int kBlockOutputs = 4;
#elif defined(__ARM_NEON)
template <int ROWS>
constexpr int kBlockVectors = ROWS == 1 ? 4 : 2;
template <int ROWS>
constexpr int kBlockOutputs = 4;
#else
template <int ROWS>
constexpr int kBlockVectors = ROWS == 1   ? 4
                              : ROWS == 2 ? 2
                                          : 1;
template <int ROWS>
constexpr int kBlockOutputs = ROWS == 3 ? 4 : 2;
#endif

// Sums of a block: [output][row][vector].
template <int ROWS, int OUT>
struct BlockSums {
  Vec v[OUT][ROWS][kBlockVectors<ROWS>];
};

#define LMF_ROWS _Pragma("GCC unroll 4") for (int r = 0; r < ROWS; ++r)
#define LMF_CORNERS _Pragma("GCC unroll 2") for (int c = 0; c < CORNERS; ++c)
#define LMF_OUTPUTS _Pragma("GCC unroll 16") for (int o = 0; o < OUT; ++o)
#define LMF_VECTORS _Pragma("GCC unroll 4") for (int j = 0; j < kBlockVectors<ROWS>; ++j)

// sums[o] = sum over k < in of x[k] * w[k * ldw + o], for vectors i and following of each row. x: (in, ROWS).
template <int ROWS, int OUT>
inline __attribute__((always_inline)) BlockSums<ROWS, OUT> dot_block(const Lanes* x, int in, const float* w, int ldw,
                                                                     int i) {
  BlockSums<ROWS, OUT> sums;
  LMF_OUTPUTS {
    const Vec wo = vec_set(w[o]);
    LMF_ROWS LMF_VECTORS sums.v[o][r][j] = x[r].v[i + j] * wo;
  }
  for (int k = 1; k < in; ++k) {
    w += ldw;
    x += ROWS;
    Vec xk[ROWS][kBlockVectors<ROWS>];
    LMF_ROWS LMF_VECTORS xk[r][j] = x[r].v[i + j];
    LMF_OUTPUTS {
      const Vec wo = vec_broadcast(w + o);
      LMF_ROWS LMF_VECTORS sums.v[o][r][j] = vec_fma(xk[r][j], wo, sums.v[o][r][j]);
    }
  }
  return sums;
}

// FiLM of the OUT outputs from o0 on of one layer: y = relu(sum * (1 + scale) + shift). y: (hidden, ROWS).
template <int ROWS, int CORNERS, int OUT>
inline __attribute__((always_inline)) void film(const BlockSums<ROWS, OUT>& sums, const Net& net, int layer, int o0,
                                                int i, const Corner<ROWS, CORNERS>& at, Lanes* y) {
  const float* scale = at.params + (net.layout.scale(layer) + o0) * kLanes;
  const float* shift = at.params + (net.layout.shift(layer) + o0) * kLanes;
  LMF_OUTPUTS LMF_VECTORS {
    Vec s[CORNERS], t[CORNERS];
    LMF_CORNERS {
      s[c] = select_vector(scale + o * kLanes, at.select[c], i + j);
      t[c] = select_vector(shift + o * kLanes, at.select[c], i + j);
    }
    LMF_ROWS y[(o0 + o) * ROWS + r].v[i + j] = vec_relu(vec_fma(sums.v[o][r][j], s[at.corner(r)], t[at.corner(r)]));
  }
}

// Outputs from o on of one dense layer with FiLM, x (in, ROWS) -> y (hidden, ROWS), OUT of them at a time. The
// remaining outputs are computed in blocks of half that size, and so on.
template <int ROWS, int CORNERS, int OUT = kBlockOutputs<ROWS>>
inline __attribute__((always_inline)) void film_layer(const Lanes* x, int in, const float* w, const Net& net, int layer,
                                                      const Corner<ROWS, CORNERS>& at, Lanes* y, int o = 0) {
  int next = o;
  for (int i = 0; i < kVectors; i += kBlockVectors<ROWS>) {
    for (next = o; next + OUT <= net.hidden; next += OUT)
      film(dot_block<ROWS, OUT>(x, in, w + next, net.hidden, i), net, layer, next, i, at, y);
  }
  if constexpr (OUT > 1) {
    if (next < net.hidden) film_layer<ROWS, CORNERS, OUT / 2>(x, in, w, net, layer, at, y, next);
  }
}

// Linear head: the first layer is affine in rel, because the cell's base holds the rest of it.
template <int ROWS, int CORNERS>
inline void linear_head(const Net& net, const Corner<ROWS, CORNERS>& at, Lanes* y) {
  const float* base = at.params + net.layout.base() * kLanes;
  const float* scale = at.params + net.layout.scale(0) * kLanes;
  const float* shift = at.params + net.layout.shift(0) * kLanes;
  for (int o = 0; o < net.hidden; ++o) {
    Lanes b[CORNERS], s[CORNERS], t[CORNERS];
    LMF_CORNERS {
      b[c] = select(base + o * kLanes, at.select[c]);
      s[c] = select(scale + o * kLanes, at.select[c]);
      t[c] = select(shift + o * kLanes, at.select[c]);
    }
    const Lanes wy = set(net.rel[o]), wx = set(net.rel[net.hidden + o]);
    LMF_ROWS {
      const int k = at.corner(r);
      y[o * ROWS + r] = relu(fma(fma(at.rel_x[k], wx, fma(at.rel_y[r], wy, b[k])), s[k], t[k]));
    }
  }
}

// Fourier product: x0 = coef * [cos(pi q), sin(pi q)], q = freq . rel + phase (LTE, arXiv 2111.08918).
// phase: (in_dim / 2, 16), aligned, already multiplied by rel_cell. x0: (in_dim, ROWS).
template <int ROWS, int CORNERS>
inline void fourier_product(const Net& net, const Corner<ROWS, CORNERS>& at, const float* phase, Lanes* x0) {
  const int half = net.in_dim / 2;
  const float* coef = at.params + net.layout.coef() * kLanes;
  const float* freq = at.params + net.layout.freq() * kLanes;
  for (int j = 0; j < half; ++j) {
    Lanes fy[CORNERS], fx[CORNERS], cos_coef[CORNERS], sin_coef[CORNERS];
    LMF_CORNERS {
      fy[c] = select(freq + 2 * j * kLanes, at.select[c]);
      fx[c] = select(freq + (2 * j + 1) * kLanes, at.select[c]);
      cos_coef[c] = select(coef + j * kLanes, at.select[c]);
      sin_coef[c] = select(coef + (half + j) * kLanes, at.select[c]);
    }
    LMF_ROWS {
      const int k = at.corner(r);
      Lanes cosine, sine;
      sincospi(fma(fx[k], at.rel_x[k], fma(fy[k], at.rel_y[r], load(phase + j * kLanes))), &cosine, &sine);
      x0[j * ROWS + r] = mul(cos_coef[k], cosine);
      x0[(half + j) * ROWS + r] = mul(sin_coef[k], sine);
    }
  }
}

// x: (hidden, ROWS). rgb: [row][channel].
template <int ROWS>
inline void output_layer(const Net& net, const Lanes* x, Lanes (&rgb)[ROWS][3]) {
  constexpr int OUT = 3;
  for (int i = 0; i < kVectors; i += kBlockVectors<ROWS>) {
    const auto sums = dot_block<ROWS, OUT>(x, net.hidden, net.w_out, OUT, i);
    LMF_OUTPUTS LMF_ROWS LMF_VECTORS rgb[r][o].v[i + j] = sums.v[o][r][j] + vec_set(net.b_out[o]);
  }
}

// The whole MLP at a corner. x, y: scratch of max(in_dim, hidden) * ROWS lanes each. phase: see fourier_product.
// rgb: [row][channel]. before_layer: called before each layer.
template <int ROWS, int CORNERS, class BeforeLayer>
inline void evaluate(const Net& net, const Corner<ROWS, CORNERS>& at, const float* phase, Lanes* x, Lanes* y,
                     Lanes (&rgb)[ROWS][3], BeforeLayer before_layer) {
  before_layer();
  if (net.head == Head::linear) {
    linear_head(net, at, x);
  } else {
    fourier_product(net, at, phase, y);
    film_layer<ROWS, CORNERS>(y, net.in_dim, net.w0, net, 0, at, x);
  }
  const float* w = net.w1;
  for (int l = 1; l < net.depth; ++l, w += int64_t(net.hidden) * net.hidden) {
    before_layer();
    film_layer<ROWS, CORNERS>(x, net.hidden, w, net, l, at, y);
    Lanes* t = x;
    x = y;
    y = t;
  }
  output_layer(net, x, rgb);
}

#undef LMF_ROWS
#undef LMF_CORNERS
#undef LMF_OUTPUTS
#undef LMF_VECTORS

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// Gradients of the modulated render MLP (LMF, arXiv 2404.16451, section 3.2), for tiles of sixteen evaluations. An
// evaluation is one pixel at one ensemble corner. The activations are computed again and stay in the L1 cache.
//
// A lane is a channel: a cell's modulations and their gradients are whole vectors in memory, and each layer multiplies
// the sixteen evaluations by the weights as one small matrix product in either direction. The evaluations of a cell are
// neighbours in a tile, so that their sums stay in registers. The sum of a tile is computed first and then added to the
// cell's gradient, which keeps the precision for cells that thousands of pixels read.
#pragma once

#include "contributing_pixels.h"
#include "padded_layout.h"
#include "sincospi.h"
#include "small_product.h"

namespace lmf {
namespace LMF_ISA {
namespace {

constexpr int kTile = 16;

// A cell that tiles refer to.
struct CellSlot {
  float *params, *grad;  // (PaddedLayout::channels): its padded parameters, and the sum of their gradients so far
  double skip[3];        // gradient of its LR pixel in the skip
  int64_t cell;
};

// WIDTH: padded width of the network (and of the halves of a Fourier head) if it is known at compile time, else 0.
template <int WIDTH>
class Tile {
 public:
  // weights: padded. transposed: the same with every W_l and the halves of W_0 transposed. memory: floats(layout)
  // zeros, 64-byte aligned.
  Tile(const PaddedLayout& layout, const float* weights, const float* transposed, float* memory)
      : layout_(layout), w_(weights), wt_(transposed) {
    const int64_t hidden = int64_t(kTile) * layout.wide, waves = int64_t(kTile) * layout.waves;
    sums_ = memory;
    a_ = sums_ + layout.weights;
    y_ = a_ + layout.depth * hidden;
    da_ = y_ + layout.depth * hidden;
    dy_ = da_ + hidden;
    cos_ = dy_ + hidden;
    sin_ = cos_ + waves;
    x_cos_ = sin_ + waves;
    x_sin_ = x_cos_ + waves;
    d_cos_ = x_sin_ + waves;
    d_sin_ = d_cos_ + waves;
    coordinates_ = d_sin_ + waves;
    grad_ = coordinates_ + kTile * 4;
  }
  static int64_t floats(const PaddedLayout& layout) {
    return layout.weights + int64_t(kTile) * ((2 * layout.depth + 2) * layout.wide + 6 * layout.waves + 8);
  }

  int count() const { return count_; }
  bool full() const { return count_ == kTile; }
  float* weight_sums() { return sums_; }  // gradient of the padded weights since the caller last set it to zero

  // grad: gradient with respect to the pixel, three channels.
  void push(int slot, const ContributingPixel& p, const float* grad) {
    const float coordinates[4] = {p.rel_y, p.rel_x, p.rel_cell_y, p.rel_cell_x};
    for (int k = 0; k < 4; ++k) coordinates_[4 * count_ + k] = coordinates[k];
    for (int c = 0; c < 3; ++c) grad_[4 * count_ + c] = p.weight * grad[c];
    slot_[count_++] = slot;
  }

  // Adds the gradients of all pushed evaluations to the sums of their slots and of the weights, and empties the tile.
  void run(CellSlot* const* slots) {
    linear() ? linear_head(slots) : fourier_head(slots);
    for (int l = 0; l < layout_.depth; ++l) {
      if (l > 0) {
        multiply(layer(y_, l - 1), wide(), w_ + layout_.layer(l), wide(), layer(a_, l), wide(), count_, layout_.hidden,
                 wide());
      }
      film(slots, l);
    }
    output_gradient();
    for (int l = layout_.depth - 1; l >= 0; --l) {
      film_gradient(slots, l);
      if (l == 0) break;
      add_outer(layer(y_, l - 1), wide(), da_, wide(), sums_ + layout_.layer(l), wide(), wide(), count_, wide());
      multiply(da_, wide(), wt_ + layout_.layer(l), wide(), dy_, wide(), count_, layout_.hidden, wide());
    }
    linear() ? linear_head_gradient(slots) : fourier_head_gradient(slots);
    count_ = 0;
  }

 private:
  int wide() const { return WIDTH ? WIDTH : layout_.wide; }
  int waves() const { return WIDTH ? WIDTH : layout_.waves; }
  bool linear() const { return layout_.linear; }
  float* layer(float* activations, int l) const { return activations + int64_t(l) * kTile * wide(); }

  // Calls f(slot, first, end) for every run of evaluations of one cell.
  template <class F>
  inline __attribute__((always_inline)) void for_each_run(CellSlot* const* slots, F f) const {
    for (int i = 0; i < count_;) {
      const int first = i, slot = slot_[i];
      while (i < count_ && slot_[i] == slot) ++i;
      f(slots[slot], first, i);
    }
  }

  // ---- forward

  // base + W_rel rel + W_cell rel_cell, summed in the order of the forward kernel.
  void linear_head(CellSlot* const* slots) {
    const float* w = w_ + layout_.coordinates;
    for_each_run(slots, [&](const CellSlot* s, int first, int end) {
      for (int o = 0; o < wide(); o += kLanes) {
        const Lanes base = load(s->params + layout_.base + o);
        for (int i = first; i < end; ++i) {
          const float* p = coordinates_ + 4 * i;
          Lanes a = add(base, add(mul(load(w + 2 * wide() + o), set(p[2])), mul(load(w + 3 * wide() + o), set(p[3]))));
          a = fma(set(p[0]), load(w + o), a);
          store(a_ + i * wide() + o, fma(set(p[1]), load(w + wide() + o), a));
        }
      }
    });
  }

  // coef * [cos(pi q), sin(pi q)] with q = freq . rel + phase . rel_cell, then W_0 (LTE, arXiv 2111.08918).
  void fourier_head(CellSlot* const* slots) {
    const float* phase = w_ + layout_.coordinates;
    for_each_run(slots, [&](const CellSlot* s, int first, int end) {
      const float *coef = s->params + layout_.coef, *freq = s->params + layout_.freq;
      for (int j = 0; j < waves(); j += kLanes) {
        for (int i = first; i < end; ++i) {
          const float* p = coordinates_ + 4 * i;
          const int64_t at = i * waves() + j;
          Lanes q = add(mul(load(phase + j), set(p[2])), mul(load(phase + waves() + j), set(p[3])));
          q = fma(load(freq + j), set(p[0]), q);
          q = fma(load(freq + waves() + j), set(p[1]), q);
          Lanes c, d;
          sincospi(q, &c, &d);
          store(cos_ + at, c);
          store(sin_ + at, d);
          store(x_cos_ + at, mul(load(coef + j), c));
          store(x_sin_ + at, mul(load(coef + waves() + j), d));
        }
      }
    });
    multiply(x_cos_, waves(), w_ + layout_.cosines, wide(), a_, wide(), count_, layout_.half, wide());
    multiply<true>(x_sin_, waves(), w_ + layout_.sines, wide(), a_, wide(), count_, layout_.half, wide());
  }

  // y = relu(a * (1 + scale) + shift)
  void film(CellSlot* const* slots, int l) {
    const float* a = layer(a_, l);
    float* y = layer(y_, l);
    for_each_run(slots, [&](const CellSlot* s, int first, int end) {
      for (int o = 0; o < wide(); o += kLanes) {
        const Lanes one_plus_scale = load(s->params + l * wide() + o);
        const Lanes shift = load(s->params + layout_.shift + l * wide() + o);
        for (int i = first; i < end; ++i)
          store(y + i * wide() + o, relu(fma(load(a + i * wide() + o), one_plus_scale, shift)));
      }
    });
  }

  // ---- backward

  // From the pixels to the last hidden layer, W_out and b_out.
  void output_gradient() {
    const float *y = layer(y_, layout_.depth - 1), *w = w_ + layout_.out;
    for (int o = 0; o < wide(); o += kLanes) {
      Lanes sum[3];
      for (int c = 0; c < 3; ++c) sum[c] = load(sums_ + layout_.out + c * wide() + o);
      for (int i = 0; i < count_; ++i) {
        const float* g = grad_ + 4 * i;
        const Lanes yi = load(y + i * wide() + o);
        for (int c = 0; c < 3; ++c) sum[c] = fma(yi, set(g[c]), sum[c]);
        Lanes d = mul(load(w + o), set(g[0]));
        d = fma(load(w + wide() + o), set(g[1]), d);
        store(dy_ + i * wide() + o, fma(load(w + 2 * wide() + o), set(g[2]), d));
      }
      for (int c = 0; c < 3; ++c) store(sums_ + layout_.out + c * wide() + o, sum[c]);
    }
    for (int i = 0; i < count_; ++i)
      for (int c = 0; c < 3; ++c) sums_[layout_.bias + c] += grad_[4 * i + c];
  }

  // From y to a, and to the layer's modulations.
  void film_gradient(CellSlot* const* slots, int l) {
    const float *a = layer(a_, l), *y = layer(y_, l);
    for_each_run(slots, [&](CellSlot* s, int first, int end) {
      for (int o = 0; o < wide(); o += kLanes) {
        float *scale_grad = s->grad + l * wide() + o, *shift_grad = scale_grad + layout_.shift;
        const Lanes one_plus_scale = load(s->params + l * wide() + o);
        Lanes d_scale = set(0.0f), d_shift = set(0.0f);
        for (int i = first; i < end; ++i) {
          const int64_t at = i * wide() + o;
          const Lanes d = relu_gradient(load(y + at), load(dy_ + at));
          d_shift = add(d_shift, d);
          d_scale = fma(d, load(a + at), d_scale);
          store(da_ + at, mul(d, one_plus_scale));
        }
        store(scale_grad, add(load(scale_grad), d_scale));
        store(shift_grad, add(load(shift_grad), d_shift));
      }
    });
  }

  void linear_head_gradient(CellSlot* const* slots) {
    for_each_run(slots, [&](CellSlot* s, int first, int end) {
      for (int o = 0; o < wide(); o += kLanes) {
        float* base_grad = s->grad + layout_.base + o;
        Lanes sum = set(0.0f);
        for (int i = first; i < end; ++i) sum = add(sum, load(da_ + i * wide() + o));
        store(base_grad, add(load(base_grad), sum));
      }
    });
    add_outer<2>(coordinates_, 4, da_, wide(), sums_ + layout_.coordinates, wide(), 4, count_, wide());
  }

  void fourier_head_gradient(CellSlot* const* slots) {
    add_outer(x_cos_, waves(), da_, wide(), sums_ + layout_.cosines, wide(), waves(), count_, wide());
    add_outer(x_sin_, waves(), da_, wide(), sums_ + layout_.sines, wide(), waves(), count_, wide());
    multiply(da_, wide(), wt_ + layout_.cosines, waves(), d_cos_, waves(), count_, layout_.hidden, waves());
    multiply(da_, wide(), wt_ + layout_.sines, waves(), d_sin_, waves(), count_, layout_.hidden, waves());
    constexpr float pi = 3.14159265359f;
    for_each_run(slots, [&](CellSlot* s, int first, int end) {
      for (int j = 0; j < waves(); j += kLanes) {
        const float* coef = s->params + layout_.coef + j;
        const Lanes minus_coef_cos = mul(load(coef), set(-pi)), coef_sin = mul(load(coef + waves()), set(pi));
        float* head_grad = s->grad + layout_.coef + j;
        Lanes sum[4];  // of coef's cosines and sines, freq's y and x
        for (int k = 0; k < 4; ++k) sum[k] = set(0.0f);
        for (int i = first; i < end; ++i) {
          const int64_t at = i * waves() + j;
          const Lanes c = load(cos_ + at), d = load(sin_ + at), dc = load(d_cos_ + at), dd = load(d_sin_ + at);
          sum[0] = fma(dc, c, sum[0]);
          sum[1] = fma(dd, d, sum[1]);
          // cos(pi q)' = -pi sin(pi q)
          const Lanes dq = fma(mul(dd, coef_sin), c, mul(mul(dc, minus_coef_cos), d));
          sum[2] = fma(dq, set(coordinates_[4 * i]), sum[2]);
          sum[3] = fma(dq, set(coordinates_[4 * i + 1]), sum[3]);
          store(d_cos_ + at, dq);  // replaces the value that it was computed from
        }
        for (int k = 0; k < 4; ++k) store(head_grad + k * waves(), add(load(head_grad + k * waves()), sum[k]));
      }
    });
    add_outer<2>(coordinates_ + 2, 4, d_cos_, waves(), sums_ + layout_.coordinates, waves(), 2, count_, waves());
  }

  const PaddedLayout& layout_;
  const float *w_, *wt_;
  float* sums_;                                            // (PaddedLayout::weights)
  float *a_, *y_;                                          // (depth, 16, wide): before and after FiLM and ReLU
  float *da_, *dy_;                                        // (16, wide): gradients of one layer's a and y
  float *cos_, *sin_, *x_cos_, *x_sin_, *d_cos_, *d_sin_;  // (16, waves): of a Fourier head
  float* coordinates_;                                     // (16, 4): rel_y, rel_x, rel_cell_y, rel_cell_x
  float* grad_;                                            // (16, 4): gradient with respect to the MLP's output
  int slot_[kTile];
  int count_ = 0;
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

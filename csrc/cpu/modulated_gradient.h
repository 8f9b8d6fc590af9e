// Gradients of the modulated render MLP (LMF, arXiv 2404.16451, section 3.2), sixteen evaluations at a time, each of
// a pixel at one ensemble corner. What a layer saw is computed again here and lives in the L1 cache until it is used.
//
// Lane = channel: a record's modulations are whole vectors as they lie in memory, and so are their gradients; the
// weights meet the sixteen evaluations as one small matrix product each way. Evaluations of one cell follow each other,
// so that their sums stay in registers; a tile's sum is made by itself and then added, which keeps the digits of a cell
// with thousands of readers.
#pragma once

#include "padded_net.h"
#include "readers.h"
#include "sincospi.h"
#include "small_product.h"

namespace lmf {
namespace LMF_ISA {
namespace {

constexpr int kTile = 16;

// A cell at work: its padded record and the gradient of it so far.
struct Slot {
  float *record, *grad;
  double skip[3];    // gradient of the skip's pixel
  int64_t cell;
};

// WIDE: padded width of the network (and of the halves of a Fourier head) where it is known, else 0.
template <int WIDE>
class Tile {
 public:
  // w: padded weights; wt: the same with every W_l and the halves of W_0 transposed; memory: 64-byte aligned zeros.
  Tile(const PaddedNet& net, const float* w, const float* wt, float* memory) : net_(net), w_(w), wt_(wt) {
    const int64_t plane = int64_t(kTile) * net.wide, waves = int64_t(kTile) * net.waves;
    sums_ = memory;
    a_ = sums_ + net.weights;
    y_ = a_ + net.depth * plane;
    da_ = y_ + net.depth * plane;
    dy_ = da_ + plane;
    cos_ = dy_ + plane;
    sin_ = cos_ + waves;
    x_cos_ = sin_ + waves;
    x_sin_ = x_cos_ + waves;
    d_cos_ = x_sin_ + waves;
    d_sin_ = d_cos_ + waves;
    place_ = d_sin_ + waves;
    grad_ = place_ + kTile * 4;
  }
  static int64_t floats(const PaddedNet& net) {
    return net.weights + int64_t(kTile) * ((2 * net.depth + 2) * net.wide + 6 * net.waves + 8);
  }

  int count() const { return count_; }
  bool full() const { return count_ == kTile; }
  float* weight_sums() { return sums_; }  // padded gradient of the weights since the owner last set it to zero

  // grad: of the pixel, three channels.
  void push(int slot, const Reader& r, const float* grad) {
    const float place[4] = {r.rel_y, r.rel_x, r.cell_y, r.cell_x};
    for (int k = 0; k < 4; ++k) place_[4 * count_ + k] = place[k];
    for (int c = 0; c < 3; ++c) grad_[4 * count_ + c] = r.share * grad[c];
    slot_[count_++] = slot;
  }

  // Adds the gradients of what was pushed to the slots' and the weights' sums, and empties the tile.
  void run(Slot* const* slots) {
    linear() ? linear_head(slots) : fourier_head(slots);
    for (int l = 0; l < net_.depth; ++l) {
      if (l > 0) {
        multiply(layer(y_, l - 1), wide(), w_ + net_.layer(l), wide(), layer(a_, l), wide(), count_, net_.hidden,
                 wide());
      }
      film(slots, l);
    }
    output_gradient();
    for (int l = net_.depth - 1; l >= 0; --l) {
      film_gradient(slots, l);
      if (l == 0) break;
      add_outer(layer(y_, l - 1), wide(), da_, wide(), sums_ + net_.layer(l), wide(), wide(), count_, wide());
      multiply(da_, wide(), wt_ + net_.layer(l), wide(), dy_, wide(), count_, net_.hidden, wide());
    }
    linear() ? linear_head_gradient(slots) : fourier_head_gradient(slots);
    count_ = 0;
  }

 private:
  int wide() const { return WIDE ? WIDE : net_.wide; }
  int waves() const { return WIDE ? WIDE : net_.waves; }
  bool linear() const { return net_.linear; }
  float* layer(float* planes, int l) const { return planes + int64_t(l) * kTile * wide(); }

  // f(slot, first, end) for every run of evaluations of one cell.
  template <class F>
  inline __attribute__((always_inline)) void each_run(Slot* const* slots, F f) const {
    for (int i = 0; i < count_;) {
      const int first = i, slot = slot_[i];
      while (i < count_ && slot_[i] == slot) ++i;
      f(slots[slot], first, i);
    }
  }

  // ---- forward

  // base + W_rel rel + W_cell rel_cell, summed as the forward kernel does.
  void linear_head(Slot* const* slots) {
    const float* w = w_ + net_.place;
    each_run(slots, [&](const Slot* s, int first, int end) {
      for (int o = 0; o < wide(); o += kLanes) {
        const Lanes base = load(s->record + net_.first + o);
        for (int i = first; i < end; ++i) {
          const float* p = place_ + 4 * i;
          Lanes a = add(base, add(mul(load(w + 2 * wide() + o), set(p[2])), mul(load(w + 3 * wide() + o), set(p[3]))));
          a = fma(set(p[0]), load(w + o), a);
          store(a_ + i * wide() + o, fma(set(p[1]), load(w + wide() + o), a));
        }
      }
    });
  }

  // coef * [cos(pi q), sin(pi q)], q = freq . rel + phase . rel_cell, then W_0 (LTE, arXiv 2111.08918).
  void fourier_head(Slot* const* slots) {
    const float* phase = w_ + net_.place;
    each_run(slots, [&](const Slot* s, int first, int end) {
      const float *coef = s->record + net_.first, *freq = coef + 2 * waves();
      for (int j = 0; j < waves(); j += kLanes) {
        for (int i = first; i < end; ++i) {
          const float* p = place_ + 4 * i;
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
    multiply(x_cos_, waves(), w_ + net_.cosines, wide(), a_, wide(), count_, net_.half, wide());
    multiply<true>(x_sin_, waves(), w_ + net_.sines, wide(), a_, wide(), count_, net_.half, wide());
  }

  // y = relu(a * (1 + s) + t)
  void film(Slot* const* slots, int l) {
    const float* a = layer(a_, l);
    float* y = layer(y_, l);
    each_run(slots, [&](const Slot* s, int first, int end) {
      for (int o = 0; o < wide(); o += kLanes) {
        const Lanes factor = load(s->record + l * wide() + o), shift = load(s->record + net_.shift + l * wide() + o);
        for (int i = first; i < end; ++i) store(y + i * wide() + o, relu(fma(load(a + i * wide() + o), factor, shift)));
      }
    });
  }

  // ---- backward

  // From the pixels to the last hidden layer.
  void output_gradient() {
    const float *y = layer(y_, net_.depth - 1), *w = w_ + net_.out;
    for (int o = 0; o < wide(); o += kLanes) {
      Lanes sum[3];
      for (int c = 0; c < 3; ++c) sum[c] = load(sums_ + net_.out + c * wide() + o);
      for (int i = 0; i < count_; ++i) {
        const float* g = grad_ + 4 * i;
        const Lanes yi = load(y + i * wide() + o);
        for (int c = 0; c < 3; ++c) sum[c] = fma(yi, set(g[c]), sum[c]);
        Lanes d = mul(load(w + o), set(g[0]));
        d = fma(load(w + wide() + o), set(g[1]), d);
        store(dy_ + i * wide() + o, fma(load(w + 2 * wide() + o), set(g[2]), d));
      }
      for (int c = 0; c < 3; ++c) store(sums_ + net_.out + c * wide() + o, sum[c]);
    }
    for (int i = 0; i < count_; ++i)
      for (int c = 0; c < 3; ++c) sums_[net_.bias + c] += grad_[4 * i + c];
  }

  // From y to a, and to the layer's modulations.
  void film_gradient(Slot* const* slots, int l) {
    const float *a = layer(a_, l), *y = layer(y_, l);
    each_run(slots, [&](Slot* s, int first, int end) {
      for (int o = 0; o < wide(); o += kLanes) {
        float *to_factor = s->grad + l * wide() + o, *to_shift = to_factor + net_.shift;
        const Lanes factor = load(s->record + l * wide() + o);
        Lanes d_factor = set(0.0f), d_shift = set(0.0f);
        for (int i = first; i < end; ++i) {
          const int64_t at = i * wide() + o;
          const Lanes d = relu_gradient(load(y + at), load(dy_ + at));
          d_shift = add(d_shift, d);
          d_factor = fma(d, load(a + at), d_factor);
          store(da_ + at, mul(d, factor));
        }
        store(to_factor, add(load(to_factor), d_factor));
        store(to_shift, add(load(to_shift), d_shift));
      }
    });
  }

  void linear_head_gradient(Slot* const* slots) {
    each_run(slots, [&](Slot* s, int first, int end) {
      for (int o = 0; o < wide(); o += kLanes) {
        float* to = s->grad + net_.first + o;
        Lanes sum = set(0.0f);
        for (int i = first; i < end; ++i) sum = add(sum, load(da_ + i * wide() + o));
        store(to, add(load(to), sum));
      }
    });
    add_outer<2>(place_, 4, da_, wide(), sums_ + net_.place, wide(), 4, count_, wide());
  }

  void fourier_head_gradient(Slot* const* slots) {
    add_outer(x_cos_, waves(), da_, wide(), sums_ + net_.cosines, wide(), waves(), count_, wide());
    add_outer(x_sin_, waves(), da_, wide(), sums_ + net_.sines, wide(), waves(), count_, wide());
    multiply(da_, wide(), wt_ + net_.cosines, waves(), d_cos_, waves(), count_, net_.hidden, waves());
    multiply(da_, wide(), wt_ + net_.sines, waves(), d_sin_, waves(), count_, net_.hidden, waves());
    constexpr float pi = 3.14159265359f;
    each_run(slots, [&](Slot* s, int first, int end) {
      for (int j = 0; j < waves(); j += kLanes) {
        const float* coef = s->record + net_.first + j;
        const Lanes minus_coef_cos = mul(load(coef), set(-pi)), coef_sin = mul(load(coef + waves()), set(pi));
        float* to = s->grad + net_.first + j;
        Lanes sum[4];  // of coef's cosines and sines, freq's y and x
        for (int k = 0; k < 4; ++k) sum[k] = set(0.0f);
        for (int i = first; i < end; ++i) {
          const int64_t at = i * waves() + j;
          const Lanes c = load(cos_ + at), d = load(sin_ + at), dc = load(d_cos_ + at), dd = load(d_sin_ + at);
          sum[0] = fma(dc, c, sum[0]);
          sum[1] = fma(dd, d, sum[1]);
          // cos(pi q)' = -pi sin(pi q)
          const Lanes dq = fma(mul(dd, coef_sin), c, mul(mul(dc, minus_coef_cos), d));
          sum[2] = fma(dq, set(place_[4 * i]), sum[2]);
          sum[3] = fma(dq, set(place_[4 * i + 1]), sum[3]);
          store(d_cos_ + at, dq);  // in the place of what it was made from
        }
        for (int k = 0; k < 4; ++k) store(to + k * waves(), add(load(to + k * waves()), sum[k]));
      }
    });
    add_outer<2>(place_ + 2, 4, d_cos_, waves(), sums_ + net_.place, waves(), 2, count_, waves());
  }

  const PaddedNet& net_;
  const float *w_, *wt_;
  float *sums_, *a_, *y_, *da_, *dy_;
  float *cos_, *sin_, *x_cos_, *x_sin_, *d_cos_, *d_sin_;  // (16, waves) of a Fourier head
  float *place_, *grad_;                                    // (16, 4): the query; the gradient at the output
  int slot_[kTile];
  int count_ = 0;
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// The plain render MLP of rows, a row being one pixel at one ensemble corner: LIIF's linear head (arXiv 2012.09161,
// section 3) or LTE's Fourier head (arXiv 2111.08918, section 3), then dense layers.
#pragma once

#include "../common/plain_layout.h"
#include "dense_trunk.h"
#include "lane_moves.h"
#include "scratch.h"
#include "waves.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// What the head needs of a row.
struct HeadRow {
  int64_t record;  // where the cell's parameters begin in the fields, in elements
  float rel_y, rel_x, cell_y, cell_x;
};

// The network with its weights packed. T: type of activations and matrices in the dense layers. What the output layer
// reads is float32 with either type.
template <class T>
class PlainNet {
 public:
  explicit PlainNet(const PlainMlp& m)
      : layout_(m), memory_(bytes(PlainLayout(m))), layers_(layout_.layers() * int64_t(sizeof(DenseLayer<T>))) {
    const int first = layout_.first_width();
    char* at = memory_.get();
    const auto take = [&at](int64_t count, int64_t size) {
      char* taken = at;
      at += (count * size + 63) / 64 * 64;
      return taken;
    };
    const int columns = layout_.linear() ? first : first / 2;
    head_ = reinterpret_cast<float*>(take(4 * padded(columns), 4));
    pack_rows(m.weights, m.element, layout_.linear() ? layout_.rel() : layout_.phase(), layout_.linear() ? 4 : 2,
              columns, head_);
    last_width_ = first;
    widest_ = padded(first);
    PlainLayer layer = layout_.first_layer();
    for (int i = 0; i < layout_.layers(); ++i, layer = layout_.next_layer(i, layer)) {
      if (i + 1 < layout_.layers()) {
        T* panels = reinterpret_cast<T*>(take(panel_elements<T>(layer.in, layer.out), sizeof(T)));
        float* bias = reinterpret_cast<float*>(take(padded(layer.out), 4));
        layers_.get()[i] =
            pack_dense<T>(m.weights, m.element, layer.matrix, layer.bias, layer.in, layer.out, panels, bias);
        hidden_ = i + 1;
        last_width_ = layer.out;
        if (padded(layer.out) > widest_) widest_ = padded(layer.out);
      } else {
        out_ = reinterpret_cast<float*>(take(3 * padded(layer.in), 4));
        for (int k = 0; k < 3; ++k) {
          for (int64_t c = 0; c < padded(layer.in); ++c)
            out_[k * padded(layer.in) + c] =
                c < layer.in ? load_element(m.weights, m.element, layer.matrix + c * 3 + k) : 0;
          out_bias_[k] = load_element(m.weights, m.element, layer.bias + k);
        }
      }
    }
  }

  int64_t widest() const { return widest_; }            // leading dimension of the activations between layers
  int64_t last() const { return padded(last_width_); }  // that of the last activation, which `pixel` reads

  // The last activation of rows, before the output layer: (count, last()). x, y: (padded_rows(count), widest()) each.
  template <class F>
  void run(const F* fields, const HeadRow* rows, int count, T* x, T* y, float* result) const {
    if (hidden_ == 0) return run_head(fields, rows, count, result, last());
    run_head(fields, rows, count, x, widest_);
    for (int i = 0; i + 1 < hidden_; ++i) {
      dense_layer<true>(layers_.get()[i], x, widest_, y, widest_, count);
      T* const swap = x;
      x = y;
      y = swap;
    }
    dense_layer<true>(layers_.get()[hidden_ - 1], x, widest_, result, last(), count);
  }

  // A pixel's three channels: the output layer of the weighted sum of `count` rows, as it is linear and the weights
  // sum to 1.
  void pixel(const float* rows, const float* weight, int count, float* rgb) const {
    const int64_t ld = last();
    Lanes sum[3] = {set(0.0f), set(0.0f), set(0.0f)};
    for (int64_t c = 0; c < ld; c += kLanes) {
      Lanes blend = mul(set(weight[0]), load(rows + c));
      for (int r = 1; r < count; ++r) blend = fma(set(weight[r]), load(rows + r * ld + c), blend);
      if (!out_) {  // the head is the whole network
        alignas(64) float value[kLanes];
        store(value, blend);
        for (int k = 0; k < 3; ++k) rgb[k] = value[k];
        return;
      }
      for (int k = 0; k < 3; ++k) sum[k] = fma(blend, load(out_ + k * ld + c), sum[k]);
    }
    for (int k = 0; k < 3; ++k) rgb[k] = total(sum[k]) + out_bias_[k];
  }

 private:
  static int64_t bytes(const PlainLayout& layout) {
    int64_t n = 16 * padded(layout.first_width()) + 64;
    PlainLayer layer = layout.first_layer();
    for (int i = 0; i < layout.layers(); ++i, layer = layout.next_layer(i, layer)) {
      const bool hidden = i + 1 < layout.layers();
      n += hidden ? panel_elements<T>(layer.in, layer.out) * int64_t(sizeof(T)) + 4 * padded(layer.out)
                  : 12 * padded(layer.in);
      n += 128;  // each piece begins at a cache line
    }
    return n;
  }

  template <class F, class Y>
  void run_head(const F* fields, const HeadRow* rows, int count, Y* y, int64_t ld) const {
    for (int r = 0; r < count; ++r, y += ld) {
      if (!layout_.linear())
        fourier(fields + rows[r].record, rows[r], y);
      else if (layout_.depth > 0)
        linear<true>(fields + rows[r].record, rows[r], y);
      else
        linear<false>(fields + rows[r].record, rows[r], y);
    }
  }

  template <bool RELU, class F, class Y>
  void linear(const F* record, const HeadRow& row, Y* y) const {
    const int first = layout_.first_width();
    const int64_t width = padded(first);
    const Lanes rel_y = set(row.rel_y), rel_x = set(row.rel_x), cell_y = set(row.cell_y), cell_x = set(row.cell_x);
    for (int64_t c = 0; c < width; c += kLanes) {
      const float* w = head_ + c;
      Lanes a = load_some(record + layout_.base() + c, first - c);
      a = fma(cell_y, load(w + 2 * width), a);
      a = fma(cell_x, load(w + 3 * width), a);
      a = fma(rel_y, load(w), a);
      a = fma(rel_x, load(w + width), a);
      store_as(y + c, RELU ? relu(a) : a);
    }
  }

  template <class F, class Y>
  void fourier(const F* record, const HeadRow& row, Y* y) const {
    const int64_t half = layout_.in_dim / 2, width = padded(half);
    const F *coef = record + layout_.coef(), *freq = record + layout_.freq();
    const Lanes rel_y = set(row.rel_y), rel_x = set(row.rel_x), cell_y = set(row.cell_y), cell_x = set(row.cell_x);
    for (int64_t j = 0; j < half; j += kLanes) {
      const int64_t left = half - j;
      Lanes even, odd;
      deinterleave(load_some(freq + 2 * j, 2 * left), load_some(freq + 2 * j + kLanes, 2 * left - kLanes), &even, &odd);
      Lanes q = mul(cell_y, load(head_ + j));
      q = fma(cell_x, load(head_ + width + j), q);
      q = fma(even, rel_y, q);
      q = fma(odd, rel_x, q);
      store_waves(coef, q, half, j, y);
    }
  }

  PlainLayout layout_;
  Scratch<char> memory_;
  Scratch<DenseLayer<T>> layers_;
  int hidden_ = 0;  // dense layers before the output layer
  int last_width_ = 0;
  int64_t widest_ = 0;
  float* head_ = nullptr;  // linear head: rel and cell (4, padded width); Fourier head: phase (2, padded width)
  float* out_ = nullptr;   // (3, last()); nullptr: a linear head is the whole network
  float out_bias_[3] = {};
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// The two MLPs of the coarse-to-fine family on rows of activations (DIIF and DLTE, arXiv 2306.12321): what the coarse
// MLP gives for a slice as seen from a vertex, and the fine MLP's layers.
#pragma once

#include "../common/c2f_layout.h"
#include "dense_trunk.h"
#include "lane_moves.h"
#include "scratch.h"
#include "waves.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// One axis of a slice's place as seen from a vertex.
struct SlicePlace {
  float cell, first, last;
};

// The network with its weights packed. T: type of activations and matrices in the hidden dense layers.
template <class T>
class C2fNet {
 public:
  explicit C2fNet(const C2fMlp& m)
      : layout_(m), memory_(bytes(C2fLayout(m))), layers_(layout_.layers() * int64_t(sizeof(DenseLayer<T>))) {
    char* at = memory_.get();
    const auto take = [&at](int64_t count, int64_t size) {
      char* taken = at;
      at += (count * size + 63) / 64 * 64;
      return taken;
    };
    const int columns = layout_.head_columns();
    head_ = reinterpret_cast<float*>(take(layout_.head_rows() * padded(columns), 4));
    pack_rows(m.weights, m.element, layout_.head_at(), layout_.head_rows(), columns, head_);
    widest_ = padded(layout_.first_width());
    const int n = layout_.coarse_layers();
    C2fLayer layer = layout_.first_layer();
    for (int i = 0; i < layout_.layers(); ++i, layer = layout_.next_layer(i, layer)) {
      if (i + 1 == layout_.layers()) {
        out_ = reinterpret_cast<float*>(take(3 * padded(layer.in), 4));
        for (int k = 0; k < 3; ++k) {
          for (int64_t c = 0; c < padded(layer.in); ++c)
            out_[k * padded(layer.in) + c] =
                c < layer.in ? load_element(m.weights, m.element, layer.matrix + c * 3 + k) : 0;
          out_bias_[k] = load_element(m.weights, m.element, layer.bias + k);
        }
        break;
      }
      // The part of fine layer 0 on the slice vector has no bias: it is added once, with the columns on rel.
      const int in = i == n ? layer.in - 2 : layer.in;
      T* panels = reinterpret_cast<T*>(take(panel_elements<T>(in, layer.out), sizeof(T)));
      float* bias = reinterpret_cast<float*>(take(padded(layer.out), 4));
      layers_.get()[i] = pack_dense<T>(m.weights, m.element, layer.matrix, layer.bias, in, layer.out, panels, bias);
      if (i == n) {
        rel_ = reinterpret_cast<float*>(take(3 * padded(layer.out), 4));
        pack_rows(m.weights, m.element, layer.matrix + int64_t(in) * layer.out, 3, layer.out, rel_);
        for (int64_t c = 0; c < padded(layer.out); ++c) bias[c] = 0.0f;
      }
      if (padded(layer.out) > widest_) widest_ = padded(layer.out);
    }
  }

  int64_t widest() const { return widest_; }  // leading dimension of the activations
  int64_t slice_width() const { return padded(layout_.slice_width()); }
  int64_t fine_width() const { return padded(layout_.fine[0]); }                 // of what `project` gives
  int64_t last() const { return padded(layout_.fine[layout_.fine_depth - 1]); }  // of what `pixel` reads
  int64_t head_width() const { return padded(layout_.head_columns()); }
  bool linear() const { return layout_.linear(); }
  // The columns of fine layer 0 on rel_y, on rel_x, and its bias: (fine_width()) each.
  const float* rel_y() const { return rel_; }
  const float* rel_x() const { return rel_ + fine_width(); }
  const float* bias() const { return rel_ + 2 * fine_width(); }

  // What one axis of a slice's place adds in the head, (head_width()): to the first layer, or to DLTE's phase.
  void along(int axis, const SlicePlace& place, float* sum) const {
    const int64_t ld = head_width();
    const Lanes cell = set(place.cell), first = set(place.first), last = set(place.last);
    for (int64_t c = 0; c < ld; c += kLanes) {
      const float* w = head_ + axis * ld + c;
      if (linear())
        store(sum + c, fma(cell, load(w), fma(last, load(w + 4 * ld), mul(first, load(w + 2 * ld)))));
      else
        store(sum + c, mul(last, load(w)));
    }
  }

  // The first activation of a slice: a row of widest(). The vertex's parameters begin at `record`.
  template <class F>
  void run_head(const F* record, const SlicePlace& y, const SlicePlace& x, const float* along_y, const float* along_x,
                T* row) const {
    if (linear()) {
      const int width = layout_.coarse[0];
      for (int64_t c = 0; c < padded(width); c += kLanes)
        store_as(row + c, relu(add(load_some(record + c, width - c), add(load(along_y + c), load(along_x + c)))));
      return;
    }
    const int64_t half = layout_.in_dim / 2;
    const F *coef = record, *freq = record + layout_.in_dim;
    const Lanes at_y = set(y.cell + y.first), at_x = set(x.cell + x.first);
    for (int64_t j = 0; j < half; j += kLanes) {
      const int64_t left = half - j;
      Lanes even, odd;
      deinterleave(load_some(freq + 2 * j, 2 * left), load_some(freq + 2 * j + kLanes, 2 * left - kLanes), &even, &odd);
      const Lanes p = fma(even, at_y, fma(odd, at_x, add(load(along_y + j), load(along_x + j))));
      store_waves(coef, p, half, j, row);
    }
  }

  // Slice vectors of `rows` first activations. x, y: (padded_rows(rows), widest()); the result lies in one of them.
  T* run_coarse(T* x, T* y, int rows) const {
    for (int i = 0; i < layout_.coarse_layers(); ++i) {
      dense_layer<true>(layers_.get()[i], x, widest_, y, widest_, rows);
      T* const swap = x;
      x = y;
      y = swap;
    }
    return x;
  }

  // Fine layer 0 on slice vectors, without what rel and the bias add: (rows, fine_width()).
  void project(const T* vectors, float* to, int rows) const {
    dense_layer<false>(layers_.get()[layout_.coarse_layers()], vectors, widest_, to, fine_width(), rows);
  }

  // Whether pixels have dense layers between the first activation and the output layer. Without, that activation is
  // what `pixel` reads.
  bool has_fine_layers() const { return layout_.fine_depth > 1; }

  // The last activation of `rows` pixels, (padded_rows(rows), last()). x, y as for run_coarse.
  void run_fine(T* x, T* y, float* result, int rows) const {
    int i = layout_.coarse_layers() + 1;
    const int end = layout_.layers() - 1;
    for (; i + 1 < end; ++i) {
      dense_layer<true>(layers_.get()[i], x, widest_, y, widest_, rows);
      T* const swap = x;
      x = y;
      y = swap;
    }
    dense_layer<true>(layers_.get()[i], x, widest_, result, last(), rows);
  }

  // A pixel's three channels from its last activation.
  void pixel(const float* row, float* rgb) const {
    Lanes sum[3] = {set(0.0f), set(0.0f), set(0.0f)};
    for (int64_t c = 0; c < last(); c += kLanes)
      for (int k = 0; k < 3; ++k) sum[k] = fma(load(row + c), load(out_ + k * last() + c), sum[k]);
    for (int k = 0; k < 3; ++k) rgb[k] = total(sum[k]) + out_bias_[k];
  }

 private:
  static int64_t bytes(const C2fLayout& layout) {
    int64_t n = layout.head_rows() * padded(layout.head_columns()) * 4 + 64;
    C2fLayer layer = layout.first_layer();
    for (int i = 0; i < layout.layers(); ++i, layer = layout.next_layer(i, layer))
      n += panel_elements<T>(layer.in, layer.out) * int64_t(sizeof(T)) + 16 * padded(layer.out) +
           12 * padded(layer.in) + 256;  // each piece begins at a cache line
    return n;
  }

  C2fLayout layout_;
  Scratch<char> memory_;
  Scratch<DenseLayer<T>> layers_;
  int64_t widest_ = 0;
  float* head_ = nullptr;  // (head_rows(), head_width())
  float* rel_ = nullptr;   // (3, fine_width()): on rel_y, on rel_x, bias
  float* out_ = nullptr;   // (3, last())
  float out_bias_[3] = {};
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// The modulated render MLP with every width rounded up to sixteen channels: where its weights, and the records of its
// cells, lie in memory while lane = channel. What is padded is zero and stays zero.
#pragma once

#include "../common/params.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

inline int64_t round_up(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Calls f(flat index, padded index) for every element of a (rows, cols) matrix; returns the flat index behind it. f
// copies from one to the other and they do not overlap.
template <class F>
inline int64_t each_of(int64_t flat, int64_t padded, int64_t rows, int64_t cols, int64_t row_step, int64_t col_step,
                       F f) {
  if (col_step == 1 && row_step == cols) {  // one long row
    cols *= rows;
    rows = 1;
  }
  for (int64_t r = 0; r < rows; ++r, flat += cols) {
    if (col_step == 1) {
#pragma GCC ivdep
      for (int64_t c = 0; c < cols; ++c) f(flat + c, padded + r * row_step + c);
    } else {
#pragma GCC ivdep
      for (int64_t c = 0; c < cols; ++c) f(flat + c, padded + r * row_step + c * col_step);
    }
  }
  return flat;
}

struct PaddedNet {
  bool linear;
  int hidden, half, depth;  // as they are; half of the Fourier head's width
  int wide, waves;          // hidden and half, rounded up
  // Offsets in the padded weights. Linear head: `place` (4, wide) meets (rel_y, rel_x, cell_y, cell_x). Fourier head:
  // `place` is the phase (2, waves); `cosines` and `sines` are the halves of W_0, (waves, wide) each.
  int64_t place, cosines, sines, layers, out, bias, weights;
  // Offsets in a padded record: 1 + s and t (depth, wide), then base (wide); or, (waves) each, coef's cosines and
  // sines, freq's y and x.
  int64_t shift, first, record;

  explicit PaddedNet(const ModulatedMlp& m)
      : linear(m.head == Head::linear), hidden(m.hidden), half(linear ? 0 : m.in_dim / 2), depth(m.depth) {
    wide = int(round_up(hidden));
    waves = int(round_up(half));
    place = 0;
    cosines = linear ? 4 * wide : 2 * waves;
    sines = cosines + int64_t(waves) * wide;
    layers = sines + int64_t(waves) * wide;
    out = layers + int64_t(depth - 1) * wide * wide;
    bias = out + 3 * wide;
    weights = bias + kLanes;
    shift = int64_t(depth) * wide;
    first = 2 * shift;
    record = first + (linear ? wide : 4 * waves);
  }

  int64_t layer(int l) const { return layers + int64_t(l - 1) * wide * wide; }  // W_l (wide, wide), l >= 1

  // f(index in the flat weights, index in the padded ones) for every weight. W_out (hidden, 3) is padded as (3, wide).
  template <class F>
  void each_weight(F f) const {
    int64_t at = 0;
    if (linear) {
      at = each_of(at, place, 4, hidden, wide, 1, f);
    } else {
      at = each_of(at, place, 2, half, waves, 1, f);
      at = each_of(at, cosines, half, hidden, wide, 1, f);
      at = each_of(at, sines, half, hidden, wide, 1, f);
    }
    for (int l = 1; l < depth; ++l) at = each_of(at, layer(l), hidden, hidden, wide, 1, f);
    at = each_of(at, out, hidden, 3, 1, wide, f);
    each_of(at, bias, 1, 3, 3, 1, f);
  }

  // f(index in a cell's record, index in the padded one) for every channel.
  template <class F>
  void each_channel(F f) const {
    int64_t at = each_of(0, 0, 2 * depth, hidden, wide, 1, f);
    if (linear) {
      each_of(at, first, 1, hidden, wide, 1, f);
    } else {
      at = each_of(at, first, 2, half, waves, 1, f);
      each_of(at, first + 2 * waves, half, 2, 1, waves, f);
    }
  }
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

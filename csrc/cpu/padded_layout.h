// The modulated family's layout with every width rounded up to a multiple of sixteen channels, for kernels whose lanes
// are channels. The padding is zero and stays zero.
#pragma once

#include "../common/modulated_layout.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

inline int64_t round_up(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Calls f(flat, padded) with both indices of every element of a (rows, cols) matrix. The matrix begins at index `flat`
// of a contiguous vector, and at index `padded` of one with the given steps. f copies from one vector to the other, and
// they do not overlap.
template <class F>
inline void for_each_element(int64_t flat, int64_t padded, int64_t rows, int64_t cols, int64_t row_step,
                             int64_t col_step, F f) {
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
}

struct PaddedLayout {
  ModulatedLayout<int64_t> flat;
  bool linear;
  int hidden, half, depth;  // half of the Fourier product's width, 0 with a linear head
  int wide, waves;          // hidden and half, rounded up

  // Offsets in the padded weights. Linear head: `coordinates` (4, wide) multiplies (rel_y, rel_x, rel_cell_y,
  // rel_cell_x). Fourier head: `coordinates` is the phase (2, waves), and `cosines` and `sines` are the halves of W_0,
  // (waves, wide) each. W_out is stored as (3, wide).
  int64_t coordinates, cosines, sines, layers, out, bias, weights;
  // Offsets in the padded parameters of a cell, which begin with 1 + scale (depth, wide): shift (depth, wide); base
  // (wide), or coef's cosines and sines and freq's y and x, (waves) each. channels: their length.
  int64_t shift, base, coef, freq, channels;

  explicit PaddedLayout(const ModulatedMlp& m)
      : flat(m), linear(flat.linear()), hidden(m.hidden), half(linear ? 0 : m.in_dim / 2), depth(m.depth) {
    wide = int(round_up(hidden));
    waves = int(round_up(half));
    coordinates = 0;
    cosines = linear ? 4 * wide : 2 * waves;
    sines = cosines + int64_t(waves) * wide;
    layers = sines + int64_t(waves) * wide;
    out = layers + int64_t(depth - 1) * wide * wide;
    bias = out + 3 * wide;
    weights = bias + kLanes;
    shift = int64_t(depth) * wide;
    base = coef = 2 * shift;
    freq = coef + 2 * waves;
    channels = linear ? base + wide : freq + 2 * waves;
  }

  int64_t layer(int l) const { return layers + int64_t(l - 1) * wide * wide; }  // W_l (wide, wide), l >= 1

  // Calls f(index in the flat weights, index in the padded weights) for every weight.
  template <class F>
  void for_each_weight(F f) const {
    if (linear) {
      for_each_element(flat.rel(), coordinates, 4, hidden, wide, 1, f);
    } else {
      for_each_element(flat.phase(), coordinates, 2, half, waves, 1, f);
      for_each_element(flat.w0(), cosines, half, hidden, wide, 1, f);
      for_each_element(flat.w0() + int64_t(half) * hidden, sines, half, hidden, wide, 1, f);
    }
    for (int l = 1; l < depth; ++l) for_each_element(flat.layer(l), layer(l), hidden, hidden, wide, 1, f);
    for_each_element(flat.w_out(), out, hidden, 3, 1, wide, f);
    for_each_element(flat.b_out(), bias, 1, 3, 3, 1, f);
  }

  // Calls f(index in a cell's parameters, index in the padded parameters) for every channel.
  template <class F>
  void for_each_channel(F f) const {
    for_each_element(flat.scale(0), 0, depth, hidden, wide, 1, f);
    for_each_element(flat.shift(0), shift, depth, hidden, wide, 1, f);
    if (linear) {
      for_each_element(flat.base(), base, 1, hidden, wide, 1, f);
    } else {
      for_each_element(flat.coef(), coef, 2, half, waves, 1, f);
      for_each_element(flat.freq(), freq, half, 2, 1, waves, f);
    }
  }
};

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// Layout of the modulated family's tensors, stated once for all C++ and CUDA code: where each piece lies in the flat
// weights and in the parameters of one LR cell. Offsets are in elements. Matrices are stored input-major, (in, out).
//
// Weights:          head | W_1 .. W_{depth-1} (hidden, hidden) each | W_out (hidden, 3) | b_out (3)
//   linear head:    rel (2, hidden) | cell (2, hidden)
//   Fourier head:   phase (2, in_dim / 2) | W_0 (in_dim, hidden)
// Cell parameters:  scale (depth, hidden) | shift (depth, hidden) | head
//   linear head:    base (hidden)
//   Fourier head:   coef (in_dim) | freq (in_dim)
//
// Layer l computes relu((W_l x) * (1 + scale_l) + shift_l). Its bias is part of the shift.
#pragma once

#include <cstdint>

#include "host_device.h"
#include "params.h"

namespace lmf {
namespace {  // internal linkage: objects compiled for different instruction sets must not share these functions

// Int: int64_t where networks can be wide, int where registers have 32 bits.
template <class Int>
struct ModulatedLayout {
  Head head;
  Int in_dim, hidden, depth;

  LMF_HOST_DEVICE constexpr ModulatedLayout(Head head, Int in_dim, Int hidden, Int depth)
      : head(head), in_dim(in_dim), hidden(hidden), depth(depth) {}
  explicit constexpr ModulatedLayout(const ModulatedMlp& m)
      : ModulatedLayout(m.head, Int(m.in_dim), Int(m.hidden), Int(m.depth)) {}

  LMF_HOST_DEVICE constexpr bool linear() const { return head == Head::linear; }

  // ---- flat weights. rel and cell belong to a linear head; phase and w0 to a Fourier head.
  LMF_HOST_DEVICE constexpr Int rel() const { return 0; }
  LMF_HOST_DEVICE constexpr Int cell() const { return 2 * hidden; }
  LMF_HOST_DEVICE constexpr Int phase() const { return 0; }
  LMF_HOST_DEVICE constexpr Int w0() const { return in_dim; }
  LMF_HOST_DEVICE constexpr Int w1() const { return linear() ? 4 * hidden : in_dim + in_dim * hidden; }
  LMF_HOST_DEVICE constexpr Int layer(Int l) const { return w1() + (l - 1) * hidden * hidden; }  // W_l, l >= 1
  LMF_HOST_DEVICE constexpr Int w_out() const { return layer(depth); }
  LMF_HOST_DEVICE constexpr Int b_out() const { return w_out() + hidden * 3; }
  LMF_HOST_DEVICE constexpr Int weights() const { return b_out() + 3; }  // length of the vector

  // ---- parameters of one cell. base belongs to a linear head; coef and freq to a Fourier head.
  LMF_HOST_DEVICE constexpr Int scale(Int l) const { return l * hidden; }
  LMF_HOST_DEVICE constexpr Int shift(Int l) const { return (depth + l) * hidden; }
  LMF_HOST_DEVICE constexpr Int base() const { return 2 * depth * hidden; }
  LMF_HOST_DEVICE constexpr Int coef() const { return 2 * depth * hidden; }
  LMF_HOST_DEVICE constexpr Int freq() const { return coef() + in_dim; }
  LMF_HOST_DEVICE constexpr Int channels() const { return linear() ? base() + hidden : freq() + in_dim; }
};

}  // namespace
}  // namespace lmf

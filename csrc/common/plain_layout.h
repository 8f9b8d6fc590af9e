// Layout of the plain family's tensors, stated once for all C++ and CUDA code: where each piece lies in the flat weights
// and in the parameters of one LR cell. Offsets are in elements. Matrices are stored input-major, (in, out).
//
// Weights:          head | W_l (in, out), b_l (out) of each dense layer after the head, the output layer (3) last
//   linear head:    rel (2, width) | cell (2, width); it is the first layer, so W_1 .. follow
//   Fourier head:   phase (2, in_dim / 2); W_0 .. follow
// Cell parameters:
//   linear head:    base (width), the first layer's bias in it
//   Fourier head:   coef (in_dim) | freq (in_dim)
//
// width: of the first hidden layer, or 3 where a linear head without hidden layers is the whole network.
#pragma once

#include <cstdint>

#include "host_device.h"
#include "params.h"

namespace lmf {
namespace {  // internal linkage: objects compiled for different instruction sets must not share these functions

// A dense layer: its sizes and where its matrix and bias lie in the weights.
struct PlainLayer {
  int in, out;
  int64_t matrix, bias;
};

struct PlainLayout {
  Head head;
  int in_dim, depth;
  const int32_t* widths;

  LMF_HOST_DEVICE explicit PlainLayout(const PlainMlp& m)
      : head(m.head), in_dim(m.in_dim), depth(m.depth), widths(m.widths) {}

  LMF_HOST_DEVICE bool linear() const { return head == Head::linear; }
  // Width of the activation that the head gives.
  LMF_HOST_DEVICE int first_width() const { return linear() ? (depth > 0 ? widths[0] : 3) : in_dim; }

  // ---- flat weights. rel and cell belong to a linear head; phase to a Fourier head.
  LMF_HOST_DEVICE int64_t rel() const { return 0; }
  LMF_HOST_DEVICE int64_t cell() const { return 2 * int64_t(first_width()); }
  LMF_HOST_DEVICE int64_t phase() const { return 0; }
  // The dense layers after the head, the output layer last; a linear head without hidden layers has none.
  LMF_HOST_DEVICE int layers() const { return linear() ? depth : depth + 1; }
  LMF_HOST_DEVICE PlainLayer first_layer() const {
    return layer_at(0, first_width(), linear() ? 4 * int64_t(first_width()) : in_dim);
  }
  LMF_HOST_DEVICE PlainLayer next_layer(int index, const PlainLayer& before) const {
    return layer_at(index, before.out, before.bias + before.out);
  }

  // ---- parameters of one cell. base belongs to a linear head; coef and freq to a Fourier head.
  LMF_HOST_DEVICE int64_t base() const { return 0; }
  LMF_HOST_DEVICE int64_t coef() const { return 0; }
  LMF_HOST_DEVICE int64_t freq() const { return in_dim; }

 private:
  LMF_HOST_DEVICE PlainLayer layer_at(int index, int in, int64_t matrix) const {
    const int hidden = linear() ? index + 1 : index;
    const int out = hidden < depth ? widths[hidden] : 3;
    return {in, out, matrix, matrix + int64_t(in) * out};
  }
};

}  // namespace
}  // namespace lmf

// Layout of the coarse-to-fine family's tensors, stated once for all C++ and CUDA code: where each piece lies in the
// flat weights and in the parameters of one vertex. Offsets are in elements. Matrices are stored input-major, (in,
// out).
//
// Weights:          head | W_l (in, out), b_l (out) of the coarse layers after the head | those of the fine layers,
//                   the output layer (3) last
//   linear head:    info (6, coarse[0]): cell, first, last, each (y, x); it is the first layer, so W_1 .. follow
//   Fourier head:   phase (2, in_dim / 2); W_0 .. follow
//   fine layer 0:   (coarse[-1] + 2, fine[0]), the last two rows for rel_y and rel_x
// Vertex parameters:
//   linear head:    base (coarse[0]), the first layer's bias in it
//   Fourier head:   coef (in_dim) | freq (in_dim)
#pragma once

#include <cstdint>

#include "host_device.h"
#include "params.h"

namespace lmf {
namespace {  // internal linkage: objects compiled for different instruction sets must not share these functions

// A dense layer: its sizes and where its matrix and bias lie in the weights.
struct C2fLayer {
  int in, out;
  int64_t matrix, bias;
};

struct C2fLayout {
  Head head;
  int in_dim, coarse_depth, fine_depth;
  const int32_t *coarse, *fine;

  LMF_HOST_DEVICE explicit C2fLayout(const C2fMlp& m)
      : head(m.head),
        in_dim(m.in_dim),
        coarse_depth(m.coarse_depth),
        fine_depth(m.fine_depth),
        coarse(m.coarse),
        fine(m.fine) {}

  LMF_HOST_DEVICE bool linear() const { return head == Head::linear; }
  // Width of the activation that the head gives, and that of a slice vector.
  LMF_HOST_DEVICE int first_width() const { return linear() ? coarse[0] : in_dim; }
  LMF_HOST_DEVICE int slice_width() const { return coarse[coarse_depth - 1]; }

  // ---- flat weights
  LMF_HOST_DEVICE int64_t head_at() const { return 0; }
  LMF_HOST_DEVICE int head_rows() const { return linear() ? 6 : 2; }
  LMF_HOST_DEVICE int head_columns() const { return linear() ? coarse[0] : in_dim / 2; }
  // The dense layers after the head: first the coarse ones, then the fine ones, the output layer last.
  LMF_HOST_DEVICE int coarse_layers() const { return linear() ? coarse_depth - 1 : coarse_depth; }
  LMF_HOST_DEVICE int layers() const { return coarse_layers() + fine_depth + 1; }
  LMF_HOST_DEVICE C2fLayer first_layer() const { return layer_at(0, int64_t(head_rows()) * head_columns()); }
  LMF_HOST_DEVICE C2fLayer next_layer(int index, const C2fLayer& before) const {
    return layer_at(index, before.bias + before.out);
  }

 private:
  LMF_HOST_DEVICE C2fLayer layer_at(int index, int64_t matrix) const {
    const int n = coarse_layers();
    int in, out;
    if (index < n) {
      const int hidden = linear() ? index + 1 : index;
      in = hidden > 0 ? coarse[hidden - 1] : in_dim;
      out = coarse[hidden];
    } else {
      const int level = index - n;
      in = level > 0 ? fine[level - 1] : slice_width() + 2;
      out = level < fine_depth ? fine[level] : 3;
    }
    return {in, out, matrix, matrix + int64_t(in) * out};
  }
};

}  // namespace
}  // namespace lmf

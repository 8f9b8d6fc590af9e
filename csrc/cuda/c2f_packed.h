// Which weights of the coarse-to-fine family go where in the packed weights of dense_packed.h. The passes are
//
//   coarse layers after the head | fine layer 0 on slice vectors | the other fine layers
//
// with a layer that passes on what it gets where there are no coarse layers after a linear head, or no other fine
// layers: each of the three has a pass.
#pragma once

#include "../common/c2f_layout.h"
#include "dense_packed.h"

namespace lmf::c2f {

using dense::PackCall;
using dense::PackedLayout;

// Passes of the coarse layers, and of the fine layers after the first.
inline int coarse_passes(const C2fMlp& mlp) {
  const int layers = C2fLayout(mlp).coarse_layers();
  return layers > 0 ? layers : 1;
}
inline int fine_passes(const C2fMlp& mlp) { return mlp.fine_depth > 1 ? mlp.fine_depth - 1 : 1; }

inline PackedLayout packed_layout(const C2fMlp& mlp) {
  return {mlp.head, coarse_passes(mlp) + 1 + fine_passes(mlp), true};
}

// length_y, length_x: rel of a slice's last pixel less that of its first.
inline PackCall make_pack_call(const C2fMlp& mlp, dense::Order order, float length_y, float length_x) {
  const C2fLayout layout(mlp);
  PackCall call{};
  call.weights = mlp.weights;
  call.element = mlp.element;
  call.to = packed_layout(mlp);
  call.order = order;
  call.head_width = layout.first_width();
  // The columns are cell, first, last, each (y, x), and last = first + length: in the table are what first_y and
  // first_x are multiplied by, and the rest.
  call.columns = 6;
  for (int i = 0; i < 2; ++i) call.mix[i][2 + i] = call.mix[i][4 + i] = 1.0f;
  const float rest[6] = {mlp.cell_y, mlp.cell_x, 0.0f, 0.0f, length_y, length_x};
  for (int i = 0; i < 6; ++i) call.mix[2][i] = rest[i];
  int pass = 0;
  C2fLayer layer = layout.first_layer();
  for (int i = 0; i < layout.layers(); ++i, layer = layout.next_layer(i, layer)) {
    dense::Layer described{layer.in, layer.out, layer.matrix, layer.bias};
    if (i + 1 == layout.layers()) {
      if (mlp.fine_depth == 1) call.pass[pass++] = {layer.in, layer.in, -1, -1};
      call.out = described;
      break;
    }
    if (i == layout.coarse_layers()) {
      if (i == 0) call.pass[pass++] = {layout.slice_width(), layout.slice_width(), -1, -1};
      described.in = layout.slice_width();  // the last two rows are for rel
      call.rel = layer.matrix + int64_t(described.in) * layer.out;
      call.rel_width = layer.out;
    }
    call.pass[pass++] = described;
  }
  return call;
}

}  // namespace lmf::c2f

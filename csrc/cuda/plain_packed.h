// Which weights of the plain family go where in the packed weights of dense_packed.h.
#pragma once

#include "../common/plain_layout.h"
#include "dense_packed.h"

namespace lmf::plain {

using dense::kMaxPasses;  // their biases fit in the shared memory of a block
using dense::PackCall;
using dense::PackedLayout;

LMF_HOST_DEVICE inline PackedLayout packed_layout(const PlainMlp& mlp) {
  return {mlp.head, mlp.head == Head::linear ? mlp.depth - 1 : mlp.depth};
}

inline PackCall make_pack_call(const PlainMlp& mlp, dense::Order order) {
  const PlainLayout layout(mlp);
  PackCall call{};
  call.weights = mlp.weights;
  call.element = mlp.element;
  call.to = packed_layout(mlp);
  call.order = order;
  call.head_width = layout.first_width();
  call.columns = 4;  // rel (y, x), cell (y, x)
  for (int i = 0; i < 4; ++i) call.mix[i][i] = 1.0f;
  const auto described = [](const PlainLayer& l) { return dense::Layer{l.in, l.out, l.matrix, l.bias}; };
  PlainLayer layer = layout.first_layer();
  for (int pass = 0; pass < call.to.passes; ++pass) {
    call.pass[pass] = described(layer);
    layer = layout.next_layer(pass + 1, layer);
  }
  call.out = described(layer);
  return call;
}

}  // namespace lmf::plain

// The plain family's weights as its tensor-core kernels take them: packed by a kernel of their own before each render.
//
//   matrices (passes) | biases (passes) | output layer | head | output bias
//
// in vectors of 16 bytes. All but the matrices are constants, which each block keeps in shared memory.
#pragma once

#include "../common/plain_layout.h"
#include "dense_pack.h"
#include "elements.h"

namespace lmf::plain {

// 256-wide passes between the head and the output layer, whose biases fit in the shared memory of a block.
constexpr int kMaxPasses = 12;

struct PackedLayout {
  Head head;
  int passes;

  LMF_HOST_DEVICE constexpr int matrices() const { return 0; }
  LMF_HOST_DEVICE constexpr int constants() const { return passes * dense::kPassVectors; }
  LMF_HOST_DEVICE constexpr int vectors() const { return constants() + constant_vectors(); }

  // ---- offsets in the constants
  LMF_HOST_DEVICE constexpr int bias(int pass) const { return pass * dense::kBiasVectors; }
  LMF_HOST_DEVICE constexpr int out() const { return bias(passes); }
  // Linear head: (rel_y, rel_x, cell_y, cell_x) of channel 32 m + 8 t + i at (m, i, t). Fourier head: the phases (y, x)
  // of angles 32 m + 8 t + 2 i and the one after it at (m, i, t). The lanes t read neighbouring vectors.
  LMF_HOST_DEVICE constexpr int head_table() const { return out() + dense::kOutVectors; }
  LMF_HOST_DEVICE constexpr int head_vectors() const {
    return head == Head::linear ? dense::kWidth : dense::kWidth / 4;
  }
  LMF_HOST_DEVICE constexpr int out_bias() const { return head_table() + head_vectors(); }
  LMF_HOST_DEVICE constexpr int constant_vectors() const { return out_bias() + 1; }
};

LMF_HOST_DEVICE inline PackedLayout packed_layout(const PlainMlp& mlp) {
  return {mlp.head, mlp.head == Head::linear ? mlp.depth - 1 : mlp.depth};
}

// What the packing kernel needs to know of a network.
struct PackCall {
  const void* weights;
  Element element;  // of the weights
  PackedLayout to;
  dense::Order order;
  int head_width;  // of the head's result: the first layer's output, or the Fourier product
  PlainLayer pass[kMaxPasses], out;
};

inline PackCall make_pack_call(const PlainMlp& mlp, dense::Order order) {
  const PlainLayout layout(mlp);
  PackCall call{mlp.weights, mlp.element, packed_layout(mlp), order, layout.first_width(), {}, {}};
  PlainLayer layer = layout.first_layer();
  for (int pass = 0; pass < call.to.passes; ++pass) {
    call.pass[pass] = layer;
    layer = layout.next_layer(pass + 1, layer);
  }
  call.out = layer;
  return call;
}

// Packs one vector at a time.
template <class Half>
class Packer {
 public:
  LMF_DEVICE explicit Packer(const PackCall& call) : call_(call), to_(call.to) {}

  // Writes vector `index` of the packed weights.
  LMF_DEVICE void pack(uint4* packed, int index) const {
    if (index < to_.constants()) {
      const int pass = index / dense::kPassVectors, vector = index % dense::kPassVectors;
      const auto read = matrix(call_.pass[pass], pass);
      const bool swizzled = call_.order == dense::Order::swizzled;
      warp::store(packed + index,
                  swizzled ? dense::swizzled_vector<Half>(vector, read) : dense::matrix_vector<Half>(vector, read));
      return;
    }
    const int at = index - to_.constants();
    if (at < to_.out()) {
      const PlainLayer& layer = call_.pass[at / dense::kBiasVectors];
      const auto read = [&](int n) { return n < layer.out ? weight(layer.bias + n) : 0.0f; };
      store_floats(packed + index, dense::bias_vector(at % dense::kBiasVectors, read));
    } else if (at < to_.head_table()) {
      warp::store(packed + index, dense::out_vector<Half>(at - to_.out(), matrix(call_.out, to_.passes)));
    } else if (at < to_.out_bias()) {
      store_floats(packed + index, head_vector(at - to_.head_table()));
    } else {
      const int64_t b = call_.out.bias;
      store_floats(packed + index, {weight(b), weight(b + 1), weight(b + 2), 0.0f});
    }
  }

 private:
  LMF_DEVICE float weight(int64_t index) const { return read_element(call_.weights, call_.element, index); }

  LMF_DEVICE static void store_floats(uint4* to, float4 values) { warp::store(reinterpret_cast<float4*>(to), values); }

  // A reader of layer `number` after the head: (input k of the matrix instructions, output n) -> weight, 0 outside.
  LMF_DEVICE auto matrix(const PlainLayer& layer, int number) const {
    return [this, layer, first = number == 0](int k, int n) {
      const int row = first ? head_row(dense::head_channel(k)) : k;
      if (row < 0 || row >= layer.in || n >= layer.out) return 0.0f;
      return weight(layer.matrix + int64_t(row) * layer.out + n);
    };
  }

  // The input of the first layer that a head gives as channel c of 256. A Fourier head gives cosines as channels 0 to
  // 127 and sines as 128 to 255, of which it has as many as there are angles.
  LMF_DEVICE int head_row(int c) const {
    if (to_.head == Head::linear) return c;
    const int angles = call_.head_width / 2, angle = c % (dense::kWidth / 2);
    if (angle >= angles) return -1;
    return c < dense::kWidth / 2 ? angle : angles + angle;
  }

  // Vector `index` of the head's table.
  LMF_DEVICE float4 head_vector(int index) const {
    const int t = index % 4, width = call_.head_width;
    if (to_.head == Head::linear) {
      const int c = 32 * (index / 32) + 8 * t + index / 4 % 8;
      if (c >= width) return {0.0f, 0.0f, 0.0f, 0.0f};
      return {weight(c), weight(width + c), weight(2 * width + c), weight(3 * width + c)};
    }
    const int angle = 32 * (index / 16) + 8 * t + 2 * (index / 4 % 4), angles = width / 2;
    if (angle >= angles) return {0.0f, 0.0f, 0.0f, 0.0f};  // there are a multiple of 8
    return {weight(angle), weight(angles + angle), weight(angle + 1), weight(angles + angle + 1)};
  }

  const PackCall& call_;
  const PackedLayout to_;
};

// Packs the vectors of a launch, one per lane and turn.
template <class Half>
LMF_DEVICE void pack(const PackCall& call, uint4* packed, warp::Position position) {
  const Packer<Half> packer(call);
  const int step = position.blocks * position.warps * warp::kSize;
  const int first = (position.block * position.warps + position.warp) * warp::kSize + warp::lane();
  for (int i = first; i < call.to.vectors(); i += step) packer.pack(packed, i);
}

}  // namespace lmf::plain

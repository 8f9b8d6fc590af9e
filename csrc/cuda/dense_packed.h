// A network's weights as the tensor-core kernels take them: packed by a kernel of their own before each render.
//
//   matrices (passes) | biases (passes) | output layer | head | output bias | rel
//
// in vectors of 16 bytes. All but the matrices are constants.
#pragma once

#include "dense_pack.h"
#include "elements.h"

namespace lmf::dense {

constexpr int kMaxPasses = 12;  // 256-wide passes between the head and the output layer
constexpr int kMaxColumns = 6;  // of a linear head's matrix

// A dense layer in the flat weights: its sizes, and where its matrix (in, out) and its bias lie. matrix < 0: there is
// none, the layer passes on what it gets.
struct Layer {
  int in, out;
  int64_t matrix, bias;
};

struct PackedLayout {
  Head head;
  int passes;
  bool with_rel = false;

  LMF_HOST_DEVICE constexpr int matrices() const { return 0; }
  LMF_HOST_DEVICE constexpr int constants() const { return passes * kPassVectors; }
  LMF_HOST_DEVICE constexpr int vectors() const { return constants() + constant_vectors(); }

  // ---- offsets in the constants
  LMF_HOST_DEVICE constexpr int bias(int pass) const { return pass * kBiasVectors; }
  LMF_HOST_DEVICE constexpr int out() const { return bias(passes); }
  // Linear head: four numbers for channel 32 m + 8 t + i at (m, i, t), what each place number is multiplied by. Fourier
  // head: the phases (y, x) of angles 32 m + 8 t + 2 i and the one after it at (m, i, t). The lanes t read neighbouring
  // vectors.
  LMF_HOST_DEVICE constexpr int head_table() const { return out() + kOutVectors; }
  LMF_HOST_DEVICE constexpr int head_vectors() const { return head == Head::linear ? kWidth : kWidth / 4; }
  LMF_HOST_DEVICE constexpr int out_bias() const { return head_table() + head_vectors(); }
  // What a pixel's rel adds to a layer, (y, x) of channels 8 j + 2 t and the one after it at (j, t): those of a lane's
  // sums of tile j.
  LMF_HOST_DEVICE constexpr int rel() const { return out_bias() + 1; }
  LMF_HOST_DEVICE constexpr int rel_vectors() const { return with_rel ? kWidth / 2 : 0; }
  LMF_HOST_DEVICE constexpr int constant_vectors() const { return rel() + rel_vectors(); }
};

// What the packing kernel needs to know of a network.
struct PackCall {
  const void* weights;
  Element element;  // of the weights
  PackedLayout to;
  Order order;
  int head_width;             // of the head's result: the first layer's output, or the Fourier product
  int columns;                // of a linear head's matrix, which lies (columns, head_width) in the weights
  float mix[4][kMaxColumns];  // the four numbers of a linear head's channel, as sums of its columns
  Layer pass[kMaxPasses], out;
  int64_t rel;  // offset of the rel rows in the weights, (2, rel_width)
  int rel_width;
};

// Packs one vector at a time.
template <class Half>
class Packer {
 public:
  LMF_DEVICE explicit Packer(const PackCall& call) : call_(call), to_(call.to) {}

  // Writes vector `index` of the packed weights.
  LMF_DEVICE void pack(uint4* packed, int index) const {
    if (index < to_.constants()) {
      const int pass = index / kPassVectors, vector = index % kPassVectors;
      const auto read = matrix(call_.pass[pass], pass);
      const bool swizzled = call_.order == Order::swizzled;
      warp::store(packed + index, swizzled ? swizzled_vector<Half>(vector, read) : matrix_vector<Half>(vector, read));
      return;
    }
    const int at = index - to_.constants();
    if (at < to_.out()) {
      const Layer& layer = call_.pass[at / kBiasVectors];
      const auto read = [&](int n) { return n < layer.out && layer.matrix >= 0 ? weight(layer.bias + n) : 0.0f; };
      store_floats(packed + index, bias_vector(at % kBiasVectors, read));
    } else if (at < to_.head_table()) {
      warp::store(packed + index, out_vector<Half>(at - to_.out(), matrix(call_.out, to_.passes)));
    } else if (at < to_.out_bias()) {
      store_floats(packed + index, head_vector(at - to_.head_table()));
    } else if (at < to_.rel()) {
      const int64_t b = call_.out.bias;
      store_floats(packed + index, {weight(b), weight(b + 1), weight(b + 2), 0.0f});
    } else {
      store_floats(packed + index, rel_vector(at - to_.rel()));
    }
  }

 private:
  LMF_DEVICE float weight(int64_t index) const { return read_element(call_.weights, call_.element, index); }

  LMF_DEVICE static void store_floats(uint4* to, float4 values) { warp::store(reinterpret_cast<float4*>(to), values); }

  // A reader of layer `number` after the head: (input k of the matrix instructions, output n) -> weight, 0 outside.
  LMF_DEVICE auto matrix(const Layer& layer, int number) const {
    return [this, layer, first = number == 0](int k, int n) {
      const int row = first ? head_row(head_channel(k)) : k;
      if (row < 0 || row >= layer.in || n >= layer.out) return 0.0f;
      if (layer.matrix < 0) return row == n ? 1.0f : 0.0f;
      return weight(layer.matrix + int64_t(row) * layer.out + n);
    };
  }

  // The input of the first layer that a head gives as channel c of 256. A Fourier head gives cosines as channels 0 to
  // 127 and sines as 128 to 255, of which it has as many as there are angles.
  LMF_DEVICE int head_row(int c) const {
    if (to_.head == Head::linear) return c;
    const int angles = call_.head_width / 2, angle = c % (kWidth / 2);
    if (angle >= angles) return -1;
    return c < kWidth / 2 ? angle : angles + angle;
  }

  // Vector `index` of the head's table.
  LMF_DEVICE float4 head_vector(int index) const {
    const int t = index % 4, width = call_.head_width;
    if (to_.head == Head::linear) {
      const int c = 32 * (index / 32) + 8 * t + index / 4 % 8;
      if (c >= width) return {0.0f, 0.0f, 0.0f, 0.0f};
      return {mixed(0, c), mixed(1, c), mixed(2, c), mixed(3, c)};
    }
    const int angle = 32 * (index / 16) + 8 * t + 2 * (index / 4 % 4), angles = width / 2;
    if (angle >= angles) return {0.0f, 0.0f, 0.0f, 0.0f};  // there are a multiple of 8
    return {weight(angle), weight(angles + angle), weight(angle + 1), weight(angles + angle + 1)};
  }

  // Number i of channel c of a linear head.
  LMF_DEVICE float mixed(int i, int c) const {
    float sum = 0.0f;
    for (int column = 0; column < call_.columns; ++column) {
      const float factor = call_.mix[i][column];
      if (factor != 0.0f) sum = warp::fma(factor, weight(int64_t(column) * call_.head_width + c), sum);
    }
    return sum;
  }

  // Vector `index` of what rel adds.
  LMF_DEVICE float4 rel_vector(int index) const {
    const int c = 8 * (index / 4) + 2 * (index % 4), width = call_.rel_width;
    const auto read = [&](int row, int c) { return c < width ? weight(call_.rel + int64_t(row) * width + c) : 0.0f; };
    return {read(0, c), read(1, c), read(0, c + 1), read(1, c + 1)};
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

}  // namespace lmf::dense

// The weights of the tensor-core kernels in the shared memory of a block, in the order in which the lanes use them.
#pragma once

#include "elements.h"
#include "modulated_shape.h"
#include "unroll.h"

namespace lmf::modulated {

// A lane's part of a 16x16 matrix W (in, out): the B operands of two instructions, for outputs 0-7 and 8-15.
struct MatrixFragment {
  uint32_t left[2], right[2];
};

// Half: warp::F16 or warp::BF16.
template <class Half, Head head>
class WeightFragments {
 public:
  // Shared memory in bytes. In this order: the head's float32 weights, the output bias, the output layer, the matrices.
  static constexpr int bytes(int depth) {
    return (kHeadFloats + kBiasFloats) * 4 + warp::kSize * int(sizeof(uint2)) +
           matrix_count(head, depth) * warp::kSize * int(sizeof(uint4));
  }

  // Copies the weights. All lanes of the block take part. A barrier must follow before the first read.
  LMF_DEVICE WeightFragments(const ModulatedMlp& mlp, unsigned char* shared, warp::Position position)
      : head_(reinterpret_cast<float*>(shared)), count_(matrix_count(head, mlp.depth)) {
    const int threads = position.warps * warp::kSize, thread = position.warp * warp::kSize + warp::lane();
    constexpr int head_floats = first_matrix(head);
    const int out_start = head_floats + count_ * kWidth * kWidth;
    for (int i = thread; i < count_ * warp::kSize; i += threads) {
      const int start = head_floats + i / warp::kSize * kWidth * kWidth, g = i % warp::kSize / 4, t = i % 4;
      const auto part = [&](int k, int n) { return pair(mlp, start, kWidth, k, n); };
      warp::shared_store(matrices() + i,
                         uint4{part(2 * t, g), part(2 * t + 8, g), part(2 * t, g + 8), part(2 * t + 8, g + 8)});
    }
    for (int i = thread; i < warp::kSize; i += threads) {
      const int g = i / 4, t = i % 4;  // outputs 3 to 7 of the instruction are not used
      const auto part = [&](int k) { return g < 3 ? pair(mlp, out_start, 3, k, g) : 0u; };
      warp::shared_store(outs() + i, uint2{part(2 * t), part(2 * t + 8)});
    }
    for (int i = thread; i < head_floats; i += threads) {
      warp::shared_store(head_ + i, read_element(mlp.weights, mlp.element, i));
    }
    for (int i = thread; i < kBiasFloats; i += threads) {
      const float b = i < 3 ? read_element(mlp.weights, mlp.element, out_start + 3 * kWidth + i) : 0.0f;
      warp::shared_store(biases() + i, b);
    }
  }

  LMF_DEVICE int count() const { return count_; }  // of the matrices

  // (count, 32): the parts of all lanes of each matrix.
  LMF_DEVICE uint4* matrices() const { return reinterpret_cast<uint4*>(outs() + warp::kSize); }

  LMF_DEVICE MatrixFragment matrix(int index) const {
    const uint4 v = warp::shared_load(matrices() + index * warp::kSize + warp::lane());
    return {{v.x, v.y}, {v.z, v.w}};
  }

  // The output layer.
  LMF_DEVICE void out(uint32_t (&b)[2]) const {
    const uint2 v = warp::shared_load(outs() + warp::lane());
    b[0] = v.x;
    b[1] = v.y;
  }

  // Two neighbouring columns of one row of the head's weights. Linear head: rel (2, 16), cell (2, 16); Fourier head:
  // phase (2, 8).
  LMF_DEVICE float2 head_pair(int row, int column) const {
    constexpr int width = head == Head::linear ? kWidth : kWidth / 2;
    return warp::shared_load(reinterpret_cast<const float2*>(head_ + row * width + column));
  }

  // The output bias of channels 2t and 2t + 1. There are three channels; the bias of the others is 0.
  LMF_DEVICE float2 bias(int t) const {
    if (t > 1) return {0.0f, 0.0f};
    return warp::shared_load(reinterpret_cast<const float2*>(biases() + 2 * t));
  }

 private:
  static constexpr int kHeadFloats = 4 * kWidth;  // of a linear head; a Fourier head uses fewer
  static constexpr int kBiasFloats = 4;

  // W[k][n] and W[k + 1][n] of the (in, out) matrix at offset `start`.
  LMF_DEVICE static uint32_t pair(const ModulatedMlp& mlp, int start, int columns, int k, int n) {
    return warp::pack<Half>(read_element(mlp.weights, mlp.element, start + k * columns + n),
                            read_element(mlp.weights, mlp.element, start + (k + 1) * columns + n));
  }

  LMF_DEVICE float* biases() const { return head_ + kHeadFloats; }
  LMF_DEVICE uint2* outs() const { return reinterpret_cast<uint2*>(head_ + kHeadFloats + kBiasFloats); }

  float* head_;
  int count_;
};

// y (16 pixels x 16) = x W + c. act: x in the layout of `activate` below. left, right: outputs 0-7 and 8-15 of y.
template <class Half>
LMF_DEVICE void multiply_tile(float (&left)[4], float (&right)[4], const uint32_t (&act)[4], const MatrixFragment& w,
                              const float (&c_left)[4], const float (&c_right)[4]) {
  warp::mma<Half>(left, act, w.left, c_left);
  warp::mma<Half>(right, act, w.right, c_right);
}

// relu as the next layer's operand. The C fragments of a layer are the A fragment of the next one: rows g and g + 8 of
// columns 2t and 2t + 1, then of columns 2t + 8 and 2t + 9.
template <class Half>
LMF_DEVICE void activate(uint32_t (&act)[4], const float (&left)[4], const float (&right)[4]) {
  act[0] = warp::pack_relu<Half>(left[0], left[1]);
  act[1] = warp::pack_relu<Half>(left[2], left[3]);
  act[2] = warp::pack_relu<Half>(right[0], right[1]);
  act[3] = warp::pack_relu<Half>(right[2], right[3]);
}

// Channels c and c + 1 of a cell's half-precision parameters.
template <class Half>
LMF_DEVICE float2 load_pair(const uint16_t* params, int c) {
  const uint32_t v = warp::load(reinterpret_cast<const uint32_t*>(params + c));
  return {warp::widen_low<Half>(v), warp::widen_high<Half>(v)};
}

}  // namespace lmf::modulated

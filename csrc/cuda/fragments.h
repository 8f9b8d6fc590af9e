// The tensor-core kernels' weights in a block's shared memory, laid out as the lanes will want them.
#pragma once

#include "elements.h"
#include "modulated_plan.h"
#include "unroll.h"

namespace lmf {

// A lane's parts of a 16x16 matrix W (in, out) as the B operands of two instructions: outputs 0-7 and 8-15.
struct MatrixFragment {
  uint32_t left[2], right[2];
};

template <class Half, Head head>
class Fragments {
 public:
  // Every lane of the block takes part; a barrier must follow before the first read.
  LMF_DEVICE Fragments(const ModulatedMlp& mlp, unsigned char* shared, warp::Place place)
      : head_(reinterpret_cast<float*>(shared)), count_(matrix_count(head, mlp.depth)) {
    const int threads = place.warps * kLanes, thread = place.warp * kLanes + warp::lane();
    constexpr int head_floats = head == Head::linear ? 4 * kWidth : kWidth;
    const int out_start = head_floats + count_ * kWidth * kWidth;
    for (int i = thread; i < count_ * kLanes; i += threads) {
      const int start = head_floats + i / kLanes * kWidth * kWidth, g = i % kLanes / 4, t = i % 4;
      const auto part = [&](int k, int n) { return pair(mlp, start, kWidth, k, n); };
      warp::shared_store(matrices() + i, uint4{part(2 * t, g), part(2 * t + 8, g), part(2 * t, g + 8),
                                               part(2 * t + 8, g + 8)});
    }
    for (int i = thread; i < kLanes; i += threads) {
      const int g = i / 4, t = i % 4;  // outputs 3 to 7 of the instruction are not used
      const auto part = [&](int k) { return g < 3 ? pair(mlp, out_start, 3, k, g) : 0u; };
      warp::shared_store(outs() + i, uint2{part(2 * t), part(2 * t + 8)});
    }
    for (int i = thread; i < head_floats; i += threads) {
      warp::shared_store(head_ + i, read_element(mlp.weights, mlp.element, i));
    }
    for (int i = thread; i < 4; i += threads) {
      const float b = i < 3 ? read_element(mlp.weights, mlp.element, out_start + 3 * kWidth + i) : 0.0f;
      warp::shared_store(biases() + i, b);
    }
  }

  LMF_DEVICE int count() const { return count_; }

  // The matrices one after the other, a lane's part of each beside the next lane's.
  LMF_DEVICE uint4* matrices() const { return reinterpret_cast<uint4*>(outs() + kLanes); }

  LMF_DEVICE MatrixFragment matrix(int index) const {
    const uint4 v = warp::shared_load(matrices() + index * kLanes + warp::lane());
    return {{v.x, v.y}, {v.z, v.w}};
  }

  LMF_DEVICE void out(uint32_t (&b)[2]) const {
    const uint2 v = warp::shared_load(outs() + warp::lane());
    b[0] = v.x;
    b[1] = v.y;
  }

  // Row `row` of the head's matrices, two neighbouring columns: rel (2), cell (2) of 16; or the phase (2) of 8.
  LMF_DEVICE float2 head_pair(int row, int column) const {
    constexpr int width = head == Head::linear ? kWidth : kWidth / 2;
    return warp::shared_load(reinterpret_cast<const float2*>(head_ + row * width + column));
  }

  // The output bias of channels 2t and 2t + 1 (0 from the fourth on).
  LMF_DEVICE float2 bias(int t) const {
    if (t > 1) return {0.0f, 0.0f};
    return warp::shared_load(reinterpret_cast<const float2*>(biases() + 2 * t));
  }

 private:
  // W[k][n], W[k + 1][n] of the (in, out) matrix that begins at `start`.
  LMF_DEVICE static uint32_t pair(const ModulatedMlp& mlp, int start, int columns, int k, int n) {
    return warp::pack<Half>(read_element(mlp.weights, mlp.element, start + k * columns + n),
                            read_element(mlp.weights, mlp.element, start + (k + 1) * columns + n));
  }

  // In this order: the head's floats, the output bias, the output layer, the matrices.
  LMF_DEVICE float* biases() const { return head_ + 4 * kWidth; }
  LMF_DEVICE uint2* outs() const { return reinterpret_cast<uint2*>(head_ + 4 * kWidth + 4); }

  float* head_;
  int count_;
};

// y (16 pixels x 16) = x W + c, in the layout of `act` below: pairs [left | right] of C fragments.
template <class Half>
LMF_DEVICE void multiply_tile(float (&left)[4], float (&right)[4], const uint32_t (&act)[4], const MatrixFragment& w,
                              const float (&c_left)[4], const float (&c_right)[4]) {
  warp::mma<Half>(left, act, w.left, c_left);
  warp::mma<Half>(right, act, w.right, c_right);
}

// The C fragments of a layer ARE the A fragment of the next: [row g | g + 8] of columns 2t, 2t+1, then of 2t+8, 2t+9.
template <class Half>
LMF_DEVICE void activate(uint32_t (&act)[4], const float (&left)[4], const float (&right)[4]) {
  act[0] = warp::pack_relu<Half>(left[0], left[1]);
  act[1] = warp::pack_relu<Half>(left[2], left[3]);
  act[2] = warp::pack_relu<Half>(right[0], right[1]);
  act[3] = warp::pack_relu<Half>(right[2], right[3]);
}

// Channels c and c + 1 of a half record.
template <class Half>
LMF_DEVICE float2 load_pair(const uint16_t* record, int c) {
  const uint32_t v = warp::load(reinterpret_cast<const uint32_t*>(record + c));
  return {warp::widen_low<Half>(v), warp::widen_high<Half>(v)};
}

}  // namespace lmf

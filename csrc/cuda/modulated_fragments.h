// The weights of the tensor-core kernels in the shared memory of a block, in the order in which the lanes use them, and
// the layers that use them.
//
// Activations are fragments of 16 pixels x 16 channels. The fragments' columns are the channels in another order, so
// that lane t's four columns 2t, 2t + 1, 2t + 8, 2t + 9 are channels 4t to 4t + 3: their FiLM is contiguous in a
// record.
#pragma once

#include "elements.h"
#include "modulated_shape.h"
#include "unroll.h"

namespace lmf::modulated {

// A lane's part of a 16x16 matrix W (in, out): the B operands of two instructions, for columns 0-7 and 8-15.
struct MatrixFragment {
  uint32_t left[2], right[2];
};

// The channel in a fragment's column.
LMF_HOST_DEVICE constexpr int channel_of(int column) { return column % 8 / 2 * 4 + column / 8 * 2 + column % 2; }

// Half: warp::F16 or warp::BF16.
template <class Half, Head head>
class WeightFragments {
 public:
  static constexpr int kHeadFloats = 4 * kWidth;

  // Shared memory in bytes. In this order: the head's kHeadFloats, the output bias, the output layer, the matrices.
  static constexpr int bytes(int depth) {
    return (kHeadFloats + kBiasFloats) * 4 + warp::kSize * int(sizeof(uint2)) +
           matrix_count(head, depth) * warp::kSize * int(sizeof(uint4));
  }

  // Copies the weights, except for the head's: each kernel has an own form of these. All lanes of the block take part.
  // A barrier must follow before the first read.
  LMF_DEVICE WeightFragments(const ModulatedMlp& mlp, unsigned char* shared, warp::Position position)
      : head_(reinterpret_cast<float*>(shared)), count_(matrix_count(head, mlp.depth)) {
    const int threads = position.warps * warp::kSize, thread = position.warp * warp::kSize + warp::lane();
    constexpr int head_floats = first_matrix(head);
    const int out_start = head_floats + count_ * kWidth * kWidth;
    for (int i = thread; i < count_ * warp::kSize; i += threads) {
      const int start = head_floats + i / warp::kSize * kWidth * kWidth, g = i % warp::kSize / 4, t = i % 4;
      const auto part = [&](int k, int n) { return pair(mlp, start, kWidth, k, channel_of(n)); };
      // The Fourier product has its 16 values in their own order: cosines 2t and 2t + 1, and the same sines.
      const bool product = head == Head::fourier && i < warp::kSize;
      const int k0 = product ? 2 * t : 4 * t, k1 = product ? 2 * t + 8 : 4 * t + 2;
      warp::shared_store(matrices() + i, uint4{part(k0, g), part(k1, g), part(k0, g + 8), part(k1, g + 8)});
    }
    for (int i = thread; i < warp::kSize; i += threads) {
      const int g = i / 4, t = i % 4;
      const auto part = [&](int k) { return g < 6 && g % 2 == 0 ? pair(mlp, out_start, 3, k, g / 2) : 0u; };
      warp::shared_store(outs() + i, uint2{part(4 * t), part(4 * t + 2)});
    }
    for (int i = thread; i < kBiasFloats; i += threads) {
      const float b = i < 3 ? read_element(mlp.weights, mlp.element, out_start + 3 * kWidth + i) : 0.0f;
      warp::shared_store(biases() + i, b);
    }
  }

  LMF_DEVICE int count() const { return count_; }  // of the matrices

  LMF_DEVICE MatrixFragment matrix(int index) const {
    const uint4 v = warp::shared_load(matrices() + index * warp::kSize + warp::lane());
    return {{v.x, v.y}, {v.z, v.w}};
  }

  // The output layer. Its columns 0, 2 and 4 are the three channels, so that lane t < 3 gets channel t.
  LMF_DEVICE void out(uint32_t (&b)[2]) const {
    const uint2 v = warp::shared_load(outs() + warp::lane());
    b[0] = v.x;
    b[1] = v.y;
  }

  LMF_DEVICE float* head_values() const { return head_; }

  // The output bias of channel t; 0 for t = 3.
  LMF_DEVICE float bias(int t) const { return warp::shared_load(biases() + t); }

 private:
  static constexpr int kBiasFloats = 4;

  // W[k][n] and W[k + 1][n] of the (in, out) matrix at offset `start`.
  LMF_DEVICE static uint32_t pair(const ModulatedMlp& mlp, int start, int columns, int k, int n) {
    return warp::pack<Half>(read_element(mlp.weights, mlp.element, start + k * columns + n),
                            read_element(mlp.weights, mlp.element, start + (k + 1) * columns + n));
  }

  LMF_DEVICE float* biases() const { return head_ + kHeadFloats; }
  LMF_DEVICE uint2* outs() const { return reinterpret_cast<uint2*>(head_ + kHeadFloats + kBiasFloats); }
  LMF_DEVICE uint4* matrices() const { return reinterpret_cast<uint4*>(outs() + warp::kSize); }

  float* head_;
  int count_;
};

// The halves of a small integer, twice.
LMF_HOST_DEVICE constexpr uint32_t integer_pair(warp::F16, int i) {
  int e = 0;
  while (i >> (e + 1)) ++e;
  const uint32_t bits = i == 0 ? 0 : uint32_t(15 + e) << 10 | (uint32_t(i) << (10 - e) & 0x3ff);
  return bits << 16 | bits;
}
LMF_HOST_DEVICE constexpr uint32_t integer_pair(warp::BF16, int i) {
  int e = 0;
  while (i >> (e + 1)) ++e;
  const uint32_t bits = i == 0 ? 0 : uint32_t(127 + e) << 7 | (uint32_t(i) << (7 - e) & 0x7f);
  return bits << 16 | bits;
}

// A lane's FiLM of one layer: scale and shift of channels 4t to 4t + 3, as they are in the record.
struct Film {
  uint2 scale, shift;
};

// params: the record, at channel 4t of this lane.
LMF_DEVICE Film load_film(const uint16_t* params, int layer, int depth) {
  return {warp::load(reinterpret_cast<const uint2*>(params + layer * kWidth)),
          warp::load(reinterpret_cast<const uint2*>(params + (depth + layer) * kWidth))};
}

// 1 + scale.
template <class Half>
LMF_DEVICE uint2 one_plus(uint2 scale) {
  constexpr uint32_t one = integer_pair(Half{}, 1);
  return {warp::fma_pair<Half>(scale.x, one, one), warp::fma_pair<Half>(scale.y, one, one)};
}

// y (16 pixels x 16) = x W in float32. left: columns 2t and 2t + 1 of row g, then of row g + 8; right: columns 2t + 8
// and 2t + 9.
template <class Half>
LMF_DEVICE void multiply_tile(float (&left)[4], float (&right)[4], const uint32_t (&x)[4], const MatrixFragment& w) {
  const float zero[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  warp::mma<Half>(left, x, w.left, zero);
  warp::mma<Half>(right, x, w.right, zero);
}

// The same in halves, in the layout of x: rows g and g + 8 of columns 2t and 2t + 1, then of columns 2t
// + 8 and 2t + 9. Each sum is rounded once: float16 has matrix instructions with float16 results.
LMF_DEVICE void multiply_tile(warp::F16, uint32_t (&y)[4], const uint32_t (&x)[4], const MatrixFragment& w) {
  uint32_t left[2], right[2];
  warp::mma_half(left, x, w.left);
  warp::mma_half(right, x, w.right);
  y[0] = left[0];
  y[1] = left[1];
  y[2] = right[0];
  y[3] = right[1];
}
LMF_DEVICE void multiply_tile(warp::BF16, uint32_t (&y)[4], const uint32_t (&x)[4], const MatrixFragment& w) {
  float left[4], right[4];
  multiply_tile<warp::BF16>(left, right, x, w);
  y[0] = warp::pack<warp::BF16>(left[0], left[1]);
  y[1] = warp::pack<warp::BF16>(left[2], left[3]);
  y[2] = warp::pack<warp::BF16>(right[0], right[1]);
  y[3] = warp::pack<warp::BF16>(right[2], right[3]);
}

// Channels c and c + 1 of a cell's half-precision parameters.
template <class Half>
LMF_DEVICE float2 load_pair(const uint16_t* params, int c) {
  const uint32_t v = warp::load(reinterpret_cast<const uint32_t*>(params + c));
  return {warp::widen_low<Half>(v), warp::widen_high<Half>(v)};
}

// Channels c to c + 3.
template <class Half>
LMF_DEVICE float4 widen_four(uint2 v) {
  return {warp::widen_low<Half>(v.x), warp::widen_high<Half>(v.x), warp::widen_low<Half>(v.y),
          warp::widen_high<Half>(v.y)};
}

// FiLM of a layer in float32, for this lane's four channels.
template <class Half>
class Modulation {
 public:
  LMF_DEVICE explicit Modulation(const Film& film)
      : scale_(widen_four<Half>(film.scale)), shift_(widen_four<Half>(film.shift)) {}

  // relu(y * (1 + scale) + shift) of one pixel in halves. left, right: two values each of `multiply_tile`.
  LMF_DEVICE void apply(uint32_t* low, uint32_t* high, const float* left, const float* right) const {
    *low = warp::pack_relu<Half>(warp::fma(left[0], 1.0f + scale_.x, shift_.x),
                                 warp::fma(left[1], 1.0f + scale_.y, shift_.y));
    *high = warp::pack_relu<Half>(warp::fma(right[0], 1.0f + scale_.z, shift_.z),
                                  warp::fma(right[1], 1.0f + scale_.w, shift_.w));
  }

 private:
  float4 scale_, shift_;
};

}  // namespace lmf::modulated

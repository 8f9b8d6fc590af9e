// Packs the weights of dense layers in the order of dense_shape.h, one vector of 16 bytes at a time.
#pragma once

#include "dense_shape.h"
#include "warp.h"

namespace lmf::dense {

// Vector `index` of a pass. read(k, n): the matrix at input k of the matrix instructions and output n, as float.
template <class Half, class Read>
LMF_DEVICE uint4 matrix_vector(int index, Read read) {
  const int lane = index % kLanes, pair = index / kLanes % kPairs, step = index / kStepVectors;
  const int k = 16 * step + 2 * (lane % 4), n = 16 * pair + lane / 4;
  const auto part = [&](int k, int n) { return warp::pack<Half>(read(k, n), read(k + 1, n)); };
  return {part(k, n), part(k + 8, n), part(k, n + 8), part(k + 8, n + 8)};
}

// The same for wgmma: a stage has a row of 64 bytes for each output, with its 32 inputs in order, but the four vectors
// of row n change places: vector v lies at v ^ (n / 2 % 4), the 64-byte swizzle of matrix descriptors.
template <class Half, class Read>
LMF_DEVICE uint4 swizzled_vector(int index, Read read) {
  const int stage = index / kStageVectors, n = index % kStageVectors / 4, vector = index % 4 ^ (n / 2 % 4);
  const int k = 32 * stage + 8 * vector;
  const auto part = [&](int i) { return warp::pack<Half>(read(k + i, n), read(k + i + 1, n)); };
  return {part(0), part(2), part(4), part(6)};
}

// Vector `index` of a bias. read(n): of output n.
template <class Read>
LMF_DEVICE float4 bias_vector(int index, Read read) {
  const int t = index / kBiasRowVectors, pair = index % kBiasRowVectors, n = 16 * pair + 2 * t;
  if (pair == kPairs) return {0.0f, 0.0f, 0.0f, 0.0f};
  return {read(n), read(n + 1), read(n + 8), read(n + 9)};
}

// Vector `index` of the output layer: the operands of two lanes.
template <class Half, class Read>
LMF_DEVICE uint4 out_vector(int index, Read read) {
  const int step = 2 * index / kOutLanes, lane = 2 * index % kOutLanes;
  const auto part = [&](int lane, int half) {
    const int k = 16 * step + 8 * half + 2 * (lane % 4), n = lane / 4;
    return warp::pack<Half>(read(k, n), read(k + 1, n));
  };
  return {part(lane, 0), part(lane, 1), part(lane + 1, 0), part(lane + 1, 1)};
}

}  // namespace lmf::dense

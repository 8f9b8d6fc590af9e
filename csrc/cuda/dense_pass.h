// The 256-wide pass of a warp: 16 rows of activations in registers times a streamed matrix. With g = lane / 4 and
// t = lane % 4, a lane has rows g and g + 8. The sums of a pass are in the layout of the next pass's operand, so that
// activations never leave the registers. Heads and epilogues belong to the families.
#pragma once

#include "dense_stream.h"

namespace lmf::dense {

// A operands of all steps: [step][register of mma].
using Operand = uint32_t[kSteps][4];
// C and D operands of all tiles of 8 outputs: [tile][register of mma].
using Sums = float[kTiles][4];

// Where the packed biases and other constants lie: in shared memory, or in global memory, through the L1 cache.
struct InShared {
  template <class T>
  LMF_DEVICE static T load(const T* p) {
    return warp::shared_load(p);
  }
};
struct InGlobal {
  template <class T>
  LMF_DEVICE static T load(const T* p) {
    return warp::load(p);
  }
};

// Sets both rows to the bias. bias: packed.
template <class Constants>
LMF_DEVICE void start_with_bias(Sums& sums, const float4* bias) {
  const float4* row = bias + (warp::lane() & 3) * kBiasRowVectors;
  LMF_UNROLL
  for (int pair = 0; pair < kPairs; ++pair) {
    const float4 b = Constants::load(row + pair);
    float (&left)[4] = sums[2 * pair], (&right)[4] = sums[2 * pair + 1];
    left[0] = left[2] = b.x;
    left[1] = left[3] = b.y;
    right[0] = right[2] = b.z;
    right[1] = right[3] = b.w;
  }
}

// sums += x times the next matrix of the stream. All lanes of the block must call it.
template <class Half, int kThreads, class Sequence, int kStageSize>
LMF_DEVICE void multiply(Sums& sums, const Operand& x, WeightStream<kThreads, Sequence, kStageSize>& stream) {
  LMF_UNROLL
  for (int stage = 0; stage < kSteps / kStageSize; ++stage) {
    const uint4* vectors = stream.next(stage) + warp::lane();
    LMF_UNROLL
    for (int i = 0; i < kStageSize; ++i) {
      LMF_UNROLL
      for (int pair = 0; pair < kPairs; ++pair) {
        const uint4 v = warp::shared_load(vectors + i * kStepVectors + pair * kLanes);
        const uint32_t left[2] = {v.x, v.y}, right[2] = {v.z, v.w};
        const uint32_t (&a)[4] = x[stage * kStageSize + i];
        warp::mma<Half>(sums[2 * pair], a, left, sums[2 * pair]);
        warp::mma<Half>(sums[2 * pair + 1], a, right, sums[2 * pair + 1]);
      }
    }
  }
}

// relu of the sums as the operand of the next pass.
template <class Half>
LMF_DEVICE void activate(Operand& x, const Sums& sums) {
  LMF_UNROLL
  for (int step = 0; step < kSteps; ++step) {
    const float (&left)[4] = sums[2 * step], (&right)[4] = sums[2 * step + 1];
    x[step][0] = warp::pack_relu<Half>(left[0], left[1]);
    x[step][1] = warp::pack_relu<Half>(left[2], left[3]);
    x[step][2] = warp::pack_relu<Half>(right[0], right[1]);
    x[step][3] = warp::pack_relu<Half>(right[2], right[3]);
  }
}

// The output layer without its bias: channels 2t and 2t + 1 of row g, then of row g + 8, of which there are three.
// out: packed.
template <class Half, class Constants>
LMF_DEVICE void output_product(float (&y)[4], const Operand& x, const uint2* out) {
  float sums[2][4] = {};  // two chains, because each product waits for the one before it
  LMF_UNROLL
  for (int step = 0; step < kSteps; ++step) {
    uint32_t b[2] = {0, 0};
    if (warp::lane() < kOutLanes) {
      const uint2 v = Constants::load(out + step * kOutLanes + warp::lane());
      b[0] = v.x;
      b[1] = v.y;
    }
    warp::mma<Half>(sums[step % 2], x[step], b, sums[step % 2]);
  }
  LMF_UNROLL
  for (int i = 0; i < 4; ++i) y[i] = sums[0][i] + sums[1][i];
}

}  // namespace lmf::dense

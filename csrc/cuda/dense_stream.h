// Streams packed matrices from global memory through a ring of stages in shared memory. All warps of the block use a
// stage together. While they multiply by one stage, the next ones are on their way.
#pragma once

#include "dense_shape.h"
#include "unroll.h"
#include "warp.h"

namespace lmf::dense {

template <int kThreads>  // of the block
class WeightStream {
 public:
  static constexpr int kRing = 4;  // stages in shared memory
  static constexpr int kBytes = kRing * kStageVectors * 16;
  static_assert(kPassStages % kRing == 0, "the ring's slots are known at compile time");
  static_assert(kStageVectors % kThreads == 0, "each thread copies as much as the others");

  // ring: kBytes of shared memory. packed: the matrices, `passes` in number, over and over again. thread: index in the
  // block. Starts the first copies.
  LMF_DEVICE WeightStream(uint4* ring, const uint4* packed, int passes, int thread)
      : ring_(ring), packed_(packed), next_(0), end_(passes * kPassVectors), thread_(thread) {
    if (end_ == 0) return;
    for (int stage = 0; stage < kRing - 1; ++stage) copy_next(stage);
  }

  // Waits for stage `slot` of the ring, the next one in order, and starts the copy of a later one. Returns its vectors,
  // which are valid until the next call. All lanes of the block must call it.
  LMF_DEVICE const uint4* next(int slot) {
    warp::copy_wait<kRing - 2>();
    warp::block_barrier();  // the stage is there for everybody, and nobody reads the one before it any more
    copy_next((slot + kRing - 1) % kRing);
    return ring_ + slot * kStageVectors;
  }

  // Waits for the copies that nobody needs, before the block ends.
  LMF_DEVICE void drain() { warp::copy_wait<0>(); }

 private:
  LMF_DEVICE void copy_next(int slot) {
    LMF_UNROLL
    for (int i = 0; i < kStageVectors; i += kThreads) {
      warp::copy_async(ring_ + slot * kStageVectors + thread_ + i, packed_ + next_ + thread_ + i);
    }
    warp::copy_commit();
    next_ += kStageVectors;
    if (next_ == end_) next_ = 0;
  }

  uint4* ring_;
  const uint4* packed_;
  int next_, end_;  // vectors of packed_
  int thread_;
};

}  // namespace lmf::dense

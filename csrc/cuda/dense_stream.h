// Streams packed matrices from global memory through a ring of stages in shared memory. All warps of the block use a
// stage together. While they multiply by one stage, the next ones are on their way.
#pragma once

#include "dense_shape.h"
#include "unroll.h"
#include "warp.h"

namespace lmf::dense {

// Which matrices a stream gives: the first `passes`, over and over again.
class Cycle {
 public:
  LMF_DEVICE explicit Cycle(int passes) : next_(0), end_(passes * kPassVectors) {}

  LMF_DEVICE bool empty() const { return end_ == 0; }

  // Vector at which the next stage to copy begins, for stages of that many vectors.
  LMF_DEVICE int take(int, int vectors) {
    const int at = next_;
    next_ += vectors;
    if (next_ == end_) next_ = 0;
    return at;
  }

 private:
  int next_, end_;
};

// Those that the block asks for before each pass: the one of the pass, and the one after it.
class Steered {
 public:
  LMF_DEVICE explicit Steered(int first) : now_(first * kPassVectors), next_(0) {}

  LMF_DEVICE bool empty() const { return false; }
  LMF_DEVICE void steer(int now, int next) {
    now_ = now * kPassVectors;
    next_ = next * kPassVectors;
  }

  // stage: of the pass, or of the next one.
  LMF_DEVICE int take(int stage, int vectors) const {
    const int stages = kPassVectors / vectors;
    return stage < stages ? now_ + stage * vectors : next_ + (stage - stages) * vectors;
  }

 private:
  int now_, next_;
};

template <int kThreads, class Sequence = Cycle,
          int kStageSize = kStepsPerStage>  // threads of the block, steps of a stage
class WeightStream {
 public:
  static constexpr int kRing = 4;                             // stages in shared memory
  static constexpr int kVectors = kStageSize * kStepVectors;  // of a stage
  static constexpr int kBytes = kRing * kVectors * 16;
  static_assert(kSteps / kStageSize % kRing == 0, "the ring's slots are known at compile time");
  static_assert(kVectors % kThreads == 0, "each thread copies as much as the others");

  // ring: kBytes of shared memory. packed: the matrices. thread: index in the block. Starts the first copies.
  LMF_DEVICE WeightStream(uint4* ring, const uint4* packed, const Sequence& sequence, int thread)
      : ring_(ring), packed_(packed), sequence_(sequence), thread_(thread) {
    if (sequence_.empty()) return;
    for (int stage = 0; stage < kRing - 1; ++stage) copy(stage);
  }

  LMF_DEVICE Sequence& sequence() { return sequence_; }

  // Waits for that stage of a pass, the next one in order, and starts the copy of a later one. Returns its vectors,
  // which are valid until the next call. All lanes of the block must call it.
  LMF_DEVICE const uint4* next(int stage) {
    warp::copy_wait<kRing - 2>();
    warp::block_barrier();  // the stage is there for everybody, and nobody reads the one before it any more
    copy(stage + kRing - 1);
    return ring_ + stage % kRing * kVectors;
  }

  // Waits for the copies that nobody needs, before the block ends.
  LMF_DEVICE void drain() { warp::copy_wait<0>(); }

 private:
  // stage: of the pass, or of the next one.
  LMF_DEVICE void copy(int stage) {
    const int from = sequence_.take(stage, kVectors), slot = stage % kRing;
    LMF_UNROLL
    for (int i = 0; i < kVectors; i += kThreads) {
      warp::copy_async(ring_ + slot * kVectors + thread_ + i, packed_ + from + thread_ + i);
    }
    warp::copy_commit();
  }

  uint4* ring_;
  const uint4* packed_;
  Sequence sequence_;
  int thread_;
};

}  // namespace lmf::dense

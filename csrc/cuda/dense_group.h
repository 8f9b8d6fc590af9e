// The 256-wide pass of a warpgroup by wgmma: each of its four warps has 16 rows of activations in registers, as in
// dense_pass.h, and all share a matrix in shared memory. One warp of the block, the producer, copies the stages of the
// matrices into a ring; the consumers give each stage back when they have multiplied by it.
#pragma once

#include "dense_pass.h"
#include "warpgroup.h"

namespace lmf::dense {

template <int kRing>  // stages in shared memory
class GroupRing {
 public:
  static constexpr int kStageBytes = kStageVectors * 16;
  static constexpr int kBytes = kRing * kStageBytes;
  static constexpr int kBarrierBytes = 2 * kRing * 8;

  // ring: kBytes of shared memory, aligned to 1024. barriers: kBarrierBytes of it.
  LMF_DEVICE GroupRing(unsigned char* ring, unsigned char* barriers)
      : ring_(ring), full_(reinterpret_cast<warp::Barrier*>(barriers)), slot_(0), parity_(0) {}

  // Called by one lane of the block. A barrier of the block must follow. consumers: warps that multiply.
  LMF_DEVICE void init(int consumers) const {
    for (int i = 0; i < kRing; ++i) {
      warp::barrier_init(full_ + i, 1);
      warp::barrier_init(full_ + kRing + i, consumers);
    }
  }

  // ---- the producer, a whole warp: copies the next stage as soon as there is room.
  LMF_DEVICE void produce(const uint4* stage) {
    warp::barrier_wait(full_ + kRing + slot_, parity_ ^ 1);
    if (warp::lane() == 0) {
      warp::barrier_expect(full_ + slot_, kStageBytes);
      warp::bulk_copy(ring_ + slot_ * kStageBytes, stage, kStageBytes, full_ + slot_);
    }
    advance();
  }

  // ---- the consumers
  LMF_DEVICE void wait_full() const { warp::barrier_wait(full_ + slot_, parity_); }
  LMF_DEVICE void release(int slot) const { warp::barrier_arrive(full_ + kRing + slot); }
  LMF_DEVICE int slot() const { return slot_; }
  LMF_DEVICE void advance() {
    if (++slot_ == kRing) {
      slot_ = 0;
      parity_ ^= 1;
    }
  }

  // Matrix descriptor of step i of the current stage: 16 inputs x 256 outputs, K-major, 64-byte swizzle. Rows of eight
  // outputs are 512 bytes apart. (PTX ISA, wgmma: matrix descriptor. The leading offset is not used with a swizzle.)
  LMF_DEVICE uint64_t descriptor(int i) const {
    const uint64_t start = (warp::shared_address(ring_) + uint32_t(slot_ * kStageBytes + 32 * i)) >> 4;
    return start | uint64_t(1) << 16 | uint64_t(512 >> 4) << 32 | uint64_t(2) << 62;
  }

 private:
  unsigned char* ring_;
  warp::Barrier* full_;  // and the barriers for empty stages after them
  int slot_, parity_;
};

// Starts the product of the ring's current stage with x, the operands of its steps, when the stage is full.
template <class Half, class Ring>
LMF_DEVICE void start_stage(Sums& sums, const uint32_t (*x)[4], const Ring& ring) {
  ring.wait_full();
  warp::group_fence();
  LMF_UNROLL
  for (int i = 0; i < kStepsPerStage; ++i) warp::group_mma<Half>(sums, x[i], ring.descriptor(i));
  warp::group_commit();
}

// sums += x times the next matrix of the ring. All lanes of the warpgroup must call it.
template <class Half, int kRing>
LMF_DEVICE void multiply(Sums& sums, Operand& x, GroupRing<kRing>& ring) {
  warp::pin(x);
  int before = 0;  // the stage before this one
  LMF_UNROLL
  for (int stage = 0; stage < kPassStages; ++stage) {
    start_stage<Half>(sums, x + stage * kStepsPerStage, ring);
    if (stage > 0) {
      warp::group_wait<1>();
      ring.release(before);
    }
    before = ring.slot();
    ring.advance();
  }
  warp::group_wait<0>();
  ring.release(before);
}

}  // namespace lmf::dense

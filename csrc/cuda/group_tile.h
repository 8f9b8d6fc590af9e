// One tile of the matrix instructions of a warpgroup, for a self-test: 64 x 32 times 32 x 256, which is one stage of
// the 256-wide kernels. The operands go the ways that they go there: A from registers, B packed by swizzled_vector, by
// a bulk copy into the ring, and from there by the ring's descriptors.
#pragma once

#include "dense_group.h"
#include "dense_pack.h"
#include "elements.h"

namespace lmf::dense {

constexpr int kTileRows = 64, kTileInputs = 16 * kStepsPerStage;
constexpr int kTileWarps = 4;

// Matrices of halves, and their product in float32; all are contiguous.
struct TileCall {
  const void* a;  // (kTileRows, kTileInputs)
  const void* b;  // (kTileInputs, kWidth)
  uint4* packed;  // (kStageVectors): B packed, aligned to 16
  float* d;       // (kTileRows, kWidth)
  Element element;
};

using TileRing = GroupRing<1>;
constexpr int kTileSharedBytes = TileRing::kBytes + TileRing::kBarrierBytes;

// Packs B; a warp takes every warps-th vector.
template <class Half>
LMF_DEVICE void pack_tile(const TileCall& c, int warp, int warps) {
  const auto read = [&](int k, int n) { return read_element(c.b, c.element, int64_t(k) * kWidth + n); };
  for (int i = warp * warp::kSize + warp::lane(); i < kStageVectors; i += warps * warp::kSize) {
    warp::store(c.packed + i, swizzled_vector<Half>(i, read));
  }
}

// Multiplies. Run by one block of kTileWarps warps with kTileSharedBytes of shared memory, aligned to 1024. Ring: a
// test of this test has one with wrong descriptors.
template <class Half, class Ring = TileRing>
LMF_DEVICE void multiply_tile(const TileCall& c, unsigned char* shared, int warp) {
  Ring ring(shared, shared + Ring::kBytes);
  if (warp == 0 && warp::lane() == 0) ring.init(kTileWarps);
  warp::block_barrier();
  if (warp == 0) {
    Ring producer = ring;
    producer.produce(c.packed);
  }
  const int g = warp::lane() / 4, t = warp::lane() % 4;
  uint32_t x[kStepsPerStage][4];
  LMF_UNROLL
  for (int step = 0; step < kStepsPerStage; ++step) {
    LMF_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int64_t at = int64_t(16 * warp + g + 8 * (i % 2)) * kTileInputs + 16 * step + 8 * (i / 2) + 2 * t;
      x[step][i] = warp::pack<Half>(read_element(c.a, c.element, at), read_element(c.a, c.element, at + 1));
    }
  }
  Sums sums;
  LMF_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    LMF_UNROLL
    for (int i = 0; i < 4; ++i) sums[tile][i] = 0.0f;
  }
  warp::pin(x);
  start_stage<Half>(sums, x, ring);
  warp::group_wait<0>();
  ring.release(ring.slot());
  LMF_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    LMF_UNROLL
    for (int i = 0; i < 4; ++i) {
      warp::store(c.d + int64_t(16 * warp + g + 8 * (i / 2)) * kWidth + 8 * tile + 2 * t + i % 2, sums[tile][i]);
    }
  }
}

}  // namespace lmf::dense

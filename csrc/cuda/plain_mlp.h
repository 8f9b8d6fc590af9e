// The device body of the plain family (LIIF, LTE) on tensor cores. A warp renders runs of 16 pixels of an output row,
// or 16 query points, each with cells of its own. Activations stay in registers from the head to the output layer. The
// warps of a block go through the layers together, because they share the stream of weights.
#pragma once

#include "dense_group.h"
#include "dense_heads.h"
#include "dense_store.h"
#include "plain_plan.h"

namespace lmf::plain {

using dense::InShared;

// Run `index` of the call. There are fewer runs than warps at the end: those warps have no pixels to store.
LMF_DEVICE Tile tile_of(const RenderCall& call, int64_t index) {
  const PixelRun run(call.out, index, dense::kRows);
  return {run.batch, run.row, run.col};
}

// Finishes and stores channels 2t and 2t + 1 of this lane's two pixels.
LMF_DEVICE void store_pixels(const RenderCall& call, const Tile& tile, const float4& sums, const float4& bias) {
  const int g = warp::lane() >> 2, t = warp::lane() & 3;
  const float of_pixel[2][2] = {{sums.x, sums.y}, {sums.z, sums.w}};
  LMF_UNROLL
  for (int r = 0; r < 2; ++r) {
    const int64_t col = tile.column(call.out, g + 8 * r);
    if (col < 0) continue;
    PixelCoordinates at;
    if (call.skip.data) at = pixel_coordinates(call, tile.batch, tile.row, col);
    dense::store_pixel(call, tile.batch, tile.row, col, at, t, of_pixel[r], bias);
  }
}

// A block's shared memory beside the ring of weights, as one warp sees it.
template <Head head>
struct WarpMemory {
  PackedLayout layout;
  uint4* constants;
  CornerTable corners;
  float4* sums;  // of this lane; only lanes with channels use them

  LMF_DEVICE WarpMemory(const SharedLayout& parts, unsigned char* shared, int warp)
      : layout{head, parts.packed.passes},
        constants(reinterpret_cast<uint4*>(shared + parts.constants())),
        corners(shared + parts.corners(), warp),
        sums(reinterpret_cast<float4*>(shared + parts.sums()) + warp * 16 + 2 * (warp::lane() >> 2) +
             (warp::lane() & 1)) {}

  LMF_DEVICE const float4* floats(int offset) const { return reinterpret_cast<const float4*>(constants + offset); }

  // Copies the constants. A barrier of the block must follow.
  LMF_DEVICE void copy_constants(const uint4* packed, int thread, int threads) const {
    for (int i = thread; i < layout.constant_vectors(); i += threads) {
      warp::shared_store(constants + i, warp::load(packed + layout.constants() + i));
    }
  }
};

// Renders a warp's part of the call. stream: gives the matrices of the passes, again and again; all warps that share it
// go through as many passes.
template <class Half, Head head, class Stream>
LMF_DEVICE void render_runs(const PlainArguments& c, const WarpMemory<head>& memory, Stream& stream,
                            const warp::Position& position) {
  const RenderCall& call = c.render;
  const PackedLayout& layout = memory.layout;
  const CornerTable& corners = memory.corners;
  const int g = warp::lane() >> 2, t = warp::lane() & 3;
  const uint16_t* fields = static_cast<const uint16_t*>(call.fields.data);
  // job is an int, which needs one register: no memory holds the pixels of 2^31 jobs.
  LMF_KEEP_LOOP
  for (int job = position.block; job < c.jobs; job += position.blocks) {
    const int64_t run = int64_t(job) * kWarps + position.warp;
    warp::warp_barrier();  // the last run's corners have been read
    corners.fill(call, c.ensemble, tile_of(call, run < c.runs ? run : c.runs - 1));
    warp::warp_barrier();
    LMF_KEEP_LOOP
    for (int corner = 0; corner < (c.ensemble ? kCorners : 1); ++corner) {
      dense::Operand x;
      {
        const PixelCorner at[2] = {corners.at(corner, g), corners.at(corner, g + 8)};
        if constexpr (head == Head::linear) {
          dense::linear_head<Half, InShared>(x, fields, at, c.head_width, memory.floats(layout.head_table()));
        } else {
          dense::fourier_head<Half, InShared>(x, fields, at, c.head_width, memory.floats(layout.head_table()));
        }
      }
      LMF_KEEP_LOOP
      for (int pass = 0; pass < layout.passes; ++pass) {
        dense::Sums y;
        dense::start_with_bias<InShared>(y, memory.floats(layout.bias(pass)));
        dense::multiply<Half>(y, x, stream);
        dense::activate<Half>(x, y);
      }
      float y[4];
      dense::output_product<Half, InShared>(y, x, reinterpret_cast<const uint2*>(memory.constants + layout.out()));
      if (t > 1) continue;  // this lane has channels 2t and 2t + 1, and there are three channels
      // The sums lie in shared memory: registers are scarce.
      const float4 before = corner > 0 ? warp::shared_load(memory.sums) : float4{0.0f, 0.0f, 0.0f, 0.0f};
      const float w0 = corners.weight(corner, g), w1 = corners.weight(corner, g + 8);
      warp::shared_store(memory.sums, float4{warp::fma(w0, y[0], before.x), warp::fma(w0, y[1], before.y),
                                             warp::fma(w1, y[2], before.z), warp::fma(w1, y[3], before.w)});
    }
    if (t > 1 || run >= c.runs) continue;
    store_pixels(call, tile_of(call, run), warp::shared_load(memory.sums),
                 warp::shared_load(memory.floats(layout.out_bias())));
  }
}

// Renders a block's part of the call. All lanes of the block run it together. shared: Plan::shared_bytes bytes of the
// block's memory, aligned to 16, or to 1024 for Group.
template <class Half, Head head>
LMF_DEVICE void render(Mma<Half, head>, const PlainArguments& c, unsigned char* shared, warp::Position position) {
  const int thread = position.warp * warp::kSize + warp::lane();
  const WarpMemory<head> memory(SharedLayout{{head, c.layout.passes}, Stream::kBytes}, shared, position.warp);
  memory.copy_constants(c.packed, thread, kThreads);
  Stream stream(reinterpret_cast<uint4*>(shared), c.packed + memory.layout.matrices(),
                dense::Cycle(memory.layout.passes), thread);
  warp::block_barrier();  // the constants are there
  render_runs<Half>(c, memory, stream, position);
  stream.drain();
}

// The same by wgmma: warps 0 to 7 render, warp 8 copies the matrices, and three more belong to its warpgroup.
template <class Half, Head head>
LMF_DEVICE void render(Group<Half, head>, const PlainArguments& c, unsigned char* shared, warp::Position position) {
  const SharedLayout parts{{head, c.layout.passes}, Ring::kBytes};
  const int thread = position.warp * warp::kSize + warp::lane();
  const bool renders = position.warp < kWarps;
  const WarpMemory<head> memory(parts, shared, renders ? position.warp : 0);
  Ring ring(shared, shared + parts.bytes());
  if (thread == 0) ring.init(kWarps);
  memory.copy_constants(c.packed, thread, kGroupThreads);
  warp::block_barrier();  // the constants and the barriers are there
  if (renders) {
    warp::more_registers<240>();
    render_runs<Half>(c, memory, ring, position);
    return;
  }
  warp::fewer_registers<24>();
  if (position.warp > kWarps) return;
  const int stages = memory.layout.passes * dense::kPassStages;
  LMF_KEEP_LOOP
  for (int64_t job = position.block; job < c.jobs; job += position.blocks) {
    LMF_KEEP_LOOP
    for (int corner = 0; corner < (c.ensemble ? kCorners : 1); ++corner) {
      LMF_KEEP_LOOP
      for (int stage = 0; stage < stages; ++stage) {
        ring.produce(c.packed + memory.layout.matrices() + stage * dense::kStageVectors);
      }
    }
  }
}

}  // namespace lmf::plain

// Which kernel renders a call of the plain family, and with what launch size. Used by the launcher and the emulator.
#pragma once

#include "dense_group.h"
#include "dense_plan.h"
#include "plain_corners.h"
#include "plain_packed.h"

namespace lmf::plain {

using dense::Group;
using dense::kGroupThreads;
using dense::kThreads;
using dense::kWarps;
using dense::Mma;

// What the kernel gets.
struct PlainArguments {
  RenderCall render;
  const uint4* packed;  // PackedLayout
  PackedLayout layout;
  int head_width;      // of the head's result, as in PackCall
  int64_t runs, jobs;  // runs of 16 pixels, one for a warp at a time, and of kWarps runs, one for a block at a time
  bool ensemble;
};

using Stream = dense::WeightStream<kThreads>;
using Ring = dense::GroupRing<12>;

// The parts of a block's shared memory, in bytes: ring | constants | corners | sums. Group: and the ring's barriers.
struct SharedLayout {
  PackedLayout packed;
  int ring;

  LMF_HOST_DEVICE constexpr int constants() const { return ring; }
  LMF_HOST_DEVICE constexpr int corners() const { return constants() + 16 * packed.constant_vectors(); }
  LMF_HOST_DEVICE constexpr int sums() const { return corners() + kWarps * CornerTable::kBytesPerWarp; }
  // One vector for each of the 16 lanes of a warp that hold channels.
  LMF_HOST_DEVICE constexpr int bytes() const { return sums() + kWarps * 16 * 16; }
};
static_assert(SharedLayout{{Head::linear, kMaxPasses}, Stream::kBytes}.bytes() <= 99 << 10,
              "a block has 99 KB of shared memory on compute capability 8.6, 8.9 and 12.0");
static_assert(SharedLayout{{Head::linear, kMaxPasses}, Ring::kBytes}.bytes() + Ring::kBarrierBytes <= 227 << 10,
              "a block has 227 KB of shared memory on compute capability 9.0");

struct Plan : dense::LaunchPlan {
  PlainArguments render;
};

// packed: memory that holds the plan's packed weights when the kernel runs.
inline PlainArguments make_mma_call(const PlainCall& call, const PackCall& pack, const void* packed) {
  const Output& o = call.render.out;
  const int64_t runs = call.render.fields.batch * o.rows * dense::ceil_div(o.cols, dense::kRows);
  return {call.render, static_cast<const uint4*>(packed), pack.to,          pack.head_width,
          runs,        dense::ceil_div(runs, kWarps),     call.mlp.ensemble};
}

inline Plan make_plan(const PlainCall& call, dense::Method method, const void* packed, int multiprocessors) {
  const bool group = method == dense::Method::group;
  Plan plan{};
  plan.method = method;
  plan.pack = make_pack_call(call.mlp, dense::order_for(method));
  plan.render = make_mma_call(call, plan.pack, packed);
  plan.element = call.render.fields.element;
  plan.head = call.mlp.head;
  plan.blocks = plan.render.jobs < multiprocessors ? plan.render.jobs : multiprocessors;
  plan.shared_bytes = group ? SharedLayout{plan.pack.to, Ring::kBytes}.bytes() + Ring::kBarrierBytes
                            : SharedLayout{plan.pack.to, Stream::kBytes}.bytes();
  return plan;
}

}  // namespace lmf::plain

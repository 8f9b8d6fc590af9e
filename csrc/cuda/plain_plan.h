// Which kernel renders a call of the plain family, and with what launch size. Used by the launcher and the emulator.
#pragma once

#include "dense_group.h"
#include "plain_corners.h"
#include "plain_packed.h"

namespace lmf::plain {

// Tag of a kernel: tensor cores by mma.sync. H: warp::F16 or warp::BF16, of the fields.
template <class H, Head head>
struct Mma {
  using Half = H;
};

// The same by wgmma, which compute capability 9.0 alone has.
template <class H, Head head>
struct Group {
  using Half = H;
};

enum class Method { mma, group };

// What the kernel gets.
struct MmaCall {
  RenderCall render;
  const uint4* packed;  // PackedLayout
  PackedLayout layout;
  int head_width;      // of the head's result, as in PackCall
  int64_t runs, jobs;  // runs of 16 pixels, one for a warp at a time, and of kWarps runs, one for a block at a time
  bool ensemble;
};

constexpr int kWarps = 8;  // that render; a lane has up to 255 registers, so that one block fills a multiprocessor
constexpr int kThreads = kWarps * warp::kSize;
constexpr int kGroupWarps = kWarps + 4;  // and the producer's warpgroup
constexpr int kGroupThreads = kGroupWarps * warp::kSize;
using Stream = dense::WeightStream<kThreads>;

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
static_assert(SharedLayout{{Head::linear, kMaxPasses}, dense::GroupRing::kBytes}.bytes() +
                      dense::GroupRing::kBarrierBytes <=
                  227 << 10,
              "a block has 227 KB of shared memory on compute capability 9.0");

struct Plan {
  Method method;
  PackCall pack;
  MmaCall render;
  Element element;  // of the fields
  Head head;
  int warps;         // per block
  int64_t blocks;    // at most as many as the device runs at once; the kernels loop over the rest
  int shared_bytes;  // per block
  int pack_blocks;   // of the packing kernel, with as many warps per block
};

// Calls f with the tag of the plan's kernel.
template <class Half, Head head, class F>
void with_method(const Plan& plan, F f) {
  plan.method == Method::mma ? f(Mma<Half, head>{}) : f(Group<Half, head>{});
}
template <class Half, class F>
void with_half(const Plan& plan, F f) {
  plan.head == Head::linear ? with_method<Half, Head::linear>(plan, f) : with_method<Half, Head::fourier>(plan, f);
}
template <class F>
void with_tag(const Plan& plan, F f) {
  plan.element == Element::float16 ? with_half<warp::F16>(plan, f) : with_half<warp::BF16>(plan, f);
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// packed: memory that holds the plan's packed weights when the kernel runs.
inline MmaCall make_mma_call(const PlainCall& call, const PackCall& pack, const void* packed) {
  const Output& o = call.render.out;
  const int64_t runs = call.render.fields.batch * o.rows * ceil_div(o.cols, dense::kRows);
  return {call.render,      static_cast<const uint4*>(packed), pack.to, pack.head_width, runs, ceil_div(runs, kWarps),
          call.mlp.ensemble};
}

inline Plan make_plan(const PlainCall& call, Method method, const void* packed, int multiprocessors) {
  const bool group = method == Method::group;
  Plan plan{};
  plan.method = method;
  plan.pack = make_pack_call(call.mlp, group ? dense::Order::swizzled : dense::Order::lanes);
  plan.render = make_mma_call(call, plan.pack, packed);
  plan.element = call.render.fields.element;
  plan.head = call.mlp.head;
  plan.warps = group ? kGroupWarps : kWarps;
  plan.blocks = plan.render.jobs < multiprocessors ? plan.render.jobs : multiprocessors;
  plan.shared_bytes =
      group ? SharedLayout{plan.pack.to, dense::GroupRing::kBytes}.bytes() + dense::GroupRing::kBarrierBytes
            : SharedLayout{plan.pack.to, Stream::kBytes}.bytes();
  plan.pack_blocks = int(ceil_div(plan.pack.to.vectors(), kThreads));
  return plan;
}

}  // namespace lmf::plain

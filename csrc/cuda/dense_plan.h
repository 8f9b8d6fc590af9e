// What the launches of the 256-wide kernels have in common. Used by the launchers and the emulator.
#pragma once

#include "dense_packed.h"

namespace lmf::dense {

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

inline Method method_of(bool group) { return group ? Method::group : Method::mma; }

constexpr int kWarps = 8;  // that render; a lane has up to 255 registers, so that one block fills a multiprocessor
constexpr int kThreads = kWarps * warp::kSize;
constexpr int kGroupWarps = kWarps + 4;  // and the producer's warpgroup
constexpr int kGroupThreads = kGroupWarps * warp::kSize;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct LaunchPlan {
  Method method;
  PackCall pack;
  Element element;  // of the fields
  Head head;
  int64_t blocks;    // at most as many as the device runs at once; the kernels loop over the rest
  int shared_bytes;  // per block

  int warps() const { return method == Method::group ? kGroupWarps : kWarps; }  // per block
  // Of the packing kernel, with kWarps warps per block.
  int pack_blocks() const { return int(ceil_div(pack.to.vectors(), kThreads)); }
};

inline Order order_for(Method method) { return method == Method::group ? Order::swizzled : Order::lanes; }

// Calls f with the tag of the plan's kernel.
template <class Half, Head head, class F>
void with_method(const LaunchPlan& plan, F f) {
  plan.method == Method::mma ? f(Mma<Half, head>{}) : f(Group<Half, head>{});
}
template <class Half, class F>
void with_half(const LaunchPlan& plan, F f) {
  plan.head == Head::linear ? with_method<Half, Head::linear>(plan, f) : with_method<Half, Head::fourier>(plan, f);
}
template <class F>
void with_tag(const LaunchPlan& plan, F f) {
  plan.element == Element::float16 ? with_half<warp::F16>(plan, f) : with_half<warp::BF16>(plan, f);
}

}  // namespace lmf::dense

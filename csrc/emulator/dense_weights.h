// Runs the packing of csrc/cuda/dense_packed.h, and kernels that read packed weights, on the emulator.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "../cuda/dense_plan.h"
#include "call_memory.h"

namespace lmf::emulator {

// Each byte of the packed weights must be written exactly once.
inline void pack_weights(const dense::LaunchPlan& plan, void* packed) {
  const dense::PackCall& call = plan.pack;
  uint4* const vectors = static_cast<uint4*>(packed);
  GlobalMemory memory(
      {Range("weights", call.weights, size_of(call.element), {{call.out.bias + call.out.out, 1}}),  // the last piece
       Range("packed", packed, 16, {{call.to.vectors(), 1}}, true)});
  const int blocks = 2;  // fewer than a launch has, so that the kernel loops
  Machine::launch({blocks, 1, 0}, memory, [&](int64_t block, int warp, unsigned char*) {
    const warp::Position position{warp, 1, int(block), blocks};
    plan.element == Element::float16 ? dense::pack<warp::F16>(call, vectors, position)
                                     : dense::pack<warp::BF16>(call, vectors, position);
  });
}

// Renders by the kernel of a plan. ranges: the memory that it may access, besides the packed weights.
template <class Plan>
void run_packed(const Plan& plan, std::vector<Range> ranges, const void* packed) {
  const int64_t blocks = std::min(plan.blocks, kMaxBlocks);
  ranges.emplace_back("packed", packed, 16, std::vector<Axis>{{plan.pack.to.vectors(), 1}});
  GlobalMemory memory(std::move(ranges));
  dense::with_tag(plan, [&](auto tag) {
    Machine::launch({blocks, plan.warps(), plan.shared_bytes}, memory,
                    [&](int64_t block, int warp, unsigned char* shared) {
                      render(tag, plan.render, shared, warp::Position{warp, plan.warps(), int(block), int(blocks)});
                    });
  });
}

}  // namespace lmf::emulator

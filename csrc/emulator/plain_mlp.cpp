// Runs the bodies of csrc/cuda/plain_packed.h and plain_mlp.h on the emulator.
#include "../cuda/plain_mlp.h"

#include <algorithm>
#include <vector>

#include "call_memory.h"
#include "kernels.h"

namespace lmf::emulator {
namespace {

using namespace plain;

// Each byte of the packed weights must be written exactly once.
template <class Half>
void pack_weights(const PackCall& call, uint4* packed, int64_t weight_count) {
  GlobalMemory memory({Range("weights", call.weights, size_of(call.element), {{weight_count, 1}}),
                       Range("packed", packed, 16, {{call.to.vectors(), 1}}, true)});
  const int blocks = 2;  // fewer than a launch has, so that the kernel loops
  Machine::launch({blocks, 1, 0}, memory, [&](int64_t block, int warp, unsigned char*) {
    pack<Half>(call, packed, {warp, 1, int(block), blocks});
  });
}

}  // namespace

void plain_mlp(const PlainCall& call, bool group, int multiprocessors) {
  std::vector<uint4> packed(size_t(packed_layout(call.mlp).vectors()));
  const Plan plan = make_plan(call, group ? Method::group : Method::mma, packed.data(), multiprocessors);
  const int64_t blocks = std::min(plan.blocks, kMaxBlocks);
  const int64_t channels = call.mlp.head == Head::linear ? plan.pack.head_width : 2 * call.mlp.in_dim;
  std::vector<Range> ranges = ranges_of(call.render, channels);
  ranges.emplace_back("packed", packed.data(), 16, std::vector<Axis>{{int64_t(packed.size()), 1}});
  GlobalMemory memory(std::move(ranges));
  with_tag(plan, [&](auto tag) {
    pack_weights<typename decltype(tag)::Half>(plan.pack, packed.data(), plan.pack.out.bias + plan.pack.out.out);
    Machine::launch({blocks, plan.warps, plan.shared_bytes}, memory,
                    [&](int64_t block, int warp, unsigned char* shared) {
                      render(tag, plan.render, shared, warp::Position{warp, plan.warps, int(block), int(blocks)});
                    });
  });
}

}  // namespace lmf::emulator

// Runs the bodies of csrc/cuda/plain_mlp.h on the emulator.
#include "../cuda/plain_mlp.h"

#include <algorithm>
#include <vector>

#include "dense_weights.h"
#include "kernels.h"

namespace lmf::emulator {

void plain_mlp(const PlainCall& call, bool group, int multiprocessors) {
  std::vector<uint4> packed(size_t(plain::packed_layout(call.mlp).vectors()));
  const auto method = group ? dense::Method::group : dense::Method::mma;
  const plain::Plan plan = plain::make_plan(call, method, packed.data(), multiprocessors);
  const int64_t blocks = std::min(plan.blocks, kMaxBlocks);
  const int64_t channels = call.mlp.head == Head::linear ? plan.pack.head_width : 2 * call.mlp.in_dim;
  std::vector<Range> ranges = ranges_of(call.render, channels);
  ranges.emplace_back("packed", packed.data(), 16, std::vector<Axis>{{int64_t(packed.size()), 1}});
  GlobalMemory memory(std::move(ranges));
  dense::with_tag(plan, [&](auto tag) {
    pack_weights<typename decltype(tag)::Half>(plan.pack, packed.data());
    Machine::launch({blocks, plan.warps(), plan.shared_bytes}, memory,
                    [&](int64_t block, int warp, unsigned char* shared) {
                      render(tag, plan.render, shared, warp::Position{warp, plan.warps(), int(block), int(blocks)});
                    });
  });
}

}  // namespace lmf::emulator

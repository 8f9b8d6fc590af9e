// Runs the bodies of csrc/cuda/modulated_mlp.h on the emulator.
#include "../cuda/modulated_mlp.h"

#include <algorithm>
#include <vector>

#include "call_memory.h"
#include "kernels.h"

namespace lmf::emulator {
namespace {

GlobalMemory memory_of(const ModulatedCall& c) {
  const ModulatedLayout<int64_t> layout(c.mlp);
  std::vector<Range> ranges = ranges_of(c.render, layout.channels());
  ranges.emplace_back("weights", c.mlp.weights, size_of(c.mlp.element), std::vector<Axis>{{layout.weights(), 1}});
  return GlobalMemory(std::move(ranges));
}

}  // namespace

modulated::Path modulated_mlp(const ModulatedCall& call, int multiprocessors) {
  const modulated::Plan plan = modulated::make_plan(call, multiprocessors);
  const int64_t blocks = std::min(plan.blocks, kMaxBlocks);
  GlobalMemory memory = memory_of(call);
  modulated::with_path(plan.path, [&](auto tag) {
    Machine::launch(
        {blocks, plan.warps, plan.shared_bytes}, memory, [&](int64_t block, int warp, unsigned char* shared) {
          render(tag, call, plan.columns, shared, warp::Position{warp, plan.warps, int(block), int(blocks)});
        });
  });
  return plan.path;
}

}  // namespace lmf::emulator

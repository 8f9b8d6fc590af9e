// Runs the bodies of csrc/cuda/modulated_mlp.h on the emulator.
#include "../cuda/modulated_mlp.h"

#include <algorithm>
#include <vector>

#include "kernels.h"

namespace lmf::emulator {
namespace {

constexpr int64_t kMaxBlocks = 3;  // enough to make the kernels loop over the grid

int64_t size_of(Element element) { return element == Element::float32 ? 4 : 2; }

int64_t size_of(Store store) { return store == Store::float32 ? 4 : store == Store::uint8 ? 1 : 2; }

// The elements of the call's tensors, and nothing else.
GlobalMemory memory_of(const ModulatedCall& c) {
  const RenderCall& call = c.render;
  const Fields& f = call.fields;
  const Skip& s = call.skip;
  const Output& o = call.out;
  const ModulatedLayout<int64_t> layout(c.mlp);
  std::vector<Range> ranges;
  ranges.emplace_back(
      "fields", f.data, size_of(f.element),
      std::vector<Axis>{{f.batch, f.stride_b}, {f.rows, f.stride_y}, {f.cols, f.stride_x}, {layout.channels(), 1}});
  ranges.emplace_back("weights", c.mlp.weights, size_of(c.mlp.element), std::vector<Axis>{{layout.weights(), 1}});
  if (s.data)
    ranges.emplace_back(
        "skip", s.data, size_of(s.element),
        std::vector<Axis>{{f.batch, s.stride_b}, {3, s.stride_c}, {f.rows, s.stride_y}, {f.cols, s.stride_x}});
  if (call.points.coord) {
    const std::vector<Axis> pairs{{f.batch * o.cols * 2, 1}};
    ranges.emplace_back("coord", call.points.coord, 4, pairs);
    ranges.emplace_back("cell", call.points.cell, 4, pairs);
  }
  ranges.emplace_back(
      "out", o.data, size_of(o.store),
      std::vector<Axis>{{f.batch, o.stride_b}, {3, o.stride_c}, {o.rows, o.stride_y}, {o.cols, o.stride_x}}, true);
  return GlobalMemory(std::move(ranges));
}

}  // namespace

modulated::Path modulated_mlp(const ModulatedCall& call, int multiprocessors) {
  const modulated::Plan plan = modulated::make_plan(call, multiprocessors);
  const int64_t blocks = std::min(plan.blocks, kMaxBlocks);
  GlobalMemory memory = memory_of(call);
  modulated::with_path(plan.path, [&](auto tag) {
    Machine::launch({blocks, plan.warps, plan.shared_bytes}, memory,
                    [&](int64_t block, int warp, unsigned char* shared) {
                      render(tag, call, plan.columns, shared,
                             warp::Position{warp, plan.warps, int(block), int(blocks)});
                    });
  });
  return plan.path;
}

}  // namespace lmf::emulator

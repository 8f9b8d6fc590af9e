// The bodies of csrc/cuda/modulated_mlp.h on the lockstep machine.
#include "../cuda/modulated_mlp.h"

#include <algorithm>
#include <vector>

#include "../cuda/modulated_plan.h"
#include "kernels.h"

namespace lmf::emulator {
namespace {

constexpr int64_t kMostBlocks = 3;  // enough for loops to stride over the grid

int64_t size_of(Element element) { return element == Element::f32 ? 4 : 2; }

int64_t size_of(Store store) { return store == Store::f32 ? 4 : store == Store::u8 ? 1 : 2; }

int64_t weight_count(const ModulatedMlp& m) {
  const int64_t head = m.head == Head::linear ? 4 * m.hidden : m.in_dim + int64_t(m.in_dim) * m.hidden;
  return head + int64_t(m.depth - 1) * m.hidden * m.hidden + 3 * m.hidden + 3;
}

// Exactly the elements of the call's tensors.
GlobalMemory memory_of(const ModulatedCall& call) {
  const Fields& f = call.fields;
  const Output& o = call.out;
  std::vector<Range> ranges;
  ranges.emplace_back("fields", f.data, size_of(f.element),
                      std::vector<Axis>{{f.batch, f.stride[0]}, {f.rows, f.stride[1]}, {f.cols, f.stride[2]},
                                        {record_channels(call.mlp), 1}});
  ranges.emplace_back("weights", call.mlp.weights, size_of(call.mlp.element),
                      std::vector<Axis>{{weight_count(call.mlp), 1}});
  if (call.skip.data)
    ranges.emplace_back("skip", call.skip.data, size_of(call.skip.element),
                        std::vector<Axis>{{f.batch, call.skip.stride[0]}, {3, call.skip.stride[1]},
                                          {f.rows, call.skip.stride[2]}, {f.cols, call.skip.stride[3]}});
  if (call.points.coord) {
    const std::vector<Axis> pairs{{f.batch * o.cols * 2, 1}};
    ranges.emplace_back("coord", call.points.coord, 4, pairs);
    ranges.emplace_back("cell", call.points.cell, 4, pairs);
  }
  ranges.emplace_back("out", o.data, size_of(o.store),
                      std::vector<Axis>{{f.batch, o.stride[0]}, {3, o.stride[1]}, {o.rows, o.stride[2]},
                                        {o.cols, o.stride[3]}},
                      true);
  return GlobalMemory(std::move(ranges));
}

}  // namespace

int modulated_mlp(const ModulatedCall& call, int multiprocessors) {
  const ModulatedPlan plan = plan_modulated(call, multiprocessors);
  const int64_t blocks = std::min(plan.blocks, kMostBlocks);
  GlobalMemory memory = memory_of(call);
  with_path(plan.path, [&](auto path) {
    Machine::launch({blocks, plan.warps, plan.shared_bytes}, memory,
                    [&](int64_t block, int warp, unsigned char* shared) {
                      modulated_mlp_body<decltype(path)>(
                          call, shared, warp::Place{warp, plan.warps, int(block), int(blocks)});
                    });
  });
  return plan.path;
}

}  // namespace lmf::emulator

// Runs the bodies of csrc/cuda/c2f_mlp.h on the emulator.
#include "../cuda/c2f_mlp.h"

#include <algorithm>
#include <vector>

#include "dense_weights.h"
#include "kernels.h"

namespace lmf::emulator {

void c2f_mlp(const C2fCall& call, bool group, int multiprocessors) {
  std::vector<uint4> packed(size_t(c2f::packed_layout(call.mlp).vectors()));
  const auto method = group ? dense::Method::group : dense::Method::mma;
  const c2f::Plan plan = c2f::make_plan(call, method, packed.data(), multiprocessors);
  if (plan.blocks == 0) return;
  const int64_t blocks = std::min(plan.blocks, kMaxBlocks);
  const int64_t channels = call.mlp.head == Head::linear ? plan.pack.head_width : 2 * call.mlp.in_dim;
  // The skip has one LR pixel more than the cells of the fields on each side, as far as the picture has them.
  const Fields& f = call.render.fields;
  const auto held = [&](int64_t start, int64_t count, int64_t size) {
    const int64_t end = start + count + (call.mlp.slice_ensemble ? 0 : 1);
    return std::min(end, size) - std::max<int64_t>(start - 1, 0);
  };
  std::vector<Range> ranges =
      ranges_of(call.render, channels, held(f.lr_y0, f.rows, f.lr_h), held(f.lr_x0, f.cols, f.lr_w));
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

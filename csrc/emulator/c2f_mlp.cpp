// Runs the bodies of csrc/cuda/c2f_mlp.h on the emulator.
#include "../cuda/c2f_mlp.h"

#include <algorithm>

#include "dense_weights.h"
#include "kernels.h"

namespace lmf::emulator {

int64_t c2f_mlp_packed_bytes(const C2fMlp& mlp) { return int64_t(c2f::packed_layout(mlp).vectors()) * 16; }

void c2f_mlp_pack(const C2fCall& call, bool group, void* packed) {
  pack_weights(c2f::make_plan(call, dense::method_of(group), packed, 1), packed);
}

void c2f_mlp(const C2fCall& call, bool group, const void* packed, int multiprocessors) {
  const c2f::Plan plan = c2f::make_plan(call, dense::method_of(group), packed, multiprocessors);
  if (plan.blocks == 0) return;
  const int64_t channels = call.mlp.head == Head::linear ? plan.pack.head_width : 2 * call.mlp.in_dim;
  // The skip has one LR pixel more than the cells of the fields on each side, as far as the picture has them.
  const Fields& f = call.render.fields;
  const auto held = [&](int64_t start, int64_t count, int64_t size) {
    const int64_t end = start + count + (call.mlp.slice_ensemble ? 0 : 1);
    return std::min(end, size) - std::max<int64_t>(start - 1, 0);
  };
  run_packed(plan, ranges_of(call.render, channels, held(f.lr_y0, f.rows, f.lr_h), held(f.lr_x0, f.cols, f.lr_w)),
             packed);
}

}  // namespace lmf::emulator

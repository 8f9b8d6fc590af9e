// Runs the bodies of csrc/cuda/plain_mlp.h on the emulator.
#include "../cuda/plain_mlp.h"

#include "dense_weights.h"
#include "kernels.h"

namespace lmf::emulator {

int64_t plain_mlp_packed_bytes(const PlainMlp& mlp) { return int64_t(plain::packed_layout(mlp).vectors()) * 16; }

void plain_mlp_pack(const PlainCall& call, bool group, void* packed) {
  pack_weights(plain::make_plan(call, dense::method_of(group), packed, 1), packed);
}

void plain_mlp(const PlainCall& call, bool group, const void* packed, int multiprocessors) {
  const plain::Plan plan = plain::make_plan(call, dense::method_of(group), packed, multiprocessors);
  const int64_t channels = call.mlp.head == Head::linear ? plan.pack.head_width : 2 * call.mlp.in_dim;
  run_packed(plan, ranges_of(call.render, channels), packed);
}

}  // namespace lmf::emulator

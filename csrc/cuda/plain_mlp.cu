#include "dense_launch.h"
#include "kernels.h"
#include "plain_mlp.h"

namespace lmf::cuda {

int64_t plain_mlp_packed_bytes(const PlainMlp& mlp) { return int64_t(plain::packed_layout(mlp).vectors()) * 16; }

void plain_mlp_pack(const PlainCall& call, bool group, void* packed, int device, void* stream) {
  set_device(device);
  launch_packing(plain::make_plan(call, dense::method_of(group), packed, 1), packed, stream);
}

void plain_mlp(const PlainCall& call, bool group, const void* packed, int device, void* stream) {
  set_device(device);
  const plain::Plan plan = plain::make_plan(call, dense::method_of(group), packed, multiprocessors(device));
  if (plan.blocks > 0) launch_render(plan, stream);
}

}  // namespace lmf::cuda

#include "c2f_mlp.h"
#include "dense_launch.h"
#include "kernels.h"

namespace lmf::cuda {

int64_t c2f_mlp_packed_bytes(const C2fMlp& mlp) { return int64_t(c2f::packed_layout(mlp).vectors()) * 16; }

void c2f_mlp_pack(const C2fCall& call, bool group, void* packed, int device, void* stream) {
  set_device(device);
  launch_packing(c2f::make_plan(call, dense::method_of(group), packed, 1), packed, stream);
}

void c2f_mlp(const C2fCall& call, bool group, const void* packed, int device, void* stream) {
  set_device(device);
  const c2f::Plan plan = c2f::make_plan(call, dense::method_of(group), packed, multiprocessors(device));
  if (plan.blocks > 0) launch_render(plan, stream);
}

}  // namespace lmf::cuda

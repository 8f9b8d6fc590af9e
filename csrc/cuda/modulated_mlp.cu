#include "kernels.h"
#include "launch.h"
#include "modulated_mlp.h"

namespace lmf::cuda {
namespace {

using namespace modulated;

template <class Tag>
__global__ void __launch_bounds__(kWarps* warp::kSize, kBlocksPerMultiprocessor<Tag>)
    modulated_mlp_kernel(const __grid_constant__ ModulatedCall call, const __grid_constant__ ColumnPlan columns) {
  extern __shared__ uint4 shared[];
  render(Tag{}, call, columns, reinterpret_cast<unsigned char*>(shared),
         {int(threadIdx.x) / warp::kSize, kWarps, int(blockIdx.x), int(gridDim.x)});
}

}  // namespace

void modulated_mlp(const ModulatedCall& call, int device, void* stream) {
  set_device(device);
  const Plan plan = make_plan(call, multiprocessors(device));
  if (plan.blocks == 0) return;
  with_path(plan.path, [&](auto tag) {
    modulated_mlp_kernel<decltype(tag)><<<dim3(unsigned(plan.blocks)), plan.warps * warp::kSize, plan.shared_bytes,
                                          static_cast<cudaStream_t>(stream)>>>(call, plan.columns);
  });
  check(cudaGetLastError(), "launching modulated_mlp");
}

}  // namespace lmf::cuda

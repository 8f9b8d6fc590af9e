#include "modulated_mlp.h"

#include "kernels.h"
#include "launch.h"

namespace lmf::cuda {
namespace {

template <class Path>
__global__ void __launch_bounds__(kWarps * kLanes, kBlocksPerProcessor<Path>)
    modulated_mlp_kernel(const __grid_constant__ ModulatedCall call) {
  extern __shared__ uint4 shared[];
  modulated_mlp_body<Path>(call, reinterpret_cast<unsigned char*>(shared),
                           {int(threadIdx.x) / kLanes, kWarps, int(blockIdx.x), int(gridDim.x)});
}

}  // namespace

void modulated_mlp(const ModulatedCall& call, int device, void* stream) {
  choose_device(device);
  const ModulatedPlan plan = plan_modulated(call, multiprocessors(device));
  if (plan.blocks == 0) return;
  with_path(plan.path, [&](auto path) {
    modulated_mlp_kernel<decltype(path)><<<dim3(unsigned(plan.blocks)), plan.warps * kLanes, plan.shared_bytes,
                                           static_cast<cudaStream_t>(stream)>>>(call);
  });
  check(cudaGetLastError(), "launching modulated_mlp");
}

}  // namespace lmf::cuda

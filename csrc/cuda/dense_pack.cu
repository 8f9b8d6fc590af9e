#include "dense_launch.h"

namespace lmf::cuda {
namespace {

template <class Half>
__global__ void __launch_bounds__(dense::kThreads)
    dense_pack_kernel(const __grid_constant__ dense::PackCall call, uint4* packed) {
  dense::pack<Half>(call, packed, {int(threadIdx.x) / warp::kSize, dense::kWarps, int(blockIdx.x), int(gridDim.x)});
}

}  // namespace

void launch_packing(const dense::LaunchPlan& plan, void* packed, void* stream) {
  const auto kernel = plan.element == Element::float16 ? dense_pack_kernel<warp::F16> : dense_pack_kernel<warp::BF16>;
  kernel<<<dim3(unsigned(plan.pack_blocks())), dense::kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      plan.pack, static_cast<uint4*>(packed));
  check(cudaGetLastError(), "launching the packing of the weights");
}

}  // namespace lmf::cuda

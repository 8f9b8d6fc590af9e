// Kernels and launches that the 256-wide families have in common. A family's kernel is its function
// render(tag, arguments, shared memory, position), found by the type of its arguments.
#pragma once

#include "dense_plan.h"
#include "launch.h"

namespace lmf::cuda {

template <class Tag, class Arguments>
__global__ void __launch_bounds__(dense::kThreads, 1) mma_kernel(const __grid_constant__ Arguments arguments) {
  extern __shared__ __align__(1024) uint4 shared[];
  render(Tag{}, arguments, reinterpret_cast<unsigned char*>(shared),
         {int(threadIdx.x) / warp::kSize, dense::kWarps, int(blockIdx.x), int(gridDim.x)});
}

// Code for other architectures than sm_90a has no body: the launcher does not run it.
template <class Tag, class Arguments>
__global__ void __launch_bounds__(dense::kGroupThreads, 1) group_kernel(const __grid_constant__ Arguments arguments) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint4 shared[];
  render(Tag{}, arguments, reinterpret_cast<unsigned char*>(shared),
         {int(threadIdx.x) / warp::kSize, dense::kGroupWarps, int(blockIdx.x), int(gridDim.x)});
#endif
}

template <class Arguments, class Half, Head head>
auto kernel_of(dense::Mma<Half, head>) {
  return mma_kernel<dense::Mma<Half, head>, Arguments>;
}
template <class Arguments, class Half, Head head>
auto kernel_of(dense::Group<Half, head>) {
  return group_kernel<dense::Group<Half, head>, Arguments>;
}

// Launches the kernel that packs the weights of a plan. In dense_pack.cu.
void launch_packing(const dense::LaunchPlan& plan, void* packed, void* stream);

// Launches the kernel of a plan with its `render` as arguments.
template <class Plan>
void launch_render(const Plan& plan, void* stream) {
  using Arguments = decltype(plan.render);
  dense::with_tag(plan, [&](auto tag) {
    const auto kernel = kernel_of<Arguments>(tag);
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, plan.shared_bytes),
          "setting the shared memory of the kernel");
    kernel<<<dim3(unsigned(plan.blocks)), unsigned(plan.warps() * warp::kSize), size_t(plan.shared_bytes),
             static_cast<cudaStream_t>(stream)>>>(plan.render);
  });
  check(cudaGetLastError(), "launching the kernel");
}

}  // namespace lmf::cuda

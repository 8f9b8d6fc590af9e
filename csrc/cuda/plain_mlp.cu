#include "dense_launch.h"
#include "kernels.h"
#include "plain_mlp.h"

namespace lmf::cuda {
namespace {

using namespace plain;

template <class Half>
__global__ void __launch_bounds__(dense::kThreads)
    plain_mlp_pack_kernel(const __grid_constant__ dense::PackCall call, uint4* packed) {
  dense::pack<Half>(call, packed, {int(threadIdx.x) / warp::kSize, dense::kWarps, int(blockIdx.x), int(gridDim.x)});
}

template <class Tag>
__global__ void __launch_bounds__(dense::kThreads, 1) plain_mlp_kernel(const __grid_constant__ MmaCall call) {
  extern __shared__ __align__(1024) uint4 shared[];
  render(Tag{}, call, reinterpret_cast<unsigned char*>(shared),
         {int(threadIdx.x) / warp::kSize, dense::kWarps, int(blockIdx.x), int(gridDim.x)});
}

// Code for other architectures than sm_90a has no body: the launcher does not run it.
template <class Tag>
__global__ void __launch_bounds__(dense::kGroupThreads, 1)
    plain_mlp_group_kernel(const __grid_constant__ MmaCall call) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint4 shared[];
  render(Tag{}, call, reinterpret_cast<unsigned char*>(shared),
         {int(threadIdx.x) / warp::kSize, dense::kGroupWarps, int(blockIdx.x), int(gridDim.x)});
#endif
}

template <class Half, Head head>
auto kernel_of(dense::Mma<Half, head>) {
  return plain_mlp_kernel<dense::Mma<Half, head>>;
}
template <class Half, Head head>
auto kernel_of(dense::Group<Half, head>) {
  return plain_mlp_group_kernel<dense::Group<Half, head>>;
}

}  // namespace

int64_t plain_mlp_packed_bytes(const PlainMlp& mlp) { return int64_t(packed_layout(mlp).vectors()) * 16; }

void plain_mlp(const PlainCall& call, void* packed, int device, void* stream) {
  set_device(device);
  const Plan plan = make_plan(call, method_for(device), packed, multiprocessors(device));
  if (plan.blocks == 0) return;
  dense::with_tag(plan, [&](auto tag) {
    launch(plan, plain_mlp_pack_kernel<typename decltype(tag)::Half>, kernel_of(tag), plan.render, packed, stream);
  });
}

}  // namespace lmf::cuda

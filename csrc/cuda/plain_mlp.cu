#include "kernels.h"
#include "launch.h"
#include "plain_mlp.h"

namespace lmf::cuda {
namespace {

using namespace plain;

template <class Half>
__global__ void __launch_bounds__(kThreads)
    plain_mlp_pack_kernel(const __grid_constant__ PackCall call, uint4* packed) {
  pack<Half>(call, packed, {int(threadIdx.x) / warp::kSize, kWarps, int(blockIdx.x), int(gridDim.x)});
}

template <class Tag>
__global__ void __launch_bounds__(kThreads, 1) plain_mlp_kernel(const __grid_constant__ MmaCall call) {
  extern __shared__ __align__(1024) uint4 shared[];
  render(Tag{}, call, reinterpret_cast<unsigned char*>(shared),
         {int(threadIdx.x) / warp::kSize, kWarps, int(blockIdx.x), int(gridDim.x)});
}

// Code for other architectures than sm_90a has no body: the launcher does not run it.
template <class Tag>
__global__ void __launch_bounds__(kGroupThreads, 1) plain_mlp_group_kernel(const __grid_constant__ MmaCall call) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint4 shared[];
  render(Tag{}, call, reinterpret_cast<unsigned char*>(shared),
         {int(threadIdx.x) / warp::kSize, kGroupWarps, int(blockIdx.x), int(gridDim.x)});
#endif
}

template <class Half, Head head>
auto kernel_of(Mma<Half, head>) {
  return plain_mlp_kernel<Mma<Half, head>>;
}
template <class Half, Head head>
auto kernel_of(Group<Half, head>) {
  return plain_mlp_group_kernel<Group<Half, head>>;
}

template <class Tag>
void launch(Tag tag, const Plan& plan, uint4* packed, cudaStream_t stream) {
  plain_mlp_pack_kernel<typename Tag::Half>
      <<<dim3(unsigned(plan.pack_blocks)), kThreads, 0, stream>>>(plan.pack, packed);
  check(cudaGetLastError(), "launching plain_mlp's packing");
  const auto kernel = kernel_of(tag);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, plan.shared_bytes),
        "setting the shared memory of plain_mlp");
  kernel<<<dim3(unsigned(plan.blocks)), unsigned(plan.warps * warp::kSize), size_t(plan.shared_bytes), stream>>>(
      plan.render);
  check(cudaGetLastError(), "launching plain_mlp");
}

// wgmma where the device has it and this build has code for it.
Method method_for(int device) {
#ifdef LMF_WITH_SM_90A
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "getting the compute capability");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "getting the compute capability");
  if (major == 9 && minor == 0) return Method::group;
#endif
  return Method::mma;
}

}  // namespace

int64_t plain_mlp_packed_bytes(const PlainMlp& mlp) { return int64_t(packed_layout(mlp).vectors()) * 16; }

void plain_mlp(const PlainCall& call, void* packed, int device, void* stream) {
  set_device(device);
  const Plan plan = make_plan(call, method_for(device), packed, multiprocessors(device));
  if (plan.blocks == 0) return;
  with_tag(plan, [&](auto tag) { launch(tag, plan, static_cast<uint4*>(packed), static_cast<cudaStream_t>(stream)); });
}

}  // namespace lmf::cuda

#include "plain_mlp.h"

#include "kernels.h"
#include "launch.h"

namespace lmf::cuda {
namespace {

using namespace plain;

template <class Half>
__global__ void __launch_bounds__(kThreads) plain_mlp_pack_kernel(const __grid_constant__ PackCall call, uint4* packed) {
  pack<Half>(call, packed, {int(threadIdx.x) / warp::kSize, kWarps, int(blockIdx.x), int(gridDim.x)});
}

template <class Tag>
__global__ void __launch_bounds__(kThreads, 1) plain_mlp_kernel(const __grid_constant__ MmaCall call) {
  extern __shared__ uint4 shared[];
  render(Tag{}, call, reinterpret_cast<unsigned char*>(shared),
         {int(threadIdx.x) / warp::kSize, kWarps, int(blockIdx.x), int(gridDim.x)});
}

template <class Half, Head head>
void launch(Mma<Half, head>, const Plan& plan, uint4* packed, cudaStream_t stream) {
  plain_mlp_pack_kernel<Half><<<dim3(unsigned(plan.pack_blocks)), kThreads, 0, stream>>>(plan.pack, packed);
  check(cudaGetLastError(), "launching plain_mlp's packing");
  const auto kernel = plain_mlp_kernel<Mma<Half, head>>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, plan.shared_bytes),
        "setting the shared memory of plain_mlp");
  kernel<<<dim3(unsigned(plan.blocks)), kThreads, size_t(plan.shared_bytes), stream>>>(plan.render);
  check(cudaGetLastError(), "launching plain_mlp");
}

}  // namespace

int64_t plain_mlp_packed_bytes(const PlainMlp& mlp) { return int64_t(packed_layout(mlp).vectors()) * 16; }

void plain_mlp(const PlainCall& call, void* packed, int device, void* stream) {
  set_device(device);
  const Plan plan = make_plan(call, packed, multiprocessors(device));
  if (plan.blocks == 0) return;
  with_tag(plan, [&](auto tag) { launch(tag, plan, static_cast<uint4*>(packed), static_cast<cudaStream_t>(stream)); });
}

}  // namespace lmf::cuda

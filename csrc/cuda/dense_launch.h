// Launches a 256-wide kernel after the kernel that packs its weights.
#pragma once

#include "dense_plan.h"
#include "launch.h"

namespace lmf::cuda {
namespace {  // internal linkage: a source knows by itself whether it is compiled for sm_90a

// wgmma where the device has it and this build has code for it.
dense::Method method_for(int device) {
#ifdef LMF_WITH_SM_90A
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "getting the compute capability");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "getting the compute capability");
  if (major == 9 && minor == 0) return dense::Method::group;
#endif
  return dense::Method::mma;
}

// pack(PackCall, uint4*) packs the weights of the plan into `packed`, kernel(Call) renders.
template <class Call>
void launch(const dense::LaunchPlan& plan, void (*pack)(const dense::PackCall, uint4*), void (*kernel)(const Call),
            const Call& call, void* packed, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  pack<<<dim3(unsigned(plan.pack_blocks())), dense::kThreads, 0, on>>>(plan.pack, static_cast<uint4*>(packed));
  check(cudaGetLastError(), "launching the packing of the weights");
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, plan.shared_bytes),
        "setting the shared memory of the kernel");
  kernel<<<dim3(unsigned(plan.blocks)), unsigned(plan.warps() * warp::kSize), size_t(plan.shared_bytes), on>>>(call);
  check(cudaGetLastError(), "launching the kernel");
}

}  // namespace
}  // namespace lmf::cuda

#include "group_tile.h"
#include "kernels.h"
#include "launch.h"

namespace lmf::cuda {
namespace {

constexpr int kThreads = dense::kTileWarps * warp::kSize;

template <class Half>
__global__ void __launch_bounds__(kThreads) group_tile_pack_kernel(const __grid_constant__ dense::TileCall call) {
  dense::pack_tile<Half>(call, int(threadIdx.x) / warp::kSize, dense::kTileWarps);
}

// Code for other architectures than sm_90a has no body: the launcher does not run it.
template <class Half>
__global__ void __launch_bounds__(kThreads, 1) group_tile_kernel(const __grid_constant__ dense::TileCall call) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) uint4 shared[];
  dense::multiply_tile<Half>(call, reinterpret_cast<unsigned char*>(shared), int(threadIdx.x) / warp::kSize);
#endif
}

template <class Half>
void launch_tile(const dense::TileCall& call, cudaStream_t stream) {
  group_tile_pack_kernel<Half><<<1, kThreads, 0, stream>>>(call);
  check(cudaGetLastError(), "launching the packing of a tile");
  group_tile_kernel<Half><<<1, kThreads, dense::kTileSharedBytes, stream>>>(call);
  check(cudaGetLastError(), "launching a tile");
}

}  // namespace

bool has_warpgroups(int device) {
#ifdef LMF_WITH_SM_90A
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "getting the compute capability");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "getting the compute capability");
  return major == 9 && minor == 0;
#else
  return false;
#endif
}

void group_tile(Element half, const void* a, const void* b, void* packed, float* d, int device, void* stream) {
  if (!has_warpgroups(device))
    throw std::runtime_error("a tile by wgmma needs compute capability 9.0 and a build for sm_90a");
  set_device(device);
  const dense::TileCall call{a, b, static_cast<uint4*>(packed), d, half};
  const auto on = static_cast<cudaStream_t>(stream);
  half == Element::float16 ? launch_tile<warp::F16>(call, on) : launch_tile<warp::BF16>(call, on);
}

}  // namespace lmf::cuda

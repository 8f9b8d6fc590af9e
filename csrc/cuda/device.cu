#include <cuda_runtime_api.h>

#include "device.h"

namespace lmf::cuda {
namespace {

std::string describe(cudaError_t status) {
  cudaGetLastError();  // clears the error, so that a later launch does not report it
  return std::string(cudaGetErrorName(status)) + ": " + cudaGetErrorString(status);
}

}  // namespace

DeviceReport query_devices() {
  DeviceReport report;
  cudaRuntimeGetVersion(&report.runtime_version);
  cudaDriverGetVersion(&report.driver_version);

  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    report.reason = describe(status);
    return report;
  }
  if (count == 0) {
    report.reason = "the driver reports no CUDA device (is CUDA_VISIBLE_DEVICES empty?)";
  }
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties;
    if (const cudaError_t status = cudaGetDeviceProperties(&properties, index); status != cudaSuccess) {
      report.reason = "device " + std::to_string(index) + ": " + describe(status);
      return report;
    }
    report.devices.push_back({properties.name, properties.major, properties.minor, properties.totalGlobalMem});
  }
  return report;
}

}  // namespace lmf::cuda

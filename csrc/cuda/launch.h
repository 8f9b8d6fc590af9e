// What every launcher needs from the CUDA runtime: the current device, and errors as exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace lmf::cuda {

inline void check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string(doing) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

// Makes a device the current one of this thread. The caller in Python restores the previous one with torch.cuda.device.
// Restoring it here would cost memory: cudaGetDevice returns 0 in a thread that never set a device, and since CUDA 12
// cudaSetDevice(0) then creates a context on GPU 0 (hundreds of MB), even if all work is on another GPU. Torch knows
// which devices have a context and does not switch back to one without.
inline void set_device(int device) {
  int current = 0;
  check(cudaGetDevice(&current), "getting the current device");
  if (current != device) check(cudaSetDevice(device), "setting the device");
}

inline int multiprocessors(int device) {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "getting the multiprocessor count");
  return count;
}

}  // namespace lmf::cuda

// What every launcher needs of the CUDA runtime: the right device, and errors as exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace lmf::cuda {

inline void check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string(doing) + ": " + cudaGetErrorName(status) + ": " + cudaGetErrorString(status));
}

// Makes a device the current one of this thread, and leaves it so: who calls from Python restores the one before, with
// torch.cuda.device. Done here it would cost memory: cudaGetDevice answers 0 in a thread that never chose a device, and
// since CUDA 12 cudaSetDevice(0) makes a context there (hundreds of MB), though all work is on another GPU. Torch knows
// which devices have a context: where the one before has none, it notes it and does not go back.
inline void choose_device(int device) {
  int current = 0;
  check(cudaGetDevice(&current), "asking for the current device");
  if (current != device) check(cudaSetDevice(device), "choosing a device");
}

inline int multiprocessors(int device) {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "asking for multiprocessors");
  return count;
}

}  // namespace lmf::cuda

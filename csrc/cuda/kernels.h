// Launchers of the CUDA kernels.
#pragma once

#include "../common/params.h"

namespace lmf::cuda {

// Renders on a device and stream, without waiting. Throws std::runtime_error with CUDA's words. Both functions leave
// `device` the thread's current one: see choose_device in launch.h.
void modulated_mlp(const ModulatedCall& call, int device, void* stream);

// Operations (two a multiply-add) a second of mma.sync in registers, float32 sums, measured for about `seconds`: what
// the tensor-core kernels are held against. half: f16 or bf16. Waits for the device.
double mma_rate(Element half, double seconds, int device);

}  // namespace lmf::cuda

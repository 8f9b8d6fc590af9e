// Launchers of the CUDA kernels. They make `device` the current device of the thread and do not restore the previous
// one: see set_device in launch.h.
#pragma once

#include "../common/params.h"

namespace lmf::cuda {

// Renders on a device and stream, without waiting. Throws std::runtime_error with CUDA's message.
void modulated_mlp(const ModulatedCall& call, int device, void* stream);

// Operations per second (two per multiply-add) of mma.sync in registers with float32 sums, measured for about
// `seconds`. Benchmarks compare the tensor-core kernels with this rate. half: float16 or bfloat16. Waits for the
// device.
double mma_rate(Element half, double seconds, int device);

}  // namespace lmf::cuda

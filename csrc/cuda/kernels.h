// Launchers of the CUDA kernels. They make `device` the current device of the thread and do not restore the previous
// one: see set_device in launch.h.
#pragma once

#include "../common/params.h"

namespace lmf::cuda {

// Renders on a device and stream, without waiting. Throws std::runtime_error with CUDA's message.
void modulated_mlp(const ModulatedCall& call, int device, void* stream);

// The same for the plain family. packed: plain_mlp_packed_bytes bytes of the device's memory, aligned to 16, which hold
// the network's packed weights until the render has finished.
void plain_mlp(const PlainCall& call, void* packed, int device, void* stream);
int64_t plain_mlp_packed_bytes(const PlainMlp& mlp);

// The same for the coarse-to-fine family.
void c2f_mlp(const C2fCall& call, void* packed, int device, void* stream);
int64_t c2f_mlp_packed_bytes(const C2fMlp& mlp);

// Operations per second (two per multiply-add) of mma.sync in registers with float32 sums, measured for about
// `seconds`. Benchmarks compare the tensor-core kernels with this rate. half: float16 or bfloat16. Waits for the
// device.
double mma_rate(Element half, double seconds, int device);

}  // namespace lmf::cuda

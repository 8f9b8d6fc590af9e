// Launchers of the CUDA kernels. They make `device` the current device of the thread and do not restore the previous
// one: see set_device in launch.h.
#pragma once

#include "../common/params.h"

namespace lmf::cuda {

// Renders on a device and stream, without waiting. Throws std::runtime_error with CUDA's message.
void modulated_mlp(const ModulatedCall& call, int device, void* stream);

// The kernels of 256-wide layers read packed weights: ..._packed_bytes bytes of the device's memory, aligned to 16.
// They are filled by ..._pack from the weights of a call, and must stay until the render has finished. They serve every
// call with those weights, that element of the fields and that `group`; in the coarse-to-fine family also that LR size,
// output size and cell. group: for the kernel by wgmma, which needs has_warpgroups.
int64_t plain_mlp_packed_bytes(const PlainMlp& mlp);
void plain_mlp_pack(const PlainCall& call, bool group, void* packed, int device, void* stream);
void plain_mlp(const PlainCall& call, bool group, const void* packed, int device, void* stream);

// The same for the coarse-to-fine family.
int64_t c2f_mlp_packed_bytes(const C2fMlp& mlp);
void c2f_mlp_pack(const C2fCall& call, bool group, void* packed, int device, void* stream);
void c2f_mlp(const C2fCall& call, bool group, const void* packed, int device, void* stream);

// Whether the device has the matrix instructions of a warpgroup (wgmma), and this build has code for them.
bool has_warpgroups(int device);

// One product by them for a self-test, on the device's own memory: d (64, 256) = a (64, 32) b (32, 256), all
// contiguous, a and b of `half`, d float32. packed: 16 KB of scratch memory, aligned to 16.
void group_tile(Element half, const void* a, const void* b, void* packed, float* d, int device, void* stream);

// Operations per second (two per multiply-add) of mma.sync in registers with float32 sums, measured for about
// `seconds`. Benchmarks compare the tensor-core kernels with this rate. half: float16 or bfloat16. Waits for the
// device.
double mma_rate(Element half, double seconds, int device);

}  // namespace lmf::cuda

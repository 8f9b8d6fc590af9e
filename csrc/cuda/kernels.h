// Launchers of the CUDA kernels.
#pragma once

#include "../common/params.h"

namespace lmf::cuda {

// Renders on a device and stream, without waiting. Throws std::runtime_error with CUDA's words.
void modulated_mlp(const ModulatedCall& call, int device, void* stream);

}  // namespace lmf::cuda

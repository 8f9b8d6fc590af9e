// What the emulator runs for the tests: the CUDA kernels, the primitives one at a time, and mistakes that it must
// detect.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../common/params.h"
#include "../cuda/modulated_plan.h"

namespace lmf::emulator {

// Renders as the CUDA launcher would on a device with that many multiprocessors, but with at most three blocks, so that
// the kernels loop over the grid. Returns the path of the kernel. Throws std::runtime_error if a lane breaks a rule.
modulated::Path modulated_mlp(const ModulatedCall& call, int multiprocessors);

// The same for the plain family, its packing of the weights included. group: by the kernel for compute capability 9.0.
void plain_mlp(const PlainCall& call, bool group, int multiprocessors);

// Matrix product of one warp. a (32, 4), b (32, 2), c and d (32, 4): the registers of each lane.
void mma(Element half, const uint32_t* a, const uint32_t* b, const float* c, float* d);

// out[i] = values[sources[i]], 32 of each.
void shuffle(const float* values, const int32_t* sources, float* out);

// One operation for n lanes: "pack", "pack_relu", "widen_low", "widen_high" or "times_one_plus". Floats are passed as
// bits.
void elementwise(const std::string& operation, Element half, int64_t n, const uint32_t* a, const uint32_t* b,
                 uint32_t* out);

uint8_t round_to_byte(float x);

// The number of pixels of a quad with rows x cols pixels, and row and column of pixel p.
void quad_pixel(int64_t rows, int64_t cols, uint32_t p, uint32_t* count, int* row, int* col);

// Runs a kernel that breaks a rule on purpose, and throws what the emulator reports. misuses(): the names.
void misuse(const std::string& name);
std::vector<std::string> misuses();

}  // namespace lmf::emulator

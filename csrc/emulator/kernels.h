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

// The same for the coarse-to-fine family.
void c2f_mlp(const C2fCall& call, bool group, int multiprocessors);

// Matrix product of one warp. a (32, 4), b (32, 2), c and d (32, 4): the registers of each lane.
void mma(Element half, const uint32_t* a, const uint32_t* b, const float* c, float* d);

// out[i] = values[sources[i]], 32 of each.
void shuffle(const float* values, const int32_t* sources, float* out);

// The same of float16 with float16 sums and without C. d (32, 2).
void mma_half(const uint32_t* a, const uint32_t* b, uint32_t* d);

// One operation for n lanes: "pack", "pack_relu", "widen_low", "widen_high", "fma_pair" or "fma_relu_pair". Floats are
// passed as bits.
void elementwise(const std::string& operation, Element half, int64_t n, const uint32_t* a, const uint32_t* b,
                 const uint32_t* c, uint32_t* out);

uint8_t round_to_byte(float x);

// Where output position `pos` of an axis lies among its cells, as the kernel by columns computes it. As a column: its
// cell k0 and place f. As a row: the cell, the first row of its chunk and that row's place.
void place_among_cells(int64_t n_in, int64_t n_out, int64_t pos, int* k0, float* f, int* row_k0, int* first,
                       float* first_f);

// Runs a kernel that breaks a rule on purpose, and throws what the emulator reports. misuses(): the names.
void misuse(const std::string& name);
std::vector<std::string> misuses();

}  // namespace lmf::emulator

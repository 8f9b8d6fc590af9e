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

// The same for the plain family, in two steps as in csrc/cuda/kernels.h. packed: plain_mlp_packed_bytes bytes.
int64_t plain_mlp_packed_bytes(const PlainMlp& mlp);
void plain_mlp_pack(const PlainCall& call, bool group, void* packed);
void plain_mlp(const PlainCall& call, bool group, const void* packed, int multiprocessors);

// The same for the coarse-to-fine family.
int64_t c2f_mlp_packed_bytes(const C2fMlp& mlp);
void c2f_mlp_pack(const C2fCall& call, bool group, void* packed);
void c2f_mlp(const C2fCall& call, bool group, const void* packed, int multiprocessors);

// The self-test's product by a warpgroup, as in csrc/cuda/kernels.h. mistake: "", or "steps" or "stride", which is then
// wrong in the matrix descriptors.
void group_tile(Element half, const void* a, const void* b, void* packed, float* d, const std::string& mistake);

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

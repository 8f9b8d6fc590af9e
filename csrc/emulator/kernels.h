// What the emulator runs for the tests: the CUDA kernels, the primitives one at a time, and mistakes that it must find.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../common/params.h"

namespace lmf::emulator {

// The modulated kernel, as the launcher would start it on a device with so many multiprocessors, but at most three
// blocks: its loops stride over the grid. Returns the plan's path. Throws std::runtime_error where a lane goes wrong.
int modulated_mlp(const ModulatedCall& call, int multiprocessors);

// One warp's matrix product. a (32, 4), b (32, 2), c and d (32, 4): each lane's registers. half: 1 F16, 2 BF16.
void mma(int half, const uint32_t* a, const uint32_t* b, const float* c, float* d);

// 32 values, 32 source lanes.
void shuffle(const float* values, const int32_t* sources, float* out);

// n lanes' worth of one operation: "pack", "pack_relu", "widen_low", "widen_high" or "times_one_plus". Floats travel as
// bits.
void elementwise(const std::string& operation, int half, int64_t n, const uint32_t* a, const uint32_t* b,
                 uint32_t* out);

uint8_t round_to_byte(float x);

// Of a quad of rows x cols pixels: how many they are, and row and column of pixel p.
void quad_pixel(int64_t rows, int64_t cols, uint32_t p, uint32_t* count, int* row, int* col);

// A kernel that breaks a rule on purpose; throws what the emulator says of it. misuses(): the names.
void misuse(const std::string& name);
std::vector<std::string> misuses();

}  // namespace lmf::emulator

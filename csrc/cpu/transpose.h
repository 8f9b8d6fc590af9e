// Transposes the cell parameters of up to sixteen LR cells, (16, channels) -> (channels, 16), so that one channel of
// all cells is one cache line of float32. A kernel then reads a channel for its sixteen pixels with one permute, at any
// scale factor.
#pragma once

#include "elements.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Clang and GCC 12 or newer have the first form, GCC 11 has the second.
#if defined(__clang__) || __GNUC__ >= 12
#define LMF_SHUFFLE4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t Vec4Index __attribute__((vector_size(16)));
#define LMF_SHUFFLE4(a, b, i, j, k, l) __builtin_shuffle(a, b, Vec4Index{i, j, k, l})
#endif

// Four channels of four cells: out[c * 16 + i] = cell[i][channel + c].
template <class T>
inline void transpose4(const T* const* cell, int64_t channel, float* out) {
  const Vec4 a = load4(cell[0] + channel), b = load4(cell[1] + channel);
  const Vec4 c = load4(cell[2] + channel), d = load4(cell[3] + channel);
  const Vec4 ab0 = LMF_SHUFFLE4(a, b, 0, 4, 1, 5), ab1 = LMF_SHUFFLE4(a, b, 2, 6, 3, 7);
  const Vec4 cd0 = LMF_SHUFFLE4(c, d, 0, 4, 1, 5), cd1 = LMF_SHUFFLE4(c, d, 2, 6, 3, 7);
  *reinterpret_cast<Vec4*>(out) = LMF_SHUFFLE4(ab0, cd0, 0, 1, 4, 5);
  *reinterpret_cast<Vec4*>(out + kLanes) = LMF_SHUFFLE4(ab0, cd0, 2, 3, 6, 7);
  *reinterpret_cast<Vec4*>(out + 2 * kLanes) = LMF_SHUFFLE4(ab1, cd1, 0, 1, 4, 5);
  *reinterpret_cast<Vec4*>(out + 3 * kLanes) = LMF_SHUFFLE4(ab1, cd1, 2, 3, 6, 7);
}

// cells: sixteen pointers to the parameters of a cell. count: how many cells are transposed, a multiple of 4.
// out: (channels, 16), 64-byte aligned.
template <class T>
inline void transpose(const T* const* cells, int count, int64_t channels, float* out) {
  for (int64_t c = 0; c + 4 <= channels; c += 4)
    for (int i = 0; i < count; i += 4) transpose4(cells + i, c, out + c * kLanes + i);
  for (int64_t c = channels & ~int64_t(3); c < channels; ++c)
    for (int i = 0; i < count; ++i) out[c * kLanes + i] = load1(cells[i] + c);
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

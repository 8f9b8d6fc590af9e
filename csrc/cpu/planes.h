// Planes: the records of up to sixteen LR cells, transposed so that one channel of all of them is one cache line.
// A kernel reads a channel for its sixteen pixels with one permute, whatever the scale.
#pragma once

#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

typedef float Quad __attribute__((vector_size(16)));
typedef float QuadUnaligned __attribute__((vector_size(16), aligned(4)));

// Clang, and GCC from 12 on, know the first form; GCC 11 the second.
#if defined(__clang__) || __GNUC__ >= 12
#define LMF_SHUFFLE4(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t QuadIndex __attribute__((vector_size(16)));
#define LMF_SHUFFLE4(a, b, i, j, k, l) __builtin_shuffle(a, b, QuadIndex{i, j, k, l})
#endif

// 4 cells x 4 channels -> 4 channels x 4 cells.
inline void transpose4(const float* const* cell, int64_t channel, float* plane) {
  const Quad a = *reinterpret_cast<const QuadUnaligned*>(cell[0] + channel);
  const Quad b = *reinterpret_cast<const QuadUnaligned*>(cell[1] + channel);
  const Quad c = *reinterpret_cast<const QuadUnaligned*>(cell[2] + channel);
  const Quad d = *reinterpret_cast<const QuadUnaligned*>(cell[3] + channel);
  const Quad ab0 = LMF_SHUFFLE4(a, b, 0, 4, 1, 5), ab1 = LMF_SHUFFLE4(a, b, 2, 6, 3, 7);
  const Quad cd0 = LMF_SHUFFLE4(c, d, 0, 4, 1, 5), cd1 = LMF_SHUFFLE4(c, d, 2, 6, 3, 7);
  *reinterpret_cast<Quad*>(plane) = LMF_SHUFFLE4(ab0, cd0, 0, 1, 4, 5);
  *reinterpret_cast<Quad*>(plane + kLanes) = LMF_SHUFFLE4(ab0, cd0, 2, 3, 6, 7);
  *reinterpret_cast<Quad*>(plane + 2 * kLanes) = LMF_SHUFFLE4(ab1, cd1, 0, 1, 4, 5);
  *reinterpret_cast<Quad*>(plane + 3 * kLanes) = LMF_SHUFFLE4(ab1, cd1, 2, 3, 6, 7);
}

// cells: sixteen pointers (repeat one where there are fewer); used: how many matter, rounded up to a multiple of 4.
inline void transpose(const float* const* cells, int used, int64_t channels, float* planes) {
  for (int64_t c = 0; c + 4 <= channels; c += 4)
    for (int g = 0; g < used; g += 4) transpose4(cells + g, c, planes + c * kLanes + g);
  for (int64_t c = channels & ~int64_t(3); c < channels; ++c)
    for (int g = 0; g < used; ++g) planes[c * kLanes + g] = cells[g][c];
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// Products of small matrices. Sixteen columns of ROWS rows are summed in registers at a time.
#pragma once

#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Number of rows whose sums fit the registers.
#if defined(__AVX512F__)
constexpr int kRows = 16;
#elif defined(__AVX2__)
constexpr int kRows = 4;
#else
constexpr int kRows = 2;
#endif

// c[r][0..15] = sum over s < count of a[r * row + s * step] * b[s * ldb + 0..15]. ADD: adds to c instead.
template <int ROWS, bool ADD>
inline __attribute__((always_inline)) void product_block(const float* a, int64_t row, int64_t step, const float* b,
                                                         int64_t ldb, int count, float* c, int64_t ldc) {
  Lanes sum[ROWS];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r) sum[r] = ADD ? load(c + r * ldc) : set(0.0f);
  for (int s = 0; s < count; ++s, a += step, b += ldb) {
    const Lanes bs = load(b);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) sum[r] = fma(set(a[r * row]), bs, sum[r]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r) store(c + r * ldc, sum[r]);
}

// c (rows, cols) = a (rows, count) b (count, cols). ADD: adds to c instead. All are row-major with leading dimensions.
// cols must be a multiple of 16. rows is rounded up to a multiple of kRows, so a and c must have that many rows.
template <bool ADD = false>
inline __attribute__((always_inline)) void multiply(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                                                    int64_t ldc, int rows, int count, int cols) {
  for (int o = 0; o < cols; o += kLanes)
    for (int r = 0; r < rows; r += kRows)
      product_block<kRows, ADD>(a + r * lda, lda, 1, b + o, ldb, count, c + r * ldc + o, ldc);
}

// c (rows, cols) += transpose of a (count, rows) times b (count, cols). cols must be a multiple of 16, rows of ROWS.
template <int ROWS = kRows>
inline __attribute__((always_inline)) void add_outer(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                                                     int64_t ldc, int rows, int count, int cols) {
  for (int o = 0; o < cols; o += kLanes)
    for (int r = 0; r < rows; r += ROWS)
      product_block<ROWS, true>(a + r, 1, lda, b + o, ldb, count, c + r * ldc + o, ldc);
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

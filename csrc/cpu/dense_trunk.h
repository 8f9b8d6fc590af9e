// Dense layers over rows of activations, y = relu(x W + b): the wide trunk that the render families share.
//
// Rows are row-major with a leading dimension. A layer's width is padded to a multiple of sixteen, and so are its rows.
// The matrix is packed once per call, in panels of columns that stay in the L1 cache while a block of rows passes. A
// panel's sums are kept in registers: kRows rows, each broadcast element shared by all vectors of the panel.
//
// A row's bits depend on that row alone, not on how many rows there are.
//
// With T = BFloat16 activations and weights are bfloat16 and sums float32 (AVX512-BF16, two products an instruction).
#pragma once

#include "halves.h"

#if defined(__AVX512F__) && !(defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 11)
#define LMF_BFLOAT16_PRODUCTS 1
#else
#define LMF_BFLOAT16_PRODUCTS 0
#endif

namespace lmf {
namespace LMF_ISA {
namespace {

// kRows rows of kPanel x 16 columns are summed in registers; what is left in blocks of kFewRows.
#if defined(__AVX512F__)
constexpr int kPanel = 2, kRows = 12, kFewRows = 4;
#elif defined(__AVX2__) || defined(__ARM_NEON)
constexpr int kPanel = 1, kRows = 6, kFewRows = 2;
#else
constexpr int kPanel = 1, kRows = 2, kFewRows = 2;
#endif

template <class T>
struct DenseLayer {
  int in, out;
  const T* panels;    // packed by pack_dense, 64-byte aligned
  const float* bias;  // (padded(out)), 64-byte aligned
};

// A layer's width in memory.
inline int64_t padded(int64_t width) { return (width + kLanes - 1) / kLanes * kLanes; }
// The number of rows that a buffer must have for dense_layer to take `rows` of them.
inline int64_t padded_rows(int64_t rows) { return (rows + kFewRows - 1) / kFewRows * kFewRows; }

// Elements of x that one broadcast holds: neighbours in a row, whose products an instruction adds.
template <class T>
constexpr int kPair = sizeof(T) == 2 ? 2 : 1;

template <class T>
inline int64_t panel_elements(int in, int out) {
  return (in + kPair<T> - 1) / kPair<T> * kPair<T> * padded(out);
}

inline void assign(float* to, float x) { *to = x; }
inline void assign(BFloat16* to, float x) { *to = narrow_bfloat16(x); }

// Packs a matrix (in, out), row-major, and its bias (out), which lie at these offsets of the flat weights.
// panels: (panel_elements(in, out)) and bias: (padded(out)), to write.
template <class T>
DenseLayer<T> pack_dense(const void* weights, Element type, int64_t matrix_at, int64_t bias_at, int in, int out,
                         T* panels, float* bias) {
  const int64_t columns = padded(out);
  const int pairs = (in + kPair<T> - 1) / kPair<T>;
  T* to = panels;
  for (int64_t n = 0; n < columns;) {
    const int64_t width = columns - n >= kPanel * kLanes ? kPanel * kLanes : kLanes;
    for (int k = 0; k < pairs; ++k)
      for (int64_t c = n; c < n + width; ++c)
        for (int i = 0; i < kPair<T>; ++i) {
          const int64_t row = int64_t(k) * kPair<T> + i;
          assign(to++, row < in && c < out ? element(weights, type, matrix_at + row * out + c) : 0.0f);
        }
    n += width;
  }
  for (int64_t c = 0; c < columns; ++c) bias[c] = c < out ? element(weights, type, bias_at + c) : 0.0f;
  return {in, out, panels, bias};
}

// Copies a matrix (rows, columns), row-major, to float32 rows of padded(columns), padded with zeros.
inline void pack_rows(const void* weights, Element type, int64_t at, int rows, int columns, float* to) {
  for (int r = 0; r < rows; ++r)
    for (int64_t c = 0; c < padded(columns); ++c)
      *to++ = c < columns ? element(weights, type, at + int64_t(r) * columns + c) : 0.0f;
}

// y[r] = x[r] W + b for ROWS rows and one panel of PANEL x 16 columns.
template <int ROWS, int PANEL, bool RELU>
inline __attribute__((always_inline)) void dense_block(const float* x, int64_t ldx, const float* panel,
                                                       const float* bias, int in, float* y, int64_t ldy) {
  Lanes sum[ROWS][PANEL];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < PANEL; ++c) sum[r][c] = load(bias + c * kLanes);
  for (int k = 0; k < in; ++k, panel += PANEL * kLanes) {
    Lanes w[PANEL];
#pragma GCC unroll 4
    for (int c = 0; c < PANEL; ++c) w[c] = load(panel + c * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      const Lanes xk = set(x[r * ldx + k]);
#pragma GCC unroll 4
      for (int c = 0; c < PANEL; ++c) sum[r][c] = fma(xk, w[c], sum[r][c]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < PANEL; ++c) store(y + r * ldy + c * kLanes, RELU ? relu(sum[r][c]) : sum[r][c]);
}

template <int PANEL, bool RELU>
inline void dense_panel(const float* x, int64_t ldx, const float* panel, const float* bias, int in, float* y,
                        int64_t ldy, int rows) {
  int r = 0;
  for (; r + kRows <= rows; r += kRows)
    dense_block<kRows, PANEL, RELU>(x + r * ldx, ldx, panel, bias, in, y + r * ldy, ldy);
  for (; r < rows; r += kFewRows)
    dense_block<kFewRows, PANEL, RELU>(x + r * ldx, ldx, panel, bias, in, y + r * ldy, ldy);
}

#if LMF_BFLOAT16_PRODUCTS
#define LMF_TARGET_BFLOAT16 __attribute__((target("avx512bf16")))

inline LMF_TARGET_BFLOAT16 void store_sum(float* y, __m512 x) { _mm512_store_ps(y, x); }
inline LMF_TARGET_BFLOAT16 void store_sum(BFloat16* y, __m512 x) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(y), (__m256i)_mm512_cvtneps_pbh(x));
}

template <int ROWS, int PANEL, bool RELU, class Y>
inline LMF_TARGET_BFLOAT16 void dense_block(const BFloat16* x, int64_t ldx, const BFloat16* panel, const float* bias,
                                            int pairs, Y* y, int64_t ldy) {
  __m512 sum[ROWS][PANEL];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < PANEL; ++c) sum[r][c] = _mm512_load_ps(bias + c * kLanes);
  for (int k = 0; k < pairs; ++k, panel += 2 * PANEL * kLanes) {
    __m512i w[PANEL];
#pragma GCC unroll 4
    for (int c = 0; c < PANEL; ++c) w[c] = _mm512_load_si512(panel + 2 * c * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      int32_t pair;
      __builtin_memcpy(&pair, x + r * ldx + 2 * k, 4);
      const __m512i xk = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
      for (int c = 0; c < PANEL; ++c) sum[r][c] = _mm512_dpbf16_ps(sum[r][c], (__m512bh)xk, (__m512bh)w[c]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int c = 0; c < PANEL; ++c)
      store_sum(y + r * ldy + c * kLanes, RELU ? _mm512_max_ps(_mm512_setzero_ps(), sum[r][c]) : sum[r][c]);
}

template <int PANEL, bool RELU, class Y>
LMF_TARGET_BFLOAT16 void dense_panel(const BFloat16* x, int64_t ldx, const BFloat16* panel, const float* bias, int in,
                                     Y* y, int64_t ldy, int rows) {
  int r = 0;
  for (; r + kRows <= rows; r += kRows)
    dense_block<kRows, PANEL, RELU>(x + r * ldx, ldx, panel, bias, (in + 1) / 2, y + r * ldy, ldy);
  for (; r < rows; r += kFewRows)
    dense_block<kFewRows, PANEL, RELU>(x + r * ldx, ldx, panel, bias, (in + 1) / 2, y + r * ldy, ldy);
}
#endif

// Whether this machine has products of bfloat16, which T = BFloat16 needs.
inline bool has_bfloat16_products() {
#if LMF_BFLOAT16_PRODUCTS
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

// y = x W + b, with RELU relu of it. x: (rows, in), y: (rows, out), both with padded_rows(rows) rows in memory, 64-byte
// aligned and with leading dimensions that are multiples of 16. y is float, or BFloat16 with such a layer. Columns of y
// past `out` become 0 unless the row has infinities or NaN.
template <bool RELU, class T, class Y>
void dense_layer(const DenseLayer<T>& layer, const T* x, int64_t ldx, Y* y, int64_t ldy, int rows) {
  const int64_t columns = padded(layer.out), depth = panel_elements<T>(layer.in, 1) / kLanes;
  int64_t n = 0;
  for (; n + kPanel * kLanes <= columns; n += kPanel * kLanes)
    dense_panel<kPanel, RELU>(x, ldx, layer.panels + n * depth, layer.bias + n, layer.in, y + n, ldy, rows);
  for (; n < columns; n += kLanes)
    dense_panel<1, RELU>(x, ldx, layer.panels + n * depth, layer.bias + n, layer.in, y + n, ldy, rows);
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// Sixteen elements side by side in memory, computed with as float32.
#pragma once

#include "elements.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Sixteen neighbouring elements, at any address.
inline Lanes load_any(const float* p) {
  typedef float Unaligned __attribute__((vector_size(kVectorWidth * 4), aligned(4)));
  Lanes r;  // vector by vector: GCC copies a whole struct in pieces of sixteen bytes, by way of the stack
  LMF_EACH_VECTOR r.v[i] = *reinterpret_cast<const Unaligned*>(p + i * kVectorWidth);
  return r;
}
template <class T>
inline Lanes load_in_fours(const T* p) {
  alignas(64) float value[kLanes];
  for (int i = 0; i < kLanes; i += 4) *reinterpret_cast<Vec4*>(value + i) = load4(p + i);
  return load(value);
}
inline Lanes load_any(const BFloat16* p) {
  Lanes r;
#if defined(__AVX512F__)
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  r.v[0] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
#else
  r = load_in_fours(p);
#endif
  return r;
}
inline Lanes load_any(const Float16* p) {
  Lanes r;
#if defined(__AVX512F__)
  r.v[0] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__F16C__)
  LMF_EACH_VECTOR r.v[i] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8 * i)));
#else
  r = load_in_fours(p);
#endif
  return r;
}

// The first `count` of sixteen elements; the others are 0 and are not read.
template <class T>
inline Lanes load_some(const T* p, int64_t count) {
  if (count >= kLanes) return load_any(p);
  alignas(64) float value[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) value[i] = load1(p + i);
  return load(value);
}

// Stores activations, 64-byte or 32-byte aligned.
inline void store_as(float* p, const Lanes& x) { store(p, x); }
inline void store_as(BFloat16* p, const Lanes& x) {  // to_bfloat16 of each
#if defined(__AVX512F__)
  const __m512i bits = _mm512_castps_si512(x.v[0]), high = _mm512_srli_epi32(bits, 16);
  const __m512i half = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), _mm512_and_si512(high, _mm512_set1_epi32(1)));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, half), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(x.v[0], x.v[0], _CMP_UNORD_Q);
  rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
#else
  alignas(64) float value[kLanes];
  store(value, x);
  for (int i = 0; i < kLanes; ++i) p[i] = {to_bfloat16(value[i])};
#endif
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// Half-precision numbers in memory, computed with as float32: one value, or sixteen side by side.
#pragma once

#include "../common/params.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

inline float from_bits(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, 4);
  return x;
}
inline uint32_t to_bits(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return bits;
}

inline float widen(float x) { return x; }
inline float widen(BFloat16 x) { return from_bits(uint32_t(x.bits) << 16); }
inline float widen(Float16 x) {
  const uint32_t sign = uint32_t(x.bits & 0x8000) << 16, rest = uint32_t(x.bits & 0x7fff) << 13;
  // 2^112 is the difference between the exponents' biases. The product is exact, and right for subnormal numbers too.
  if ((x.bits & 0x7c00) != 0x7c00) return from_bits(to_bits(from_bits(rest) * 0x1p112f) | sign);
  return from_bits(rest | 0x7f800000 | sign);  // infinity or NaN
}

// Rounds to the nearest number, ties to even, as torch does. NaN stays NaN.
inline BFloat16 narrow_bfloat16(float x) {
  const uint32_t bits = to_bits(x);
  if (x != x) return {uint16_t(bits >> 16 | 0x40)};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
inline Float16 narrow_float16(float x) {
  const uint32_t bits = to_bits(x), sign = bits >> 16 & 0x8000;
  uint32_t rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return {uint16_t(sign | 0x7e00)};
  if (rest >= 0x477ff000) return {uint16_t(sign | 0x7c00)};  // 65520 and above round to infinity
  if (rest < 0x38800000) {  // subnormal: adding 2^-1 leaves the rounded multiple of 2^-24 in the low bits
    return {uint16_t(sign | (to_bits(from_bits(rest) + 0.5f) - 0x3f000000))};
  }
  rest += 0xfff + (rest >> 13 & 1);
  return {uint16_t(sign | ((rest - 0x38000000) >> 13))};
}

// One element of a tensor.
inline float element(const void* data, Element type, int64_t index) {
  if (type == Element::float32) return static_cast<const float*>(data)[index];
  if (type == Element::float16) return widen(static_cast<const Float16*>(data)[index]);
  return widen(static_cast<const BFloat16*>(data)[index]);
}

// Sixteen neighbouring elements, at any address.
inline Lanes load_any(const float* p) {
  Lanes r;
  __builtin_memcpy(&r, p, sizeof r);
  return r;
}
inline Lanes load_any(const BFloat16* p) {
  Lanes r;
#if defined(__AVX512F__)
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  r.v[0] = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
#else
  alignas(64) float value[kLanes];
  for (int i = 0; i < kLanes; ++i) value[i] = widen(p[i]);
  r = load(value);
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
  alignas(64) float value[kLanes];
  for (int i = 0; i < kLanes; ++i) value[i] = widen(p[i]);
  r = load(value);
#endif
  return r;
}

// The first `count` of sixteen elements; the others are 0 and are not read.
template <class T>
inline Lanes load_some(const T* p, int64_t count) {
  if (count >= kLanes) return load_any(p);
  alignas(64) float value[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) value[i] = widen(p[i]);
  return load(value);
}

// Stores activations, 64-byte or 32-byte aligned.
inline void store_as(float* p, const Lanes& x) { store(p, x); }
inline void store_as(BFloat16* p, const Lanes& x) {
  alignas(64) float value[kLanes];
  store(value, x);
  for (int i = 0; i < kLanes; ++i) p[i] = narrow_bfloat16(value[i]);
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

// Conversions between float32 and the half types of tensors, a few elements at a time. Rounding is to nearest even, and
// NaN stays NaN.
#pragma once

#include <cstdint>

#include "../common/params.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// Elements as they lie in memory.
struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

typedef float Vec4 __attribute__((vector_size(16)));
typedef int32_t Vec4I __attribute__((vector_size(16)));
typedef float Vec4Unaligned __attribute__((vector_size(16), aligned(4)));

// Four elements at p, in the low halves of 32-bit integers.
inline Vec4I load4_bits(const void* p) {
  uint16_t bits[4];
  __builtin_memcpy(bits, p, sizeof bits);
  return Vec4I{bits[0], bits[1], bits[2], bits[3]};
}

inline Vec4 load4(const float* p) { return *reinterpret_cast<const Vec4Unaligned*>(p); }

inline Vec4 load4(const BFloat16* p) { return (Vec4)(load4_bits(p) << 16); }

inline Vec4 load4(const Float16* p) {
#if defined(__F16C__)
  return _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__aarch64__)
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(&p->bits)));
#else
  const Vec4I bits = load4_bits(p), magnitude = bits & 0x7fff;
  // Infinity and NaN have the largest exponent in both types. A number below 2^-14 is a multiple of 2^-24.
  const Vec4I normal = (magnitude << 13) + (112 << 23), special = (magnitude << 13) | 0x7f800000;
  const Vec4 small =
      Vec4{float(magnitude[0]), float(magnitude[1]), float(magnitude[2]), float(magnitude[3])} * (1.0f / (1 << 24));
  const Vec4I is_special = magnitude >= 0x7c00, is_small = magnitude < 0x400;
  const Vec4I value = (is_special & special) | (is_small & (Vec4I)small) | (~(is_special | is_small) & normal);
  return (Vec4)(value | (bits & 0x8000) << 16);
#endif
}

inline float load1(const float* p) { return *p; }
template <class T>
inline float load1(const T* p) {
  const T four[4] = {*p, {0}, {0}, {0}};
  return load4(four)[0];
}

// Element i of an array of the given type.
inline float load_element(const void* data, Element element, int64_t i) {
  if (element == Element::float16) return load1(static_cast<const Float16*>(data) + i);
  if (element == Element::bfloat16) return load1(static_cast<const BFloat16*>(data) + i);
  return static_cast<const float*>(data)[i];
}

inline int64_t element_size(Element element) { return element == Element::float32 ? 4 : 2; }

inline uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline uint16_t to_bfloat16(float x) {
  const uint32_t bits = bits_of(x), rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return uint16_t((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

inline uint16_t to_float16(float x) {
  const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return uint16_t(sign | 0x7e00);
  if (magnitude >= 0x477ff000) return uint16_t(sign | 0x7c00);  // half of the way from the largest number to 2^16
  if (magnitude < 0x38800000) {
    // 1/2 plus a number below 2^-14 is rounded to a multiple of 2^-24, the spacing of the small halves.
    const float shifted = __builtin_fabsf(x) + 0.5f;
    return uint16_t(sign | (bits_of(shifted) - 0x3f000000));
  }
  return uint16_t(sign | (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

// out: sixteen elements. type: float16 or bfloat16.
inline void store_halves(const float* values, Store type, uint16_t* out) {
  if (type == Store::bfloat16) {
    for (int j = 0; j < kLanes; ++j) out[j] = to_bfloat16(values[j]);
    return;
  }
#if defined(__F16C__)
  for (int j = 0; j < kLanes; j += 4)
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out + j),
                     _mm_cvtps_ph(_mm_loadu_ps(values + j), _MM_FROUND_TO_NEAREST_INT));
#else
  for (int j = 0; j < kLanes; ++j) out[j] = to_float16(values[j]);
#endif
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

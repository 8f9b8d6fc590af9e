// Converts float32 to the half types and back, bit for bit as PTX's cvt.rn: nearest even, with subnormals, overflow to
// infinity, and 0x7fff for every NaN. Written with integers, so that no compiler flag or processor changes a bit.
#pragma once

#include <cstdint>
#include <cstring>

namespace lmf {
namespace warp {
struct F16 {};
struct BF16 {};
}  // namespace warp

namespace emulator {

inline uint32_t bits_of(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}

inline float float_of(uint32_t u) {
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

constexpr uint32_t kMagnitude = 0x7fffffffu, kInfinity = 0x7f800000u;
constexpr uint16_t kHalfNaN = 0x7fff;

inline uint16_t round_to(float x, warp::F16) {
  const uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000u, a = u & kMagnitude;
  if (a > kInfinity) return kHalfNaN;
  if (a >= 0x47800000u) return uint16_t(sign | 0x7c00u);  // 65536 and above
  if (a < 0x38800000u) {  // below 2^-14: around 1/2 float32 has the subnormals' spacing, 2^-24
    return uint16_t(sign | (bits_of(float_of(a) + 0.5f) - bits_of(0.5f)));
  }
  const uint32_t rounded = a + 0xfffu + ((a >> 13) & 1u);  // from 65520 on the carry gives infinity
  return uint16_t(sign | ((rounded - 0x38000000u) >> 13));
}

inline uint16_t round_to(float x, warp::BF16) {
  const uint32_t u = bits_of(x);
  if ((u & kMagnitude) > kInfinity) return kHalfNaN;
  return uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

inline float widened(uint16_t h, warp::F16) {
  const uint32_t sign = uint32_t(h & 0x8000u) << 16, a = h & 0x7fffu;
  if (a >= 0x7c00u) return float_of(sign | kInfinity | (a & 0x3ffu) << 13);
  if (a < 0x0400u) return float_of(sign | bits_of(float(a) * 0x1p-24f));
  return float_of(sign | ((a << 13) + 0x38000000u));
}

inline float widened(uint16_t h, warp::BF16) { return float_of(uint32_t(h) << 16); }

// A float32 that any half type rounds in the same way as x: truncated, with the last bit set if anything was lost.
inline float round_to_odd(double x) {
  const float nearest = float(x);
  uint32_t u = bits_of(nearest);
  const double back = nearest;
  if (back == x || x != x) return nearest;
  if (back > x ? x >= 0 : x < 0) --u;  // nearest is larger than x in magnitude
  return float_of(u | 1u);
}

// a * b + c of halves, which then is rounded to a half once. The product is exact in double. Knuth's two-sum finds what
// the sum loses, and the last bit records it.
inline float product_plus(float a, float b, float c) {
  const double product = double(a) * b, sum = product + c;
  const double part = sum - product, lost = (product - (sum - part)) + (c - part);
  if (!(lost < 0 || lost > 0)) return round_to_odd(sum);
  uint64_t u;
  std::memcpy(&u, &sum, sizeof u);
  if ((lost > 0) != (sum > 0)) --u;  // the sum is larger than the exact value in magnitude
  u |= 1;
  double odd;
  std::memcpy(&odd, &u, sizeof odd);
  return round_to_odd(odd);
}

}  // namespace emulator
}  // namespace lmf

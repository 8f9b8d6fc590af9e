// The end of a pixel's way: de-normalise, clamp, and write float32 or uint8 with any strides (NCHW, HWC, points).
#pragma once

#include "../common/params.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// rgb: three channels of sixteen pixels. base: element offset of the first pixel of channel 0.
inline void finish_and_store(Lanes* rgb, const Output& out, int64_t base, int count) {
  if (out.finish == Finish::unit) {
    const Lanes half = set(0.5f);
    for (int c = 0; c < 3; ++c) rgb[c] = clamp_unit(fma(rgb[c], half, half));
  }
  alignas(64) float value[3][kLanes];
  if (out.store == Store::u8) {
    // Adding 1.5 * 2^23 leaves round-half-even(255 v) in the low bits.
    const Lanes scale = set(255.0f), magic = set(12582912.0f);
    for (int c = 0; c < 3; ++c) store(value[c], add(mul(rgb[c], scale), magic));
    uint8_t* p = static_cast<uint8_t*>(out.data) + base;
    for (int c = 0; c < 3; ++c) {
      const uint8_t* bytes = reinterpret_cast<const uint8_t*>(value[c]);  // little-endian low byte, checked when built
      for (int j = 0; j < count; ++j) p[c * out.stride[1] + j * out.stride[3]] = bytes[4 * j];
    }
    return;
  }
  float* p = static_cast<float*>(out.data) + base;
  for (int c = 0; c < 3; ++c) {
    float* q = p + c * out.stride[1];
    store(value[c], rgb[c]);
    if (out.stride[3] == 1 && count == kLanes) {
      __builtin_memcpy(q, value[c], sizeof value[c]);
    } else {
      for (int j = 0; j < count; ++j) q[j * out.stride[3]] = value[c][j];
    }
  }
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

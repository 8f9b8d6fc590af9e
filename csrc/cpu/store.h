// The epilogue and the store of a pixel: de-normalise, clamp, and write float32, a half type or uint8 with any strides
// (NCHW, NHWC, points).
#pragma once

#include "../common/params.h"
#include "halves.h"
#include "lanes.h"

namespace lmf {
namespace LMF_ISA {
namespace {

// rgb: three channels of sixteen pixels, of which the first `count` are written. offset: of channel 0 of the first
// pixel in the output, in elements.
inline void store_pixels(Lanes* rgb, const Output& out, int64_t offset, int count) {
  if (out.epilogue == Epilogue::unit) {
    const Lanes half = set(0.5f);
    for (int c = 0; c < 3; ++c) rgb[c] = clamp_unit(fma(rgb[c], half, half));
  }
  alignas(64) float value[3][kLanes];
  if (out.store == Store::uint8) {
    // Adding 1.5 * 2^23 leaves 255 * v, rounded half to even, in the low bits.
    const Lanes scale = set(255.0f), magic = set(12582912.0f);
    for (int c = 0; c < 3; ++c) store(value[c], add(mul(rgb[c], scale), magic));
    uint8_t* p = static_cast<uint8_t*>(out.data) + offset;
    for (int c = 0; c < 3; ++c) {
      // The low byte comes first: bindings/cpu.cpp asserts that the machine is little-endian.
      const uint8_t* bytes = reinterpret_cast<const uint8_t*>(value[c]);
      for (int j = 0; j < count; ++j) p[c * out.stride_c + j * out.stride_x] = bytes[4 * j];
    }
    return;
  }
  if (out.store != Store::float32) {
    uint16_t* p = static_cast<uint16_t*>(out.data) + offset;
    for (int c = 0; c < 3; ++c) {
      store(value[c], rgb[c]);
      for (int j = 0; j < count; ++j)
        p[c * out.stride_c + j * out.stride_x] = out.store == Store::float16 ? narrow_float16(value[c][j]).bits
                                                                             : narrow_bfloat16(value[c][j]).bits;
    }
    return;
  }
  float* p = static_cast<float*>(out.data) + offset;
  for (int c = 0; c < 3; ++c) {
    float* q = p + c * out.stride_c;
    store(value[c], rgb[c]);
    if (out.stride_x == 1 && count == kLanes) {
      __builtin_memcpy(q, value[c], sizeof value[c]);
    } else {
      for (int j = 0; j < count; ++j) q[j * out.stride_x] = value[c][j];
    }
  }
}

}  // namespace
}  // namespace LMF_ISA
}  // namespace lmf

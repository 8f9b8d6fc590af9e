// Single values in and out: inputs of any element type, the LR skip, and the finished pixel.
#pragma once

#include "axis.h"

namespace lmf {

LMF_DEVICE float read_element(const void* data, Element element, int64_t index) {
  if (element == Element::f32) return warp::load(static_cast<const float*>(data) + index);
  const uint16_t bits = warp::load(static_cast<const uint16_t*>(data) + index);
  return element == Element::f16 ? warp::widen<warp::F16>(bits) : warp::widen<warp::BF16>(bits);
}

// One channel of the skip at LR cell (y, x).
LMF_DEVICE float skip_cell(const ModulatedCall& call, int64_t batch, int64_t y, int64_t x, int channel) {
  const Skip& s = call.skip;
  return read_element(s.data, s.element, batch * s.stride[0] + channel * s.stride[1] +
                                             (y - call.fields.lr_y0) * s.stride[2] +
                                             (x - call.fields.lr_x0) * s.stride[3]);
}

// One channel of the skip, bilinear between the four LR centres with border padding, corners in a fixed order.
LMF_DEVICE float skip_between(const ModulatedCall& call, int64_t batch, const PixelPlace& at, int channel) {
  const float top = warp::fma(at.x.weight[1], skip_cell(call, batch, at.y.cell[0], at.x.cell[1], channel),
                              at.x.weight[0] * skip_cell(call, batch, at.y.cell[0], at.x.cell[0], channel));
  const float bottom = warp::fma(at.x.weight[1], skip_cell(call, batch, at.y.cell[1], at.x.cell[1], channel),
                                 at.x.weight[0] * skip_cell(call, batch, at.y.cell[1], at.x.cell[0], channel));
  return warp::fma(at.y.weight[1], bottom, at.y.weight[0] * top);
}

// Bytes of a stored channel.
LMF_DEVICE int stored_bytes(Store store) { return store == Store::f32 ? 4 : store == Store::u8 ? 1 : 2; }

// Finishes and writes one channel of pixel (row, col) of the window, or of query `col`.
LMF_DEVICE void store_channel(const Output& o, int64_t batch, int channel, int64_t row, int64_t col, float value) {
  if (o.finish == Finish::unit) {
    value = warp::fma(value, 0.5f, 0.5f);
    value = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;  // NaN passes
  }
  const int64_t at = batch * o.stride[0] + channel * o.stride[1] + row * o.stride[2] + col * o.stride[3];
  // Bits first, then one store by width: a branch with a store for each type would be four times the code.
  uint32_t bits = uint32_t(warp::bits_of(value));
  if (o.store == Store::f16) bits = warp::pack<warp::F16>(value, 0.0f);
  if (o.store == Store::bf16) bits = warp::pack<warp::BF16>(value, 0.0f);
  if (o.store == Store::u8) bits = warp::round_to_byte(value * 255.0f);
  const int bytes = stored_bytes(o.store);
  unsigned char* place = static_cast<unsigned char*>(o.data) + at * bytes;
  if (bytes == 4) warp::store(reinterpret_cast<uint32_t*>(place), bits);
  if (bytes == 2) warp::store(reinterpret_cast<uint16_t*>(place), uint16_t(bits));
  if (bytes == 1) warp::store(place, uint8_t(bits));
}

}  // namespace lmf

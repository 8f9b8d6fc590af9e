// Loads and stores single values: inputs of any element type, the LR skip, and pixels after the epilogue.
#pragma once

#include "coordinates.h"

namespace lmf {

LMF_DEVICE float read_element(const void* data, Element element, int64_t index) {
  if (element == Element::float32) return warp::load(static_cast<const float*>(data) + index);
  const uint16_t bits = warp::load(static_cast<const uint16_t*>(data) + index);
  return element == Element::float16 ? warp::widen<warp::F16>(bits) : warp::widen<warp::BF16>(bits);
}

// One channel of the skip at LR cell (y, x).
LMF_DEVICE float skip_at_cell(const RenderCall& call, int64_t batch, int64_t y, int64_t x, int channel) {
  const Skip& s = call.skip;
  return read_element(s.data, s.element,
                      batch * s.stride_b + channel * s.stride_c + (y - call.fields.lr_y0) * s.stride_y +
                          (x - call.fields.lr_x0) * s.stride_x);
}

// One channel of the skip, bilinear between four LR centres with border padding. The corners are added in a fixed
// order.
LMF_DEVICE float bilinear_skip(const RenderCall& call, int64_t batch, const PixelCoordinates& at, int channel) {
  const float top = warp::fma(at.x.weight[1], skip_at_cell(call, batch, at.y.cell[0], at.x.cell[1], channel),
                              at.x.weight[0] * skip_at_cell(call, batch, at.y.cell[0], at.x.cell[0], channel));
  const float bottom = warp::fma(at.x.weight[1], skip_at_cell(call, batch, at.y.cell[1], at.x.cell[1], channel),
                                 at.x.weight[0] * skip_at_cell(call, batch, at.y.cell[1], at.x.cell[0], channel));
  return warp::fma(at.y.weight[1], bottom, at.y.weight[0] * top);
}

// Size of a stored channel in bytes.
LMF_HOST_DEVICE inline int stored_bytes(Store store) {
  return store == Store::float32 ? 4 : store == Store::uint8 ? 1 : 2;
}

// Address of one channel of pixel (row, col) of the window, or of query point `col`.
LMF_DEVICE unsigned char* pixel_address(const Output& o, int64_t batch, int channel, int64_t row, int64_t col) {
  const int64_t offset = batch * o.stride_b + channel * o.stride_c + row * o.stride_y + col * o.stride_x;
  return static_cast<unsigned char*>(o.data) + offset * stored_bytes(o.store);
}

// Applies the epilogue to one channel of a pixel and writes it.
LMF_DEVICE void store_channel(const Output& o, unsigned char* address, float value) {
  if (o.epilogue == Epilogue::unit) {
    value = warp::fma(value, 0.5f, 0.5f);
    value = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;  // NaN stays NaN
  }
  if (o.store == Store::float32) {
    warp::store(reinterpret_cast<float*>(address), value);
  } else if (o.store == Store::uint8) {
    warp::store(address, warp::round_to_byte(value * 255.0f));
  } else {
    const uint32_t bits =
        o.store == Store::float16 ? warp::pack<warp::F16>(value, 0.0f) : warp::pack<warp::BF16>(value, 0.0f);
    warp::store(reinterpret_cast<uint16_t*>(address), uint16_t(bits));
  }
}

}  // namespace lmf

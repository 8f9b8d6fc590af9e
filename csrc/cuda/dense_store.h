// Stores a pixel of the output product of dense_pass.h.
#pragma once

#include "elements.h"
#include "unroll.h"

namespace lmf::dense {

// Adds the bias and the skip to channels 2t and 2t + 1 of a pixel, as far as there are three, and stores them. row,
// col: in the output window, or a query point. at: its place; not read where there is no skip.
LMF_DEVICE void store_pixel(const RenderCall& call, int64_t batch, int64_t row, int64_t col, const PixelCoordinates& at,
                            int t, const float (&sums)[2], const float4& bias) {
  LMF_UNROLL
  for (int i = 0; i < 2; ++i) {
    const int channel = 2 * t + i;
    if (channel > 2) continue;
    float value = sums[i] + (channel == 0 ? bias.x : channel == 1 ? bias.y : bias.z);
    if (call.skip.data) value += bilinear_skip(call, batch, at, channel);
    store_channel(call.out, pixel_address(call.out, batch, channel, row, col), value);
  }
}

}  // namespace lmf::dense

// The modulated family in float32 throughout: a lane renders a pixel, weights come from shared memory as broadcasts.
#pragma once

#include "modulated_strips.h"

namespace lmf {

// acc += x W for a (16, 16) matrix in shared memory, input-major.
LMF_DEVICE void accumulate(float (&acc)[kWidth], const float (&x)[kWidth], const float* w) {
  LMF_UNROLL
  for (int k = 0; k < kWidth; ++k) {
    LMF_UNROLL
    for (int n = 0; n < kWidth; n += 4) {
      const float4 v = warp::shared_load(reinterpret_cast<const float4*>(w + k * kWidth + n));
      acc[n] = warp::fma(x[k], v.x, acc[n]);
      acc[n + 1] = warp::fma(x[k], v.y, acc[n + 1]);
      acc[n + 2] = warp::fma(x[k], v.z, acc[n + 2]);
      acc[n + 3] = warp::fma(x[k], v.w, acc[n + 3]);
    }
  }
}

LMF_DEVICE void load_row(float (&row)[kWidth], const float* record) {
  LMF_UNROLL
  for (int n = 0; n < kWidth; n += 4) {
    const float4 v = warp::load(reinterpret_cast<const float4*>(record + n));
    row[n] = v.x;
    row[n + 1] = v.y;
    row[n + 2] = v.z;
    row[n + 3] = v.w;
  }
}

// x = relu(a * (1 + s) + t) of layer `layer`.
LMF_DEVICE void modulate(float (&x)[kWidth], const float (&a)[kWidth], const float* record, int layer, int depth) {
  float s[kWidth], t[kWidth];
  load_row(s, record + layer * kWidth);
  load_row(t, record + (depth + layer) * kWidth);
  LMF_UNROLL
  for (int n = 0; n < kWidth; ++n) x[n] = warp::relu(warp::fma(a[n], 1.0f + s[n], t[n]));
}

// The linear head before its FiLM. head: rel (2, 16), cell (2, 16).
LMF_DEVICE void linear_row(float (&a)[kWidth], const float* head, const float* base, float rel_y, float rel_x,
                           const PixelPlace& at) {
  load_row(a, base);
  LMF_UNROLL
  for (int n = 0; n < kWidth; ++n) {
    a[n] = warp::fma(warp::shared_load(head + 2 * kWidth + n), at.rel_cell_y, a[n]);
    a[n] = warp::fma(warp::shared_load(head + 3 * kWidth + n), at.rel_cell_x, a[n]);
    a[n] = warp::fma(warp::shared_load(head + n), rel_y, a[n]);
    a[n] = warp::fma(warp::shared_load(head + kWidth + n), rel_x, a[n]);
  }
}

// The Fourier product. phase: (2, 8). record: coef (16), freq (16).
LMF_DEVICE void fourier_row(float (&x)[kWidth], const float* phase, const float* record, float rel_y, float rel_x,
                            const PixelPlace& at) {
  float freq[kWidth];
  load_row(x, record);
  load_row(freq, record + kWidth);
  LMF_UNROLL
  for (int j = 0; j < kWidth / 2; ++j) {
    float q = warp::shared_load(phase + j) * at.rel_cell_y;
    q = warp::fma(warp::shared_load(phase + kWidth / 2 + j), at.rel_cell_x, q);
    q = warp::fma(freq[2 * j], rel_y, warp::fma(freq[2 * j + 1], rel_x, q));
    float cosine, sine;
    sincospi(q, &cosine, &sine);
    x[j] *= cosine;
    x[j + kWidth / 2] *= sine;
  }
}

// What the network gives for one pixel at one corner.
template <Head head>
LMF_DEVICE void evaluate(float (&y)[3], int depth, const float* weights, const float* record, float rel_y, float rel_x,
                         const PixelPlace& at) {
  constexpr int head_floats = head == Head::linear ? 4 * kWidth : kWidth;
  const float* matrix = weights + head_floats;
  const float* first = record + 2 * depth * kWidth;
  float x[kWidth], a[kWidth];
  if constexpr (head == Head::linear) {
    linear_row(a, weights, first, rel_y, rel_x, at);
    modulate(x, a, record, 0, depth);
  } else {
    fourier_row(x, weights, first, rel_y, rel_x, at);
  }
  LMF_KEEP_LOOP
  for (int layer = head == Head::linear ? 1 : 0; layer < depth; ++layer, matrix += kWidth * kWidth) {
    LMF_UNROLL
    for (int n = 0; n < kWidth; ++n) a[n] = 0.0f;
    accumulate(a, x, matrix);
    modulate(x, a, record, layer, depth);
  }
  LMF_UNROLL
  for (int c = 0; c < 3; ++c) {
    y[c] = 0.0f;
    LMF_UNROLL
    for (int k = 0; k < kWidth; ++k) y[c] = warp::fma(x[k], warp::shared_load(matrix + 3 * k + c), y[c]);
  }
}

template <Head head>
LMF_DEVICE void render_pixel(const ModulatedCall& call, const float* weights, int64_t batch, int64_t row,
                             int64_t col) {
  const PixelPlace at = place_pixel(call, batch, row, col);
  const float* fields = static_cast<const float*>(call.fields.data);
  const bool ensemble = call.mlp.ensemble;
  float sum[3] = {0.0f, 0.0f, 0.0f};
  LMF_KEEP_LOOP
  for (int corner = 0; corner < (ensemble ? 4 : 1); ++corner) {
    const int a = ensemble ? corner >> 1 : at.y.nearest, b = ensemble ? corner & 1 : at.x.nearest;
    const float* record = fields + record_offset(call.fields, batch, pick(a, at.y.cell[0], at.y.cell[1]),
                                                 pick(b, at.x.cell[0], at.x.cell[1]));
    const float w =
        ensemble ? pick(a, at.y.weight[0], at.y.weight[1]) * pick(b, at.x.weight[0], at.x.weight[1]) : 1.0f;
    float y[3];
    evaluate<head>(y, call.mlp.depth, weights, record, pick(a, at.y.rel[0], at.y.rel[1]),
                   pick(b, at.x.rel[0], at.x.rel[1]), at);
    LMF_UNROLL
    for (int c = 0; c < 3; ++c) sum[c] = warp::fma(w, y[c], sum[c]);
  }
  const float* bias = weights + weight_floats(head, call.mlp.depth) - 3;
  LMF_UNROLL
  for (int c = 0; c < 3; ++c) {
    float value = sum[c] + warp::shared_load(bias + c);
    if (call.skip.data) value += skip_between(call, batch, at, c);
    store_channel(call.out, batch, c, row, col, value);
  }
}

template <Head head>
LMF_DEVICE void render(Ieee<head>, const ModulatedCall& call, unsigned char* shared, warp::Place place) {
  float* weights = reinterpret_cast<float*>(shared);
  const int count = int(weight_floats(head, call.mlp.depth)), threads = place.warps * kLanes;
  for (int i = place.warp * kLanes + warp::lane(); i < count; i += threads) {
    warp::shared_store(weights + i, read_element(call.mlp.weights, call.mlp.element, i));
  }
  warp::block_barrier();
  const int64_t items = call.fields.batch * call.out.rows * ((call.out.cols + kLanes - 1) / kLanes);
  for (int64_t item = int64_t(place.block) * place.warps + place.warp; item < items;
       item += int64_t(place.blocks) * place.warps) {
    const Piece piece(call.out, item, kLanes);
    const int64_t col = piece.col + warp::lane();
    if (col < call.out.cols) render_pixel<head>(call, weights, piece.batch, piece.row, col);
  }
}

}  // namespace lmf
